"""Code fences in Markdown: whole, and in a text that grows.

CommonMark 0.31 decides line by line where a fence begins and ends, so that one reader serves both: `blocks` reads a
whole text, a `Reader` is pushed what comes, and `Lines` says of each line what it is. They know what bears on fences:
block quotes, list items, paragraphs (with lazy lines) and indented code. HTML blocks they take for text, as markdown-it
does with `html` off: what a model fences between `<details>` and `</details>` is code.

For the full-screen chat: `blocks` and `Block`, `Reader` with `push`, `blocks` and `settled`, and `Lines`.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Literal

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_OPENING = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$", re.S)
_BULLET = re.compile(r"[-+*](?=[ \t]|$)|(\d{1,9})[.)](?=[ \t]|$)")
_RULE = re.compile(r"(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_HEADING = re.compile(r"#{1,6}(?:[ \t]|$)")
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*$")
_LANGUAGE = re.compile(r"[{.]*([^\s{}:,]*)")


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    # the info string's first word, of `{.python}` and `python:app.py` too only python; "": none
    info: str
    # what stands behind the opening fence, without spaces around it
    text: str
    # the code: without the fences and the indentation that the opening one and containers have; "\n" as line end
    start: int
    end: int
    # offsets in the Markdown: from the line of the opening fence to the end of the closing one's
    closed: bool
    # False: the text, or the list item or quote around it, ended first


@dataclass(slots=True)
class _Line:
    """What is left of a line, with tabs counted in columns."""

    text: str
    at: int = 0
    column: int = 0
    owed: int = 0
    # columns that are left of a tab of which some were taken

    @property
    def rest(self) -> str:
        return " " * self.owed + self.text[self.at :]

    @property
    def indent(self) -> int:
        """Columns of white space before what is left."""
        column = self.column + self.owed
        for character in self.text[self.at :]:
            if character == " ":
                column += 1
            elif character == "\t":
                column += 4 - column % 4
            else:
                break
        return column - self.column

    @property
    def blank(self) -> bool:
        return not self.text[self.at :].strip(" \t")

    def skip(self, columns: int) -> None:
        """Take so many columns of white space, or what there is of it."""
        while columns > 0:
            if not self.owed:
                character = self.text[self.at : self.at + 1]
                if character not in (" ", "\t") or not character:
                    return
                self.at += 1
                self.owed = 4 - self.column % 4 if character == "\t" else 1
            taken = min(columns, self.owed)
            self.owed -= taken
            self.column += taken
            columns -= taken

    def take(self, characters: int) -> None:
        """Take characters that are no white space, once `skip` has taken what was before them."""
        self.at += characters
        self.column += characters


@dataclass(frozen=True, slots=True)
class _Container:
    columns: int | None
    # of a list item: what its lines are indented by; None: a block quote
    empty: bool = False
    # a list item that has nothing yet: a second blank line ends it


@dataclass(frozen=True, slots=True)
class _Fence:
    mark: str
    indent: int
    info: str

    def closed_by(self, line: _Line) -> bool:
        text = line.rest.strip(" \t")
        return line.indent <= 3 and len(text) >= len(self.mark) and not text.strip(self.mark[0])


Kind = Literal["text", "opening", "code", "closing"]


@dataclass(slots=True)
class Lines:
    """What each line of a Markdown text is, one after another. A copy (`copy.copy`) goes its own way."""

    kind: Kind = "text"
    # of the line that was read last
    code: str = ""
    # of a line of code: without the indentation of fence and containers, and without its end
    apart: bool = False
    # whether that line begins a block that is in no other and does not go on with a list
    info: str | None = None
    # the info string of the fence that is open; None: none is
    _containers: tuple[_Container, ...] = ()
    _paragraph: bool = False
    # the line belongs to one, so that the next may too
    _fence: _Fence | None = None

    def read(self, text: str) -> None:
        """Take a line, without its end."""
        line = _Line(text)
        matched = self._matching(line)
        self.code, self.apart = "", False
        if self._fence and matched == len(self._containers):
            if self._fence.closed_by(line):
                self.kind, self.info, self._fence = "closing", None, None
            else:
                line.skip(self._fence.indent)
                self.kind, self.code = "code", line.rest
        else:
            self.kind, self.info, self._fence = "text", None, None
            self._read_text(line, matched)

    def _matching(self, line: _Line) -> int:
        """How many of the containers a line goes on with; what says so is taken."""
        for number, container in enumerate(self._containers):
            if container.columns is None:
                if line.indent > 3 or not line.rest.lstrip(" \t").startswith(">"):
                    return number
                _take_quote(line)
            elif line.indent >= container.columns and not (line.blank and container.empty):
                line.skip(container.columns)
            elif line.blank and not container.empty:
                line.skip(line.indent)
            else:
                return number
        return len(self._containers)

    def _read_text(self, line: _Line, matched: int) -> None:
        opened: list[_Container] = []
        paragraph = self._paragraph and matched == len(self._containers)
        # whether the line may go on with the paragraph where it stands itself; else it may only lazily
        leaf = False
        while not line.blank and (indent := line.indent) < 4:
            rest = line.rest.lstrip(" \t")
            if rest.startswith(">"):
                _take_quote(line)
                opened.append(_Container(None))
            elif fence := _OPENING.match(rest):
                mark, info = (fence[1], fence[2]) if fence[1] else (fence[3], fence[4])
                self.kind, self.info = "opening", info.strip(" \t")
                self._fence = _Fence(mark, indent, self.info)
                leaf = True
                break
            elif paragraph and _UNDERLINE.match(rest):
                # it makes a heading of the paragraph
                self._paragraph = False
                return
            elif _HEADING.match(rest) or _RULE.match(rest):
                leaf = True
                break
            elif item := _item(line, rest, indent, interrupts=paragraph):
                opened.append(item)
            else:
                break
            paragraph = False
        else:
            # blank, or indented code where no paragraph goes on
            leaf = line.blank or not self._paragraph or bool(opened)
        if not leaf and not opened and self._paragraph:
            # the containers stay open, those too that the line does not go on with
            return
        self.apart = matched == 0 and not line.blank and not self._same_list(opened)
        self._paragraph = not leaf and not line.blank
        kept = self._containers[:matched]
        if not line.blank or opened:
            kept = tuple(_Container(each.columns) for each in kept)
        self._containers = (*kept, *opened)

    def _same_list(self, opened: list[_Container]) -> bool:
        """Whether a line that goes on with no container begins another item of the list before it."""
        before = self._containers[:1]
        return bool(before and opened and before[0].columns is not None and opened[0].columns is not None)


@dataclass(slots=True)
class Reader:
    """Reads a text that grows. Its blocks are at any time what `blocks` gives for the text so far."""

    settled: int = 0
    # an offset: what is before it is displayed the same, whatever comes (but for link reference definitions). It is
    # the start of the last block that stands in no other: a paragraph, a fence, or a whole list
    _lines: Lines = field(default_factory=Lines)
    _done: list[Block] = field(default_factory=list)
    _code: list[str] = field(default_factory=list)
    # of the open fence
    _start: int = 0
    # of the open fence
    _tail: str = ""
    # a line that may not be whole
    _at: int = 0
    # where it begins

    def push(self, text: str) -> None:
        *lines, self._tail = _split(self._tail + text)
        for line in lines:
            self._read(line)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks so far; the last may be open, and has what is there of its last line too."""
        reader = self
        if self._tail:
            reader = replace(self, _lines=copy(self._lines), _done=self._done[:], _code=self._code[:])
            reader._read(self._tail)
        open_block = [] if reader._lines.info is None else [reader._block(reader._lines.info, reader._at)]
        return (*reader._done, *open_block)

    def _read(self, raw: str) -> None:
        """Take a line with its end."""
        start, self._at = self._at, self._at + len(raw)
        text = raw.rstrip("\r\n")
        info = self._lines.info
        self._lines.read(text)
        kind = self._lines.kind
        if kind == "code":
            self._code.append(self._lines.code + "\n" * (text != raw))
        elif info is not None:
            end = self._at if kind == "closing" else start
            self._done.append(self._block(info, end, closed=kind == "closing"))
        if kind == "opening":
            self._start, self._code = start, []
        if self._lines.apart:
            self.settled = start

    def _block(self, info: str, end: int, *, closed: bool = False) -> Block:
        return Block(language_of(info), info, "".join(self._code), self._start, end, closed)


