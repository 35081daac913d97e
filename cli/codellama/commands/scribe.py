"""Asks a model for one docstring after another, within the limits of a run."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from codellama import answers, prose, questions
from codellama.backends.base import Backend
from codellama.console import ProgressLine
from codellama.dialog import FinishReason, Sampling
from codellama.docstrings import Reply, Request
from codellama.style import Style
from codellama.tokenizer import MID, PRE, SUF

MAX_TOKENS = {Style.PLAIN: 96, Style.GOOGLE: 192, Style.NUMPY: 192, Style.SPHINX: 192}
# for a sentence or two, and for a section


@dataclass
class Scribe:
    """Asks a model for docstrings, as long as there is time and the number allowed is not reached."""

    backend: Backend
    sampling: Sampling
    deadline: float
    # by time.monotonic
    most: float
    # docstrings to ask for yet
    line: ProgressLine
    style: Style
    chats: bool = False
    # True: it is asked in a chat, since it cannot infill
    where: str = ""
    cut: int = 0
    # definitions of which the model did not see the end

    def __call__(self, request: Request) -> Reply | None:
        if self._late() or (not request.begun and self.most < 1):
            return None
        self.most -= not request.begun
        most_tokens = self.sampling.max_tokens or MAX_TOKENS[self.style]
        if self.chats:
            question = questions.chat(request, self.backend.model, most_tokens, self.style)
        else:
            question = questions.infill(request, self.backend.model, most_tokens)
        self.cut += not question.whole
        controls = set() if self.chats else {self.backend.model.tokenizer.control(piece) for piece in (PRE, SUF, MID)}
        said, text, stray = answers.Collector(), "", False

        def ended() -> bool:
            if self.chats:
                return prose.unfenced(text)[1]
            return stray or (not request.begun and prose.ended(text))

        tokens = 0
        stream = self.backend.stream(question.prompt, self.sampling, lambda: ended() or self._late())
        for chunk in answers.report(stream, self.line.update):
            said.add(chunk)
            # nothing of use comes behind a control piece
            stray = stray or not controls.isdisjoint(chunk.ids)
            text += "" if stray else chunk.text
            tokens += len(chunk.ids)
            self.line.show(f"{self.where}: {request.definition.title}", tokens, unit="tokens")
        [answer] = said.answers()
        complete = ended() or answer.finish_reason is FinishReason.STOP
        if not complete and self._late():
            return None
        return Reply(prose.unfenced(text)[0] if self.chats else text, complete, final=self.chats)

    def _late(self) -> bool:
        return monotonic() > self.deadline
