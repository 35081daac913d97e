"""Lines of text with styles, and how they are broken into rows; and those of a code block that grows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, get_character_cell_size

from codellama.errors import InputError
from codellama.highlight import Run, lexer_name
from codellama.sanitiser import sanitise

if TYPE_CHECKING:
    from codellama.highlight import Highlighter

TAB = 4
# columns between tab stops in a block
WHOLE = 100_000
# characters of a closed block that are lexed once more as a whole; about half a second


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    # sanitised, tabs expanded
    runs: tuple[Run, ...] = ()
    # its styled parts in order, with the names of their styles (several with spaces between)
    first: str = ""
    rest: str = ""
    # what stands before its first row and before the others: a bullet, the bar of a quotation
    words: bool = False
    # True: broken between words


@dataclass(frozen=True, slots=True)
class Row:
    line: int
    start: int
    end: int
    # of the line's text: what stands in this row


def rows(lines: Sequence[Line], width: int, first: int = 0) -> list[Row]:
    """The rows of lines in so many cells, from line `first` on."""
    found = []
    for number in range(first, len(lines)):
        line = lines[number]
        room = width - max(cells(line.first), cells(line.rest))
        parts = wrap_words(line.text, room) if line.words else wrap(line.text, room)
        found += [Row(number, start, end) for start, end in parts]
    return found


class CodeLines:
    """Takes a text in pieces. Only the open line, the last one, changes as more comes, so that a piece costs the
    lexing of a window (highlight.py) and never of the whole block.
    """

    def __init__(self, language: str) -> None:
        """`language`: as a fence names it; one that is not known is shown without colours."""
        self.lines: list[Line] = [Line("")]
        self._highlighter = _highlighter(language)
        self._language = language
        self._window = ""
        # what the highlighter still needs, sanitised
        self._open = 0
        # where in it the open line begins
        self._held = ""
        # "\r": whether it stands alone shows with the next character

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)

    def push(self, text: str) -> int:
        """Add a piece; gives the number of the first line that changed."""
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        return self._add(text.removesuffix("\r") if self._held else text)

    def finish(self) -> int:
        """The text has ended: all of it is lexed once more, since a window may have begun within a string."""
        first = self._add(self._held)
        self._held = ""
        text = self.text
        highlighter = _highlighter(self._language) if len(text) <= WHOLE else None
        if highlighter is None:
            return first
        self._window, self._open = "", 0
        self.lines = _split(text, highlighter.runs(text, 0), 0)
        return 0

    def _add(self, text: str) -> int:
        first = len(self.lines) - 1
        window = self._window + self._shown(text)
        runs = self._highlighter.runs(window, self._open) if self._highlighter else []
        self.lines[first:] = _split(window, runs, self._open)
        self._open = window.rfind("\n") + 1
        start = self._highlighter.advance(window, self._open) if self._highlighter else self._open
        if start is None:
            self._highlighter, start = None, self._open
        self._window, self._open = window[start:], self._open - start
        return first

    def _shown(self, text: str) -> str:
        fresh = sanitise(text, self._window[-1:])
        if "\t" not in fresh:
            return fresh
        before = self._window[self._open :]
        return (before + fresh).expandtabs(TAB)[len(before) :]


def _highlighter(language: str) -> Highlighter | None:
    from codellama.highlight import Highlighter

    if not language:
        return None
    try:
        return Highlighter(lexer_name(language=language))
    except InputError:
        return None


def _split(text: str, runs: Sequence[Run], start: int) -> list[Line]:
    """The lines of a text from `start` on, each with its runs counted from its own beginning."""
    lines = []
    number = 0
    for line in text[start:].split("\n"):
        end = start + len(line)
        parts = []
        while number < len(runs) and runs[number][0] < end:
            begin, stop, style = runs[number]
            if stop > start:
                parts.append((max(begin, start) - start, min(stop, end) - start, style))
            if stop > end:
                # a string of several lines goes on in the next one
                break
            number += 1
        lines.append(Line(line, tuple(parts)))
        start = end + 1
    return lines


def cells(text: str) -> int:
    """Cells that a text takes in a row."""
    return len(text) if text.isascii() else cell_len(text)


def wrap(text: str, width: int) -> list[tuple[int, int]]:
    """Where a line is broken so that no part is wider than `width` cells; at least one part."""
    if width < 1 or cells(text) <= width:
        return [(0, len(text))]
    if text.isascii():
        return [(at, min(at + width, len(text))) for at in range(0, len(text), width)]
    parts, start, used = [], 0, 0
    for at, character in enumerate(text):
        size = get_character_cell_size(character)
        if used + size > width and at > start:
            parts.append((start, at))
            start, used = at, 0
        used += size
    return [*parts, (start, len(text))]


def wrap_words(text: str, width: int) -> list[tuple[int, int]]:
    """`wrap`, between words where there are any; the spaces at a break stand in no part."""
    if width < 1 or cells(text) <= width:
        return [(0, len(text))]
    parts: list[tuple[int, int]] = []
    start = end = 0
    for match in re.finditer(r"\S+", text):
        if cells(text[start : match.end()]) <= width:
            end = match.end()
            continue
        if end > start:
            parts.append((start, end))
        start, end = match.span()
        # a word that is too long by itself is broken anywhere
        *full, (begin, _) = wrap(text[start:end], width)
        parts += [(start + one, start + other) for one, other in full]
        start += begin
    return [*parts, (start, end)]
