"""Checksums of large files, in a thread of their own: hashing takes longer than reading and writing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Literal, Self

from codellama.fields import reading
from codellama.pieces import PIECE


def digest(
    path: Path,
    algorithm: Literal["md5", "sha256"],
    stop: Event | None = None,
    advance: Callable[[int], None] = lambda size: None,
) -> str:
    """The checksum of a file in hexadecimal; `advance` is told bytes read. Raises InputError where it is unreadable.

    Once `stop` is set it ends early, with a checksum that means nothing.
    """
    found = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
    buffer = memoryview(bytearray(PIECE))
    with reading(path), path.open("rb", buffering=0) as stream:
        while not (stop and stop.is_set()) and (size := stream.readinto(buffer)):
            found.update(buffer[:size])
            advance(size)
    return found.hexdigest()


class Background:
    """Runs a function in a thread; what it raises is raised in the thread that asks.

    As a context manager it tells the function to stop at the end, and waits for it.
    """

    def __init__(self, work: Callable[[Event], None]) -> None:
        self._work = work
        self._stop = Event()
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def poll(self) -> None:
        """Raises what the function raised by now."""
        if self._failure:
            raise self._failure

    def finish(self) -> None:
        """Wait for the function. Raises what it raised."""
        while self._thread.is_alive():
            # in steps, so that Ctrl-C is heard
            self._thread.join(0.1)
        self.poll()

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except Exception as error:  # noqa: BLE001  raised again where it is waited for
            self._failure = error
