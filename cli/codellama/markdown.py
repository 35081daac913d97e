"""Colours for Markdown that grows: prose as it is written, lightly styled, and code by the language of its fence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field

from codellama.blocks import Lines, language_of
from codellama.highlight import WINDOW, Highlighter, Run, known

_LINE = re.compile(r"([^\n]*)(?:\n|$)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_BOLD = re.compile(r"\*\*(?=\S)([^*]+)(?<=\S)\*\*|__(?=\S)([^_]+)(?<=\S)__")
_FENCE, _CODE, _STRONG = "2", "36", "1"
# faint, cyan, bold: as in highlight


@dataclass(frozen=True, slots=True)
class _Code:
    """A fenced block that is open."""

    start: int
    # where its code begins in the text, or what is left of it
    highlighter: Highlighter | None
    # None: its language is not known


@dataclass(frozen=True, slots=True)
class _State:
    lines: Lines = field(default_factory=Lines)
    code: _Code | None = None
    read: int = 0
    # the text was read up to there, a line's start


class MarkdownHighlighter:
    """As `Highlighter`: `runs` may be asked again for the same text, until `advance` goes on from it."""

    def __init__(self) -> None:
        self._state = self._next = _State()
        self._lexed = (0, 0)
        # the part of the text that was given to a highlighter last

    def runs(self, text: str, start: int) -> list[Run]:
        """The styled parts of the text that end after `start`, in order."""
        lines, code, at = copy(self._state.lines), self._state.code, self._state.read
        runs: list[Run] = []
        for match in _LINE.finditer(text, at):
            at, end, whole = match.start(), match.end(1), match.end() > match.end(1)
            if not whole:
                # what the open line is may change as it grows
                self._next = _State(copy(lines), code, at)
            lines.read(match[1])
            if code and lines.kind != "code":
                runs += self._code_runs(text, code, at, start)
                code = None
            if lines.kind == "opening":
                runs.append((at, end, _FENCE))
                code = _Code(match.end(), _highlighter(lines.info or "")) if whole else None
            elif lines.kind == "closing":
                runs.append((at, end, _FENCE))
            elif lines.kind == "text":
                runs += ((at + begin, at + stop, style) for begin, stop, style in _prose(match[1]))
            if not whole:
                break
        if code:
            runs += self._code_runs(text, code, len(text), start)
        return [run for run in runs if run[1] > start]

    def _code_runs(self, text: str, code: _Code, end: int, start: int) -> Iterator[Run]:
        if code.highlighter and code.start < end:
            self._lexed = code.start, end
            for begin, stop, style in code.highlighter.runs(text[code.start : end], max(start - code.start, 0)):
                yield code.start + begin, code.start + stop, style

    def advance(self, text: str, line: int) -> int:
        """From where on the text just given to `runs` must be kept; `line` is where its open line begins."""
        kept, code = line, self._next.code
        if code:
            front: int | None = line - code.start
            if code.highlighter and code.start < line:
                begin, end = self._lexed
                front = code.highlighter.advance(text[begin:end], line - begin)
            # None: too long to go on with, so that the rest of the block has no colours
            kept = line if front is None else code.start + front
            code = _Code(max(code.start - kept, 0), code.highlighter if front is not None else None)
        self._state = _State(self._next.lines, code, self._next.read - kept)
        return kept


def _highlighter(info: str) -> Highlighter | None:
    name = known(language_of(info))
    return Highlighter(name) if name else None


def _prose(line: str) -> list[Run]:
    """The styled parts of a line that is no code."""
    if len(line) > WINDOW:
        return []
    if _HEADING.match(line):
        return [(0, len(line), _STRONG)]
    spans = [(begin, end, _CODE) for begin, end in _code_spans(line)]
    strong = [
        (match.start(), match.end(), _STRONG)
        for match in _BOLD.finditer(line)
        if not any(begin < match.end() and match.start() < end for begin, end, _ in spans)
    ]
    return sorted(spans + strong)


def _code_spans(line: str) -> Iterator[tuple[int, int]]:
    """Runs of backticks with the next run that is as long, and what stands between them."""
    marks = [match.span() for match in re.finditer("`+", line)]
    number = 0
    while number < len(marks):
        begin, end = marks[number]
        closing = next((at for at in range(number + 1, len(marks)) if marks[at][1] - marks[at][0] == end - begin), None)
        if closing is not None:
            yield begin, marks[closing][1]
            number = closing
        number += 1
