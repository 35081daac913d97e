"""What a beginning may become: slash commands, paths, and names that a command takes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codellama.sanitiser import one_line
from codellama.tui.slash import COMMANDS, command

MOST = 50
# entries of a directory that are offered
_SCANNED = 2000
# entries that are looked at


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    # the whole line, once it is taken
    label: str
    help: str = ""
    final: bool = False
    # True: the line is complete and can be sent as it is


def completions(line: str, names: Mapping[str, Sequence[str]]) -> list[Completion]:
    """What a line with the cursor at its end may become; empty for a question.

    `names`: for the commands that take a name, those there are.
    """
    match = re.fullmatch(r"/(\S*)([ \t]+)?(.*)", line, re.DOTALL)
    if match is None or "\n" in line:
        return []
    name, gap, argument = match.groups()
    if gap is None:
        return [
            Completion(
                f"/{known.name}" + (" " if known.argument else ""),
                f"/{known.name} {known.argument}".rstrip(),
                known.help,
                final=not known.required,
            )
            for known in COMMANDS
            if known.name.startswith(name)
        ]
    if command(name) is None:
        return []
    if name in ("file", "save"):
        return [
            Completion(f"/{name} {path}", label, final=not path.endswith(os.sep)) for path, label in paths(argument)
        ]
    return [
        Completion(f"/{name} {known}", one_line(known), final=not known.endswith("="))
        for known in names.get(name, ())
        if known.startswith(argument) and known != argument
    ]


def paths(beginning: str) -> list[tuple[str, str]]:
    """Paths that begin so, as they are to be typed, and their last parts; directories end in a slash and come first.

    What begins with a dot is offered where the dot was typed. A directory that cannot be read has nothing to offer.
    """
    head, slash, tail = beginning.rpartition(os.sep)
    directory = Path(head + slash).expanduser() if slash else Path()
    found = []
    try:
        with os.scandir(directory) as entries:
            for number, entry in enumerate(entries):
                if number == _SCANNED:
                    break
                hidden = entry.name.startswith(".") and not tail.startswith(".")
                if entry.name.startswith(tail) and not hidden:
                    found.append((entry.is_dir(), entry.name))
    except OSError:
        return []
    found.sort(key=lambda item: (not item[0], item[1]))
    return [
        (f"{head}{slash}{name}{os.sep if is_directory else ''}", one_line(name) + (os.sep if is_directory else ""))
        for is_directory, name in found[:MOST]
        if is_directory or name != tail
    ]
