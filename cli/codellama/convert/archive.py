"""A `.pth` file: the zip that `torch.save` writes, read in place.

`root/data.pkl` describes the tensors, `root/data/KEY` holds the bytes of a storage, uncompressed. Nothing is
extracted and nothing is run. What the directory of the zip and the pickle say is checked against the file before a
byte of a tensor is read; the bytes themselves are checked by the zip's CRC-32 (`Archive.check`).
"""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from codellama.convert.unpickle import StoredTensor, UnpicklingError, state_dict
from codellama.errors import InputError
from codellama.fields import reading
from codellama.pieces import PIECE, read_into

if TYPE_CHECKING:
    import numpy

    Bits = numpy.ndarray[Any, Any]

LARGEST_DIRECTORY = 64_000_000
# bytes that zipfile may read at once: a 70B's shard has a directory of 0.1 MB
AGAIN = "fetch it again"

# the parts of a zip's local file header that are looked at (APPNOTE.TXT 4.3.7)
_LOCAL = struct.Struct("<4s2xHH16x2H")
_LOCAL_SIGNATURE, _END_SIGNATURE, _END_SIZE = b"PK\3\4", b"PK\5\6", 22
_ENCRYPTED = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the zip."""

    name: str
    start: int
    # of its bytes in the archive
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in an archive, by rows. One of one dimension is a single row."""

    archive: Archive = field(repr=False)
    entry: Entry
    # its storage
    dtype: str | None
    # as safetensors calls it; None: a type that weights do not have
    element_bytes: int
    shape: tuple[int, ...]
    offset: int
    row_stride: int
    # elements; rows do not overlap

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.shape[0], prod(self.shape[1:])) if len(self.shape) > 1 else (1, prod(self.shape))

    def read(self, start: int, out: Bits) -> None:
        """Read the rows from `start` on into `out`: (rows, columns) of unsigned numbers, the elements' bits.

        Raises InputError where the file cannot be read.
        """
        import numpy as np  # 60 ms

        columns = self.matrix[1]
        at = self.entry.start + (self.offset + start * self.row_stride) * self.element_bytes
        if self.row_stride == columns and out.flags.c_contiguous:
            self.archive.read_into(at, out.data)
            return
        flat = np.empty((len(out) - 1) * self.row_stride + columns, f"<u{self.element_bytes}")
        self.archive.read_into(at, flat.data)
        out[...] = np.lib.stride_tricks.as_strided(flat, out.shape, (self.row_stride * flat.itemsize, flat.itemsize))


