"""A question and its answer on their way into the history, so that little is lost when the machine dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from codellama.dialog import FinishReason
from codellama.history import History, Saved

INTERVAL = 1.0
# seconds between two writings of an answer that comes


@dataclass
class Recording:
    """Feed it what comes with `push`, and `end` it. A question that gets no answer is not kept."""

    history: History
    asked: Sequence[Saved]
    # what goes before the answer and is not in the history yet
    answer: Saved
    # without its text
    title: str
    model: str
    # what `-m` finds it by; both for a new conversation
    conversation: int | None = None
    # the one that goes on; None: a new one, until the answer begins
    clock: Callable[[], float] = time.monotonic
    _text: list[str] = field(default_factory=list, init=False)
    tokens: int = field(default=0, init=False)
    # of the answer so far
    _place: int = field(default=0, init=False)
    # of the answer in the history; 0: it is not there
    lost: bool = field(default=False, init=False)
    # True: the conversation was deleted meanwhile
    _began: float = field(default=0.0, init=False)
    _due: float = field(default=0.0, init=False)

    @property
    def kept(self) -> bool:
        """Whether the answer has begun and outlasts the program."""
        return self._place > 0 and not self.lost and self.history.kept

    def push(self, text: str, tokens: int) -> None:
        """More of the answer."""
        now = self.clock()
        self._began = self._began or now
        self._text.append(text)
        self.tokens += tokens
        if self.lost:
            return
        if self._place:
            if now >= self._due:
                self.lost = not self.history.replace(self._place, self._saved(None))
                self._due = now + INTERVAL
        elif text.strip():
            self._begin()
            self._due = now + INTERVAL

    def end(self, reason: FinishReason) -> None:
        """The answer is whole, or what there is of it."""
        if self._place and not self.lost:
            self.lost = not self.history.replace(self._place, self._saved(reason))

    def _begin(self) -> None:
        if self.conversation is None:
            self.conversation = self.history.start(self.title, self.model)
        for saved in self.asked:
            self.history.add(self.conversation, saved)
        self._place = self.history.add(self.conversation, self._saved(None))
        self.lost = not self._place

    def _saved(self, reason: FinishReason | None) -> Saved:
        return replace(
            self.answer,
            content="".join(self._text),
            finish_reason=reason,
            tokens=self.tokens,
            seconds=self.clock() - self._began,
        )
