"""Choosing among several fills by key, each shown between its neighbouring lines.

What a key does is decided by `press`, what is shown by `frame`, both pure; `pick` puts them on a terminal.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from codellama import fullscreen
from codellama.console import Console
from codellama.fullscreen import open_fullscreen
from codellama.highlight import RESET
from codellama.preview import FAINT, Preview, Row, cells, rows
from codellama.sanitiser import one_line


@dataclass(frozen=True, slots=True)
class Choice:
    preview: Preview
    note: Callable[[str], str]
    # what is known about it, or its first lines: "the file parses"


@dataclass(frozen=True, slots=True)
class State:
    stops: tuple[tuple[int, ...], ...]
    # of each candidate, after how many of its lines it may be cut: never after a blank one
    current: int = 0
    lines: int | None = None
    # how many lines are accepted; None: the whole
    help: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    current: int | None
    # None: none was accepted
    lines: int | None = None


INSTEAD = "take --candidates N --json in place of --pick"
ACCEPT = frozenset({"\r", "\n", "\t", "a", "y"})
MORE = frozenset({"l", "down", "right"})
FEWER = frozenset({"h", "up", "left"})
NEXT = frozenset({"n", " ", "j"})
PREVIOUS = frozenset({"p", "k"})
NONE = frozenset({"q", "escape", "\x04"})
_HELP = (
    "⏎ Tab a y  accept what is marked +  ·  l ↓ →  by line: one more  ·  h ↑ ←  one fewer  ·  n j Space  next  ·  "
    "p k  previous  ·  1–9  that one  ·  q Esc  none  ·  Ctrl-C  interrupt  ·  ?  close this"
)


def check(console: Console) -> None:
    """Raises InputError where there is no terminal to pick on."""
    fullscreen.check(console, INSTEAD)


def pick(console: Console, choices: Sequence[Choice]) -> str | None:
    """Let the user accept a fill, or its first lines; None: none of them.

    Keys come from standard input and it is painted on standard error, as far as these are terminals, else the
    process's own terminal serves; standard output is not touched. Raises InputError where there is no terminal,
    KeyboardInterrupt at Ctrl-C.
    """
    if not choices:
        return None
    state = State(tuple(stops(choice.preview.fill) for choice in choices))
    colour = not console.dumb and not console.environ.get("NO_COLOR")
    with open_fullscreen(console, INSTEAD) as screen:
        screen.paint(frame(choices, state, screen.size, colour=colour))
        for key in screen.pressed():
            result = press(state, key)
            if isinstance(result, Done):
                if result.current is None:
                    return None
                return first_lines(choices[result.current].preview.fill, result.lines)
            state = result
            screen.paint(frame(choices, state, screen.size, colour=colour))
    return None


def stops(fill: str) -> tuple[int, ...]:
    """After how many of its lines a fill may be cut."""
    return tuple(number for number, line in enumerate(fill.split("\n"), 1) if line.strip())


def first_lines(fill: str, lines: int | None) -> str:
    """The first lines of a fill; it ends in a newline if the whole does, so that what follows stays where it is."""
    parts = fill.split("\n")
    if lines is None or lines >= len(fill.removesuffix("\n").split("\n")):
        return fill
    return "\n".join(parts[:lines]) + ("\n" if fill.endswith("\n") else "")


def press(state: State, key: str) -> State | Done:
    """What a key leads to; one that means nothing leaves everything as it is."""
    count, possible = len(state.stops), state.stops[state.current]
    if key in ACCEPT:
        return Done(state.current, state.lines)
    if key in NONE:
        return Done(None)
    if key in MORE and len(possible) > 1:
        return replace(state, lines=next((stop for stop in possible if stop > (state.lines or 0)), possible[-1]))
    if key in FEWER and len(possible) > 1:
        # from the whole it goes backwards, from the first line back to the whole
        most = possible[-1] if state.lines is None else state.lines
        return replace(state, lines=max((stop for stop in possible if stop < most), default=None))
    if key == "?":
        return replace(state, help=not state.help)
    number = state.current
    if key in NEXT:
        number = (state.current + 1) % count
    elif key in PREVIOUS:
        number = (state.current - 1) % count
    elif re.fullmatch("[1-9]", key) and int(key) <= count:
        number = int(key) - 1
    # another candidate has other lines
    return state if number == state.current else replace(state, current=number, lines=None)


def frame(choices: Sequence[Choice], state: State, size: os.terminal_size, *, colour: bool) -> list[str]:
    """The rows of the screen: a candidate, and below it what is known about it and what can be done."""
    choice = choices[state.current]
    below = _status(choice, state, size.columns, colour)
    shown = rows(choice.preview, size.columns, colour=colour, accepted=state.lines)
    room = max(size.lines - len(below) - 1, 1)
    return [*_fit(shown, room, state.lines, colour), "", *below][-size.lines :]


def _status(choice: Choice, state: State, width: int, colour: bool) -> list[str]:
    possible = state.stops[state.current]
    parts = [
        f"{state.current + 1} of {len(state.stops)}",
        one_line(choice.note(first_lines(choice.preview.fill, state.lines))),
    ]
    if state.lines is not None:
        # a blank beginning is no line of the fill's
        done, total = state.lines - possible[0] + 1, possible[-1] - possible[0] + 1
        parts.append(f"line 1 of {total}" if done == 1 else f"lines 1–{done} of {total}")
    said = " · ".join(filter(None, parts))
    ways = ["⏎ accept"]
    ways += ["l by line" if state.lines is None else "l one more  h one fewer"] if len(possible) > 1 else []
    ways += ["n next"] if len(state.stops) > 1 else []
    menu = "  ".join([*ways, "q none", "? help"])
    if not state.help and cells(said) + len(menu) + 3 < width:
        return [f"{said}   {_faint(menu, colour)}"]
    upper, lower = (textwrap.wrap(text, max(width - 1, 20)) for text in (said, _HELP if state.help else menu))
    return upper[:3] + [_faint(line, colour) for line in lower]


def _faint(text: str, colour: bool) -> str:
    return f"\x1b[{FAINT}m{text}{RESET}" if colour else text


def _fit(shown: list[Row], room: int, accepted: int | None, colour: bool) -> list[str]:
    """As many rows as there is room for. Neighbours go first, then lines of the fill far from the last accepted one."""
    of_fill = [at for at, row in enumerate(shown) if row.line]
    first, last = (of_fill[0], of_fill[-1] + 1) if of_fill else (0, 0)
    spare = max(room - (last - first), min(2, room // 3))
    below = min(len(shown) - last, max(spare // 2, spare - first))
    above = min(first, spare - below)
    fill, space = shown[first:last], room - above - below
    if len(fill) > space:
        focus = max((at for at, row in enumerate(fill) if row.line <= (accepted or 0)), default=0)
        # one row more than the last accepted one, and a row that tells what is left out, at either end
        start = min(max(focus + 3 - space, 0), len(fill) - space)
        window = [row.text for row in fill[start : start + space]]
        if start:
            hidden = len({row.line for row in fill[: start + 1]})
            window[0] = _faint(f"  … {hidden} line{'s' if hidden > 1 else ''} above", colour)
        if start + space < len(fill):
            hidden = len({row.line for row in fill[start + space - 1 :]})
            window[-1] = _faint(f"  … {hidden} more line{'s' if hidden > 1 else ''}", colour)
    else:
        window = [row.text for row in fill]
    return [
        *(row.text for row in shown[first - above : first]), *window, *(row.text for row in shown[last : last + below])
    ]  # fmt: skip