class Archive:
    """An open `.pth` file. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for whatever is not the undamaged archive of a dictionary of tensors."""
        self.path = path
        with reading(path):
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            with reading(path):
                self.size = os.fstat(self._descriptor).st_size
                self._refuse_others()
                self.entries = self._list()
            self._checked: set[str] = set()
            self._scratch = memoryview(b"")
            self.tensors = self._read_tensors()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def error(self, what: str) -> InputError:
        return InputError(f"{self.path}: {what}")

    def read_into(self, start: int, out: memoryview) -> None:
        """Fill a buffer with bytes of the file. Raises InputError where there are fewer, or the disk fails."""
        read_into(self._descriptor, self.path, start, out)

    def scratch(self, size: int) -> memoryview:
        """A buffer that is good until the next call."""
        if len(self._scratch) < size:
            self._scratch = memoryview(bytearray(size))
        return self._scratch[:size]

    def check(self, entry: Entry, what: str) -> None:
        """Compare an entry's bytes, once, with their CRC-32. Raises InputError where they differ."""
        if entry.name in self._checked:
            return
        crc = 0
        for start in range(0, entry.size, PIECE):
            piece = self.scratch(min(PIECE, entry.size - start))
            self.read_into(entry.start + start, piece)
            crc = zlib.crc32(piece, crc)
        if crc != entry.crc:
            raise self.error(f"{what} is damaged (its CRC-32 is {crc:08x}, not {entry.crc:08x}): {AGAIN}")
        self._checked.add(entry.name)

    def check_rest(self) -> None:
        """`check` what was not checked yet."""
        for entry in self.entries.values():
            self.check(entry, entry.name)

    def _refuse_others(self) -> None:
        """Say what a file that is no zip most likely is."""
        head = os.pread(self._descriptor, 512, 0)
        text = head.lstrip().lower()
        if not head:
            raise self.error(f"is empty: {AGAIN}")
        if text.startswith((b"<!doctype", b"<html", b"<?xml")):
            raise self.error("is a web page, not weights (an expired or refused download link): fetch it again")
        if text.startswith(b"version https://git-lfs"):
            raise self.error("is a Git LFS pointer, not the weights: `git lfs pull` fetches them")
        if not head.startswith(_LOCAL_SIGNATURE):
            raise self.error(f"is no PyTorch archive (a zip that torch.save writes): {AGAIN}")
        end = os.pread(self._descriptor, _END_SIZE, max(0, self.size - _END_SIZE))
        if not end.startswith(_END_SIGNATURE) or not end.endswith(b"\0\0"):
            raise self.error(f"is cut short or has something appended, at {self.size} bytes: {AGAIN}")

    def _list(self) -> Mapping[str, Entry]:
        """The entries by name without the root directory. Raises InputError unless all of them are plain files."""
        entries: dict[str, Entry] = {}
        with _malformed(self), zipfile.ZipFile(_Bounded(self._descriptor, "rb", closefd=False)) as archive:
            infos = archive.infolist()
        roots = {info.filename.partition("/")[0] for info in infos}
        if len(roots) != 1:
            raise self.error("is no PyTorch archive: its entries do not lie in one directory")
        (self.root,) = roots
        for info in infos:
            name = info.filename.partition("/")[2]
            if name in entries:
                raise self.error(f"holds {info.filename!r} twice: this may be an attack")
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise self.error(f"its entry {info.filename!r} is compressed: torch.save never does that")
            if info.flag_bits & _ENCRYPTED:
                raise self.error(f"its entry {info.filename!r} is encrypted: torch.save never does that")
            parts = info.filename.split("/")
            if not all(parts) or {".", ".."} & set(parts) or not re.fullmatch(r"[^\\:\x00-\x1f]+", info.filename):
                raise self.error(f"its entry {info.filename!r} is no plain name: this may be an attack")
            entries[name] = Entry(name, self._data_start(info), info.file_size, info.CRC)
        end = 0
        for entry in sorted(entries.values(), key=lambda entry: entry.start):
            if entry.start < end or entry.start + entry.size > self.size:
                raise self.error(f"its entry {entry.name!r} overlaps another or ends behind the file: {AGAIN}")
            end = entry.start + entry.size
        return entries

    def _data_start(self, info: zipfile.ZipInfo) -> int:
        """Where an entry's bytes begin: behind its local header, which must say what the directory says."""
        header = os.pread(self._descriptor, _LOCAL.size, info.header_offset)
        if len(header) == _LOCAL.size:
            signature, flags, method, name_length, extra_length = _LOCAL.unpack(header)
            name = os.pread(self._descriptor, name_length, info.header_offset + _LOCAL.size)
            encoding = "utf-8" if flags & 0x800 else "cp437"
            if (signature, method, name) == (_LOCAL_SIGNATURE, 0, info.filename.encode(encoding, "replace")):
                return info.header_offset + _LOCAL.size + int(name_length) + int(extra_length)
        raise self.error(f"its entry {info.filename!r} is not where its directory says: {AGAIN}")

    def _read_tensors(self) -> Mapping[str, Tensor]:
        pickle, order = self.entries.get("data.pkl"), self.entries.get("byteorder")
        if pickle is None:
            raise self.error("is no PyTorch archive: data.pkl is missing in it")
        for entry in filter(None, (pickle, order)):
            if entry.size > LARGEST_DIRECTORY:
                raise self.error(f"its {entry.name} has {entry.size} bytes, far more than any model needs")
            self.check(entry, entry.name)
        if order and self._content(order) != b"little":
            raise self.error("was saved on a big-endian machine, which is not supported: save it on another")
        try:
            stored = state_dict(self._content(pickle))
            return {name: self._tensor(name, tensor) for name, tensor in stored.items()}
        except UnpicklingError as error:
            raise self.error(str(error)) from error

    def _content(self, entry: Entry) -> bytes:
        content = self.scratch(entry.size)
        self.read_into(entry.start, content)
        return bytes(content)

    def _tensor(self, name: str, stored: StoredTensor) -> Tensor:
        """The tensor that a pickle describes. Raises UnpicklingError unless it lies within its storage, row by row."""
        entry = self.entries.get(f"data/{stored.key}")
        size = stored.storage_size * stored.element.bytes
        if entry is None or entry.size != size:
            raise UnpicklingError(f"the storage of {name!r} is missing or not of {size} bytes: {AGAIN}")
        last = sum((size - 1) * stride for size, stride in zip(stored.shape, stored.strides, strict=True))
        if prod(stored.shape) == 0 or stored.offset + last >= stored.storage_size:
            raise UnpicklingError(f"{name!r} is empty or reaches beyond its storage: {AGAIN}")
        columns = prod(stored.shape[1:])
        dense = columns
        for length, stride in zip(stored.shape[1:], stored.strides[1:], strict=True):
            dense //= length
            if length > 1 and stride != dense:
                raise UnpicklingError(f"{name!r} is not stored row by row: save it with contiguous()")
        row_stride = stored.strides[0] if len(stored.shape) > 1 and stored.shape[0] > 1 else columns
        if row_stride < columns or (len(stored.shape) == 1 and stored.shape[0] > 1 and stored.strides[0] != 1):
            raise UnpicklingError(f"{name!r} is not stored row by row: save it with contiguous()")
        element = stored.element
        return Tensor(
            self, entry, element.safetensors, element.bytes, stored.shape, stored.offset, max(row_stride, columns)
        )


class _Bounded(io.FileIO):
    """A file for zipfile, which would read a directory as long as the zip says, be it gigabytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > LARGEST_DIRECTORY:
            raise zipfile.BadZipFile("a directory of absurd size")
        return super().read(size) or b""


@contextmanager
def _malformed(archive: Archive) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, NotImplementedError, struct.error, EOFError) as error:
        raise archive.error(f"its zip directory is damaged ({error}): {AGAIN}") from error
