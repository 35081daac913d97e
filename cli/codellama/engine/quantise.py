"""A matrix in 4 bit, as bitsandbytes keeps it in a checkpoint: nf4 with double quantisation.

Only ever straight from the stored weights: what is saved after a forward pass is damaged on CPUs with AVX512-BF16,
where bitsandbytes repacks a matrix when it is first used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from codellama.engine.quiet import quiet
from codellama.errors import CodellamaError, InputError

if TYPE_CHECKING:
    import numpy

BLOCK = 64
# elements that share a scale
STEP = 0.16
# how far an element may move, of its block's scale: half of nf4's widest step is 0.152, and bfloat16 rounds
SCALE_STEP = 0.0075
# how far a scale may move, of the largest distance from the mean: half of the widest step of bitsandbytes' 8-bit map
PART = 2**18
# elements compared in one go, a multiple of BLOCK: they stay in the processor's cache


def quantise(bits: numpy.ndarray[Any, Any], dtype: str) -> dict[str, numpy.ndarray[Any, Any]]:
    """The tensors that stand for a matrix, by what is appended to its name (`""`: the packed elements).

    `bits`: (rows, columns) of unsigned numbers, the bits of elements of `dtype` (float16, bfloat16 or float32).
    Raises InputError where elements are infinite or no numbers, CodellamaError where what comes out is not close to
    the matrix, or memory runs out.
    """
    failure = ""
    try:
        return _quantise(bits, getattr(torch, dtype))
    except (MemoryError, RuntimeError) as error:
        failure = f"{type(error).__name__}: {error}".splitlines()[0]
    raise CodellamaError(f"a matrix of {bits.shape[0]} × {bits.shape[1]} cannot be quantised: {failure}")


def _quantise(bits: numpy.ndarray[Any, Any], dtype: torch.dtype) -> dict[str, numpy.ndarray[Any, Any]]:
    matrix = torch.from_numpy(bits.view(f"i{bits.itemsize}")).view(dtype)
    with quiet(), torch.inference_mode(), _one_thread():
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        scales = _scales(matrix)
        if not all(bool(part.isfinite().all()) for part in scales):
            raise InputError("has numbers that are infinite or none: it cannot be quantised")
        packed, state = quantize_4bit(matrix, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
        if not _close(matrix, dequantize_4bit(packed, state), scales, state.offset):
            raise CodellamaError("bitsandbytes quantised a matrix to something else: try another version of it")
        kept = {f".{name}": tensor.numpy() for name, tensor in state.as_dict(packed=True).items()}
    return {"": packed.numpy(), **kept}


def _scales(matrix: torch.Tensor) -> list[torch.Tensor]:
    """The largest number of each block, a tensor for each part."""
    pad = torch.nn.functional.pad
    return [pad(part.float().abs(), (0, -len(part) % BLOCK)).view(-1, BLOCK).amax(1) for part in _parts(matrix)]


def _close(matrix: torch.Tensor, back: torch.Tensor, scales: list[torch.Tensor], mean_scale: torch.Tensor) -> bool:
    """Whether every element moved by no more than the steps of nf4 and of the scales allow."""
    moved = SCALE_STEP * max((each - mean_scale).abs().max() for each in scales)
    for exact, found, scale in zip(_parts(matrix), _parts(back), scales, strict=True):
        most = (STEP * scale + moved).repeat_interleave(BLOCK)[: len(exact)]
        if not bool(((exact.float() - found.float()).abs() <= most).all()):
            return False
    return True


def _parts(matrix: torch.Tensor) -> list[torch.Tensor]:
    flat = matrix.flatten()
    return [flat[start : start + PART] for start in range(0, len(flat), PART)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """A second one gains nothing here, and on busy cores the two wait for each other ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
