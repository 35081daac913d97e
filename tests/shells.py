"""Real shells on a pseudo-terminal, to type TAB in."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.terminal import CLI, set_size

_START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "-i"],
}
_READY = {
    # no bell, no question whether all candidates are to be shown, no pager
    "bash": "bind 'set bell-style none'; bind 'set completion-query-items 0'; bind 'set page-completions off'; {}",
    "zsh": "unsetopt beep prompt_sp; LISTMAX=9999; autoload -Uz compinit; compinit -D; {}",
    "fish": "function fish_prompt; echo -n '$ '; end; {}",
}
_PRELUDE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
# the terminal becomes the shell's own
_PATIENCE = 30.0
# seconds in which a shell shows something


class Shell:
    """A shell that has run `start`. `calls`: with what arguments the program was run meanwhile, a line each."""

    def __init__(self, name: str, start: str, directory: Path, home: Path) -> None:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        self._name = name
        self._log = home / "calls"
        program = home / "bin" / "codellama"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            f'#!/bin/sh\necho "$@" >> "{self._log}"\nPYTHONPATH="{CLI}" exec "{sys.executable}" -m codellama "$@"\n'
        )
        program.chmod(0o755)
        # or else fish begins to read all manual pages when it first starts
        (home / ".local/share/fish/generated_completions").mkdir(parents=True, exist_ok=True)
        self._master, slave = os.openpty()
        set_size(slave, 200, 60)
        kept = {name: os.environ[name] for name in ("CODELLAMA_HOME", "HF_HOME") if name in os.environ}
        environ = {
            "PATH": f"{program.parent}:/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin", "HOME": str(home),
            "TERM": "xterm", "PS1": "$ ", "LC_ALL": "C.UTF-8", **kept,
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PRELUDE, *_START[name]],
            stdin=slave, stdout=slave, stderr=slave, cwd=directory, start_new_session=True, env=environ,
        )  # fmt: skip
        os.close(slave)
        self._output = ""
        self._count = 0
        self._send(_READY[name].format(start) + "\n")
        self._marked("")

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def words(self, typed: str) -> list[str]:
        """The words of the line after it was typed, a TAB (or more) in it."""
        # what is typed behind a TAB waits until the shell is done with it
        said = self._marked(f"{typed}\x01printf '<%s>' ")
        return re.findall("<([^<>]*)>", said.rpartition("\n<")[2].join(["<", ""]))

    def listed(self, typed: str) -> str:
        """What the shell shows at a second TAB."""
        return self._marked(f"{typed}\t\t\x01: ")

    def _marked(self, typed: str) -> str:
        """Type a line and Return; what came out until the shell has run it."""
        self._count += 1
        begun = len(self._output)
        # the mark is put together by the shell, so that its echo is not taken for it
        self._send(f"{typed}\n" if typed else "")
        self._send(f"echo; echo end''mark{self._count}\n")
        self._await(f"endmark{self._count}", begun)
        return _plain(self._output[begun:])

    def _send(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def _await(self, text: str, begun: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while text not in self._output[begun:]:
            if not select.select([self._master], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError(f"{text!r} did not come: {self._output[begun:]!r}")
            self._output += os.read(self._master, 65536).decode("utf-8", "replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


def _plain(output: str) -> str:
    """Without escape sequences and carriage returns."""
    return re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>])|\r", "", output)
