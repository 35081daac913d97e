"""Files are read a piece at a time into memory that is used again.

They are not mapped: a mapped file that is cut or fails meanwhile would kill the program, and all of it would count
against a limit on address space. Memory that was given back and taken anew would have to be zeroed by the system each
time, which took longer than the reading.
"""

from __future__ import annotations

import os
from pathlib import Path

from codellama.errors import InputError
from codellama.fields import reading

PIECE = 1_000_000
# bytes: they stay in the processor's cache for all that is done with them


def read_into(descriptor: int, path: Path, start: int, out: memoryview) -> None:
    """Fill a buffer with bytes of an open file. Raises InputError where there are fewer, or the disk fails."""
    rest = out.cast("B")
    with reading(path):
        while rest:
            done = os.preadv(descriptor, [rest], start)
            if not done:
                raise InputError(f"{path}: was cut short meanwhile")
            rest, start = rest[done:], start + done
