"""A causal mask, or the attention of a head, as rows of text: a cell for each pair of tokens, or of blocks of tokens.

    suffix  prefix
    0 1 2 3 4
  0 ■ · · · ·
  1 ■ ■ · · ·

Rows are tokens that see, columns are what they see. Each row is made when it is asked for, and of it no more than the
columns that are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil

from codellama import heat
from codellama.heat import Pooled
from codellama.highlight import RESET
from codellama.mask import Mask, Region
from codellama.preview import FAINT, cells
from codellama.sanitiser import sanitise

SEEN, ITSELF, UNSEEN = "■", "◆", "·"
# as in `highlight`: no yellow, blue or grey, which cannot be read on every ground
_KINDS = {
    "control": "35",
    "source": "35",
    "suffix": "32",
    "turn": "32",
    "assistant": "32",
    "system": "1;36",
}
_OTHERS = "36"
# prefix, user and whatever a template may have
_RAMP = (236, 54, 90, 126, 162, 197, 203, 209, 215, 229)
# of the 256-colour palette: dark violet, red, light yellow; fixed grounds, to be read on a light and a dark one
LONGEST = 20
# cells of a token's name
_TICK = 5
# columns with a number: every fifth


@dataclass(frozen=True)
class Palette:
    colour: bool
    deep: bool = False
    # 256 colours

    def paint(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}{RESET}" if self.colour and text.strip() else text

    def region(self, text: str, region: Region) -> str:
        return self.paint(text, style_of(region))

    def faint(self, text: str) -> str:
        return self.paint(text, FAINT)

    def shade(self, step: int, width: int) -> str:
        """A cell of a heat map."""
        if self.colour and self.deep:
            return f"\x1b[48;5;{_RAMP[step]}m{' ' * width}"
        return f"{step or UNSEEN}".ljust(width)


def style_of(region: Region) -> str:
    return _KINDS.get(region.kind, _OTHERS)


def name(piece: str) -> str:
    """A token's name on one line, sanitised, no wider than LONGEST cells."""
    text = sanitise(piece).replace("\n", "␊").replace("\t", "␉")
    return text if cells(text) <= LONGEST else clip(text, LONGEST - 1) + "…"


def clip(text: str, width: int) -> str:
    """As much of a text as fits into so many cells."""
    while cells(text) > width:
        text = text[:-1]
    return text


def pad(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


@dataclass(frozen=True)
class Grid:
    mask: Mask
    heat: Pooled | None
    # None: the mask alone
    palette: Palette
    scale: int = 1
    # tokens a row and a column stand for
    cell: int = 2
    # columns of the terminal that a cell takes

    @cached_property
    def size(self) -> int:
        """Rows, and columns."""
        return ceil(len(self.mask.tokens) / self.scale)

    @cached_property
    def _widths(self) -> tuple[int, int, int]:
        tokens = self.mask.tokens
        names = max((cells(name(piece)) for piece in {token.piece for token in tokens}), default=0)
        return len(str(max(len(tokens) - 1, 0))), max(len(str(token.id)) for token in tokens), names

    @cached_property
    def gutter(self) -> int:
        """Columns before the first cell."""
        return sum(self._widths) + 5

    def header(self, first: int, stop: int) -> list[str]:
        """The regions' names and the tokens' numbers above columns."""
        return [" " * self.gutter + row for row in (self._band(first, stop), self._axis(first, stop))]

    def row(self, row: int, first: int, stop: int, *, marked: bool = False) -> str:
        """A row, with its cells in columns first … stop - 1."""
        token, region = self.mask.tokens[row * self.scale], self.mask.region(row * self.scale)
        numbers, ids, names = self._widths
        gutter = f"{row * self.scale:>{numbers}} {token.id:>{ids}} "
        said = self.palette.region(pad(name(token.piece), names), region)
        mark = self.palette.paint("▸", "1") if marked else " "
        return f"{mark} {self.palette.faint(gutter)}{said} {''.join(self._cells(row, first, stop))}".rstrip()

    def _cells(self, row: int, first: int, stop: int) -> Iterator[str]:
        seen = min(row + 1, stop)
        if self.heat:
            yield from self._shades(self.heat.row(row, self.scale)[first:seen])
        else:
            for region, start, end in self._runs(first, min(row, stop)):
                yield self.palette.region(SEEN.ljust(self.cell) * (end - start), region)
            if first <= row < stop:
                style = f"1;{style_of(self.mask.region(row * self.scale))}"
                yield self.palette.paint(ITSELF.ljust(self.cell), style)
        unseen = stop - max(seen, first)
        if unseen > 0:
            # under a heat map a point is a small weight where there are no colours
            blank = " " if self.heat else UNSEEN
            yield self.palette.faint(blank.ljust(self.cell) * unseen)

    def _shades(self, weights: list[float]) -> Iterator[str]:
        last = None
        for step in map(heat.shade, weights):
            cell = self.palette.shade(step, self.cell)
            # the escape sequence once for equal neighbours
            yield cell if step != last else cell[-self.cell :]
            last = step
        if weights and self.palette.colour and self.palette.deep:
            yield RESET

    def _runs(self, first: int, stop: int) -> Iterator[tuple[Region, int, int]]:
        """Columns grouped by the region that their first token is in."""
        while first < stop:
            region = self.mask.region(first * self.scale)
            end = min(ceil(region.stop / self.scale), stop)
            yield region, first, end
            first = end

    def _band(self, first: int, stop: int) -> str:
        parts = []
        for region, start, end in self._runs(first, stop):
            room = (end - start) * self.cell
            text = clip(region.label, max(room - 1, 1))
            line = f"{text} ".ljust(room - 1, "─") if room > len(text) + 2 else text
            parts.append(self.palette.region(line.ljust(room), region))
        return "".join(parts).rstrip()

    def _axis(self, first: int, stop: int) -> str:
        axis = ""
        for column in range(first, stop):
            at = (column - first) * self.cell
            if column % _TICK == 0 and len(axis) <= at:
                axis = axis.ljust(at) + f"{column * self.scale} "
        return self.palette.faint(axis.rstrip())


def legend(grid: Grid) -> str:
    """What the cells mean, on one line."""
    if not grid.heat:
        what = f"{SEEN} seen   {ITSELF} itself   {UNSEEN} not seen"
        return what if grid.scale == 1 else f"{what}   (each cell: {grid.scale} × {grid.scale} tokens)"
    shades = "".join(
        f"{grid.palette.shade(step, 2)}{RESET if grid.palette.colour and grid.palette.deep else ''} "
        f"{heat.least(step):.2f} " for step in range(0, heat.STEPS, 3)
    )  # fmt: skip
    most = f"   (the largest of {grid.scale} × {grid.scale})" if grid.scale > 1 else ""
    return f"weight at least: {shades.rstrip()}{most}"


def whole(grid: Grid) -> Iterator[str]:
    """All rows, one after another, below their header."""
    yield from grid.header(0, grid.size)
    for row in range(grid.size):
        yield grid.row(row, 0, grid.size)
