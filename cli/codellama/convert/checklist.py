"""`checklist.chk`: the MD5 sums that come with a download from Meta, a line `sum  name` each.

Meta's own lists were wrong for some of the 70B models, so a file can be left out of the comparison by its name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Event

from codellama.digest import digest
from codellama.errors import InputError
from codellama.fields import reading

CHECKLIST = "checklist.chk"
LONGEST = 1_000_000
# bytes of a list
_LINE = re.compile(r"([0-9a-fA-F]{32})[ \t]+\*?(\S.*)")


def read(directory: Path, skipped: Collection[str] = ()) -> Mapping[str, str] | None:
    """The sums by file name, without those to be skipped; None: there is no list, or it is skipped itself.

    Raises InputError where it is malformed, names files elsewhere or files that are not there.
    """
    path = directory / CHECKLIST
    with reading(path):
        if CHECKLIST in skipped or not path.exists():
            return None
        if not path.is_file() or path.stat().st_size > LONGEST:
            raise InputError(f"{path}: is no list of MD5 sums: {_way_out(CHECKLIST)}")
        text = path.read_bytes().decode("utf-8", "replace")
    sums: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            page = " but a web page" if text.lstrip().startswith("<") else ""
            raise InputError(f"{path}: is no list of MD5 sums{page}: {_way_out(CHECKLIST)}")
        name = match[2]
        if name != Path(name).name or name == ".." or "\\" in name:
            raise InputError(f"{path}: names {name[:80]!r}, a file elsewhere: {_way_out(CHECKLIST)}")
        if sums.setdefault(name, match[1].lower()) != match[1].lower():
            raise InputError(f"{path}: has two sums for {name}: {_way_out(CHECKLIST)}")
    if not sums:
        raise InputError(f"{path}: is empty: {_way_out(CHECKLIST)}")
    for name in sums:
        if name not in skipped and not (directory / name).is_file():
            raise InputError(f"{directory}: {CHECKLIST} lists {name}, which is not there: fetch it")
    return {name: md5 for name, md5 in sums.items() if name not in skipped}


def compare(directory: Path, sums: Mapping[str, str], stop: Event) -> None:
    """Raises InputError where a file has not the sum it should have, or cannot be read."""
    for name, wanted in sums.items():
        found = digest(directory / name, "md5", stop)
        if stop.is_set():
            return
        if found != wanted:
            raise InputError(
                f"{directory / name}: is damaged: its MD5 is {found}, {CHECKLIST} says {wanted}: {_way_out(name)}"
            )


def _way_out(name: str) -> str:
    return f"fetch it again, or take it as it is with --skip-checksum {name}"