def language_of(info: str) -> str:
    """The language that an info string names; "": none."""
    match = _LANGUAGE.match(info)
    return match[1] if match else ""


def blocks(markdown: str) -> tuple[Block, ...]:
    """The fenced code blocks of a text, in order."""
    reader = Reader()
    reader.push(markdown)
    return reader.blocks


def _split(text: str) -> list[str]:
    """Lines with their ends; the last is what may still grow ("" where nothing may)."""
    lines: list[str] = []
    at = 0
    while at < len(text):
        match = _LINE.match(text, at)
        assert match
        # a "\r" at the very end may be half of a "\r\n"
        if match.end() == len(text) and not match[0].endswith("\n"):
            break
        lines.append(match[0])
        at = match.end()
    return [*lines, text[at:]]


def _take_quote(line: _Line) -> None:
    line.skip(line.indent)
    line.take(1)
    line.skip(1)


def _item(line: _Line, rest: str, indent: int, *, interrupts: bool) -> _Container | None:
    """The list item that begins here, its marker taken. One that would interrupt a paragraph must have a text, and 1 as
    its number.
    """
    marker = _BULLET.match(rest)
    if not marker:
        return None
    behind = rest[marker.end() :].strip(" \t")
    if interrupts and (not behind or marker[1] not in (None, "1")):
        return None
    line.skip(indent)
    line.take(marker.end())
    spaces = line.indent
    if not behind or spaces > 4:
        # nothing behind it, or indented code
        spaces = 1
    line.skip(spaces)
    return _Container(indent + marker.end() + spaces, empty=not behind)
