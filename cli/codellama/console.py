"""The process boundary: streams, terminal or pipe, progress on stderr.

Standard output carries the answer, standard error everything else. A pipe gets text as it is; whatever a
terminal is shown has gone through `sanitise`.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from typing import IO, TYPE_CHECKING, BinaryIO, Literal, TextIO

from codellama.errors import CodellamaError, ReaderGoneError
from codellama.sanitiser import one_line, sanitise

if TYPE_CHECKING:
    from codellama.dialog import Progress

Unit = Literal["bytes", "tokens", ""]


def _abandon(stream: IO[str] | IO[bytes]) -> None:
    """Point a stream's file descriptor to /dev/null, so that what is left in its buffer harms nobody at exit.

    The recipe in "Note on SIGPIPE" of the documentation of Python's signal module.
    """
    # a stream without a descriptor (a buffer in memory) needs none of this
    with suppress(OSError, ValueError):
        descriptor = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)


def _closed() -> BytesIO:
    """What stands for a standard output that the program was started without: to write to it is an error."""
    stream = BytesIO()
    stream.close()
    return stream


def _is_terminal(stream: IO[str] | IO[bytes]) -> bool:
    # ValueError: the stream is closed
    with suppress(ValueError):
        return stream.isatty()
    return False


def _terminal_size(stream: IO[str] | IO[bytes]) -> os.terminal_size | None:
    with suppress(OSError, ValueError):
        size = os.get_terminal_size(stream.fileno())
        # a serial line or a bare container says 0 × 0
        return size if size.columns > 0 and size.lines > 0 else None
    return None


@dataclass
class Console:
    """The streams of a process and what is known about them. In a test: buffers in memory, and no terminal."""

    stdin: BinaryIO = field(default_factory=BytesIO)
    stdout: BinaryIO = field(default_factory=BytesIO)
    stderr: TextIO = field(default_factory=StringIO)
    stdin_tty: bool = False
    stdout_tty: bool = False
    stderr_tty: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False
    # True: no notes, warnings and progress
    _progress: ProgressLine | None = field(default=None, init=False, repr=False)
    _line_open: bool = field(default=False, init=False, repr=False)
    # True: the answer on the terminal is in mid-line, so nothing may repaint that line

    @classmethod
    def from_process(cls, *, quiet: bool = False) -> Console:
        # a stream is None where the process was started with its descriptor closed (`>&-`)
        stdin: BinaryIO = sys.stdin.buffer if sys.stdin is not None else BytesIO()
        stdout: BinaryIO = sys.stdout.buffer if sys.stdout is not None else _closed()
        stderr: TextIO = sys.stderr if sys.stderr is not None else StringIO()
        return cls(
            stdin, stdout, stderr, _is_terminal(stdin), _is_terminal(stdout), _is_terminal(stderr), os.environ, quiet
        )

    @property
    def size(self) -> os.terminal_size | None:
        """The size of the terminal that is standard output; None: no terminal, or it does not say."""
        return _terminal_size(self.stdout) if self.stdout_tty else None

    @property
    def width(self) -> int:
        """Columns to lay text out for: the terminal's, else $COLUMNS, else 80."""
        return (self.size or self._fallback_size()).columns

    @property
    def height(self) -> int:
        return (self.size or self._fallback_size()).lines

    def _fallback_size(self) -> os.terminal_size:
        error_size = _terminal_size(self.stderr) if self.stderr_tty else None
        return error_size or shutil.get_terminal_size()

    @property
    def colour(self) -> bool:
        """Whether standard output may be coloured (https://no-color.org: set and not empty means no)."""
        return self.stdout_tty and not self.dumb and not self.environ.get("NO_COLOR")

    @property
    def dumb(self) -> bool:
        """Whether the terminal knows no escape sequences."""
        return self.environ.get("TERM", "dumb") in ("", "dumb")

    def write(self, text: str) -> None:
        """Write to standard output, at once: to a pipe the text as it is, to a terminal sanitised.

        Raises ReaderGoneError where nobody reads any more, CodellamaError where the text cannot be written.
        """
        self.paint(sanitise(text) if self.stdout_tty else text)

    def write_line(self, text: str = "") -> None:
        """`write`, and a newline."""
        self.write(text + "\n")

    def paint(self, text: str) -> None:
        """Write to standard output as it is, escape sequences too: for text that is our own or sanitised before.

        Raises as `write` does.
        """
        if not text:
            return
        self._erase_progress()
        if self.stdout_tty:
            self._line_open = not text.endswith("\n")
        try:
            # file names that are not UTF-8 come back as the bytes they are
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            data = text.encode("utf-8", "replace")
        try:
            self.stdout.write(data)
            self.stdout.flush()
        except OSError as error:
            self.abandon_stdout()
            # EIO: a terminal that was closed
            if error.errno in (errno.EPIPE, errno.ECONNRESET) or (error.errno == errno.EIO and self.stdout_tty):
                raise ReaderGoneError("nobody reads standard output any more") from None
            raise CodellamaError(f"cannot write to standard output: {error.strerror}") from error
        except ValueError:
            raise CodellamaError("cannot write to standard output: it is closed") from None

    def abandon_stdout(self) -> None:
        """Point standard output to /dev/null, so that the interpreter has nothing to complain about at exit."""
        _abandon(self.stdout)

    def note(self, text: str) -> None:
        """Say something on standard error, on one line; not when quiet."""
        if not self.quiet:
            self._say(one_line(text), "2")

    def warn(self, text: str) -> None:
        """Say `warning: text` on standard error, on one line; not when quiet."""
        if not self.quiet:
            self._say("warning: " + one_line(text), "33")

    def error(self, text: str) -> None:
        """Say `codellama: text` on standard error, on one line, quiet or not."""
        self._say("codellama: " + one_line(text))

    def ask(self, question: str) -> str:
        """Ask on standard error and read a line of standard input, for where both are terminals. Empty at its end."""
        self._erase_progress()
        self._write_error(one_line(question) + " ")
        answer = self.stdin.readline()
        if not answer.endswith(b"\n"):
            self._write_error("\n")
        return answer.decode("utf-8", "replace").strip()

    @contextmanager
    def progress(self, label: str) -> Iterator[ProgressLine]:
        """A line on standard error that tells how far some work is, repainted in place and erased at the end.

        Only on a terminal, and not when quiet; the object can be fed all the same. What is written to the terminal
        meanwhile erases the line first, and an answer in mid-line keeps it away.
        """
        outer, line = self._progress, ProgressLine(self, label)
        self._erase_progress()
        self._progress = line
        try:
            yield line
        finally:
            line.erase()
            self._progress = outer

    def _erase_progress(self) -> None:
        if self._progress:
            self._progress.erase()

    def _say(self, line: str, style: str = "") -> None:
        self._erase_progress()
        coloured = style and self.stderr_tty and not self.dumb and not self.environ.get("NO_COLOR")
        self._write_error(f"\x1b[{style}m{line}\x1b[0m\n" if coloured else line + "\n")

    def _write_error(self, text: str) -> None:
        # a full disk or a closed terminal under standard error is no reason to fail (ValueError: closed, or ASCII)
        try:
            self.stderr.write(text)
            self.stderr.flush()
        except (OSError, ValueError):
            _abandon(self.stderr)


