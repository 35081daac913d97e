"""A terminal for tests: a real pseudo-terminal, and a screen that shows what came out of it.

The screen knows the few sequences codellama may use and fails on any other, so a test that paints on it also proves
that nothing hostile got through. Terminals differ; `Dialect` says which one it is.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from codellama.console import Console

CLI = Path(__file__).parents[1] / "cli"


@dataclass(frozen=True)
class Dialect:
    ambiguous: int = 1
    # cells of a character whose width Unicode calls ambiguous
    merges: bool = False
    # True: what follows a joiner adds no cells, and the selector of emoji style widens
    combines: bool = True
    # False: combining marks, joiners and selectors take a cell of their own


@dataclass
class Row:
    cells: list[tuple[str, str] | None] = field(default_factory=list)
    # character with its marks, and style; None: nothing was written there
    wrapped: bool = False
    # True: the next row goes on with this one

    @property
    def text(self) -> str:
        return "".join(cell[0] for cell in self.cells if cell)


_SEQUENCE = re.compile(r"\x1b\[(\??[0-9;]*)([AHKhlm])")


class Screen:
    """Rows above the screen's top are final, as in a terminal's scrollback."""

    def __init__(self, width: int = 80, height: int = 24, dialect: Dialect | None = None) -> None:
        self.width, self.height, self.dialect = width, height, dialect or Dialect()
        self.rows = [Row()]
        self.row = self.column = 0
        # column == width: the next character wraps
        self.style = ""
        self.modes = {"?7", "?25"}
        # ?7: lines wrap; ?25: the cursor is seen; ?1049: the alternate screen; ?2004: what is pasted is marked
        self._main: tuple[list[Row], int, int] | None = None
        # what was there before the alternate screen

    def feed(self, output: bytes) -> Self:
        text = output.decode("utf-8")
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                match = _SEQUENCE.match(text, at)
                assert match, f"an unexpected sequence: {text[at : at + 20]!r}"
                self._sequence(match[1], match[2])
                at = match.end()
                continue
            self._character(text[at])
            at += 1
        return self

    def _sequence(self, parameters: str, final: str) -> None:
        if final == "m":
            self.style = "" if parameters in ("", "0") else parameters
        elif final == "A":
            top = max(len(self.rows) - self.height, 0)
            self.row = max(self.row - int(parameters), top)
            self.column = min(self.column, self.width - 1)
        elif final in "hl":
            self._mode(parameters, final == "h")
        elif final == "H":
            assert "?1049" in self.modes, "rows are addressed on the alternate screen alone"
            line, column = (int(part) for part in parameters.split(";"))
            self.row, self.column = min(line, self.height) - 1, min(column, self.width) - 1
            self.rows += [Row() for _ in range(len(self.rows), self.row + 1)]
        else:
            assert parameters == ""
            row = self.rows[self.row]
            # from the cursor on, which in the last column covers what was just written
            del row.cells[min(self.column, self.width - 1) :]
            row.wrapped = False

    def _mode(self, mode: str, wanted: bool) -> None:
        assert mode in ("?7", "?25", "?1049", "?2004"), f"an unexpected mode: {mode}"
        if mode == "?1049" and wanted != (mode in self.modes):
            if wanted:
                self._main = self.rows, self.row, self.column
                self.rows, self.row, self.column = [Row()], 0, 0
            elif self._main:
                self.rows, self.row, self.column = self._main
        self.modes = self.modes | {mode} if wanted else self.modes - {mode}

    def _character(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._down()
        elif character == "\t":
            # a tab only moves the cursor, and stops at the edge; on a fresh line that looks like spaces
            for _ in range(min(8 - self.column % 8, self.width - 1 - self.column)):
                self._print(" ")
        else:
            assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"), f"not printable: {character!r}"
            self._print(character)

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append(Row())

    def _print(self, character: str) -> None:
        cells = self.rows[self.row].cells
        cell = cells[self.column - 1] if 0 < self.column <= len(cells) else None
        width = self._width(character)
        if self.dialect.merges and cell and cell[0].endswith("\u200d"):
            width = 0
        if width == 0 and cell:
            cells[self.column - 1] = (cell[0] + character, cell[1])
            if self.dialect.merges and character == "\ufe0f" and self.column < self.width and len(cells) < self.width:
                cells[self.column :] = [("", self.style)]
                self.column += 1
            return
        width = min(max(width, 1), self.width)
        if self.column + width > self.width and "?7" not in self.modes:
            self.column = self.width - width
        if self.column + width > self.width:
            self.rows[self.row].wrapped = True
            self._down()
            self.column = 0
            cells = self.rows[self.row].cells
        cells.extend([None] * (self.column - len(cells)))
        # a wide character's text lies in its last cell
        cells[self.column : self.column + width] = [("", self.style)] * (width - 1) + [(character, self.style)]
        self.column += width

    def _width(self, character: str) -> int:
        if unicodedata.category(character) in ("Mn", "Me", "Cf"):
            return 0 if self.dialect.combines else 1
        kind = unicodedata.east_asian_width(character)
        return 2 if kind in "WF" else self.dialect.ambiguous if kind == "A" else 1

    @property
    def lines(self) -> list[str]:
        """Lines as they were written: wrapped rows joined. The last one is empty after a final newline."""
        lines = [""]
        for row in self.rows:
            lines[-1] += row.text
            if not row.wrapped:
                lines.append("")
        return lines[:-1]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def style_of(self, text: str) -> set[str]:
        """The styles a text has where it first stands in a row."""
        for row in self.rows:
            at = row.text.find(text)
            if at >= 0:
                cells = [cell for cell in row.cells if cell]
                return {style for _, style in cells[at : at + len(text)]}
        raise AssertionError(f"{text!r} is not on the screen: {self.text!r}")


def set_size(descriptor: int, width: int, height: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


_END = b"\0end\0"
# Written last, and the pseudo-terminal stays open until it was read: under Linux the end of one can overtake what was
# written to it (seen with some 10 kB and a busy machine).


Step = tuple[bytes, bytes | tuple[int, int]]
# once this is seen, behind what the step before waited for: that is typed, or the terminal gets that size

_PATIENCE = 10.0
# seconds in which a program shows something, or gets Ctrl-C and Ctrl-D


class Terminal:
    """A pseudo-terminal in this process: streams on it, what was written to them, and a user who follows `steps`."""

    def __init__(self, width: int = 80, height: int = 24, steps: Sequence[Step] = ()) -> None:
        self._master, self._slave = os.openpty()
        set_size(self._slave, width, height)
        self.steps = list(steps)
        # those that are left
        self._patience = _PATIENCE if steps else None
        self.stdin = os.fdopen(os.dup(self._slave), "rb")
        self.stdout = os.fdopen(os.dup(self._slave), "wb")
        self.stderr = os.fdopen(os.dup(self._slave), "w", encoding="utf-8")
        self.width, self.height = width, height
        self._output = bytearray()
        # the kernel holds only some kB for a reader
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        seen = 0
        while not self._output.endswith(_END):
            if not select.select([self._master], [], [], self._patience)[0]:
                self.send(b"\x03\x04")
                continue
            self._output += os.read(self._master, 65536)
            while self.steps and (at := self._output.find(self.steps[0][0], seen)) >= 0:
                seen = at + len(self.steps[0][0])
                _, action = self.steps.pop(0)
                self.send(action) if isinstance(action, bytes) else self.resize(*action)

    def send(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def console(self, *, quiet: bool = False, term: str = "xterm-256color", no_colour: str = "") -> Console:
        return Console(
            stdin=self.stdin,
            stdout=self.stdout,
            stderr=self.stderr,
            stdin_tty=True,
            stdout_tty=True,
            stderr_tty=True,
            environ={"TERM": term, "NO_COLOR": no_colour},
            quiet=quiet,
        )

    def resize(self, width: int, height: int) -> None:
        set_size(self._master, width, height)

    def close(self) -> bytes:
        """What was written. The streams are closed."""
        if not self.stdout.closed:
            self.stdin.close()
            self.stdout.close()
            self.stderr.close()
            os.write(self._slave, _END)
            self._reader.join()
            os.close(self._slave)
            os.close(self._master)
        return bytes(self._output).removesuffix(_END)

    def screen(self, dialect: Dialect | None = None) -> Screen:
        return Screen(self.width, self.height, dialect).feed(self.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Finished:
    output: bytes
    # of the terminal
    code: int


_PRELUDE = (
    "import fcntl, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    # a shell starts what runs in its background with SIGINT ignored, and so would this be
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
)


def environment(**changes: str) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    return {**environ, "PYTHONPATH": str(CLI), "TERM": "xterm-256color", **changes}


def run(
    program: str,
    *,
    width: int = 80,
    height: int = 24,
    environ: Mapping[str, str] | None = None,
    keys: tuple[bytes, bytes] | list[tuple[bytes, bytes]] | None = None,
    timeout: float = 20,
) -> Finished:
    """Run a Python program on a pseudo-terminal, which is its controlling one.

    `keys`: what is typed once something is seen; of several, each behind what the one before waited for.
    """
    master, slave = os.openpty()
    set_size(slave, width, height)
    process = subprocess.Popen(
        [sys.executable, "-c", _PRELUDE + program],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(**(environ or {})),
        start_new_session=True,
    )
    output = b""
    steps = keys if isinstance(keys, list) else [keys] if keys else []
    seen = 0
    deadline = time.monotonic() + timeout
    ended = False
    try:
        while not output.endswith(_END):
            if not ended and process.poll() is not None:
                os.write(slave, _END)
                ended = True
            if not select.select([master], [], [], 0.02)[0]:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the program did not end: {output!r}")
                continue
            output += os.read(master, 65536)
            while steps and (at := output.find(steps[0][0], seen)) >= 0:
                seen = at + len(steps[0][0])
                os.write(master, steps[0][1])
                steps = steps[1:]
        return Finished(output.removesuffix(_END), process.wait(timeout))
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)
