"""`codellama chat`: one streamed answer to a question, or the full-screen chat."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from codellama.commands.options import FilesOption, Run, Shared, check, tokens_needed, with_shared
from codellama.errors import InputError, NoCompletionError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from codellama.answers import Answer
    from codellama.backends.base import Backend
    from codellama.blocks import Block
    from codellama.console import Console, ProgressLine
    from codellama.conversation import Fit
    from codellama.dialog import Chunk, Message, Sampling
    from codellama.history import Conversation, History
    from codellama.memory import LoadOptions
    from codellama.models import Model
    from codellama.recording import Recording

EXAMPLE = "git diff | codellama chat 'review this'"
ANSWER = 2048
# tokens that memory is planned for beyond the prompt. With all of a context of 16,384 the cache of a 7B model takes
# 8 GB, and a GPU of 16 GB would not do for it; an answer that is longer takes what memory there is

Extract = Literal["first", "last"] | None


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked of a backend, and how the answer is to be given."""

    fit: Fit
    sampling: Sampling
    recording: Recording
    extract: Extract
    as_json: bool


@with_shared
def chat(
    ctx: typer.Context,
    question: Annotated[str | None, typer.Argument(metavar="QUESTION", help="What to ask.")] = None,
    *,
    file: FilesOption = None,
    system: Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="A system message.")] = None,
    continued: Annotated[bool, typer.Option("--continue", "-c", help="Go on with the last conversation.")] = False,
    cid: Annotated[int | None, typer.Option(metavar="ID", help="Go on with this conversation.")] = None,
    drop_oldest: Annotated[
        bool, typer.Option("--drop-oldest", help="Leave the oldest questions out where the context is full.")
    ] = False,
    extract: Annotated[bool, typer.Option("--extract", "-x", help="Print the first code block alone.")] = False,
    extract_last: Annotated[bool, typer.Option("--extract-last", "--xl", help="Print the last one alone.")] = False,
    no_history: Annotated[bool, typer.Option("--no-history", help="Keep nothing of this.")] = False,
    screen: Annotated[
        bool, typer.Option("--tui", help="Chat on the whole screen, also where a question is given.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what the model would see, and stop.")] = False,
    shared: Shared,
) -> None:
    """Ask a question: files, standard input and an argument, each on lines of its own.

    On a terminal and without any of them: chat on the whole screen.
    """
    from codellama import conversation, models, source
    from codellama.commands import inputs, prompt
    from codellama.history import Saved
    from codellama.recording import Recording

    run: Run = ctx.obj
    console = run.console
    shared.apply_quiet(run)
    if extract and extract_last:
        raise InputError("--extract and --extract-last exclude each other: choose one")
    printed = extract or extract_last or as_json or dry_run
    if screen and printed:
        raise InputError("--tui prints nothing: leave it out, or --extract, --json and --dry-run")
    nothing_asked = question is None and not file and console.stdin_tty
    screen = screen or (nothing_asked and console.stdout_tty and not printed and not console.dumb)
    asked = inputs.question(console, question, file or (), None if screen else EXAMPLE)
    system = source.check_argument(system, "--system") if system else None
    sampling = shared.sampling(
        # the reference's own defaults for chat
        run, temperature=0.2, top_p=0.95, max_tokens=None,
    )  # fmt: skip
    options = shared.load_options(run)
    history, before = _history(run, continued=continued, cid=cid, keep=not (no_history or dry_run))
    with closing(history):
        if before:
            shared = replace(shared, model=shared.model or before.model)
        if screen:
            _take_screen(run, shared, sampling, options, history, before, system, asked)
            return
        if before and system is not None:
            raise InputError("--system begins a conversation: leave it out to go on with one")
        model = shared.find_model(run, "chat", absent_ok=dry_run)
        fresh = [Saved("user", asked)] if system is None else [Saved("system", system), Saved("user", asked)]
        past = history.messages(before.id) if before else ()
        messages = [saved.message for saved in (*past, *fresh)]
        if dry_run:
            prompt.show(console, model, conversation.render(model, messages), as_json=as_json)
            return
        fit = _fit(console, model, messages, sampling, drop_oldest=drop_oldest)
        planned = replace(sampling, max_tokens=sampling.max_tokens or ANSWER)
        backend = run.open_backend(model, options, tokens_needed(model, fit.prompt, planned))
        for note in backend.notes:
            console.warn(note)
        answer = Saved(
            "assistant", "", model=model.name, precision=options.quantisation or options.dtype,
            chat_format=model.chat_format or "", sampling=sampling,
        )  # fmt: skip
        recording = Recording(
            history, fresh, answer, conversation.title(question or asked),
            models.handle(model, run.settings, console.environ), before.id if before else None,
        )  # fmt: skip
        extracted: Extract = "first" if extract else "last" if extract_last else None
        _give(console, backend, _Request(fit, sampling, recording, extracted, as_json))


def _take_screen(
    run: Run,
    shared: Shared,
    sampling: Sampling,
    options: LoadOptions,
    history: History,
    before: Conversation | None,
    system: str | None,
    asked: str,
) -> None:
    from codellama.tui import run_chat

    def open_backend(name: str | None) -> Backend:
        model = replace(shared, model=name or shared.model).find_model(run, "chat")
        return run.open_backend(model, options, min(2 * ANSWER, model.context))

    run_chat(
        run.console, run.settings, open_backend, sampling, history,
        check=check, system=system or "", conversation=before.id if before else None, text=asked,
    )  # fmt: skip


