"""The terminal taken over for a while: keys from it, rows onto it; then it is as it was.

All happens on the alternate screen. What is painted in place has to know how the terminal, and tmux between, breaks
lines anew when it is resized; here rows are addressed, and what was on the screen before returns by itself.
"""

from __future__ import annotations

import importlib.util
import os
import re
import select
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import NoReturn

from codellama.console import Console
from codellama.errors import InputError

_PASTE, _PASTE_END = b"\x1b[200~", b"\x1b[201~"
_KEY = re.compile(
    rb"\x1b\[200~.*?\x1b\[201~|\x1b\[(?!200~)[0-?]*[ -/]*([@-~])|\x1bO([ -~])|\x1b(?=\x1b)|\x1b[^\x1b\[O]|[^\x1b]",
    re.DOTALL,
)
_ARROWS = {b"A": "up", b"B": "down", b"C": "right", b"D": "left"}
RESIZED = "resized"
# stands among the keys where the size has changed

# The alternate screen, no wrapping (terminals differ in the width of a few characters, and a row is a row), no cursor,
# and marks about what is pasted.
_ENTER = "\x1b[?1049h\x1b[?7l\x1b[?25l\x1b[?2004h"
_LEAVE = "\x1b[?2004l\x1b[?25h\x1b[?7h\x1b[?1049l"

_SEQUENCE, _PASTING, _RESIZING = 0.1, 1.0, 0.25
# seconds to wait: for the rest of a sequence, for the rest of a paste, before a look at the size


def decode(typed: bytes, *, last: bool) -> tuple[list[str], bytes]:
    """The keys in what was typed, and what may be the beginning of one. `last`: nothing came behind that.

    A key is its character, `escape` or the name of an arrow. What was pasted is no key, nor is what is not known.
    """
    found = []
    while typed:
        match = _KEY.match(typed)
        if match:
            typed = typed[match.end() :]
            if match[0] == b"\x1b":
                found.append("escape")
            elif match[0][:1] != b"\x1b":
                found.append(match[0].decode("ascii", "ignore"))
            elif arrow := _ARROWS.get(match[1] or match[2] or b""):
                found.append(arrow)
        elif not last:
            # of a long paste no more is kept than may be the beginning of its end
            long = typed.startswith(_PASTE) and len(typed) > len(_PASTE + _PASTE_END)
            return [key for key in found if key], _PASTE + typed[-len(_PASTE_END) :] if long else typed
        elif typed.startswith(_PASTE):
            typed = b""
        elif typed == b"\x1b":
            found.append("escape")
            typed = b""
        else:
            typed = re.sub(rb"^\x1b(\[[0-?]*[ -/]*|O)", b"", typed)
    return [key for key in found if key], b""


class FullScreen:
    """What `open_fullscreen` gives."""

    def __init__(self, source: int, target: int, *, dumb: bool) -> None:
        self._source, self._target, self._dumb = source, target, dumb
        self._painted: list[str] | None = None

    @property
    def size(self) -> os.terminal_size:
        with suppress(OSError):
            size = os.get_terminal_size(self._target)
            # a serial line says 0 × 0
            if size.columns > 0 and size.lines > 0:
                return size
        return os.terminal_size((80, 24))

    def paint(self, rows: Sequence[str]) -> None:
        """Show rows, sanitised before, in place of the last ones; on a dumb terminal below them, where they differ."""
        if self._dumb:
            if rows != self._painted:
                self.write("".join(f"{row}\n" for row in [*rows, ""]))
            self._painted = list(rows)
            return
        lines = self.size.lines
        rows = [*rows, *[""] * (lines - len(rows))][:lines]
        # erased beforehand: behind a row that fills its line, the cursor is still on its last character
        self.write("".join(f"\x1b[{number};1H\x1b[K{row}" for number, row in enumerate(rows, 1)))

    def pressed(self) -> Iterator[str]:
        """The keys as they are pressed, and RESIZED. Ends where the terminal is gone.

        Raises KeyboardInterrupt at Ctrl-C.
        """
        typed, size = b"", self.size
        while True:
            patience = _RESIZING if not typed else _PASTING if typed.startswith(_PASTE) else _SEQUENCE
            more = b""
            if select.select([self._source], [], [], patience)[0]:
                with suppress(OSError):
                    more = os.read(self._source, 4096)
                if not more:
                    return
            found, typed = decode(typed + more, last=not more)
            if size != self.size:
                size = self.size
                yield RESIZED
            for key in found:
                if key == "\x03":
                    raise KeyboardInterrupt
                yield key

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        # a terminal that is gone shows when it is read from
        with suppress(OSError):
            while data:
                data = data[os.write(self._target, data) :]


@contextmanager
def open_fullscreen(console: Console, instead: str) -> Iterator[FullScreen]:
    """Take over the terminal: standard input and standard error where they are one, else the process's own.

    What was typed before counts for nothing, and what is typed beyond the end is for nobody else. Raises InputError
    where there is no terminal; `instead` tells what to do then.
    """
    with ExitStack() as stack:
        none = _no_terminal(instead)
        source, target = _terminals(console, stack, none)
        import termios

        try:
            before = termios.tcgetattr(source)
            raw = termios.tcgetattr(source)
            # key by key and without echo; Ctrl-C is a key, for it shall not come between two sequences; neither may
            # Ctrl-Z stop the program here; Ctrl-S and Return are as they are typed
            raw[0] &= ~(termios.IXON | termios.ICRNL | termios.INLCR)
            raw[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
            raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
            stack.callback(_restore, source, before)
            termios.tcsetattr(source, termios.TCSAFLUSH, raw)
        except termios.error:
            raise none from None
        stack.enter_context(_ended_by_exception())
        screen = FullScreen(source, target, dumb=console.dumb)
        if not console.dumb:
            # upwards: a terminal without an alternate screen is left empty
            stack.callback(screen.write, "\x1b[1;1H" + _LEAVE)
            stack.callback(screen.paint, [])
            screen.write(_ENTER)
        yield screen


def check(console: Console, instead: str) -> None:
    """Raises what `open_fullscreen` would: before anybody waits for what is to be shown."""
    with ExitStack() as stack:
        _terminals(console, stack, _no_terminal(instead))


def _no_terminal(instead: str) -> InputError:
    return InputError(f"there is no terminal to ask on: {instead}")


def _terminals(console: Console, stack: ExitStack, none: InputError) -> tuple[int, int]:
    """Where keys come from and where rows go to."""
    if importlib.util.find_spec("termios") is None:
        raise none
    source = console.stdin.fileno() if console.stdin_tty else _own_terminal(stack, none)
    target = console.stderr.fileno() if console.stderr_tty else _own_terminal(stack, none)
    return source, target


def _own_terminal(stack: ExitStack, none: InputError) -> int:
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        raise none from None
    stack.callback(os.close, terminal)
    return terminal


def _restore(terminal: int, attributes: list[object]) -> None:
    import termios

    # gone meanwhile
    with suppress(termios.error):
        termios.tcsetattr(terminal, termios.TCSAFLUSH, attributes)  # type: ignore[arg-type]


@contextmanager
def _ended_by_exception() -> Iterator[None]:
    """SIGTERM raises SystemExit, so that the terminal is given back; as far as this is the main thread."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
