"""`codellama prompt show`: the exact text, segments and ids that a command would send to a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from codellama.commands.holes import (
    MAX_TOKENS,
    ContextOption,
    LanguageOption,
    OrderOption,
    TargetArgument,
    say_what_was_cut,
    say_which_hole,
)
from codellama.commands.options import FilesOption, Run, Shared
from codellama.errors import InputError

if TYPE_CHECKING:
    from codellama.console import Console
    from codellama.dialog import Message, Need, Prompt, Segment
    from codellama.models import Model
    from codellama.tokenizer import Tokenizer

app = typer.Typer(no_args_is_help=True, help="See what a model would see.")
show_app = typer.Typer(no_args_is_help=True, help="Print the text, the segments and the ids of a prompt.")
app.add_typer(show_app, name="show")

ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", metavar="MODEL", help="Whose prompt: a directory, a name or a hub id.")
]
TokenizerOption = Annotated[
    Path | None, typer.Option("--tokenizer", metavar="FILE", help="A tokenizer.model or tokenizer.json for the ids.")
]
InsistOption = Annotated[
    str | None, typer.Option("--as", metavar="ABILITY", help="Insist on infill, instruct or instruct-70b.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", metavar="FILE", help="Read the text from a file; -: standard input.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")]


@show_app.command("complete")
def show_complete(
    ctx: typer.Context,
    text: Annotated[str | None, typer.Argument(metavar="PROMPT", help="The text to go on with.")] = None,
    *,
    file: FileOption = None,
    model: ModelOption = None,
    tokenizer: TokenizerOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """The prompt of `codellama complete`."""
    from codellama import prompts
    from codellama.commands import inputs

    run: Run = ctx.obj
    given = inputs.gather(run.console, text, file, "codellama prompt show complete 'def fibonacci('")
    found = _find(run, Shared(model=model, quiet=quiet))
    made = prompts.render(found.template, tokenizer_of(found, tokenizer), text=given.text)
    show(run.console, found, made, as_json=as_json)


@show_app.command("infill")
def show_infill(
    ctx: typer.Context,
    target: TargetArgument = None,
    *,
    prefix: Annotated[str | None, typer.Option(metavar="TEXT", help="What stands before the hole.")] = None,
    suffix: Annotated[str | None, typer.Option(metavar="TEXT", help="What stands after the hole.")] = None,
    suffix_first: OrderOption = None,
    context: ContextOption = None,
    language: LanguageOption = None,
    max_tokens: Annotated[int, typer.Option(metavar="N", help="Tokens left for the fill.")] = MAX_TOKENS,
    model: ModelOption = None,
    tokenizer: TokenizerOption = None,
    insist: InsistOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """The prompt of `codellama infill`."""
    from codellama import holes, infill, source
    from codellama.commands import inputs

    run: Run = ctx.obj
    found = _find(run, Shared(model=model, insist=insist, quiet=quiet), "infill")
    if prefix is None and suffix is None:
        given = inputs.target(run.console, target, "codellama prompt show infill app.py:42", language)
        hole, spoken = given.hole(), given.language
        say_which_hole(run.console, given)
    elif target is not None:
        raise InputError("--prefix and --suffix take the place of a file: give one or the other")
    else:
        before = source.check_argument(prefix or "", "--prefix")
        after = source.check_argument(suffix or "", "--suffix")
        hole, spoken = holes.Hole(holes.plain(before), holes.plain(after)), language or "python"
    others = inputs.context(context or (), spoken)
    framed = infill.frame(hole, found, tokenizer_of(found, tokenizer), max_tokens, others, suffix_first)
    say_what_was_cut(run.console, found, framed)
    show(run.console, found, framed.prompt, as_json=as_json)


@show_app.command("chat")
def show_chat(
    ctx: typer.Context,
    question: Annotated[str | None, typer.Argument(metavar="QUESTION", help="What is asked.")] = None,
    *,
    file: FilesOption = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", metavar="TEXT", help="A system message before it.")
    ] = None,
    dialog: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Earlier messages: a JSON list of {"role": …, "content": …}.'),
    ] = None,
    model: ModelOption = None,
    tokenizer: TokenizerOption = None,
    insist: InsistOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """The prompt of a question, in the model's chat format."""
    from codellama import conversation
    from codellama.commands import inputs
    from codellama.dialog import Message

    run: Run = ctx.obj
    messages = earlier(dialog, system)
    if question is not None or file is not None or not messages or messages[-1].role != "user":
        example = "codellama prompt show chat 'how do I reverse a list?'"
        messages.append(Message("user", inputs.question(run.console, question, file or (), example)))
    found = _find(run, Shared(model=model, insist=insist, quiet=quiet), "chat")
    made = conversation.render(found, messages, tokenizer_of(found, tokenizer))
    show(run.console, found, made, as_json=as_json)


