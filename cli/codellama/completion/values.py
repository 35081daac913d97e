"""Values that only this machine knows: what a completion script asks the program for, with `codellama __complete`.

An answer is a line for each value, `value<TAB>description`. It comes at once or not at all: nothing is loaded, and
whatever goes wrong there is no answer.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

Kind = Literal["models", "lines", "languages", "sessions"]
Found = Iterable[tuple[str, str]]
# values with what is said of each

MOST = 200
# values that are given at most: more than anybody reads
_OPEN = re.compile(r"\s*(pass|\.\.\.|raise NotImplementedError.*)\s*(#.*)?|.*\b(TODO|FIXME|XXX)\b.*|.*<FILL_ME>.*")
# a line that something is missing from
_DEFINITION = re.compile(
    r"\s*((export|public|private|protected|static|async|default) )*(def|class|fn|func|function|interface|struct|impl)\b"
)
_WIDTH = 60
# characters of a line that are shown


def main(arguments: Sequence[str]) -> None:
    """`codellama __complete KIND BEGUN`."""
    if len(arguments) == 2:
        # the reader may be gone already
        with suppress(OSError):
            sys.stdout.buffer.write(complete(arguments[0], arguments[1], os.environ).encode("utf-8", "surrogateescape"))
            sys.stdout.flush()


def complete(kind: str, begun: str, environ: Mapping[str, str]) -> str:
    """The answer for what was begun. Empty for a kind that is not known, and where anything goes wrong."""
    from codellama.sanitiser import one_line, sanitise

    answers: dict[str, Callable[[str, Mapping[str, str]], Found]] = {
        "models": models, "lines": lines, "languages": languages, "sessions": sessions,
    }  # fmt: skip
    answer = answers.get(kind)
    if answer is None:
        return ""
    said: list[str] = []
    try:
        for value, about in answer(begun, environ):
            # a name that would have to be shown otherwise than it is cannot be typed either
            if value.startswith(begun) and sanitise(value) == value and not re.search(r"[\n\t]", value):
                said.append(f"{value}\t{one_line(about)}\n")
            if len(said) == MOST:
                break
    except Exception:  # noqa: BLE001  a traceback in the middle of a command line would help nobody
        return ""
    return "".join(said)


def models(begun: str, environ: Mapping[str, str]) -> Found:
    """The built-in one, the family, whether it is here or not, and others that are."""
    from codellama import catalogue
    from codellama.models import TINY, find
    from codellama.settings import Settings

    settings = Settings.load(environ)
    yield TINY, "built in, a demonstration"
    here: list[tuple[str, str]] = []
    absent: list[tuple[str, str]] = []
    for entry in catalogue.FAMILY:
        can = " · ".join(
            filter(None, [entry.variant, "infills" if entry.infill else "", entry.chat_format and "chats"])
        )
        if find(entry.name, settings, environ, absent_ok=True).directory:
            here.append((entry.name, f"{can} · on this machine"))
        else:
            absent.append((entry.name, can))
    yield from here
    known = {entry.name for entry in catalogue.FAMILY}
    if settings.models.is_dir():
        for path in sorted(settings.models.iterdir()):
            if path.name not in known and (path / "config.json").is_file():
                yield str(path), "on this machine"
    yield from absent


def lines(begun: str, environ: Mapping[str, str]) -> Found:
    """Lines of the file before the colon: those where something is missing and definitions, else those asked for."""
    name, colon, number = begun.rpartition(":")
    path = Path(name).expanduser()
    if not colon or not path.is_file() or (number and not number.isdecimal()):
        return
    from codellama.source import read_file

    text = read_file(path).text.splitlines()
    if number:
        shown = [at for at in range(1, len(text) + 1) if str(at).startswith(number)]
    else:
        shown = list(_places(text)) or list(range(1, len(text) + 1))
    for at in shown:
        yield f"{name}:{at}", text[at - 1].strip()[:_WIDTH] or "blank"


def _places(text: list[str]) -> Iterator[int]:
    above = ""
    for at, line in enumerate(text, 1):
        stripped = line.strip()
        # or a blank line that a fill would go to
        if (_DEFINITION.match(line) or _OPEN.fullmatch(line)) if stripped else above.endswith((":", "{", "(", "=")):
            yield at
        above = stripped


def languages(begun: str, environ: Mapping[str, str]) -> Found:
    """What Pygments knows, by the first of its names."""
    from pygments.lexers import get_all_lexers  # 20 ms

    for name, aliases, _, _ in sorted(get_all_lexers()):
        for alias in aliases[:1]:
            yield alias, name


def sessions(begun: str, environ: Mapping[str, str]) -> Found:
    """Conversations, the last one first. Only read: whatever is wrong with the file is for `chat` to say."""
    import sqlite3  # 7 ms
    from urllib.parse import quote

    from codellama.settings import Settings

    path = Settings.load(environ).history
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=0.2)) as db:
        rows = db.execute("SELECT id, title FROM conversations ORDER BY updated DESC").fetchall()
    return [(str(id), title) for id, title in rows]
