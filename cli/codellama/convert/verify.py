"""Reads what was written once more: against its source, and later against its checksums.

What the system still holds in memory it reads there. That a disk fails to write shows when a file is synchronised, that
it lost something later by its checksums.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Self

from codellama import manifest
from codellama.checkpoint import Checkpoint
from codellama.convert.writer import File
from codellama.digest import Background, digest
from codellama.errors import CodellamaError, InputError
from codellama.fields import reading
from codellama.pieces import PIECE, read_into


class _Written:
    """A written file, open for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._buffer = memoryview(bytearray(PIECE))

    def __enter__(self) -> Self:
        self.descriptor = os.open(self.path, os.O_RDONLY)
        self.size = os.fstat(self.descriptor).st_size
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.descriptor)

    def read(self, start: int, size: int) -> memoryview:
        """Bytes of it, good until the next call."""
        if len(self._buffer) < size:
            self._buffer = memoryview(bytearray(size))
        read_into(self.descriptor, self.path, start, self._buffer[:size])
        return self._buffer[:size]

    def holds(self, start: int, piece: memoryview) -> bool:
        import numpy as np

        # not as memory views, which compare themselves one byte after the other
        kind = "u1" if len(piece) % 8 else "u8"
        return np.array_equal(np.frombuffer(self.read(start, len(piece)), kind), np.frombuffer(piece, kind))


def compare(file: File, directory: Path, digests: Mapping[str, str], advance: Callable[[int], None]) -> str:
    """Compare a written file with what it was made from, while it goes to the disk; its sha256.

    What cannot be made again is compared with the sha256 of its bytes, by tensor, taken when they were written.
    Raises CodellamaError where the file does not hold what was written, OSError where the disk fails.
    """
    header, sums = file.header(), [""]
    starts = {name: len(header) + start for name, (_, start) in file.places().items()}

    def hash_file(stop: Event) -> None:
        sums[0] = digest(directory / file.name, "sha256", stop)

    def reach_disk(stop: Event) -> None:
        os.fsync(written.descriptor)

    with (
        _Written(directory / file.name) as written,
        Background(reach_disk) as syncing,
        Background(hash_file) as hashing,
    ):
        if written.size != file.bytes or not written.holds(0, memoryview(header)):
            raise _different(file.name)
        for item in file.items:
            if item.repeatable:
                for name, piece in item.pieces():
                    if not written.holds(starts[name], piece):
                        raise _different(f"{name} in {file.name}")
                    starts[name] += len(piece)
                    advance(len(piece))
                continue
            for output in item.outputs:
                found = hashlib.sha256()
                for at in range(0, output.bytes, PIECE):
                    found.update(written.read(starts[output.name] + at, min(PIECE, output.bytes - at)))
                if found.hexdigest() != digests[output.name]:
                    raise _different(f"{output.name} in {file.name}")
                advance(output.bytes)
        hashing.finish()
        syncing.finish()
    return sums[0]


def compare_text(path: Path, text: bytes) -> str:
    """The same for a small file."""
    if path.read_bytes() != text:
        raise _different(path.name)
    return hashlib.sha256(text).hexdigest()


def recheck(directory: Path, report: Callable[[str, int, int], None]) -> Mapping[str, str]:
    """Compare a converted directory with its manifest; the sums.

    Raises InputError that names every file that is missing or differs, or what else would keep it from loading.
    """
    sums = manifest.read(directory)
    with reading(directory):
        sizes = {name: (directory / name).stat().st_size for name in sums if (directory / name).is_file()}
    total, done, faults = sum(sizes.values()), 0, []

    def advance(size: int) -> None:
        nonlocal done
        done += size
        report("verifying", done, total)

    for name, wanted in sums.items():
        if name not in sizes:
            faults.append(f"{name} is missing")
        elif digest(directory / name, "sha256", advance=advance) != wanted:
            faults.append(f"{name} has changed")
    if faults:
        raise InputError(f"{directory}: {', '.join(faults)} since it was converted: convert it again")
    Checkpoint.read(directory)
    return sums


def _different(what: str) -> CodellamaError:
    return CodellamaError(f"{what} came back from the disk other than it was written: check the disk and the memory")
