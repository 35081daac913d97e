"""Writes tensors as sharded safetensors, a piece at a time.

Layout of a file (safetensors' own description): 8 bytes little-endian length of the header, the header as JSON padded
with spaces to a multiple of 8, then the tensors without gaps; larger elements go first, so that all are aligned.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

from codellama.checkpoint import INDEX, SIZES, WEIGHTS
from codellama.convert.elements import Source, matrix
from codellama.errors import CodellamaError, InputError
from codellama.pieces import PIECE


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor to be written."""

    name: str
    dtype: str
    # as safetensors calls it
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return prod(self.shape) * SIZES[self.dtype]


class Item(Protocol):
    """What becomes one tensor, or several that belong together."""

    @property
    def outputs(self) -> tuple[Output, ...]: ...

    @property
    def repeatable(self) -> bool:
        """Whether `pieces` may be asked again: it is cheap, and gives the same."""
        ...

    def check(self) -> None:
        """Raises InputError where what it is made from is damaged."""
        ...

    def pieces(self) -> Iterator[tuple[str, memoryview]]:
        """The bytes of its tensors: a name and what comes next in that tensor. A piece is valid until the next."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """A tensor written as its source gives it."""

    source: Source

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output(self.source.name, self.source.dtype, self.source.shape),)

    @property
    def repeatable(self) -> bool:
        return True

    def check(self) -> None:
        self.source.check()

    def pieces(self) -> Iterator[tuple[str, memoryview]]:
        import numpy as np

        rows, columns = matrix(self.source.shape)
        row_bytes = columns * SIZES[self.source.dtype]
        step = max(1, PIECE // (row_bytes * self.source.step)) * self.source.step
        buffer = np.empty((min(step, rows), columns), f"<u{SIZES[self.source.dtype]}")
        for start in range(0, rows, step):
            bits = buffer[: rows - start]
            self.source.read(start, bits)
            yield self.source.name, bits.data.cast("B")


@dataclass(frozen=True, slots=True)
class File:
    """A safetensors file as it will be."""

    name: str
    items: tuple[Item, ...]

    def places(self) -> dict[str, tuple[Output, int]]:
        """Each tensor and where its bytes begin, counted from the end of the header, in their order."""
        outputs = [output for item in self.items for output in item.outputs]
        places: dict[str, tuple[Output, int]] = {}
        position = 0
        for output in sorted(outputs, key=lambda output: -SIZES[output.dtype]):
            places[output.name] = (output, position)
            position += output.bytes
        return places

    def header(self) -> bytes:
        entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
        for output, start in self.places().values():
            entries[output.name] = {
                "dtype": output.dtype,
                "shape": list(output.shape),
                "data_offsets": [start, start + output.bytes],
            }
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    @property
    def data_bytes(self) -> int:
        return sum(output.bytes for item in self.items for output in item.outputs)

    @property
    def bytes(self) -> int:
        return len(self.header()) + self.data_bytes


def files(items: Sequence[Item], shard_size: int) -> tuple[File, ...]:
    """The items in files of at most `shard_size` bytes of tensors; a larger item has a file of its own."""
    groups: list[list[Item]] = [[]]
    size = 0
    for item in items:
        more = sum(output.bytes for output in item.outputs)
        if groups[-1] and size + more > shard_size:
            groups.append([])
            size = 0
        groups[-1].append(item)
        size += more
    count = len(groups)
    if count > 99_999:
        raise InputError(f"--shard-size {shard_size} would give {count} files: name a larger one")
    names = (
        [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)] if count > 1 else [WEIGHTS]
    )
    return tuple(File(name, tuple(group)) for name, group in zip(names, groups, strict=True))


def index(written: Sequence[File]) -> dict[str, bytes]:
    """model.safetensors.index.json by its name; empty: there is one file, which needs none."""
    if len(written) == 1:
        return {}
    placed = {name: file.name for file in written for name in file.places()}
    total = sum(file.data_bytes for file in written)
    return {INDEX: json.dumps({"metadata": {"total_size": total}, "weight_map": placed}, indent=2).encode() + b"\n"}


def write(file: File, directory: Path, advance: Callable[[Item, str, memoryview], None]) -> None:
    """Write a file; `verify.compare` sees to it that it reaches the disk. `advance` is told of each piece.

    Raises InputError where a source is damaged, CodellamaError where it gives another size than it said; OSError.
    """
    header, places = file.header(), file.places()
    descriptor = _create(directory / file.name)
    try:
        _put(descriptor, header, 0)
        at = {name: len(header) + start for name, (_, start) in places.items()}
        for item in file.items:
            item.check()
            for name, piece in item.pieces():
                _put(descriptor, piece, at[name])
                at[name] += len(piece)
                advance(item, name, piece)
        for name, (output, start) in places.items():
            if at[name] != len(header) + start + output.bytes:
                raise CodellamaError(f"{name} has another size than its shape says: please report this")
    finally:
        os.close(descriptor)


def write_text(path: Path, data: bytes) -> None:
    """Write a small file, onto the disk. Raises OSError."""
    descriptor = _create(path)
    try:
        _put(descriptor, data, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: Path) -> int:
    # with the mode that the user's umask leaves, as `cp` and `>` do
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _put(descriptor: int, data: bytes | memoryview, position: int) -> None:
    rest = memoryview(data)
    while rest:
        done = os.pwrite(descriptor, rest, position)
        rest, position = rest[done:], position + done
