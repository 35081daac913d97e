"""The process's own terminal on its standard streams, where these lead elsewhere.

Textual reads keys from standard input, paints on standard error and asks standard output for its size; an editor that
it makes room for uses all three. So where a stream was piped, its descriptor is led to /dev/tty as long as the screen
is taken, instead of telling each of them another way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from codellama.errors import InputError


@contextmanager
def own_terminal() -> Iterator[None]:
    """Raises InputError where the process has no terminal."""
    with ExitStack() as stack:
        for descriptor in (0, 1, 2):
            if not os.isatty(descriptor):
                _lead(descriptor, stack)
        yield


def _lead(descriptor: int, stack: ExitStack) -> None:
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        raise InputError(
            "there is no terminal for --tui: leave it out, and one answer goes to standard output"
        ) from None
    stack.callback(os.close, terminal)
    saved = os.dup(descriptor)
    stack.callback(os.close, saved)
    # what is still in the buffer belongs to where the stream led
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(terminal, descriptor)
    stack.callback(os.dup2, saved, descriptor)
