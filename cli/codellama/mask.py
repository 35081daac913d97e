"""Which token of a prompt sees which: the causal mask, token by token, and the regions that a prompt is made of.

A Llama's mask is causal whatever the prompt: each token sees itself and all that stand before it. So it is never kept
as a matrix: 10,000 tokens would have 10^8 cells.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codellama.dialog import Prompt
    from codellama.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    piece: str
    # the tokenizer's name of it, as `▁def` or `<0x0A>`: hostile until sanitised


@dataclass(frozen=True, slots=True)
class Region:
    label: str
    # as the prompt's segment is called: prefix, suffix, user …; with a number where several are called so
    kind: str
    # the same without a number; "control" for the control pieces
    start: int
    stop: int
    # its tokens


@dataclass(frozen=True)
class Mask:
    tokens: tuple[Token, ...]
    regions: tuple[Region, ...]
    # in order, without gaps; none is empty

    @cached_property
    def _starts(self) -> list[int]:
        return [region.start for region in self.regions]

    def region(self, token: int) -> Region:
        return self.regions[bisect_right(self._starts, token) - 1]

    @staticmethod
    def sees(row: int, column: int) -> bool:
        """Whether the token at `row` attends to the one at `column`."""
        return column <= row


def of(prompt: Prompt, tokenizer: Tokenizer) -> Mask:
    """The mask of a prompt that was rendered with this tokenizer. Raises ValueError for one rendered without."""
    tokens = tuple(Token(id, tokenizer.piece(id)) for id in prompt.ids)
    often = Counter(segment.label for segment in prompt.segments if not segment.control and segment.ids)
    met: Counter[str] = Counter()
    regions: list[Region] = []
    at = 0
    for segment in prompt.segments:
        if not segment.ids:
            continue
        label, kind = segment.label, "control" if segment.control else segment.label
        if not segment.control and often[label] > 1:
            met[label] += 1
            label = f"{label} {met[label]}"
        regions.append(Region(label, kind, at, at + len(segment.ids)))
        at += len(segment.ids)
    return Mask(tokens, tuple(regions))
