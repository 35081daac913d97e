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
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cache
from os import terminal_size
from types import TracebackType
from typing import TYPE_CHECKING, Self

from codellama.console import Console, sanitise
from codellama.errors import CodellamaError, InputError

if TYPE_CHECKING:
    from pygments.lexer import Lexer
    from pygments.token import _TokenType

Run = tuple[int, int, str]
# from, to, and the SGR parameters of that part of a text; "": as the terminal has it


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


def lexer_name(filename: str | None = None, language: str | None = None, text: str = "") -> str:
    """Pygments' name of a language: the one asked for, else the file name's, else python.

    `text` decides where a file name fits several languages. Raises InputError for a language that is not known.
    """
    # 60 ms, most of it for the first look-up
    from pygments.lexers import find_lexer_class_by_name, find_lexer_class_for_filename
    from pygments.util import ClassNotFound

    if language:
        try:
            found = find_lexer_class_by_name(language)
        except ClassNotFound:
            raise InputError(
                f"unknown language {language}: take python, c, cpp, java, javascript, typescript, bash or another "
                "that Pygments knows, or leave it out"
            ) from None
    else:
        found = find_lexer_class_for_filename(filename, text) if filename else None
    return found.aliases[0] if found and found.aliases else "python"


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


_RESET = "\x1b[0m"
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
        highlighter: Highlighter | None = None,
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
            piece = pushed[: _WINDOW if self._highlighter else len(pushed)]
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
        same = _ansi(text, runs, self._line, shown) == self._painted
        rows = None if same else self._rows(text[self._line : shown], extra)
        if rows is None:
            output = _ansi(text, runs, shown, len(text))
        else:
            up = f"\x1b[{rows}A" if rows else ""
            # the line only grows, so its last row alone is erased (of what was typed meanwhile); not to the end of the
            # screen, for tmux takes that at the top left as clearing it and keeps a copy of what was there
            output = f"\r\x1b[K{up}{_ansi(text, runs, self._line, len(text))}"
        line = text.rfind("\n", shown) + 1 or self._line
        painted = _ansi(text, runs, line, len(text))
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


def _ansi(text: str, runs: list[Run], start: int, stop: int) -> str:
    """A part of a text with escape sequences; every styled piece ends with a reset."""
    pieces = []
    at = start
    for begin, end, style in runs[max(bisect_left(runs, (start,)) - 1, 0) :]:
        begin, end = max(begin, at), min(end, stop)
        if begin >= stop:
            break
        if style and begin < end:
            pieces.append(text[at:begin])
            pieces.append(f"\x1b[{style}m{text[begin:end]}{_RESET}")
            at = end
    pieces.append(text[at:stop])
    return "".join(pieces)


# Colours of the terminal's own palette that can be read on a light and on a dark ground: no yellow, blue or grey.
# A style holds for the token's subtypes; pygments.token.STANDARD_TYPES has the short names.
_STYLES = {
    "c": "2",  # Comment: faint
    "cp": "36",  # Comment.Preproc
    "k": "35",  # Keyword: magenta
    "kc": "36",  # Keyword.Constant: cyan
    "ow": "35",  # Operator.Word
    "nb": "36",  # Name.Builtin
    "nc": "1",  # Name.Class: bold
    "nf": "1",  # Name.Function
    "nd": "36",  # Name.Decorator
    "nt": "35",  # Name.Tag
    "s": "32",  # String: green
    "m": "36",  # Number
    "gd": "31",  # Generic.Deleted: red
    "gi": "32",  # Generic.Inserted
    "gh": "1",  # Generic.Heading
    "gu": "1",  # Generic.Subheading
}
_WINDOW = 4096
# characters that are lexed at each painting; about 5 ms
_TAIL = 2048
# of them, those that must agree before the front is dropped
_LIMIT = 4 * _WINDOW
# where no front could be dropped, lexing is given up here


class Highlighter:
    """Colours a growing text by lexing a window of its end, so that the cost of a painting stays bounded."""

    def __init__(self, name: str) -> None:
        from pygments.lexers import get_lexer_by_name
        from pygments.token import STANDARD_TYPES

        self._lexer: Lexer = get_lexer_by_name(name)
        styled = {kind: _STYLES[short] for kind, short in STANDARD_TYPES.items() if short in _STYLES}

        @cache
        def style(kind: _TokenType) -> str:
            return styled.get(kind) or (style(kind.parent) if kind.parent else "")

        self._style = style
        self._limit = _WINDOW
        self._tokens: list[tuple[int, _TokenType, str]] = []

    def runs(self, text: str, start: int) -> list[Run]:
        """The styled parts of the text that end after `start`, in order."""
        self._tokens = list(self._lex(text))
        runs = []
        # whatever a lexer does with positions, no part of the text is shown twice
        at = start
        for begin, kind, value in self._tokens:
            end = min(begin + len(value), len(text))
            if end > at:
                if style := self._style(kind):
                    runs.append((max(begin, at), end, style))
                at = end
        return runs

    def advance(self, text: str, line: int) -> int | None:
        """From where on the text just given to `runs` must be kept; None: it is too long to go on with.

        `line` is where its open line begins. A later start will do if lexing from there gives what lexing the whole
        gave, over a good length: the lexer then was in its first state there. Inside a long string it was not, and
        the window grows until the string ends.
        """
        if len(text) < self._limit:
            return 0
        begins = [begin for begin, _, _ in self._tokens]
        lines = [match.end() for match in re.finditer("\n", text[: min(line, len(text) - _TAIL)])]
        lines.reverse()
        # the nearest lines, which a string may hold, and the nearest that are not indented
        for at in lines[:3] + [at for at in lines if not text[at].isspace()][:2]:
            first = bisect_left(begins, at)
            tail = self._tokens[first:]
            again = ((begin + at, kind, value) for begin, kind, value in self._lex(text[at:]))
            if tail and tail[0][0] == at and all(one == other for one, other in zip(again, tail, strict=False)):
                self._limit = _WINDOW
                return at
        self._limit = len(text) + _TAIL
        return None if len(text) > _LIMIT else 0

    def _lex(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        # not get_tokens, which alters the text; lexers expect a final newline
        tokens: Iterator[tuple[int, _TokenType, str]] = self._lexer.get_tokens_unprocessed(text + "\n")
        return tokens
