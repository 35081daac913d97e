"""An answer as it streams: highlighted code on a terminal, plain bytes in a pipe.

A pipe gets every piece as it is and at once. On a terminal the text is sanitised and coloured while it comes. Lines
that are complete are never touched again. The open line, the last one, is painted over where the colours of what it
already shows change (`de` is a name, `def` a keyword); where that cannot be done safely it is only added to, and
keeps the colours it has. The text is right in either case.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from os import terminal_size
from types import TracebackType
from typing import Protocol, Self

from codellama.console import Console
from codellama.errors import CodellamaError
from codellama.highlight import WINDOW, Highlighter, Run, ansi, lexer_name
from codellama.markdown import MarkdownHighlighter
from codellama.sanitiser import sanitise


class Display(ABC):
    """Takes an answer piece by piece. Use it in a `with`: whatever happens, what was pushed stays on the screen.

    `push` and `finish` raise as `Console.write` does.
    """

    @abstractmethod
    def push(self, text: str) -> None:
        """Show more of the text. What was known beforehand (a prompt before its completion) is pushed too."""

    @abstractmethod
    def finish(self) -> None:
        """Show what is still held back; on a terminal, end the last line. Nothing may be pushed after it."""

    @abstractmethod
    def abort(self) -> None:
        """`finish` after an error or Ctrl-C, whose `^C` may stand in the open line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
            return
        try:
            self.abort()
        except CodellamaError as second:
            error.add_note(f"then: {second}")


class _Highlights(Protocol):
    """What colours a growing text: a `Highlighter`, or one for Markdown."""

    def runs(self, text: str, start: int) -> list[Run]: ...
    def advance(self, text: str, line: int) -> int | None: ...


def open_markdown(console: Console) -> Display:
    """A display for Markdown on standard output."""
    if not console.stdout_tty:
        return PipeDisplay(console)
    return TerminalDisplay(console, MarkdownHighlighter() if console.colour else None)


def open_display(
    console: Console, *, language: str | None = None, filename: str | None = None, raw: bool = False
) -> Display:
    """A display for code on standard output.

    `language` is what the user asked for, `filename` where the code belongs. `raw`: no colours. Raises InputError for
    a language that is not known, also where nothing will be coloured.
    """
    name = lexer_name(filename, language) if language or (console.colour and not raw) else None
    if not console.stdout_tty:
        return PipeDisplay(console)
    return TerminalDisplay(console, Highlighter(name) if name and console.colour and not raw else None)


