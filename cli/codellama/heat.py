"""Real attention as numbers: what a view needs of them, whoever computes them, and how they become shades."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy

    Matrix = numpy.ndarray[Any, Any]

STEPS = 10
# shades between nothing and all


class Weights(Protocol):
    """The attention of one head. Computed row by row when asked for: n × n numbers of 16,384 tokens take 1 GB."""

    layer: int
    head: int
    # from 0
    size: int
    # tokens

    def rows(self, start: int, stop: int) -> Matrix:
        """(stop - start, size) float32: how much each token attends to each; 0 where it sees none. Rows sum to 1."""
        ...


def shade(weight: float) -> int:
    """0 … STEPS - 1 for a weight from 0 to 1, by its square root: most weights are small, and one of them is large."""
    return min(int(max(weight, 0.0) ** 0.5 * STEPS), STEPS - 1)


def least(step: int) -> float:
    """The least weight of a shade."""
    return (step / STEPS) ** 2


class Pooled:
    """Weights at a scale: one number for each block of `scale` × `scale` tokens, the largest in it.

    Keeps the rows that were asked for last.
    """

    KEPT = 256
    # rows: more than a terminal has
    PORTION = 256
    # tokens whose rows are computed in one go

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._kept: OrderedDict[tuple[int, int], list[float]] = OrderedDict()

    def row(self, row: int, scale: int = 1) -> list[float]:
        key = scale, row
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = self._pool(row, scale)
            if len(self._kept) > self.KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def _pool(self, row: int, scale: int) -> list[float]:
        import numpy

        size = self.weights.size
        start, stop = row * scale, min((row + 1) * scale, size)
        most = numpy.zeros(size, dtype=numpy.float32)
        for at in range(start, stop, self.PORTION):
            numpy.maximum(most, self.weights.rows(at, min(at + self.PORTION, stop)).max(axis=0), out=most)
        padded = numpy.zeros(ceil(size / scale) * scale, dtype=numpy.float32)
        padded[:size] = most
        pooled: list[float] = padded.reshape(-1, scale).max(axis=1).tolist()
        return pooled
