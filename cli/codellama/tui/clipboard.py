"""The clipboard of the system that this runs on, through the program it has for that.

Over SSH that is the clipboard of the wrong machine, or none: there the terminal is asked instead, by OSC 52, which the
caller does in any case.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping

_PROGRAMS = (
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
    ("", ("pbcopy",)),
)
# the variable without which a program cannot work, and its command
_TIMEOUT = 2.0
# seconds: a display that does not answer must not hold anybody up


def copy(text: str, environ: Mapping[str, str]) -> str | None:
    """Give a text to the first program there is; its name, or None where there is none or it failed."""
    for variable, (name, *arguments) in _PROGRAMS:
        path = shutil.which(name, path=environ.get("PATH"))
        if path is None or (variable and not environ.get(variable)):
            continue
        try:
            # a program that stays to serve the clipboard would hold a pipe open
            done = subprocess.run(
                [path, *arguments],
                input=text.encode("utf-8", "replace"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(environ),
                timeout=_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return name
    return None
