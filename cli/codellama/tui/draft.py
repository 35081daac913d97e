"""What was typed and not sent, kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path


def path_beside(history: Path) -> Path:
    """Where it waits: beside the history."""
    return history.with_name("draft.txt")


def read(path: Path) -> str:
    """What was left in the input the last time."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def keep(path: Path, text: str, loaded: str) -> None:
    """Keep what is in the input for the next time; that it cannot be kept is no reason not to leave.

    `loaded`: the draft that the input began with. Another one, which another window left, stays, and this comes below.
    """
    other = read(path)
    if other and other != loaded:
        if other.endswith(text):
            return
        text = f"{other}\n{text}"
    try:
        if not text:
            path.unlink(missing_ok=True)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError:
        return
