"""`codellama complete`: go on with a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.options import Run, Shared, tokens_needed, with_shared
from codellama.errors import NoCompletionError

if TYPE_CHECKING:
    from codellama.answers import Answer
    from codellama.console import Console
    from codellama.dialog import Chunk, Sampling

EXAMPLE = "codellama complete 'def fibonacci('"


@with_shared
def complete(
    ctx: typer.Context,
    text: Annotated[str | None, typer.Argument(metavar="PROMPT", help="The text to go on with.")] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Read the text from a file; -: standard input.")
    ] = None,
    echo: Annotated[bool, typer.Option("--echo", help="Print the prompt before its completion.")] = False,
    candidates: Annotated[
        int, typer.Option("--candidates", "-n", metavar="N", help="How many completions; in a pipe NUL between them.")
    ] = 1,
    stop: Annotated[
        list[str] | None, typer.Option("--stop", metavar="TEXT", help="End before this text; may be given again.")
    ] = None,
    language: Annotated[str | None, typer.Option("--lang", metavar="NAME", help="Highlight as this language.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what the model would see, and stop.")] = False,
    shared: Shared,
) -> None:
    """Go on with a text: an argument, a file, standard input, or all three joined by newlines."""
    from codellama import answers, prompts, source
    from codellama.backends.base import room
    from codellama.commands import inputs, prompt
    from codellama.highlight import lexer_name

    run: Run = ctx.obj
    console = run.console
    shared.apply_quiet(run)
    given = inputs.gather(console, text, file, EXAMPLE)
    stops = tuple(source.check_argument(each, "--stop") for each in stop or ())
    if language:
        lexer_name(language=language)
    sampling = shared.sampling(
        # the reference's own defaults for completion
        run, temperature=0.2, top_p=0.9, max_tokens=256, candidates=candidates, stop=stops,
    )  # fmt: skip
    options = shared.load_options(run)
    model = shared.find_model(run, absent_ok=dry_run)
    made = prompts.render(model.template, prompt.tokenizer_of(model), text=given.text)
    if dry_run:
        prompt.show(console, model, made, as_json=as_json)
        return
    room(model, made, sampling)
    backend = run.open_backend(model, options, tokens_needed(model, made, sampling))
    for note in backend.notes:
        console.warn(note)
    echoed = given.text if echo else ""
    with console.progress(model.name) as line:
        chunks = answers.report(backend.stream(made, sampling), line.update)
        if as_json:
            collector = answers.Collector()
            try:
                done = answers.collect(chunks, collector.add)
            finally:
                # after Ctrl-C or a failure too: what there is, marked as cancelled
                if there := collector.answers():
                    said = [(answer, {"text": echoed + answer.text}) for answer in there]
                    console.write_line(answers.as_json(model, [made], sampling, said))
        else:
            done = _stream(console, chunks, echoed, candidates, language, given.filename)
    _say_how_it_ended(console, done, sampling, model.context - len(made.ids))


def _stream(
    console: Console, chunks: Iterator[Chunk], echoed: str, candidates: int, language: str | None, filename: str | None
) -> list[Answer]:
    """Show the first candidate as it comes and the others after it."""
    from codellama import answers
    from codellama.display import open_display

    def heading(number: int) -> None:
        if console.stdout_tty and candidates > 1:
            console.write_line(f"── {number + 1} of {candidates} ──")

    # the prompt comes with the first token: until then the line belongs to the progress
    before = echoed

    def show(chunk: Chunk) -> None:
        nonlocal before
        if chunk.index == 0:
            display.push(before + chunk.text)
            before = ""

    heading(0)
    with open_display(console, language=language, filename=filename) as display:
        done = answers.collect(chunks, show)
    for number, answer in enumerate(done[1:], 1):
        if not console.stdout_tty:
            console.write("\0")
        heading(number)
        with open_display(console, language=language, filename=filename) as display:
            display.push(echoed + answer.text)
    return done


def _say_how_it_ended(console: Console, done: list[Answer], sampling: Sampling, left: int) -> None:
    if not any(answer.text.strip() for answer in done):
        what = "nothing came before the end or a --stop text" if sampling.stop else "the model ended the text at once"
        raise NoCompletionError(f"{what}: try another prompt, or --temperature 0.8")
    cut = [len(answer.ids) for answer in done if answer.finish_reason == "length"]
    if cut:
        way_out = "the context is full" if max(cut) >= left else "--max-tokens N takes more"
        console.note(f"stopped at {max(cut)} tokens: {way_out}")
