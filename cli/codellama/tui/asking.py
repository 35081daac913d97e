"""Asking and answering on the screen: one question at a time, one thread that generates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import Worker, get_current_worker

from codellama.attachments import Attachment
from codellama.backends.base import Backend
from codellama.conversation import WARN_SHARE, Fit
from codellama.dialog import FinishReason, Progress, Sampling, Timings
from codellama.errors import CodellamaError, ContextError
from codellama.settings import Settings
from codellama.tui.composer import Composer
from codellama.tui.dialogs import Choose
from codellama.tui.mailbox import Burst, Mailbox
from codellama.tui.question import Question
from codellama.tui.reply import Ending, Reply
from codellama.tui.status import State, Status
from codellama.tui.talk import Talk, Turn, with_attachments
from codellama.tui.transcript import Transcript

INTERVAL = 0.1
# seconds between two paintings of an answer, at least
_TYPING = 0.25
# seconds between two paintings while somebody types: a key that comes in the middle of one has to wait
_SHARE = 0.25
# of the time may go into painting
_RATE = 0.5
# seconds between two figures of the speed


@dataclass(frozen=True)
class Tools:
    """What the screen works with beside the conversation."""

    settings: Settings
    environ: Mapping[str, str]
    open_backend: Callable[[str | None], Backend]
    check: Callable[[Sampling], None]


class Asking(Screen[None]):
    """What happens between a question and the end of its answer."""

    class Arrived(Message):
        """There is something in the mailbox."""

    def __init__(self, talk: Talk, tools: Tools) -> None:
        super().__init__()
        self.talk, self.tools = talk, tools
        self.attached: list[Attachment] = []
        # for the next question
        self.editing: int | None = None
        # the number of the question, from 1, that the next one replaces
        self.draft = ""
        # what was in the input before it
        self._turn: Turn | None = None
        # None: nothing is generated
        self._reply: Reply | None = None
        self._mailbox = Mailbox()
        self._worker: Worker[None] | None = None
        self._timer: Timer | None = None
        self._due = 0.0
        self._first = 0.0
        # when the first token came
        self._rated = 0.0
        # when the speed was last said
        self._tokens = 0
        self._reason: FinishReason | None = None
        self._timings: Timings | None = None
        self._warned = False

    @property
    def busy(self) -> bool:
        return self._turn is not None

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def composer(self) -> Composer:
        return self.query_one(Composer)

    @property
    def status(self) -> Status:
        return self.query_one(Status)

    async def ask(self, text: str) -> None:
        """Ask a question, or say why it cannot be asked; then it is in the input again."""
        talk = self.talk if self.editing is None else self.talk.upto(self._said_before(self.editing))
        question = with_attachments(text, self.attached)
        try:
            made = talk.fit(question)
            if made.left >= talk.room:
                await self._send(talk, text, question, made)
            else:
                self._offer(talk, text, question, made)
        except CodellamaError as error:
            await self.refuse(text, str(error))

    def _offer(self, talk: Talk, text: str, question: str, made: Fit) -> None:
        """The context is full: let the user choose. Raises ContextError where there is nothing to choose."""
        ways: list[tuple[str, Fit]] = []
        try:
            shorter = talk.shortened(question)
            count = len(shorter.dropped)
            ways.append((f"Leave out the oldest {count} messages; they stay on the screen and in the history", shorter))
        except ContextError:
            if not made.fits:
                raise
        if made.fits:
            ways.append((f"Ask all the same; {made.left} tokens are left for the answer", made))
        title = f"The context is full: {made.used} of {made.context} tokens with this question"

        async def chosen(number: int | None) -> None:
            if number is None or number == len(ways):
                self.composer.put(text)
                return
            fit = ways[number][1]
            await self._send(talk, text, question, fit)
            if fit.dropped:
                await self.transcript.note(f"the oldest {len(fit.dropped)} messages are no longer sent", "warning")

        self.app.push_screen(
            Choose(title, [*(way for way, _ in ways), "Stop; the question stays in the input"]), chosen
        )

    async def _send(self, talk: Talk, text: str, question: str, made: Fit) -> None:
        if self.editing is not None:
            await self.transcript.cut(self.editing)
            self.end_editing()
        self.talk = talk
        talk.places += [each.place for each in self.attached]
        self.attach([])
        turn = talk.ask(question, made, text)
        await self.transcript.add(Question(len(talk.questions), question))
        await self.answer(turn)

    async def answer(self, turn: Turn) -> None:
        """Let the last question be answered."""
        self._turn, self._reply, self._mailbox = turn, Reply(), Mailbox()
        self._due = self._first = self._rated = 0.0
        self._tokens, self._reason, self._timings = 0, None, None
        await self.transcript.add(self._reply)
        self.composer.earlier = self.talk.questions
        self.say(replace(self.standing(), used=turn.fit.used, rate=0.0, doing="reading the prompt"))
        work = partial(self._generate, self.talk, turn, self._mailbox)
        self._worker = self.run_worker(work, thread=True, exclusive=True, exit_on_error=False, group="model")

    def _generate(self, talk: Talk, turn: Turn, mailbox: Mailbox) -> None:
        """In the thread."""
        worker = get_current_worker()

        def arrived(new: bool) -> None:
            if new:
                self.post_message(self.Arrived())

        failure: Exception | None = None
        try:
            talk.run(turn, lambda: worker.is_cancelled, lambda chunk: arrived(mailbox.put(chunk)))
        except Exception as error:  # noqa: BLE001  said on the screen
            failure = error
        arrived(mailbox.end(failure))

    def stop(self) -> None:
        """Let the answer end where it is."""
        if self._worker and self.busy:
            self._worker.cancel()
            self.say(replace(self.status.state, doing="stopping"))

    async def on_asking_arrived(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            await self._paint()
        elif self._timer is None:
            self._timer = self.set_timer(self._due - now, self._paint)

    async def _paint(self) -> None:
        self._timer = None
        turn, reply = self._turn, self._reply
        if turn is None or reply is None:
            return
        began = time.monotonic()
        burst = self._mailbox.take()
        # they may come some time before the thread is done
        self._reason = burst.finish_reason or self._reason
        self._timings = burst.timings or self._timings
        if burst.text:
            reply.push(burst.text)
        self._tell(turn, burst, began)
        if burst.last:
            await self._ended(turn, reply, burst)
        done = time.monotonic()
        typing = done < self.composer.typed + 2 * _TYPING
        self._due = began + max(_TYPING if typing else INTERVAL, (done - began) / _SHARE)

    def _tell(self, turn: Turn, burst: Burst, now: float) -> None:
        """Bring the status up to date."""
        state = self.status.state
        if burst.tokens:
            self._first = self._first or now
            self._tokens += burst.tokens
            if now >= self._rated + _RATE:
                self._rated = now
                rate = self._tokens / (now - self._first) if now > self._first else 0.0
                state = replace(state, rate=rate, used=turn.fit.used + self._tokens)
            if state.doing != "stopping":
                state = replace(state, doing="generating")
        elif burst.progress and state.doing != "stopping":
            state = replace(state, doing=_doing(burst.progress))
        self.say(state)

    async def _ended(self, turn: Turn, reply: Reply, burst: Burst) -> None:
        reply.end(_ending(turn, reply.text, self._tokens, self._reason, burst.error))
        self._turn = self._reply = self._worker = None
        rate = self._timings.generation_rate if self._timings else 0.0
        self.say(replace(self.standing(), rate=rate or self.status.state.rate))
        await self.warn_if_full()

    def standing(self) -> State:
        """What there is to say while nothing happens."""
        talk = self.talk
        doing = "ready" if self.editing is None else f"changing question {self.editing}"
        return State(talk.model.name, talk.precision, talk.device, 0.0, talk.used(), talk.model.context, doing)

    def say(self, state: State) -> None:
        self.status.set(state)

    async def warn_if_full(self) -> None:
        """Once, when the context fills up."""
        share = self.status.state.share
        if share >= WARN_SHARE and not self._warned:
            await self.transcript.note(
                f"{share:.0%} of the context is used: /new begins another conversation; when it is full you are asked",
                "warning",
            )
        self._warned = share >= WARN_SHARE

    async def refuse(self, text: str, why: str) -> None:
        """Give a text back to the input, and say why."""
        await self.transcript.note(why, "error")
        self.transcript.anchor()
        self.composer.put(text)

    def end_editing(self) -> None:
        """No question is changed any more: what was in the input before is there again, before what is there now."""
        self.editing = None
        if self.draft:
            self.composer.put(self.unsent)
            self.draft = ""

    @property
    def unsent(self) -> str:
        """All that was typed and not sent."""
        return "\n".join(filter(None, (self.draft, self.composer.text)))

    def attach(self, attached: list[Attachment]) -> None:
        """Show what goes along with the next question."""
        raise NotImplementedError

    def _said_before(self, number: int) -> int:
        """How much was said before a question."""
        questions = [at for at, saved in enumerate(self.talk.said) if saved.role == "user"]
        return questions[number - 1]


def _doing(progress: Progress) -> str:
    if progress.stage == "load":
        return f"loading {progress.done * 100 // progress.total} %" if progress.total else "loading"
    return f"reading the prompt {progress.done}/{progress.total}" if progress.total else "reading the prompt"


def _ending(
    turn: Turn, text: str, tokens: int, reason: FinishReason | None, error: BaseException | None
) -> Ending | None:
    """What is to be said below an answer; None: nothing, it came to its end."""
    if error is not None:
        what = str(error) if isinstance(error, CodellamaError) else f"{type(error).__name__}: {error}"
        kept = "what came before is kept; " if text else ""
        return Ending("error", f"the answer broke off: {what}; {kept}/retry asks once more")
    if reason is FinishReason.CANCELLED:
        return Ending("note", "stopped; /retry asks once more")
    if reason is FinishReason.LENGTH:
        way_out = "the context is full" if tokens >= turn.fit.left else "/set max_tokens=N takes more"
        return Ending("warning", f"cut off at {tokens} tokens: {way_out}")
    if not text.strip():
        return Ending("note", "the model said nothing; /retry asks once more, /set temperature=0.8 may help")
    return None
