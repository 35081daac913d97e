"""An answer as it streams: prose and code blocks, each a widget."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.reactive import Reactive
from textual.widgets import Static

from codellama.blocks import Block, Reader
from codellama.sanitiser import one_line
from codellama.tui.code import CodeBlock
from codellama.tui.prose import Prose

_NUMBERED = re.compile(r"(?<=[^\n])\n(\d{1,9}[.)] )")


@dataclass(frozen=True, slots=True)
class Ending:
    """What is said below an answer."""

    kind: Literal["note", "warning", "error"]
    text: str


class Reply(Vertical):
    """Grows with `push`; `end` shows it as a whole once more. Only what is new is rendered."""

    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)
    # as in Rows

    def __init__(self, text: str = "", ending: Ending | None = None) -> None:
        super().__init__()
        self.text = ""
        # as the model said it
        self._reader = Reader()
        self._parts: list[Prose | CodeBlock] = []
        # prose, code, prose, …: the last one is prose
        self._mounted = False
        self._ending = ending
        if text:
            self.push(text)
            self.end(ending)

    def compose(self) -> ComposeResult:
        self._mounted = True
        yield from self._parts
        if self._ending:
            yield _ending(self._ending)

    @property
    def code_blocks(self) -> list[CodeBlock]:
        return [part for part in self._parts if isinstance(part, CodeBlock)]

    def push(self, text: str) -> None:
        self.text += text
        self._reader.push(text)
        self._update(last=False)

    def end(self, ending: Ending | None = None) -> None:
        self._update(last=True)
        self._ending = ending
        if ending and self._mounted:
            self.mount(_ending(ending))

    def _update(self, *, last: bool) -> None:
        found = self._reader.blocks
        if found and not last and "\n" not in self.text[found[-1].start :]:
            # its first line is not whole: neither is its language, and it may be no fence after all
            found, end = found[:-1], found[-1].start
        else:
            end = len(self.text)
        start = 0
        for number, block in enumerate(found):
            self._prose(number, start, block.start, last=True)
            self._code(number, block, last=last or block.closed or number + 1 < len(found))
            start = block.end
        if not found or found[-1].closed or last:
            self._prose(len(found), start, end, last=last)

    def _prose(self, number: int, start: int, end: int, *, last: bool) -> None:
        text = self.text[start:end]
        if not last:
            head, newline, tail = text.removesuffix("\r").rpartition("\n")
            # a line that may yet become an opening fence is held back
            text = head + newline + tail if tail.strip(" `~") else head
        stripped = text.strip("\n")
        shown = _behind_a_block(stripped) if number else stripped
        before = start + len(text) - len(text.lstrip("\n"))
        settled = self._reader.settled - before if shown == stripped else 0
        part = self._part(2 * number)
        assert isinstance(part, Prose)
        part.set(shown, min(max(settled, 0), len(shown)), last=last)
        part.display = bool(shown.strip())

    def _code(self, number: int, block: Block, *, last: bool) -> None:
        part = self._part(2 * number + 1, block)
        assert isinstance(part, CodeBlock)
        if part.closed:
            return
        text = block.text
        if not last:
            head, newline, tail = text.rpartition("\n")
            # a line that may yet become the closing fence is held back
            text = head + newline + tail if tail.strip(" `~") else head
        text = text.removesuffix("\n")
        if text.startswith(part.code):
            part.push(text[len(part.code) :])
        if last:
            part.close(text)

    def _part(self, at: int, block: Block | None = None) -> Prose | CodeBlock:
        if at == len(self._parts):
            new = Prose() if block is None else CodeBlock(block.info, block.language, closed=False)
            self._parts.append(new)
            if self._mounted:
                self.mount(new)
        return self._parts[at]


def _behind_a_block(text: str) -> str:
    """A text that may go on with the list item that a code block stands in. By itself its indentation would make it
    code, and the next item's number would belong to its paragraph.
    """
    return _NUMBERED.sub(r"\n\n\1", textwrap.dedent(text)) if text[:1] in (" ", "\t") else text


def _ending(ending: Ending) -> Static:
    return Static(Content(one_line(ending.text)), classes=f"ending -{ending.kind}")
