"""A model in a Hugging Face directory as a source of tensors: what `convert --4bit` also takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codellama.checkpoint import Checkpoint, TensorHeader
from codellama.errors import InputError
from codellama.fields import reading
from codellama.pieces import read_into

if TYPE_CHECKING:
    from codellama.convert.elements import Bits


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a safetensors file."""

    header: TensorHeader
    descriptor: int
    # its file, open

    @property
    def name(self) -> str:
        return self.header.name

    @property
    def dtype(self) -> str:
        return self.header.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.header.shape

    @property
    def step(self) -> int:
        return 1

    def check(self) -> None:
        """Safetensors has no checksums; the file's size was compared with its header."""

    def read(self, start: int, out: Bits) -> None:
        """Raises InputError where the file cannot be read."""
        read_into(self.descriptor, self.header.file, self.header.start + start * out.strides[0], out.data)


@contextmanager
def opened(directory: Path) -> Iterator[tuple[Checkpoint, tuple[Stored, ...]]]:
    """Open a Hugging Face directory: what is known of it, and its tensors in the model's order.

    Raises InputError for whatever would keep it from loading, and where it is quantised already.
    """
    checkpoint = Checkpoint.read(directory)
    if checkpoint.config.quantisation:
        raise InputError(f"{directory}: is stored in {checkpoint.config.quantisation} already: use it as it is")
    with ExitStack() as stack:
        descriptors: dict[Path, int] = {}
        for file in checkpoint.files:
            with reading(file):
                descriptors[file] = os.open(file, os.O_RDONLY)
            stack.callback(os.close, descriptors[file])
        headers = [checkpoint.tensors[name] for name, _ in checkpoint.config.shapes()]
        yield checkpoint, tuple(Stored(header, descriptors[header.file]) for header in headers)
