"""How a fill is shown between its neighbouring lines.

       39 │ def area(radius):
    +  40 │     return math.pi * radius ** 2
       41 │

The fill's lines bear a mark, so that it can be told from its neighbours without colours too. A fill inside of a line
is underlined; where there are no colours a row of carets stands below it, as under a compiler's message. Lines are
numbered as they will be with the fill in place.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from codellama.console import Console
from codellama.highlight import RESET, WINDOW, Highlighter, Run, ansi
from codellama.sanitiser import sanitise

NEIGHBOURS = 3
# lines shown before the fill and after it
_CONTEXT = 4 * WINDOW
# characters before the fill that are lexed for its colours, at most
_LINE = 160
# characters on either side of the fill that its own lines show, at most
FAINT = "2"
_UNDERLINED = "4"
_ADDED = "32"


@dataclass(frozen=True, slots=True)
class Preview:
    """A fill and the text around it. Lines end with newlines; the fill may begin and end inside of a line."""

    before: str
    fill: str
    after: str
    language: str
    # Pygments' name of it, as `highlight.lexer_name` gives it
    first_line: int = 1
    # the number of the line that `before` begins with


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the screen: no wider than was asked for, sanitised, perhaps with colours."""

    text: str
    line: int
    # which line of the fill it belongs to, from 1; 0: it shows a neighbour


def show(console: Console, preview: Preview) -> None:
    """Write a fill between its neighbours to standard output, whole.

    Raises as `Console.write` does.
    """
    console.paint("".join(row.text + "\n" for row in rows(preview, console.width, colour=console.colour)))


def rows(preview: Preview, width: int, *, colour: bool, accepted: int | None = None) -> list[Row]:
    """The rows that show a fill, its lines wrapped at `width`, each neighbour cut to one row.

    `accepted`: so many lines of the fill are marked `+`, the others `·`; None: all are accepted.
    """
    scene = _scene(preview)
    colours = _colours(preview) if colour else ()
    lines = [line for line, (begin, end) in enumerate(scene.lines) if scene.is_filled(begin, end)]
    first, last = (lines[0], lines[-1]) if lines else (scene.hole + 1, scene.hole)
    begin, end = max(first - NEIGHBOURS, 0), min(last + 1 + NEIGHBOURS, len(scene.lines))
    digits = max(len(str(scene.number + end - 1)), 3)
    painter = _Painter(scene, colours, colour, digits, max(width - digits - len("+  │ "), 8))
    shown: list[Row] = []
    for line in range(begin, end):
        of_fill = line - scene.hole + 1 if first <= line <= last else 0
        shown += painter.line(line, of_fill, of_fill <= accepted if accepted is not None else True)
    return shown


@dataclass(frozen=True, slots=True)
class _Scene:
    text: str
    # what of the three texts is needed, sanitised and with spaces for tabs
    start: int
    stop: int
    # of the fill in it
    lines: tuple[tuple[int, int], ...]
    # where each of its lines begins and ends
    hole: int
    # the index of the line that the fill begins in
    number: int
    # of the text's first line

    def is_filled(self, begin: int, end: int) -> bool:
        """Whether any of a line is the fill's, be it no more than an empty line's end."""
        if begin == end:
            return self.start <= begin < self.stop
        return max(begin, self.start) < min(end, self.stop)

    def is_mixed(self, begin: int, end: int) -> bool:
        """Whether a line has text beside what the fill put there."""
        return bool((self.text[begin : self.start] + self.text[max(self.stop, begin) : end]).strip())


@lru_cache(maxsize=64)
def _scene(preview: Preview) -> _Scene:
    before = sanitise(_before(preview.before))
    fill = sanitise(preview.fill, before[-1:])
    after = sanitise(_after(preview.after), (before + fill)[-1:])
    text = (before + fill + after).expandtabs()
    start, stop = len(before.expandtabs()), len((before + fill).expandtabs())
    ends = [match.start() for match in re.finditer("\n", text)]
    # what follows a final newline is no line
    ends += [len(text)] if not text.endswith("\n") else []
    lines = tuple(zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True)) if ends else ()
    hole = before.count("\n")
    return _Scene(text, start, stop, lines, hole, preview.first_line + preview.before.count("\n") - hole)


def _before(text: str) -> str:
    """What of the text before a fill is shown, and lexed with it."""
    far, near = "", text.rsplit("\n", NEIGHBOURS + 1)
    if len(near) > NEIGHBOURS + 1:
        far = near.pop(0) + "\n"
    if len(far) > _CONTEXT:
        # a lexer most likely is in its first state at a line that is not indented
        start = len(far) - _CONTEXT
        found = re.compile(r"\n(?=\S)").search(far, start) or re.compile("\n").search(far, start)
        far = far[found.end() :] if found else ""
    *lines, line = near
    return far + "".join(_cut(line) + "\n" for line in lines) + (f"…{line[-_LINE:]}" if len(line) > _LINE else line)