def _find(run: Run, shared: Shared, need: Need | None = None) -> Model:
    shared.apply_quiet(run)
    return shared.find_model(run, need, absent_ok=True)


def tokenizer_of(model: Model, path: Path | None = None) -> Tokenizer | None:
    """The tokenizer to show ids with: the one named, else the model's; None: the model is not on this machine."""
    from codellama.tokenizer import Tokenizer

    if path:
        return Tokenizer.load(path)
    return model.tokenizer if model.directory else None


def show(console: Console, model: Model, prompt: Prompt, *, as_json: bool = False) -> None:
    """Print a prompt. Control pieces stand in ⟦⟧; a ⟦ of the text itself is doubled, so that none looks like one."""
    if prompt.has_ids and len(prompt.ids) >= model.context:
        console.warn(
            f"{len(prompt.ids)} tokens leave no room in {model.name}'s context of {model.context}: refused as it is"
        )
    if as_json:
        console.write_line(json.dumps(_as_dict(model, prompt)))
        return
    stops = ", ".join(_bare(piece) for piece in prompt.stop_pieces)
    count = f"{len(prompt.ids)} of {model.context} tokens" if prompt.has_ids else f"a context of {model.context} tokens"
    ids = (
        " ".join(map(str, prompt.ids)) if prompt.has_ids else "need the model's tokenizer: prompt show --tokenizer FILE"
    )
    rows = [(s.label, "" if s.ids is None else str(len(s.ids)), _shown(s)) for s in prompt.segments]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:2]
    lines = [
        f"model: {model.name}; template: {prompt.template}; {count}; ends at {stops}",
        "",
        "".join(_name(s) if s.control else s.text.replace("⟦", "⟦⟦") for s in prompt.segments),
        "",
        "segments (label, tokens, text):",
        *(f"  {label:{widths[0]}}  {tokens:>{widths[1]}}  {text}" for label, tokens, text in rows),
        "",
        f"ids: {ids}",
    ]
    console.write_line("\n".join(lines))


def _bare(piece: str) -> str:
    """A control piece's name without SentencePiece's space (U+2581) before it."""
    return piece.removeprefix("▁")


def _name(segment: Segment) -> str:
    return f"⟦{_bare(segment.text)}⟧"


def _shown(segment: Segment) -> str:
    return _name(segment) if segment.control else repr(segment.text)


def _as_dict(model: Model, prompt: Prompt) -> dict[str, object]:
    return {
        "model": model.name,
        "template": prompt.template,
        "context": model.context,
        "stop": [_bare(piece) for piece in prompt.stop_pieces],
        "stop_ids": prompt.stop_ids if prompt.has_ids else None,
        "segments": [
            {"label": s.label, "control": s.control, "text": _bare(s.text) if s.control else s.text,
             "ids": s.ids}
            for s in prompt.segments
        ],
        "ids": prompt.ids if prompt.has_ids else None,
    }  # fmt: skip


def earlier(dialog: Path | None, system: str | None) -> list[Message]:
    """The messages that come before a question. Raises InputError for a file that holds something else."""
    from codellama import source
    from codellama.dialog import Message

    messages = _read_dialog(dialog) if dialog else []
    # an empty one is none, as in chat
    if system:
        messages.insert(0, Message("system", source.check_argument(system, "--system")))
    return messages


def _read_dialog(path: Path) -> list[Message]:
    from codellama import source
    from codellama.dialog import Message, Role

    text = source.read_file(path).text
    try:
        entries = json.loads(text)
        messages = [Message(entry["role"], entry["content"], entry.get("destination")) for entry in entries]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f'{path}: is not a JSON list of {{"role": …, "content": …}}') from None
    for number, message in enumerate(messages, 1):
        if message.role not in get_args(Role) or not isinstance(message.content, str):
            raise InputError(f"{path}: message {number} needs a role of {', '.join(get_args(Role))} and a content")
    return messages