class PipeDisplay(Display):
    """Every piece at once, as it is; nothing added, not even a final newline."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def push(self, text: str) -> None:
        self._console.write(text)

    def finish(self) -> None:
        pass

    def abort(self) -> None:
        pass


_INTERVAL = 1 / 15
# seconds between two paintings, at least
_SHARE = 0.25
# of the time may go into painting
_LONGEST = 1.0
# seconds between two paintings, at most


class TerminalDisplay(Display):
    """Paints a growing text. Without a highlighter nothing is ever painted over: fit for any terminal.

    `interval` and `share` bound the cost, see above; 0 and 1 paint at each push.
    """

    def __init__(
        self,
        console: Console,
        highlighter: _Highlights | None = None,
        *,
        interval: float = _INTERVAL,
        share: float = _SHARE,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._console = console
        self._highlighter = highlighter
        self._interval = interval
        self._rest = 1 / share - 1
        self._clock = clock
        self._due = 0.0
        self._pending: list[str] = []
        # as pushed
        self._text = ""
        # as shown; what the highlighter no longer needs is gone from its front
        self._line = 0
        # where in it the open line begins
        self._painted = ""
        # the open line, as it stands on the screen
        self._size: terminal_size | None = None
        # the terminal's when the open line began; None: not known
        self._finished = False

    def push(self, text: str) -> None:
        self._pending.append(text)
        if self._clock() >= self._due:
            self._paint()

    def finish(self) -> None:
        self._end(extra=0)

    def abort(self) -> None:
        self._end(extra=len("^C"))

    def _end(self, extra: int) -> None:
        if self._finished:
            return
        self._finished = True
        self._paint(last=True, extra=extra)
        if self._text and not self._text.endswith("\n"):
            self._console.paint("\n")

    def _paint(self, last: bool = False, extra: int = 0) -> None:
        """Bring the screen up to date. The terminal may have added `extra` cells to the open line by itself."""
        began = self._clock()
        pushed = "".join(self._pending)
        while pushed:
            # in portions, since lexing costs some 5 µs a character, and more in dense code
            piece = pushed[: WINDOW if self._highlighter else len(pushed)]
            if piece.endswith("\r") and (len(piece) < len(pushed) or not last):
                # whether it stands alone shows with the next character
                piece = piece[:-1]
            if not piece:
                break
            pushed = pushed[len(piece) :]
            self._add(self._take(piece), pushed, extra)
        now = self._clock()
        self._due = now + min(max(self._interval, (now - began) * self._rest), _LONGEST)

    def _add(self, fresh: str, pending: str, extra: int) -> None:
        """Add what is fit to be shown, and note what is still to be taken after it."""
        text, shown = self._text + fresh, len(self._text)
        runs = self._highlighter.runs(text, self._line) if self._highlighter else []
        same = ansi(text, runs, self._line, shown) == self._painted
        rows = None if same else self._rows(text[self._line : shown], extra)
        if rows is None:
            output = ansi(text, runs, shown, len(text))
        else:
            up = f"\x1b[{rows}A" if rows else ""
            # the line only grows, so its last row alone is erased (of what was typed meanwhile); not to the end of the
            # screen, for tmux takes that at the top left as clearing it and keeps a copy of what was there
            output = f"\r\x1b[K{up}{ansi(text, runs, self._line, len(text))}"
        line = text.rfind("\n", shown) + 1 or self._line
        painted = ansi(text, runs, line, len(text))
        size = self._console.size
        if line == self._line and self._painted and size != self._size:
            # terminals differ in what becomes of a line when they are resized
            size = None
        try:
            self._console.paint(output)
        finally:
            # Ctrl-C before the write leaves everything as it was; in the write, the stream's buffer keeps the rest,
            # which goes out with what is written next
            self._pending = [pending]
            self._text, self._line, self._painted, self._size = text, line, painted, size
        self._forget()

    def _take(self, pushed: str) -> str:
        """What was pushed as it is to be shown. Tabs become spaces: a terminal does not wrap them."""
        fresh = sanitise(pushed, self._text[-1:])
        if "\t" not in fresh:
            return fresh
        return (self._text[self._line :] + fresh).expandtabs(8)[len(self._text) - self._line :]

    def _forget(self) -> None:
        """Drop the front of the text that is no longer needed."""
        start = self._highlighter.advance(self._text, self._line) if self._highlighter else self._line
        if start is None:
            # the open line stays as it is, what follows has no colours
            self._highlighter, self._painted, start = None, self._text[self._line :], self._line
        self._text, self._line = self._text[start:], self._line - start

    def _rows(self, line: str, extra: int) -> int | None:
        """How many rows above the cursor the open line begins; None: not known, or no longer on the screen."""
        size = self._console.size
        if size is None or size != self._size:
            return None
        rows = _rows(line, size.columns)
        if rows is None or rows >= size.lines or (extra and rows != _rows(line + "^" * extra, size.columns)):
            return None
        return rows


@cache
def _sure() -> re.Pattern[str]:
    # ASCII is one cell wide everywhere, and these (kana, ideographs, Hangul, full-width forms) two. Terminals differ on
    # the rest: accented letters under a setting for East Asia, emoji sequences, combining marks, scripts that join.
    return re.compile("[\x20-\x7e\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60]*")


def _rows(line: str, width: int) -> int | None:
    """How many rows a line takes on a terminal, less one; None: terminals differ."""
    if line.isascii():
        return max(len(line) - 1, 0) // width
    if sum(1 if character.isascii() else 2 for character in line) <= width:
        return 0
    if width < 2 or not _sure().fullmatch(line):
        return None
    rows = used = 0
    for character in line:
        cells = 1 if character.isascii() else 2
        # a wide character that does not fit goes to the next row whole
        rows, used = (rows, used + cells) if used + cells <= width else (rows + 1, cells)
    return rows