def _after(text: str) -> str:
    line, *lines = text.split("\n", NEIGHBOURS + 1)
    line = f"{line[:_LINE]}…" if len(line) > _LINE else line
    # of what follows it only matters that it does
    return "\n".join([line, *(_cut(each) for each in lines[:NEIGHBOURS])]) + "\n" * (len(lines) > NEIGHBOURS)


def _cut(neighbour: str) -> str:
    return neighbour[:WINDOW]


@lru_cache(maxsize=64)
def _colours(preview: Preview) -> tuple[Run, ...]:
    """The fill's styles, without gaps, as it is lexed behind what stands before it."""
    scene = _scene(preview)
    parts, at = [], scene.start
    for begin, end, style in Highlighter(preview.language).runs(scene.text, scene.start):
        begin, end = max(begin, at), min(end, scene.stop)
        if begin < end:
            parts += [(at, begin, ""), (begin, end, style)]
            at = end
    return *parts, (at, scene.stop, "")


@dataclass(frozen=True, slots=True)
class _Painter:
    scene: _Scene
    colours: tuple[Run, ...]
    colour: bool
    digits: int
    room: int
    # cells for text

    def line(self, line: int, of_fill: int, accepted: bool) -> Iterator[Row]:
        """The rows of one line; of a neighbour the first one alone."""
        text, (begin, end) = self.scene.text, self.scene.lines[line]
        mark = " " if not of_fill else "+" if accepted else "·"
        mixed = of_fill > 0 and self.scene.is_mixed(begin, end)
        # an indentation is not worth a stroke
        indented = begin + len(text[begin:end]) - len(text[begin:end].lstrip())
        stroke = max(self.scene.start, indented), min(self.scene.stop, end)
        runs = self._runs(begin, end, stroke if mixed else (0, 0), accepted) if of_fill else [(begin, end, FAINT)]
        number: int | None = self.scene.number + line
        for start, stop in _pieces(text, begin, end, self.room):
            if not of_fill and stop < end:
                start, stop = next(_pieces(text, begin, end, self.room - 1))
                yield self._row(mark, number, self._styled(start, stop, runs) + self._faint("…"), of_fill)
                return
            yield self._row(mark, number, self._styled(start, stop, runs), of_fill)
            first, last = max(start, stroke[0]), min(stop, stroke[1])
            if mixed and not self.colour and first < last:
                yield self._row(" ", None, " " * cells(text[start:first]) + "^" * cells(text[first:last]), of_fill)
            number = None

    def _runs(self, begin: int, end: int, stroke: tuple[int, int], accepted: bool) -> list[Run]:
        """The styles of a line with some of the fill in it."""
        fill = self.colours if accepted else ((self.scene.start, self.scene.stop, FAINT),)
        runs = [(begin, self.scene.start, FAINT)]
        for start, stop, style in fill[max(bisect_left(fill, (begin,)) - 1, 0) : bisect_left(fill, (end,))]:
            start, stop = max(start, begin), min(stop, end)
            bound = min(max(start, stroke[0]), stop)
            runs.append((start, bound, style))
            runs.append((bound, min(stop, stroke[1]), ";".join(filter(None, [style, _UNDERLINED]))))
            runs.append((max(bound, stroke[1]), stop, style))
        runs.append((max(self.scene.stop, begin), end, FAINT))
        return [run for run in runs if run[0] < run[1]]

    def _styled(self, start: int, stop: int, runs: list[Run]) -> str:
        return ansi(self.scene.text, runs if self.colour else [], start, stop)

    def _faint(self, text: str) -> str:
        return f"\x1b[{FAINT}m{text}{RESET}" if self.colour else text

    def _row(self, mark: str, number: int | None, text: str, line: int) -> Row:
        gutter = self._faint(f" {'' if number is None else number:>{self.digits}} │")
        if self.colour and mark == "+":
            mark = f"\x1b[{_ADDED}m{mark}{RESET}"
        return Row(f"{mark}{gutter} {text}" if text else mark + gutter, line)


def _pieces(text: str, begin: int, end: int, room: int) -> Iterator[tuple[int, int]]:
    """Where a line is to be broken; an empty one is one piece."""
    start, used = begin, 0
    for at in range(begin, end):
        width = cells(text[at])
        if used + width > room and at > start:
            yield start, at
            start, used = at, 0
        used += width
    yield start, end


def cells(text: str) -> int:
    """How many cells of a terminal a text takes. Terminals differ for a few scripts and emoji."""
    if text.isascii():
        return len(text)
    narrow = sum(1 for character in text if unicodedata.category(character) not in ("Mn", "Me", "Cf"))
    return narrow + sum(1 for character in text if unicodedata.east_asian_width(character) in "WF")
