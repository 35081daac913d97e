"""The types a tensor's elements have, and conversion between them.

Elements are handled as unsigned numbers, their bits. Where the type stays, so does every bit: NaN with its payload,
infinities and subnormal numbers are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from codellama.checkpoint import DTYPES, SIZES
from codellama.errors import InputError

if TYPE_CHECKING:
    import numpy

    Bits = numpy.ndarray[Any, Any]

BY_NAME = {name: dtype for dtype, name in DTYPES.items()}
# float16 → F16


class Source(Protocol):
    """A tensor of the model to be written, read by rows."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str:
        """As safetensors calls it."""
        ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def step(self) -> int:
        """Rows are read in multiples of so many."""
        ...

    def check(self) -> None:
        """Raises InputError where the stored bytes are damaged."""
        ...

    def read(self, start: int, out: Bits) -> None:
        """Read the rows from `start` on into `out`: (rows, columns) of bits, contiguous; a vector is one row."""
        ...


def matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns; a vector is one row."""
    return (shape[0], shape[1]) if len(shape) == 2 else (1, shape[0])


@dataclass(frozen=True, slots=True)
class Cast:
    """A tensor in another precision."""

    source: Source
    dtype: str

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def step(self) -> int:
        return self.source.step

    def check(self) -> None:
        self.source.check()

    def read(self, start: int, out: Bits) -> None:
        """Raises InputError where a number is beyond the precision."""
        import numpy as np

        bits = np.empty(out.shape, f"<u{SIZES[self.source.dtype]}")
        self.source.read(start, bits)
        exact = _TO_FLOAT32[self.source.dtype](bits)
        out[...] = _FROM_FLOAT32[self.dtype](exact)
        if np.any(np.isinf(_TO_FLOAT32[self.dtype](out)) & np.isfinite(exact)):
            raise InputError(
                f"{self.name} has numbers beyond {DTYPES[self.dtype]}: leave out --dtype, or take bfloat16 or float32"
            )


def cast(source: Source, dtype: str | None) -> Source:
    """A tensor in another precision; None, or its own: the tensor itself."""
    return source if dtype in (None, source.dtype) else Cast(source, str(dtype))


def _bfloat16_to_float32(bits: Bits) -> Bits:
    import numpy as np

    return (bits.astype(np.uint32) << 16).view(np.float32)


def _float16_to_float32(bits: Bits) -> Bits:
    import numpy as np

    return bits.view(np.float16).astype(np.float32)


def _float32_to_bfloat16(numbers: Bits) -> Bits:
    """The upper halves, rounded to nearest and to even; a NaN stays one."""
    import numpy as np

    bits = numbers.view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    quiet = (bits >> 16) | 0x40
    return np.where(np.isnan(numbers), quiet, rounded).astype(np.uint16)


def _float32_to_float16(numbers: Bits) -> Bits:
    import numpy as np

    with np.errstate(over="ignore", under="ignore"):
        return numbers.astype(np.float16).view(np.uint16)


def _float32(numbers: Bits) -> Bits:
    import numpy as np

    return numbers.view(np.float32)


def _bits(numbers: Bits) -> Bits:
    import numpy as np

    return numbers.view(np.uint32)


_TO_FLOAT32: dict[str, Callable[[Bits], Bits]] = {
    "BF16": _bfloat16_to_float32,
    "F16": _float16_to_float32,
    "F32": _float32,
}
_FROM_FLOAT32: dict[str, Callable[[Bits], Bits]] = {
    "BF16": _float32_to_bfloat16,
    "F16": _float32_to_float16,
    "F32": _bits,
}
