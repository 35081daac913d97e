"""What a command works on: an argument, a file, standard input, or some of them together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codellama import source
from codellama.console import Console
from codellama.errors import InputError


@dataclass(frozen=True, slots=True)
class Input:
    text: str
    filename: str | None
    # None: no file was named


def gather(console: Console, argument: str | None, file: Path | None, example: str) -> Input:
    """File, standard input and argument, in this order, each on a line of its own.

    Standard input is read where it is no terminal. `-` as the file or the argument is standard input, also on a
    terminal. Raises InputError where there is nothing to read, with the example.
    """
    from_stdin = argument == "-" or str(file) == "-"
    argument = None if argument == "-" else argument
    file = None if str(file) == "-" else file
    parts: list[str] = []
    if file:
        parts.append(source.read_file(file).text)
    if from_stdin or not console.stdin_tty:
        parts.append(source.read_stdin(console.stdin).text)
    if argument is not None:
        parts.append(source.check_argument(argument, "the argument"))
    text = join(parts)
    if not text:
        asked = "the argument is empty" if argument == "" else "there is nothing to read"
        what = f"{file} is empty" if file else asked if console.stdin_tty else "standard input is empty"
        raise InputError(f"{what}; for example: {example}")
    return Input(text, file.name if file else None)


def read_one(console: Console, file: Path | None, example: str) -> Input:
    """One file; without one, or with `-`, standard input.

    Raises InputError on a terminal where no file is named, with the example.
    """
    if file is None and console.stdin_tty:
        raise InputError(f"there is nothing to read; for example: {example}")
    if file is None or str(file) == "-":
        return Input(source.read_stdin(console.stdin).text, None)
    return Input(source.read_file(file).text, file.name)


def join(parts: list[str]) -> str:
    """The parts joined by a newline, where the part before does not end in one."""
    joined = ""
    for part in filter(None, parts):
        joined += ("\n" if joined and not joined.endswith("\n") else "") + part
    return joined
