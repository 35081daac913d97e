"""What is said on standard error while the screen is taken: it must neither paint over the screen nor be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO

from codellama.console import Console


class _Forwarded(StringIO):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def write(self, text: str) -> int:
        if text.strip():
            self._say(text.strip())
        return len(text)


@contextmanager
def forwarded(console: Console, say: Callable[[str], None]) -> Iterator[None]:
    """Give notes and warnings to `say` instead, a line each, from whatever thread they come."""
    before = console.stderr, console.stderr_tty
    console.stderr, console.stderr_tty = _Forwarded(say), False
    try:
        yield
    finally:
        console.stderr, console.stderr_tty = before
