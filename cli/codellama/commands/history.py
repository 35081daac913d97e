"""`codellama history`: the conversations that were kept."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.options import Run, confirmed
from codellama.errors import CodellamaError, InputError
from codellama.sanitiser import one_line
from codellama.wording import count

if TYPE_CHECKING:
    from codellama.history import Conversation, History, Saved

app = typer.Typer(no_args_is_help=True, help="List, search, read, export and delete conversations.")

IdArgument = Annotated[int | None, typer.Argument(metavar="ID", help="Which; the last one where none is given.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", metavar="N", help="How many at most; 0: all.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_conversations(ctx: typer.Context, *, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """The latest conversations: id, when, messages, model and title."""
    _list(ctx.obj, "", limit, as_json=as_json, nothing="no conversation is kept yet")


@app.command("search")
def search(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Words, or parts of words and names.")],
    *,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """The conversations in which one message, or the title, holds every word of TEXT, in either case."""
    if not text.strip():
        raise InputError("there is nothing to search for; for example: codellama history search 'def main'")
    _list(ctx.obj, text, limit, as_json=as_json, nothing=f"no conversation holds {text}")


@app.command("show")
def show(ctx: typer.Context, id: IdArgument = None, *, as_json: JsonOption = False) -> None:
    """Print a conversation as Markdown."""
    from codellama.display import open_markdown

    run: Run = ctx.obj
    with _opened(run) as history:
        found = _find(history, id)
        said = history.messages(found.id)
    if as_json:
        run.console.write_line(json.dumps({**asdict(found), "messages": [asdict(saved) for saved in said]}))
        return
    with open_markdown(run.console) as display:
        display.push(_markdown(found, said))


@app.command("export")
def export(
    ctx: typer.Context,
    id: Annotated[int, typer.Argument(metavar="ID", help="Which one.")],
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
) -> None:
    """Write a conversation into a new file, as Markdown."""
    from codellama import newfile

    if str(path) == "-":
        raise InputError(f"export writes a file; `codellama history show {id}` prints it")
    with _opened(ctx.obj) as history:
        text = _markdown(history.conversation(id), history.messages(id))
    newfile.create(path, text.encode())


@app.command("delete")
def delete(
    ctx: typer.Context,
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID…", help="Which ones.")] = None,
    *,
    all_of_them: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --all: do not ask.")] = False,
) -> None:
    """Delete conversations for good."""
    if bool(ids) == all_of_them:
        raise InputError("name the conversations to delete, or --all; for example: codellama history delete 3")
    run: Run = ctx.obj
    with _opened(run) as history:
        if not history.kept and run.settings.history.exists():
            raise CodellamaError("nothing was deleted: the history cannot be written")
        named = [history.conversation(id) for id in dict.fromkeys(ids or ())]
        found = history.conversations() if all_of_them else named
        if (
            all_of_them
            and found
            and not yes
            and not confirmed(run.console, f"delete {count(len(found), 'conversation')}?")
        ):
            run.console.note("nothing was deleted")
            return
        for each in found:
            history.delete(each.id)
        if found and not history.kept:
            raise CodellamaError("not all was deleted: the history cannot be written any more")
    run.console.note(f"deleted {count(len(found), 'conversation')}")


@app.command("on")
def turn_on(ctx: typer.Context) -> None:
    """Keep conversations from now on."""
    _turn(ctx.obj, on=True)


@app.command("off")
def turn_off(ctx: typer.Context) -> None:
    """Keep none from now on; those that are kept stay."""
    _turn(ctx.obj, on=False)


def _turn(run: Run, *, on: bool) -> None:
    from codellama.preferences import set_switch

    set_switch(run.settings.config, "history", on)
    there_are = "`codellama history delete --all` deletes those there are"
    run.console.note("conversations are kept" if on else f"conversations are not kept; {there_are}")


@contextmanager
def _opened(run: Run) -> Iterator[History]:
    """The history; none is made where there is none."""
    from codellama.history import History

    path = run.settings.history
    with closing(History.open(path, run.console.warn) if path.exists() else History.nowhere()) as history:
        yield history


def _find(history: History, id: int | None) -> Conversation:
    found = history.last() if id is None else history.conversation(id)
    if found is None:
        raise InputError("no conversation is kept yet")
    return found


def _list(run: Run, text: str, limit: int, *, as_json: bool, nothing: str) -> None:
    if limit < 0:
        raise InputError(f"limit must be 0 or more, not {limit}")
    with _opened(run) as history:
        found = history.conversations(limit or None, text)
    if as_json:
        run.console.write_line(json.dumps({"conversations": [asdict(each) for each in found]}))
    elif not found:
        run.console.note(nothing)
    for each in [] if as_json else found:
        run.console.write_line(_row(each))


def _row(found: Conversation) -> str:
    messages = f"{found.count} message{'s' if found.count != 1 else ' '}"
    return f"{found.id:>5}  {_time(found.updated)}  {messages:>12}  {one_line(found.model)}  {one_line(found.title)}"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _markdown(found: Conversation, messages: Sequence[Saved]) -> str:
    from codellama import conversation

    return conversation.as_markdown(found.title, [(saved.message, _aside(saved)) for saved in messages])


def _aside(saved: Saved) -> str:
    return ", ".join(filter(None, [saved.model, "not finished" if saved.partial else "", _time(saved.created)]))
