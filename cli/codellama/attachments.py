"""A file, or lines of it, as part of a message: `PATH[:A[-B]]` becomes a fenced block below its name.

For the full-screen chat: `place` for what a person types, `read` for the attachment, its `markdown` for the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from codellama import source, syntax
from codellama.errors import InputError

_LINES = re.compile(r"(.+):(\d+)(?:-(\d+))?$", re.S)


@dataclass(frozen=True, slots=True)
class Place:
    path: Path
    first: int | None = None
    last: int | None = None
    # lines from 1, the last one included; None: the whole file


@dataclass(frozen=True, slots=True)
class Attachment:
    place: Place
    text: str
    language: str
    # by Pygments' name; "": not known

    @property
    def name(self) -> str:
        """`app.py`, `app.py:3`, `app.py:3-9`."""
        first, last = self.place.first, self.place.last
        # a name that is not UTF-8 has lone surrogates
        path = str(self.place.path).encode("utf-8", "backslashreplace").decode()
        if first is None:
            return path
        return f"{path}:{first}" + (f"-{last}" if last != first else "")

    @property
    def markdown(self) -> str:
        return f"{self.name}:\n{fenced(self.text, self.language)}"


def place(argument: str) -> Place:
    """What `PATH[:A[-B]]` names: the whole argument where that is a file, so that a path with `:` works."""
    match = _LINES.fullmatch(argument)
    if not match or Path(argument).exists():
        return Place(Path(argument))
    first = int(match[2])
    return Place(Path(match[1]), first, int(match[3]) if match[3] else first)


def read(place: Place) -> Attachment:
    """Raises InputError for what is no readable text file, and for lines that it does not have."""
    read = source.read_file(place.path)
    # lines as an editor counts them: "\n" ends one, and no form feed
    lines = _lines(read.text)
    if place.first is not None and place.last is not None:
        if not 1 <= place.first <= place.last <= len(lines):
            there = f"{len(lines)} line{'s' if len(lines) != 1 else ''}"
            raise InputError(f"{place.path}: has {there}, so there are no lines {place.first}-{place.last}")
        lines = lines[place.first - 1 : place.last]
    language = syntax.language_of(place.path.name)
    return Attachment(place, "".join(lines), "" if language == "text" else language)


def fenced(text: str, language: str = "") -> str:
    """A text as a fenced block, its fence longer than any run of backticks in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    newline = "" if not text or text.endswith("\n") else "\n"
    return f"{fence}{language}\n{text}{newline}{fence}\n"


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)
