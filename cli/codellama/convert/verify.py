"""Reads what was written once more, from the disk: against its source, and later against its checksums."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event

from codellama.checkpoint import Checkpoint
from codellama.convert.archive import PIECE
from codellama.convert.digest import Background, digest
from codellama.convert.publish import MANIFEST
from codellama.convert.writer import File
from codellama.errors import CodellamaError, InputError
from codellama.fields import reading

_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
LONGEST = 1_000_000
# bytes of a manifest


def compare(file: File, directory: Path, digests: Mapping[str, str], advance: Callable[[int], None]) -> str:
    """Compare a written file with what it was made from; its sha256.

    What cannot be made again is compared with the sha256 of its bytes, by tensor, taken when they were written.
    Raises CodellamaError where the disk does not hold what was written.
    """
    path, sums = directory / file.name, [""]

    def hash_file(stop: Event) -> None:
        sums[0] = digest(path, "sha256", stop)

    descriptor = os.open(path, os.O_RDONLY)
    try:
        _forget(descriptor)
        header = file.header()
        places = {name: (output, len(header) + start) for name, (output, start) in file.places().items()}
        if os.pread(descriptor, len(header), 0) != header or os.fstat(descriptor).st_size != file.bytes:
            raise _different(file.name)
        with Background(hash_file) as hashing:
            for item in file.items:
                if item.repeatable:
                    done = {output.name: places[output.name][1] for output in item.outputs}
                    for name, piece in item.pieces():
                        # as bytes: memory views are compared one element after the other
                        if os.pread(descriptor, len(piece), done[name]) != bytes(piece):
                            raise _different(f"{name} in {file.name}")
                        done[name] += len(piece)
                        advance(len(piece))
                else:
                    for output in item.outputs:
                        if _digest_of(descriptor, places[output.name][1], output.bytes) != digests[output.name]:
                            raise _different(f"{output.name} in {file.name}")
                        advance(output.bytes)
            hashing.finish()
    finally:
        os.close(descriptor)
    return sums[0]


def compare_text(path: Path, text: bytes) -> str:
    """The same for a small file."""
    if path.read_bytes() != text:
        raise _different(path.name)
    return hashlib.sha256(text).hexdigest()


def manifest(sums: Mapping[str, str]) -> bytes:
    """The checksums in the form that `sha256sum -c` reads."""
    return "".join(f"{sum}  {name}\n" for name, sum in sorted(sums.items())).encode()


def read_manifest(directory: Path) -> Mapping[str, str]:
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


def recheck(directory: Path, report: Callable[[str, int, int], None]) -> Mapping[str, str]:
    """Compare a converted directory with its manifest; the sums.

    Raises InputError that names every file that is missing or differs, or what else would keep it from loading.
    """
    sums = read_manifest(directory)
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


def _digest_of(descriptor: int, start: int, size: int) -> str:
    found = hashlib.sha256()
    for at in range(start, start + size, PIECE):
        found.update(os.pread(descriptor, min(PIECE, start + size - at), at))
    return found.hexdigest()


def _different(what: str) -> CodellamaError:
    return CodellamaError(f"{what} came back from the disk other than it was written: check the disk and the memory")


def _forget(descriptor: int) -> None:
    """Have the system drop what it holds of a file, so that reading it reads the disk."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
