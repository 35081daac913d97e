"""`codellama attention`: which token of a prompt sees which, and how much a head of the model attends to each."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.holes import MAX_TOKENS, ContextOption, LanguageOption, OrderOption
from codellama.commands.options import Run, Shared, with_loading
from codellama.commands.prompt import TokenizerOption
from codellama.errors import InputError

if TYPE_CHECKING:
    from codellama.console import Console
    from codellama.dialog import Prompt
    from codellama.heat import Weights
    from codellama.mask import Mask
    from codellama.models import Model
    from codellama.tokenizer import Tokenizer

EXAMPLE = "codellama attention app.py:42"
_MOST = 16_384
# tokens whose mask a pipe gets as text: 0.7 GB. No Code Llama was trained on more
_PORTION = 64
# rows of weights that are written in one go


@with_loading
def attention(
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE[:LINE[:COL]]",
            help="With a line or <FILL_ME>: the prompt that fills it; else the one that goes on; -: standard input.",
        ),
    ] = None,
    *,
    weights: Annotated[
        str | None,
        typer.Option(metavar="LAYER:HEAD", help="Load the model and show what a head attends to; both from 0."),
    ] = None,
    png: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Save a picture instead.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a picture that is there.")] = False,
    chat: Annotated[bool, typer.Option("--chat", help="The text is a question, in the model's chat format.")] = False,
    system: Annotated[
        str | None, typer.Option("--system", "-s", metavar="TEXT", help="With --chat: a system message before it.")
    ] = None,
    dialog: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='With --chat: earlier messages, a JSON list of {"role": …, "content": …}.'),
    ] = None,
    suffix_first: OrderOption = None,
    context: ContextOption = None,
    language: LanguageOption = None,
    tokenizer: TokenizerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    shared: Shared,
) -> None:
    """Show which token of a prompt sees which: the causal mask with its regions, or the attention of a head.

    On a terminal a large one can be scrolled; a pipe gets all of it as text.
    """
    from codellama import mask, newfile

    run: Run = ctx.obj
    console = run.console
    shared.apply_quiet(run)
    at = _head(weights) if weights is not None else None
    if png:
        if png.suffix.lower() != ".png":
            raise InputError(f"--png writes a PNG: name a file that ends in .png, not {str(png)!r}")
        newfile.check(png, force=force, way_out="--force replaces it")
    elif force:
        raise InputError("--force replaces a picture: it goes with --png FILE")
    if not chat and (system is not None or dialog):
        raise InputError("--system and --dialog go with --chat")
    model, spoken, made = _prompt(
        run, shared, target, tokenizer, chat=chat, system=system, dialog=dialog, suffix_first=suffix_first,
        context=context, language=language, loads=at is not None,
    )  # fmt: skip
    if len(made.ids) >= model.context:
        console.warn(
            f"{len(made.ids)} tokens leave no room in {model.name}'s context of {model.context}: refused as it is"
        )
    seen = mask.of(made, spoken)
    found = _load(run, shared, model, made, *at) if at else None
    if as_json:
        _print_json(console, model, made, seen, found)
    if png:
        _save(console, model, made, seen, found, png, force=force)
    elif not as_json:
        _show(console, model, made, seen, found)


def _head(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4}):(\d{1,4})", text, re.ASCII)
    if not match:
        raise InputError(f"--weights {text}: a layer and a head expected, both from 0, as 3:5")
    return int(match[1]), int(match[2])


def _prompt(
    run: Run,
    shared: Shared,
    target: str | None,
    tokenizer: Path | None,
    *,
    chat: bool,
    system: str | None,
    dialog: Path | None,
    suffix_first: bool | None,
    context: list[Path] | None,
    language: str | None,
    loads: bool,
) -> tuple[Model, Tokenizer, Prompt]:
    """The prompt that a command would send to the model, with the tokenizer that made it."""
    from codellama import conversation, holes, infill, prompts, source
    from codellama.commands import inputs
    from codellama.commands.holes import say_what_was_cut, say_which_hole
    from codellama.commands.prompt import earlier, tokenizer_of
    from codellama.dialog import Message

    console = run.console
    place = holes.Place(None) if target is None else holes.place(target)
    if chat and place.line is not None:
        raise InputError("--chat asks a question: leave out the line")
    if target is None and console.stdin_tty:
        raise InputError(f"there is nothing to read; for example: {EXAMPLE}")
    read = source.read_stdin(console.stdin) if place.path is None else source.read_file(place.path)
    fill = not chat and (place.line is not None or holes.FILL_ME in read.text)
    if not fill and not read.text:
        raise InputError(f"{read.name} is empty; for example: {EXAMPLE}")
    model = shared.find_model(run, "infill" if fill else "chat" if chat else None, absent_ok=not loads)
    if loads and tokenizer:
        raise InputError("--weights takes the model's own tokenizer: leave out --tokenizer")
    spoken = tokenizer_of(model, tokenizer)
    if spoken is None:
        raise InputError(f"{model.name} is not on this machine, and its tokens are not known without --tokenizer FILE")
    if fill:
        given = inputs.gaps(console, read, place, EXAMPLE, language)
        say_which_hole(console, given)
        others = inputs.context(context or (), given.language)
        framed = infill.frame(given.hole(), model, spoken, MAX_TOKENS, others, suffix_first)
        say_what_was_cut(console, model, framed)
        return model, spoken, framed.prompt
    if context or suffix_first is not None:
        raise InputError("--context and the order go with a line or <FILL_ME>")
    if not chat:
        return model, spoken, prompts.render(model.template, spoken, text=read.text)
    asked = [*earlier(dialog, system), Message("user", read.text)]
    return model, spoken, conversation.render(model, asked, spoken)


def _load(run: Run, shared: Shared, model: Model, made: Prompt, layer: int, head: int) -> Weights:
    """The attention of a head of the model. Raises InputError for one that it lacks, before anything heavy."""
    from codellama import memory
    from codellama.backends.base import room
    from codellama.checkpoint import Checkpoint
    from codellama.devices import Machine
    from codellama.dialog import Sampling

    options = shared.load_options(run)
    checkpoint = Checkpoint.read(model.home)
    layers, heads = checkpoint.config.layers, checkpoint.config.heads
    if layer >= layers or head >= heads:
        raise InputError(
            f"--weights {layer}:{head}: {model.name} has layers 0 to {layers - 1} and heads 0 to {heads - 1}"
        )
    room(model, made, Sampling())
    plan = memory.plan(checkpoint, options, Machine.detect(), len(made.ids))
    for note in plan.notes:
        run.console.warn(note)
    with run.console.progress(model.name) as line:
        line.show("loading")
        from codellama.engine.attention import attention  # four seconds
        from codellama.engine.load import load

        loaded = load(checkpoint, plan, line.update)
        return attention(loaded, made.ids, layer, head, line.update)


def _title(model: Model, made: Prompt, weights: Weights | None) -> str:
    what = f"attention of layer {weights.layer}, head {weights.head}" if weights else "causal mask"
    return f"{model.name} · {made.template} · {len(made.ids)} tokens · {what}"


def _show(console: Console, model: Model, made: Prompt, seen: Mask, weights: Weights | None) -> None:
    from codellama import grid, viewport
    from codellama.heat import Pooled
    from codellama.memory import gigabytes
    from codellama.sanitiser import one_line

    pooled = Pooled(weights) if weights else None
    title = one_line(_title(model, made, weights))
    size = console.size
    count = len(seen.tokens)
    if size is None and count > _MOST:
        raise InputError(
            f"the mask of {count} tokens would be a text of {gigabytes(3 * count**2)}: --json and --png tell it in less"
        )
    colours = viewport.palette_of(console) if size else grid.Palette(colour=False)
    whole = grid.Grid(seen, pooled, colours, cell=2 if len(seen.tokens) <= 100 else 1)
    if size and not console.dumb and not viewport.fits(whole, size, others=6):
        viewport.view(console, seen, pooled, title)
        return
    write = console.paint if size else console.write
    for line in chain([title, ""], grid.whole(whole), ["", grid.legend(whole)]):
        write(line + "\n")


def _save(
    console: Console, model: Model, made: Prompt, seen: Mask, weights: Weights | None, path: Path, *, force: bool
) -> None:
    from codellama import newfile, picture
    from codellama.heat import Pooled

    with console.progress(str(path)) as line:
        line.show("drawing")
        data = picture.png(seen, Pooled(weights) if weights else None, _title(model, made, weights))
    newfile.create(path, data, force=force)
    console.note(f"{path}: {len(data)} bytes")


def _print_json(console: Console, model: Model, made: Prompt, seen: Mask, weights: Weights | None) -> None:
    """One object; the weights row by row, since all of them may be far too many to hold."""
    head = {
        "model": model.name,
        "template": made.template,
        "context": model.context,
        "mask": "causal",
        "tokens": [
            {"id": token.id, "piece": token.piece, "region": seen.region(at).label, "sees": at + 1}
            for at, token in enumerate(seen.tokens)
        ],
        "regions": [{"label": each.label, "start": each.start, "stop": each.stop} for each in seen.regions],
    }
    text = json.dumps(head)
    if weights is None:
        console.write_line(text)
        return
    console.write(f'{text[:-1]}, "layer": {weights.layer}, "head": {weights.head}, "weights": [')
    for start in range(0, weights.size, _PORTION):
        rows = weights.rows(start, min(start + _PORTION, weights.size)).tolist()
        # what a token does not see is left out
        said = ", ".join(json.dumps(row[: at + 1]) for at, row in enumerate(rows, start))
        console.write((", " if start else "") + said)
    console.write_line("]}")
