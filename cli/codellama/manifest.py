"""`checksums.sha256`: the sha256 of every other file of a converted model, as `sha256sum -c` reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from codellama.errors import InputError
from codellama.fields import reading

MANIFEST = "checksums.sha256"
LONGEST = 1_000_000
# bytes
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


def text(sums: Mapping[str, str]) -> bytes:
    """The checksums in the form that `sha256sum -c` reads."""
    return "".join(f"{sum}  {name}\n" for name, sum in sorted(sums.items())).encode()


def read(directory: Path) -> Mapping[str, str]:
    """Raises InputError where there is none or it is malformed."""
    path = directory / MANIFEST
    with reading(directory):
        if not directory.is_dir():
            raise InputError(f"{directory}: no such directory")
        if not path.is_file():
            raise InputError(f"{directory}: has no {MANIFEST}: only what codellama convert wrote can be verified")
        if path.stat().st_size > LONGEST:
            raise InputError(f"{path}: is no list of sha256 sums")
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    sums: dict[str, str] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or match[2] != Path(match[2]).name or match[2] == ".." or match[2] in sums:
            raise InputError(f"{path}: is no list of sha256 sums: convert the model again")
        sums[match[2]] = match[1]
    if not sums:
        raise InputError(f"{path}: is empty: convert the model again")
    return sums