def _history(run: Run, *, continued: bool, cid: int | None, keep: bool) -> tuple[History, Conversation | None]:
    """Where the answer is to be kept, and the conversation that goes on."""
    from codellama.history import History

    if continued and cid is not None:
        raise InputError("--continue and --cid exclude each other: choose one")
    go_on = continued or cid is not None
    path = run.settings.history
    if keep and run.settings.pick("history", default=True):
        history = History.open(path, run.console.warn)
    else:
        history = History.nowhere(path if go_on else None)
    before = None if not go_on else history.last() if cid is None else history.conversation(cid)
    if go_on and before is None:
        raise InputError("there is no conversation to go on with: leave out --continue")
    return history, before


def _fit(console: Console, model: Model, messages: Sequence[Message], sampling: Sampling, *, drop_oldest: bool) -> Fit:
    """The prompt, which leaves room for an answer. Raises ContextError where it does not, naming the way out."""
    from codellama import conversation
    from codellama.backends.base import room

    fit = conversation.fit(model, messages)
    wanted = min(sampling.max_tokens or model.context // 4, model.context // 4)
    several = sum(message.role == "user" for message in messages) > 1
    if drop_oldest and fit.left < wanted:
        fit = conversation.drop_oldest(model, messages, wanted)
        if fit.dropped:
            count = sum(message.role == "user" for message in fit.dropped)
            what = "question and its answer" if count == 1 else f"{count} questions and their answers"
            console.warn(f"the oldest {what} are not sent, so that there is room in the context of {fit.context}")
    elif not fit.fits and several:
        raise conversation.too_long(model, fit, "--drop-oldest leaves the oldest questions and answers out")
    elif not fit.fits:
        raise conversation.too_long(model, fit)
    elif several and fit.share > conversation.WARN_SHARE:
        console.warn(f"the conversation takes {fit.share:.0%} of {model.name}'s context of {fit.context} tokens")
    room(model, fit.prompt, sampling)
    return fit


def _give(console: Console, backend: Backend, request: _Request) -> None:
    """Have the question answered and print what was asked for; what there is after Ctrl-C is printed and kept too."""
    from codellama import answers
    from codellama.display import open_markdown

    recording = request.recording
    collector = answers.Collector()
    with console.progress(backend.model.name) as line, closing(_stream(backend, request, line)) as chunks:
        if request.as_json or request.extract:
            try:
                for chunk in chunks:
                    collector.add(chunk)
                    line.show("answering", recording.tokens, unit="tokens")
            finally:
                if request.as_json and (there := collector.answers()):
                    _write_json(console, backend.model, request, there[0])
        else:
            with open_markdown(console) as display:
                for chunk in chunks:
                    collector.add(chunk)
                    display.push(chunk.text)
    (answer,) = collector.answers()
    if not answer.text.strip():
        raise NoCompletionError("the model gave no answer: ask otherwise, or --temperature 0.8")
    if request.extract:
        block = _block(answer, request.extract)
        if block is None:
            shown = f"`codellama history show {recording.conversation}` shows it"
            again = f"--seed {request.sampling.seed} without -x prints it"
            raise NoCompletionError(f"the answer has no code block: {shown if recording.kept else again}")
        if not request.as_json:
            _show_block(console, block)
    if answer.finish_reason == "length":
        full = len(answer.ids) >= request.fit.left
        way_out = "the context is full" if full else "--max-tokens N takes more"
        console.note(f"stopped at {len(answer.ids)} tokens: {way_out}")


def _stream(backend: Backend, request: _Request, line: ProgressLine) -> Generator[Chunk]:
    """The chunks of the answer, on their way into the history."""
    from codellama import answers, conversation
    from codellama.dialog import FinishReason

    reason = FinishReason.CANCELLED
    try:
        said = answers.report(backend.stream(request.fit.prompt, request.sampling), line.update)
        for chunk in conversation.spoken(said, backend.model.tokenizer):
            request.recording.push(chunk.text, len(chunk.ids))
            reason = chunk.finish_reason or reason
            yield chunk
    finally:
        request.recording.end(reason)


def _block(answer: Answer, which: Extract) -> Block | None:
    from codellama.blocks import blocks

    found = blocks(answer.text)
    return found[0 if which == "first" else -1] if found else None


def _show_block(console: Console, block: Block) -> None:
    from codellama.display import open_display
    from codellama.highlight import known

    with open_display(console, language=known(block.language) or "text") as display:
        display.push(block.text)


def _write_json(console: Console, model: Model, request: _Request, answer: Answer) -> None:
    from codellama import answers

    more: dict[str, object] = {}
    if request.extract:
        block = _block(answer, request.extract)
        more = {"text": block.text if block else "", "raw": answer.text}
    recording = request.recording
    conversation = recording.conversation if recording.kept else None
    said = [(answer, more)]
    console.write_line(answers.as_json(model, [request.fit.prompt], request.sampling, said, conversation=conversation))
