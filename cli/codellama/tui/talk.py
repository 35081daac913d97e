"""A conversation under way: what was said, who answers, and where it is kept. It knows nothing of a screen.

`ask` and what changes the past are for the thread of the screen, while nothing is generated; `run` is for the one
thread that generates. What was said is written to the history as it comes, from that thread: a disk that is slow holds
up no key. To change the past begins a new conversation there, which branches off the old one; the old one stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from codellama import conversation
from codellama.attachments import Attachment, Place
from codellama.backends.base import Backend
from codellama.conversation import Fit
from codellama.dialog import Chunk, FinishReason, Message, Sampling
from codellama.history import History, Saved
from codellama.memory import QUANTISED, Plan
from codellama.models import Model
from codellama.recording import Recording

ROOM = 256
# tokens that an answer should have; where a conversation leaves fewer, the user is asked


@dataclass(frozen=True, slots=True)
class Turn:
    """A question that is to be answered."""

    fit: Fit
    sampling: Sampling
    backend: Backend


@dataclass
class Talk:
    backend: Backend
    sampling: Sampling
    history: History
    handle: Callable[[Model], str] = lambda model: model.name
    # what a model is found by again
    precision: str = ""
    device: str = ""
    system: str = ""
    said: list[Saved] = field(default_factory=list)
    # questions and answers
    title: str = ""
    # of the conversation; "": the first question gives it
    places: list[Place] = field(default_factory=list)
    # files that were attached, the last one last
    id: int | None = None
    # in the history; None: nothing of it is there yet
    parent: int | None = None
    # what it branches off; None: nothing
    kept: int = 0
    # of `said`, what is in the history
    skipped: int = 0
    # of `said`, what is no longer sent: the user let it go where the context was full
    notice: Callable[[str], None] = lambda text: None
    # told what a user must know of the history

    @property
    def model(self) -> Model:
        return self.backend.model

    @property
    def questions(self) -> list[str]:
        return [saved.content for saved in self.said if saved.role == "user"]

    def take(self, backend: Backend) -> None:
        """Let a backend answer from now on. Raises CapabilityError where its model does not chat."""
        conversation.chat_format(backend.model)
        self.backend = backend
        self.precision, self.device = placement(backend)

    def messages(self, more: Sequence[Message] = ()) -> list[Message]:
        """What is sent: the system message, and what was said and not let go."""
        system = [Message("system", self.system)] if self.system else []
        return [*system, *(saved.message for saved in self.said[self.skipped :]), *more]

    @property
    def room(self) -> int:
        return min(ROOM, self.model.context // 8) or 1

    def fit(self, question: str) -> Fit:
        """What would be sent. Raises InputError where the chat format cannot carry it."""
        return conversation.fit(self.model, self.messages([Message("user", question)]))

    def used(self) -> int:
        """Tokens of what is sent with the next question, but for that itself."""
        return conversation.fit(self.model, self.messages([Message("user", "")])).used if self.said else 0

    def shortened(self, question: str) -> Fit:
        """What would be sent without the oldest, so that there is room. Raises ContextError where there is none even
        for the question alone.
        """
        return conversation.drop_oldest(self.model, self.messages([Message("user", question)]), self.room)

    def ask(self, question: str, made: Fit, title: str = "") -> Turn:
        """The question is said; what answers it is the caller's to run. `title`: what it is without attached files."""
        if not self.said:
            self.title = conversation.title(title or question)
        self.said.append(Saved("user", question, created=time.time()))
        self.skipped += len(made.dropped)
        return Turn(made, self.sampling, self.backend)

    def again(self) -> Turn:
        """Answer the question that was said last. Raises InputError where the chat format cannot carry it."""
        return Turn(conversation.fit(self.model, self.messages()), self.sampling, self.backend)

    def upto(self, count: int) -> Talk:
        """The conversation as it was after so much was said, to go on otherwise; this one stays as it is."""
        other = replace(self, said=self.said[:count], places=list(self.places), skipped=min(self.skipped, count))
        other.branch()
        return other

    def branch(self) -> None:
        """What comes is kept as a conversation of its own."""
        self.parent = self.id or self.parent
        self.id, self.kept = None, 0

    def with_system(self, text: str) -> Talk:
        """The conversation under another system message, "" being none; this one stays as it is."""
        other = self.upto(len(self.said)) if self.said else replace(self)
        other.system = text
        return other

    def fresh(self) -> Talk:
        """A new conversation under the same system message."""
        return replace(self, said=[], title="", places=[], id=None, parent=None, kept=0, skipped=0)

    def resume(self, id: int) -> None:
        """Go on with a conversation of the history. Raises InputError where it is not there."""
        self.title = self.history.conversation(id).title
        every = self.history.messages(id)
        self.id, self.parent, self.skipped, self.places = id, None, 0, []
        self.system = next((saved.content for saved in every if saved.role == "system"), "")
        self.said = [saved for saved in every if saved.role != "system"]
        self.kept = len(self.said)

    def run(self, turn: Turn, cancelled: Callable[[], bool], each: Callable[[Chunk], None]) -> None:
        """Generate, give each chunk, and keep what comes. Raises what the backend raises; what came before is kept."""
        self._keep()
        model = turn.backend.model
        answer = Saved(
            "assistant", "", model=model.name, precision=self.precision, chat_format=model.chat_format or "",
            sampling=turn.sampling,
        )  # fmt: skip
        recording = Recording(self.history, (), answer, "", "", self.id)
        text: list[str] = []
        reason = FinishReason.CANCELLED
        try:
            chunks = turn.backend.stream(turn.fit.prompt, turn.sampling, cancelled)
            for chunk in conversation.spoken(chunks, model.tokenizer):
                text.append(chunk.text)
                recording.push(chunk.text, len(chunk.ids))
                reason = chunk.finish_reason or reason
                each(chunk)
        finally:
            recording.end(reason)
            said = "".join(text)
            if said.strip():
                self.said.append(replace(answer, content=said, finish_reason=reason, tokens=recording.tokens))
                if recording.lost:
                    self._keep_anew()
                self.kept = len(self.said)

    def _keep_anew(self) -> None:
        """Another window has deleted the conversation: what was said here is still there, and is not lost either."""
        self.id, self.parent, self.kept = None, None, 0
        self._keep()
        self.notice("the conversation was deleted elsewhere: all that was said here is now kept as a new one")

    def _keep(self) -> None:
        """Put into the history what is not there yet."""
        if self.id is None:
            title = self.title or conversation.title(self.questions[0])
            self.id = self.history.start(title, self.handle(self.model), self.parent)
            if self.system:
                self.history.add(self.id, Saved("system", self.system))
        for saved in self.said[self.kept :]:
            if not self.history.add(self.id, saved):
                self._keep_anew()
                return
        self.kept = len(self.said)

    def markdown(self) -> str:
        """The whole conversation for reading elsewhere."""
        named = [(saved.message, saved.model) for saved in self.said]
        title = self.title or (conversation.title(self.questions[0]) if self.questions else "")
        system = [(Message("system", self.system), "")] if self.system else []
        return conversation.as_markdown(title, [*system, *named])


def placement(backend: Backend) -> tuple[str, str]:
    """Precision and device of a backend that has planned them; empty for one that has none."""
    plan: Plan | None = getattr(backend, "plan", None)
    if plan is None:
        return "", ""
    devices = list(dict.fromkeys(plan.device_map.values()))
    return QUANTISED[plan.quantisation] if plan.quantisation else plan.dtype, "+".join(devices)


def with_attachments(text: str, attached: Sequence[Attachment]) -> str:
    """A question with the files it is about before it."""
    return "\n".join([*(each.markdown for each in attached), text])
