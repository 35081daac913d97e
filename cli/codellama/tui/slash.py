"""What a line that begins with / asks for: a table of commands, and how one is told from a question."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slash:
    name: str
    argument: str
    # as the help writes it; "": it takes none
    help: str
    idle: bool = False
    # True: it has to wait for the end of an answer

    @property
    def required(self) -> bool:
        return bool(self.argument) and not self.argument.startswith("[")


COMMANDS = (
    Slash("help", "", "keys and commands"),
    Slash("file", "PATH[:A-B]", "attach a file, or its lines A to B, to the next question"),
    Slash("system", "[TEXT]", "set the system prompt; without a text show it; `-` removes it", idle=True),
    Slash("model", "[NAME]", "show the model, or go on with another one", idle=True),
    Slash("set", "[NAME=VALUE]", "show or change how answers are drawn, as temperature=0.8"),
    Slash("retry", "", "answer the last question once more", idle=True),
    Slash("edit", "[N]", "change an earlier question and go on from there", idle=True),
    Slash("copy", "[all]", "copy the last answer, or the whole conversation"),
    Slash("save", "[PATH]", "write the conversation to a Markdown file"),
    Slash("new", "", "begin a new conversation", idle=True),
    Slash("sessions", "[WORDS]", "list, search, resume and delete conversations", idle=True),
    Slash("theme", "[NAME]", "show or change the colours"),
    Slash("quit", "", "leave; the conversation is kept"),
)
_COMMAND = re.compile(r"/([a-z]*)(?:[ \t]+(.*))?", re.DOTALL)


def command(name: str) -> Slash | None:
    return next((known for known in COMMANDS if known.name == name), None)


def parse(text: str) -> tuple[str, str] | None:
    """Name and argument of a line that is a command, known or not; None: it is a question.

    `/usr/bin/env: …` is a question: a command's name has letters alone and ends with the line or at a space.
    """
    match = _COMMAND.fullmatch(text.strip())
    return (match[1], (match[2] or "").strip()) if match else None
