"""The command tree as data: what the completion scripts are generated from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from codellama.completion.values import Kind


@dataclass(frozen=True, slots=True)
class Value:
    """What completes an option's value or an argument."""

    kind: Kind | Literal["files", "directories", "choices", "text"]
    # text: nothing is known of it
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    names: tuple[str, ...]
    # long ones first
    help: str
    value: Value | None
    # None: a flag
    metavar: str = ""
    multiple: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    metavar: str
    value: Value
    multiple: bool


@dataclass(frozen=True, slots=True)
class Command:
    path: tuple[str, ...]
    # below the program: () is the program itself
    help: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    commands: tuple[Command, ...]

    def walk(self) -> Iterator[Command]:
        """This one and all below it."""
        yield self
        for command in self.commands:
            yield from command.walk()


TEXT = Value("text")
_HELP = Option(("--help", "-h"), "Show this message and exit.", None)


def _metavars() -> dict[str, Value]:
    from codellama.memory import SIZES
    from codellama.models import CHAT_FORMATS, VARIANTS

    files, directories = Value("files"), Value("directories")
    return {
        "FILE": files, "PATH": files, "PATH[:A-B]": files,
        "DIR": directories, "DIRECTORY": directories, "INPUT": directories, "OUTPUT": directories,
        "FILE[:LINE[:COL]]": Value("lines"),
        "MODEL": Value("models"), "NAME": Value("models"), "NAME|DIR": Value("models"),
        "ID": Value("sessions"),
        "TYPE": Value("choices", ("auto", *SIZES)),
        "DEVICE": Value("choices", ("auto", "cpu", "cuda", "cuda:0", "cuda:1")),
        "ABILITY": Value("choices", ("infill", *CHAT_FORMATS)),
        "VARIANT": Value("choices", VARIANTS),
    }  # fmt: skip


def read(program: Any) -> Command:
    """The tree below typer's command of the whole program. (Its types are typer's own copy of Click, and private.)"""
    return _command(program, (), _metavars())


def _command(command: Any, path: tuple[str, ...], metavars: dict[str, Value]) -> Command:
    options: list[Option] = []
    arguments: list[Argument] = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            value = _value(parameter, metavars)
            arguments.append(Argument(parameter.metavar or parameter.name.upper(), value, parameter.nargs != 1))
            continue
        names = sorted([*parameter.opts, *parameter.secondary_opts], key=lambda name: not name.startswith("--"))
        taken = None if parameter.is_flag or parameter.count else _value(parameter, metavars)
        options.append(
            Option(tuple(names), parameter.help or "", taken, parameter.metavar or "", bool(parameter.multiple))
        )
    below = [
        _command(each, (*path, name), metavars)
        for name, each in sorted(getattr(command, "commands", {}).items()) if not each.hidden
    ]  # fmt: skip
    # beside a command there is little room: what comes before the first colon says enough
    said = re.split(r"[:.]\s", " ".join((command.short_help or command.help or "").split()) + " ")[0]
    return Command(path, said, (*options, _HELP), tuple(arguments), tuple(below))


def _value(parameter: Any, metavars: dict[str, Value]) -> Value:
    """By its type where that lists the values, else by its metavar; a path is a file else."""
    annotation = parameter.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return Value("choices", tuple(str(each.value) for each in annotation))
    if get_origin(annotation) is Literal:
        return Value("choices", tuple(map(str, get_args(annotation))))
    metavar = (parameter.metavar or "").rstrip("….")
    # its NAME is no model's
    if "--lang" in parameter.opts:
        return Value("languages")
    if metavar in metavars:
        return metavars[metavar]
    if "|" in metavar and metavar == metavar.lower() and not set(metavar) & set("[]<> "):
        return Value("choices", tuple(metavar.split("|")))
    return Value("files") if annotation is Path else TEXT