_INTERVAL = 0.1
# seconds between two repaintings of a progress line
_BAR = 20


class ProgressLine:
    """What `Console.progress` gives: feed it with `update` or `show`, as often as you like."""

    def __init__(self, console: Console, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._label = one_line(label)
        self._clock = clock
        self._began = clock()
        self._due = self._began
        self._enabled = console.stderr_tty and not console.dumb and not console.quiet
        self._painted = False

    def update(self, progress: Progress) -> None:
        """Show what a backend tells before its first token."""
        if progress.stage == "load":
            self.show("loading", progress.done, progress.total, "bytes")
        else:
            self.show("reading the prompt", progress.done, progress.total, "tokens")

    def show(self, doing: str, done: int = 0, total: int = 0, unit: Unit = "") -> None:
        """Show `label: doing` with how much is done of how much (0: not known). Painted at most ten times a second."""
        now = self._clock()
        if not self._enabled or self._console._line_open or now < self._due:
            return
        self._due = now + _INTERVAL
        # less one: in the last column a terminal may wrap
        room = (_terminal_size(self._console.stderr) or self._console._fallback_size()).columns - 1
        parts = [f"{self._label}: {one_line(doing)}"]
        if done > 0 or total > 0:
            parts.append(_amounts(done, total, unit))
        if total > 0:
            parts.append(f"{_percent(done, total)} %")
        parts.append(f"{int(now - self._began) // 60}:{int(now - self._began) % 60:02}")
        line = "  ".join(parts)
        if total > 0 and len(line) + _BAR + 4 <= room:
            filled = _percent(done, total) * _BAR // 100
            line = f"{line}  [{'#' * filled:.<{_BAR}}]"
        self._console._write_error(f"\r{_clip(line, room)}\x1b[K")
        self._painted = True

    def erase(self) -> None:
        if self._painted:
            self._painted = False
            self._due = self._clock() + _INTERVAL
            self._console._write_error("\r\x1b[K")


def _percent(done: int, total: int) -> int:
    return min(max(done * 100 // total, 0), 100)


def _amounts(done: int, total: int, unit: Unit) -> str:
    """`4.2 of 13.5 GB`, `512 of 4096 tokens`, `12 tokens`."""
    if unit == "bytes":
        power = next((power for power in (9, 6, 3) if max(done, total) >= 10**power), 0)
        unit_name, digits = {9: "GB", 6: "MB", 3: "kB", 0: "bytes"}[power], 1 if power else 0
        numbers = [f"{number / 10**power:.{digits}f}" for number in (done, total)]
    else:
        unit_name, numbers = unit, [str(done), str(total)]
    return f"{' of '.join(numbers) if total else numbers[0]} {unit_name}".rstrip()


def _clip(text: str, cells: int) -> str:
    """As much of a text as surely fits into so many cells of a terminal."""
    used = 0
    for index, character in enumerate(text):
        used += 2 if unicodedata.east_asian_width(character) in "WFA" else 1
        if used > cells:
            return text[:index]
    return text
