"""Which file a code block is about, and what that file would be with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from codellama import edit, source
from codellama.attachments import Place
from codellama.edit import Splice
from codellama.errors import InputError
from codellama.source import Source

_NAME = re.compile(r"""(?:^|[\s:="'(])((?:[\w.@+-]*/)*[\w@+-][\w.@+-]*\.\w+)(?=$|[\s"')},:])""")


def named(info: str) -> str | None:
    """The file that a fence names: `python app.py`, `python:src/app.py`, `py title="app.py"`; None: it names none."""
    match = _NAME.search(info)
    return match[1] if match else None


def place(info: str, attached: Sequence[Place]) -> Place | None:
    """The file that a block's fence names and that is there, else the last one that was attached."""
    name = named(info)
    if name is not None:
        known = next((each for each in reversed(attached) if str(each.path) == name or each.path.name == name), None)
        if known is not None:
            return known
        if Path(name).is_file():
            return Place(Path(name))
    return attached[-1] if attached else None


def proposed(about: Place, code: str) -> tuple[Source, bytes]:
    """The file as it is, and its bytes with the code in place of the lines it is about, or of all.

    Raises InputError where the file cannot be read or has no such lines, and for what its encoding cannot hold.
    """
    read = source.read_file(about.path)
    text = f"{code}\n" if code else ""
    if about.first is None or about.last is None:
        return read, edit.apply(read, [Splice(0, len(read.text), text)])
    ends = [0, *(match.end() for match in re.finditer("\n", read.text))]
    if not read.text.endswith("\n"):
        ends.append(len(read.text))
    if not 1 <= about.first <= about.last < len(ends):
        raise InputError(f"{about.path}: no longer has the lines {about.first}-{about.last}")
    return read, edit.apply(read, [Splice(ends[about.first - 1], ends[about.last], text)])
