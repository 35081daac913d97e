"""A grid that is larger than the terminal: what a key does is decided by `press`, what is shown by `frame`, both pure;
`view` puts them on a terminal.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache

from codellama import grid as grids
from codellama.console import Console
from codellama.fullscreen import RESIZED, open_fullscreen
from codellama.grid import Grid, clip, name
from codellama.heat import Pooled
from codellama.mask import Mask
from codellama.preview import cells

INSTEAD = "take --json, or write to a pipe"
_AROUND = 7
# rows of the screen that are no rows of the grid: title, header, and below them a blank, the token, legend and keys
_MOST = 5
# weights told of a token
_MENU = "↑ ↓ ← → move  space b page  [ ] region  d diagonal  + - zoom  g G ends  q quit"
_SHORT = "↑↓←→ move  space b page  [ ] d  + - zoom  q quit"


@dataclass(frozen=True, slots=True)
class State:
    row: int = 0
    # the token told of; it stays in the middle of the screen
    left: int = 0
    # the token of the first column
    scale: int = 1
    # tokens a cell stands for


def view(console: Console, mask: Mask, heat: Pooled | None, title: str) -> None:
    """Let the user look around. Raises InputError where there is no terminal, KeyboardInterrupt at Ctrl-C."""
    palette = palette_of(console)

    @cache
    def grid(scale: int, cell: int) -> Grid:
        return Grid(mask, heat, palette, scale, cell)

    def fitting(scale: int, size: os.terminal_size) -> Grid:
        """With wide cells where nothing is zoomed out, and where they fit."""
        wide = grid(scale, 2)
        return wide if scale == 1 or wide.size <= columns(wide, size) else grid(scale, 1)

    state = State()
    with open_fullscreen(console, INSTEAD) as screen:
        screen.paint(frame(fitting(state.scale, screen.size), state, screen.size, title))
        for key in screen.pressed():
            if key in ("q", "escape", "\x04"):
                return
            size = screen.size
            if key != RESIZED:
                state = press(state, key, mask, max(rows(size) - 1, 1), columns(fitting(state.scale, size), size))
            screen.paint(frame(fitting(state.scale, size), state, size, title))


def rows(size: os.terminal_size) -> int:
    """How many rows of a grid there is room for."""
    return max(size.lines - _AROUND, 1)


def columns(grid: Grid, size: os.terminal_size) -> int:
    """How many of its columns there is room for."""
    return max((size.columns - grid.gutter) // grid.cell, 1)


def palette_of(console: Console) -> grids.Palette:
    """The colours that the terminal has on which it is shown."""
    colour = (console.stdout_tty or console.stderr_tty) and not console.dumb and not console.environ.get("NO_COLOR")
    deep = "256" in console.environ.get("TERM", "") or bool(console.environ.get("COLORTERM"))
    return grids.Palette(colour, deep)


def fits(grid: Grid, size: os.terminal_size, others: int) -> bool:
    """Whether all of it can be shown at once, with so many other lines."""
    return grid.gutter + grid.size * grid.cell <= size.columns and grid.size + others < size.lines


def press(state: State, key: str, mask: Mask, page: int, columns: int) -> State:
    """What a key leads to; one that means nothing leaves everything as it is. `page`: rows to go on by."""
    last, step = len(mask.tokens) - 1, state.scale
    row, left, scale = state.row, state.left, state.scale
    match key:
        case "down" | "j":
            row += step
        case "up" | "k":
            row -= step
        case "right" | "l":
            left += 4 * step
        case "left" | "h":
            left -= 4 * step
        case " ":
            row += page * step
        case "b":
            row -= page * step
        case "g":
            row, left = 0, 0
        case "G":
            row = last
        case "]":
            row = mask.region(row).stop
        case "[":
            row = mask.region(max(row - 1, 0)).start
        case "d":
            left = row - page // 2 * step
        case "-" if page * scale <= last:
            scale *= 2
        case "+" | "=":
            scale = max(scale // 2, 1)
        case _:
            return state
    # no further than to where the last column is seen
    left = min(left, last - (columns - 1) * scale)
    return replace(state, row=min(max(row, 0), last), left=max(left, 0), scale=scale)


def frame(grid: Grid, state: State, size: os.terminal_size, title: str) -> list[str]:
    """The rows of the screen."""
    room = rows(size)
    row = state.row // grid.scale
    top = min(max(row - room // 2, 0), max(grid.size - room, 0))
    first = min(state.left // grid.scale, max(grid.size - columns(grid, size), 0))
    stop = min(first + columns(grid, size), grid.size)
    width = size.columns - 1
    body = [grid.row(at, first, stop, marked=at == row) for at in range(top, min(top + room, grid.size))]
    return [
        grid.palette.paint(clip(title, width), "1"),
        *grid.header(first, stop),
        *body,
        *[""] * (room - len(body) + 1),
        clip(told(grid.mask, grid.heat, state.row), width),
        grids.legend(grid),
        grid.palette.faint(clip(_MENU if cells(_MENU) <= width else _SHORT, width)),
    ][-size.lines :]


def told(mask: Mask, heat: Pooled | None, row: int) -> str:
    """What is to be said of a token."""
    token, region = mask.tokens[row], mask.region(row)
    said = f"{row} {name(token.piece)} · id {token.id} · {region.label} · "
    if heat is None:
        return said + ("sees itself alone" if row == 0 else f"sees itself and the {row} before it")
    weights = heat.row(row)
    most = sorted(range(row + 1), key=lambda column: weights[column], reverse=True)[:_MOST]
    return said + "  ".join(f"{column} {name(mask.tokens[column].piece)} {weights[column]:.3f}" for column in most)
