"""What `infill` and `prompt show infill` have in common: their options, and what is said of a prompt that was cut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from codellama.commands.inputs import Target
    from codellama.console import Console
    from codellama.infill import Framed
    from codellama.models import Model

MAX_TOKENS = 256

TargetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE[:LINE[:COL]]", help="A line of a file, or a file with <FILL_ME> in it; -: standard input."
    ),
]
OrderOption = Annotated[
    bool | None,
    typer.Option(
        "--suffix-first/--prefix-first",
        help="The prompt's order. Not given: suffix first where the hole begins a line.",
    ),
]
ContextOption = Annotated[
    list[Path] | None,
    typer.Option("--context", metavar="FILE", help="Show this file to the model too; may be given again."),
]
LanguageOption = Annotated[str | None, typer.Option("--lang", metavar="NAME", help="The language, if not the file's.")]


def say_what_was_cut(console: Console, model: Model, framed: Framed) -> None:
    """Nothing is cut silently."""
    if framed.window and framed.window.cuts:
        cuts = ", ".join(f"{part.kept} of {part.total} tokens {part.name}" for part in framed.window.cuts)
        console.warn(f"{model.name}'s context of {model.context} is too small for all of it: it sees {cuts}")


def say_which_hole(console: Console, target: Target) -> None:
    """Of several holes only the first one's prompt is known before a model has filled it."""
    if len(target.gaps) > 1:
        console.note(f"the first of {len(target.gaps)} holes; the others' prompts hold its fill")
