"""Runs command lines in this process, with the real command tree and streams in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import codellama
from codellama import app
from codellama.backends.base import Backend
from codellama.commands.options import Run, open_local
from codellama.console import Console
from codellama.memory import LoadOptions
from codellama.models import Model

CASES = Path(__file__).parent / "cases"
TINY = Path(codellama.__file__).parent / "tiny"


@dataclass
class Result:
    code: int
    out: str
    err: str


@dataclass
class Cli:
    """Runs a command line in this process. `backend` stands in for the local one where it is set."""

    environ: dict[str, str] = field(default_factory=dict)
    backend: Callable[[Model], Backend] | None = None
    options: LoadOptions | None = None
    # those of the last backend that was opened

    def __call__(self, *arguments: str, stdin: bytes = b"", stdin_tty: bool = False) -> Result:
        console = Console(io.BytesIO(stdin), io.BytesIO(), io.StringIO(), stdin_tty=stdin_tty, environ=self.environ)

        def opened(model: Model, options: LoadOptions, tokens: int) -> Backend:
            self.options = options
            return self.backend(model) if self.backend else open_local(model, options, tokens)

        code = app.run(arguments, Run(console, opened))
        assert isinstance(console.stdout, io.BytesIO)
        assert isinstance(console.stderr, io.StringIO)
        # bytes that are no UTF-8 come as lone surrogates
        out = console.stdout.getvalue().decode("utf-8", "surrogateescape")
        return Result(code, out, console.stderr.getvalue())
