"""`codellama infill`: fill the holes of a file, or of standard input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

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
from codellama.commands.options import Run, Shared, tokens_needed, with_shared
from codellama.errors import CodellamaError, InputError, NoCompletionError

if TYPE_CHECKING:
    from codellama.backends.base import Backend
    from codellama.commands.inputs import Target
    from codellama.console import Console
    from codellama.dialog import Sampling
    from codellama.holes import Hole
    from codellama.infill import Fill, Framed
    from codellama.models import Model

EXAMPLE = "codellama infill app.py:42"
_CUT_ONLY = frozenset({"complete_lines", "indent", "line_end"})
# rules that leave the end of a fill where the limit of tokens put it


@dataclass(frozen=True, slots=True)
class _Filled:
    """A hole and what was put into it."""

    hole: Hole
    framed: Framed
    drawn: list[Fill]
    # all candidates, best first
    text: str


@with_shared
def infill(
    ctx: typer.Context,
    target: TargetArgument = None,
    *,
    whole: Annotated[bool, typer.Option("--whole", help="Print the whole text with its holes filled.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print a unified diff.")] = False,
    write: Annotated[bool, typer.Option("--write", "-w", help="Put the fill into the file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    pick: Annotated[bool, typer.Option("--pick", help="Choose among the candidates by key.")] = False,
    candidates: Annotated[
        int | None,
        typer.Option("--candidates", "-n", metavar="N", help="Draw N fills and take the best; 1, with --pick 4."),
    ] = None,
    beams: Annotated[
        int | None,
        typer.Option("--beams", metavar="N", help="Search: follow N beginnings at once for what suits its line."),
    ] = None,
    single_line: Annotated[bool, typer.Option("--single-line", help="Fill one line.")] = False,
    max_lines: Annotated[int | None, typer.Option(metavar="N", help="Fill N lines at most.")] = None,
    context: ContextOption = None,
    suffix_first: OrderOption = None,
    raw: Annotated[bool, typer.Option("--raw", help="Give what the model writes as it is.")] = False,
    language: LanguageOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what the model would see, and stop.")] = False,
    shared: Shared,
) -> None:
    """Fill in the middle: at a line of a file, or where <FILL_ME> stands.

    A blank line is replaced; a line with content is filled at its end, or at COL.
    """
    from codellama import edit, picker
    from codellama import infill as core
    from codellama.commands import inputs, prompt

    run: Run = ctx.obj
    console = run.console
    shared.apply_quiet(run)
    if whole and diff:
        raise InputError("--whole and --diff exclude each other: choose one")
    if as_json and (whole or diff):
        raise InputError("--json prints one object: leave out --whole and --diff")
    if single_line and max_lines is not None:
        raise InputError("--single-line is --max-lines 1: give one of the two")
    if raw and (single_line or max_lines is not None):
        raise InputError("--raw gives all that the model writes: leave out --single-line and --max-lines")
    if beams is not None:
        _check_beams(raw=raw, lines=max_lines or 1, drawn=shared.temperature is not None)
    if max_lines is not None and max_lines < 1:
        raise InputError(f"max-lines must be 1 or more, not {max_lines}")
    wanted = (4 if pick else 1) if candidates is None else candidates
    sampling = shared.sampling(
        # the reference's own defaults for infilling
        run, temperature=0.0, top_p=0.9, max_tokens=MAX_TOKENS,
        candidates=max(wanted, min(beams or 0, core.JUDGED)), beams=beams,
        # whatever the model's own guards are: they count the prompt too, and a fill takes its words from there
        repetition_penalty=1.0, no_repeat_ngram=0, distinct=True,
    )  # fmt: skip
    options = shared.load_options(run)
    given = inputs.target(console, target, EXAMPLE, language)
    if write:
        if given.source.path is None:
            raise InputError(
                "--write needs a file, and standard input is none; --whole prints it with its holes filled"
            )
        edit.check(given.source)
    if pick:
        picker.check(console)
    model = shared.find_model(run, "infill", absent_ok=dry_run)
    others = inputs.context(context or (), given.language)
    tokenizer = prompt.tokenizer_of(model)

    backend: Backend | None = None
    filled: list[_Filled] = []
    stand_in = given.stand_in() if len(given.gaps) > 1 else ""
    for number in range(len(given.gaps)):
        fills = [each.text for each in filled]
        # a model sees the holes that come later as nothing; to tell whether the file parses something must be there
        hole = replace(given.hole(fills, stand_in), lines=1 if single_line else max_lines)
        order = True if beams and suffix_first is None else suffix_first
        seen = given.hole(fills)
        framed = core.frame(seen, model, tokenizer, sampling.max_tokens or MAX_TOKENS, others, order)
        say_what_was_cut(console, model, framed)
        if dry_run:
            say_which_hole(console, given)
            prompt.show(console, model, framed.prompt, as_json=as_json)
            return
        if backend is None:
            tokens = tokens_needed(model, framed.prompt, sampling, answers=len(given.gaps))
            backend = run.open_backend(model, options, tokens)
            for note in backend.notes:
                console.warn(note)
        where = given.where(number)
        around = replace(sampling, between=(seen.prefix, seen.suffix))
        drawn = _draw(console, backend, hole, framed, around, where, raw=raw)[:wanted]
        choose = _pick if pick else _best
        filled.append(_Filled(hole, framed, drawn, choose(console, hole, drawn, where, write=write, raw=raw)))
    _give(console, model, sampling, given, filled, whole=whole, diff=diff, write=write, as_json=as_json)


def _check_beams(*, raw: bool, lines: int, drawn: bool) -> None:
    """Raises InputError where beams are asked for together with what they do not go with."""
    if raw:
        raise InputError("--beams takes the fill that suits its line: leave out --raw")
    if lines > 1:
        raise InputError("--beams fills one line: leave out --max-lines")
    if drawn:
        raise InputError("--beams searches and draws nothing: leave out --temperature")


def _draw(
    console: Console, backend: Backend, hole: Hole, framed: Framed, sampling: Sampling, where: str, *, raw: bool
) -> list[Fill]:
    from codellama import answers
    from codellama.infill import Draw

    draw = Draw(hole, sampling.candidates, backend.model.tokenizer, raw=raw)
    tokens = 0
    with console.progress(backend.model.name) as line:
        for chunk in answers.report(backend.stream(framed.prompt, sampling, draw.ended), line.update):
            draw.add(chunk)
            tokens += len(chunk.ids)
            line.show(f"filling {where}", tokens, unit="tokens")
    return draw.fills()


def _best(console: Console, hole: Hole, drawn: list[Fill], where: str, *, write: bool, raw: bool) -> str:
    """The best fill. Raises NoCompletionError where none is usable, or none may be written."""
    from codellama import edit
    from codellama.infill import verifiable

    usable = _usable(drawn, where, raw=raw)
    best = next((fill for fill in usable if not edit.hidden(fill.text)), usable[0]) if write and not raw else usable[0]
    broken = not raw and best.parses is False and verifiable(hole)
    if broken:
        what = f"the file does not parse with {'it' if len(drawn) == 1 else f'any of {len(drawn)} fills'}"
        if write:
            raise NoCompletionError(f"no usable fill for {where}: {what}, so nothing was written{_more(drawn)}")
        console.warn(f"{what}{_more(drawn)}")
    if write and not raw:
        edit.refuse_hidden(best.text)
    if best.answer.finish_reason == "length" and _CUT_ONLY.issuperset(best.rules):
        console.note(f"stopped at {len(best.answer.ids)} tokens: --max-tokens N takes more")
    return best.text


def _pick(console: Console, hole: Hole, drawn: list[Fill], where: str, *, write: bool, raw: bool) -> str:
    """The fill that the user chooses, who sees what is hidden in it. Raises NoCompletionError where it is none."""
    from codellama import rules
    from codellama.infill import verifiable
    from codellama.picker import Choice, pick
    from codellama.preview import Preview

    def note(fill: str) -> str:
        verdict = rules.parses(fill if raw else rules.line_end(fill, hole), hole)
        said = {True: "the file parses", False: "the file does not parse", None: "not checked"}[verdict]
        return f"{where} · {said}" if where.startswith("hole") else said

    choices = {
        fill.text: Choice(Preview(hole.prefix, fill.text, hole.suffix, hole.language), note)
        for fill in _usable(drawn, where, raw=raw)
    }
    picked = pick(console, list(choices.values()))
    if picked is None:
        raise NoCompletionError(f"no fill picked for {where}" + ("; nothing was written" if write else ""))
    text = picked if raw else rules.line_end(picked, hole)
    if rules.parses(text, hole) is False and verifiable(hole):
        # of some of its lines the user was told nothing yet
        console.warn("the file does not parse with what was picked")
    return text


def _usable(drawn: list[Fill], where: str, *, raw: bool) -> list[Fill]:
    usable = [fill for fill in drawn if fill.usable]
    if not usable:
        why = "the model gave nothing"
        if not raw and any(fill.answer.text.strip() for fill in drawn):
            why = "what the model gave only repeats what is there (--raw gives it as it is)"
        raise NoCompletionError(f"no usable fill for {where}: {why}{_more(drawn)}")
    return usable


def _more(drawn: list[Fill]) -> str:
    return "; -n 8 draws more" if len(drawn) < 8 else "; --temperature 1 draws others"


def _give(
    console: Console,
    model: Model,
    sampling: Sampling,
    given: Target,
    filled: list[_Filled],
    *,
    whole: bool,
    diff: bool,
    write: bool,
    as_json: bool,
) -> None:
    """Write and print what was asked for. What cannot be written is printed all the same."""
    from codellama import answers, edit, holes
    from codellama.commands.outputs import show

    source = given.source
    splices = [edit.Splice(gap.start, gap.end, each.text) for gap, each in zip(given.gaps, filled, strict=True)]
    new = edit.apply(source, splices)
    failure: CodellamaError | None = None
    if write:
        try:
            edit.write(source, new)
        except CodellamaError as error:
            failure = error
    if as_json:
        said = [
            (fill.answer, {"text": fill.text, "raw": fill.answer.text, "hole": number,
                           "line": holes.line_at(source.text, gap.start), "parses": fill.parses, "rules": fill.rules})
            for number, (gap, each) in enumerate(zip(given.gaps, filled, strict=True), 1) for fill in each.drawn
        ]  # fmt: skip
        made = [each.framed.prompt for each in filled]
        cut = [
            {"part": part.name, "kept": part.kept, "total": part.total}
            for each in filled if each.framed.window for part in each.framed.window.cuts
        ]  # fmt: skip
        console.write_line(
            answers.as_json(model, made, sampling, said, file=source.name, language=given.language, cut=cut)
        )
    elif diff:
        show(console, edit.unified(source, new), source, "diff")
    elif whole or (len(filled) > 1 and (failure or not write)):
        show(console, new.decode("utf-8", "surrogateescape"), source, given.language)
    elif failure or not write:
        _show_fill(console, filled[0])
    if failure:
        raise failure
    if write:
        what = given.where(0) if len(filled) == 1 else f"{len(filled)} holes"
        console.note(f"{source.name}: {what} filled" if new != source.raw else f"{source.name}: is as it was")


def _show_fill(console: Console, filled: _Filled) -> None:
    hole = filled.hole
    if console.stdout_tty:
        from codellama import preview

        preview.show(console, preview.Preview(hole.prefix, filled.text, hole.suffix, hole.language))
    else:
        console.write(filled.text)
