"""What passes between a command and a backend: messages, sampling, prompts and chunks.

Plain frozen data, importable by everything; nothing here computes more than a sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Role = Literal["system", "user", "assistant"]
Need = Literal["infill", "chat", "instruct", "instruct-70b", "docstring"]
# chat: in whatever format is the model's own


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str
    destination: str | None = None
    # only the 70B format shows it; None: the message names no destination


@dataclass(frozen=True, slots=True)
class Sampling:
    temperature: float = 0.0
    # 0: greedy
    top_p: float = 1.0
    # 1: no limit
    top_k: int = 0
    # 0: no limit
    seed: int = 0
    max_tokens: int | None = 256
    # None: whatever the context leaves
    candidates: int = 1
    # at temperature 0 the first is greedy and the others are drawn at SPREAD_TEMPERATURE
    stop: tuple[str, ...] = ()
    # strings that end the text; they are not part of it
    repetition_penalty: float | None = None
    # 1: none; None: what the model's generation_config.json says, else none
    no_repeat_ngram: int | None = None
    # no run of this many tokens comes twice; 0: no such guard; None: as for the penalty
    distinct: bool = False
    # True: the later half of the candidates begin with other words than all before them. Without, eight candidates may
    # all begin with `for`, where the file needs none
    beams: int | None = None
    # None: no search. Else so many of the likeliest beginnings of one line are followed at once, nothing is drawn, and
    # the candidates are those answers with which the line is the likeliest
    between: tuple[str, str] | None = None
    # what stands around the answer, of which its line is a part


SPREAD_TEMPERATURE = 0.8
# for the candidates after a greedy first one: the paper samples at 0.8 for pass@10 and pass@100


@dataclass(frozen=True, slots=True)
class Segment:
    label: str
    # bos, prefix, suffix, system, user, ...: what this part is
    text: str
    ids: tuple[int, ...] | None
    # None: rendered without a tokenizer
    control: bool = False
    # True: a control piece, put there by a template; its text is the piece's name


@dataclass(frozen=True, slots=True)
class Prompt:
    segments: tuple[Segment, ...]
    stop_ids: tuple[int, ...]
    # ids that end an answer, in the order of the template
    stop_pieces: tuple[str, ...] = ()
    # the same by name
    needs: Need | None = None
    # what a model must be able to do for this prompt; None: any model will do
    template: str = ""
    # the file in prompts/ it came from

    @property
    def ids(self) -> tuple[int, ...]:
        """The token ids a model sees. Raises ValueError where the prompt was rendered without a tokenizer."""
        ids: list[int] = []
        for segment in self.segments:
            if segment.ids is None:
                raise ValueError(f"the prompt was rendered without a tokenizer: segment {segment.label} has no ids")
            ids += segment.ids
        return tuple(ids)

    @property
    def has_ids(self) -> bool:
        return all(segment.ids is not None for segment in self.segments)

    @property
    def text(self) -> str:
        """What the segments say, control pieces by their names. For reading; a model is given `ids`."""
        return "".join(segment.text for segment in self.segments)


class FinishReason(StrEnum):
    STOP = "stop"
    # a stop id or a stop string
    LENGTH = "length"
    # max_tokens or the end of the context
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds and tokens of one request."""

    load: float = 0.0
    prompt: float = 0.0
    generation: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    # over all candidates

    def __add__(self, other: Timings) -> Timings:
        """Of requests that were made one after another."""
        return Timings(
            self.load + other.load,
            self.prompt + other.prompt,
            self.generation + other.generation,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    @property
    def prompt_rate(self) -> float:
        """Prompt tokens a second."""
        return self.prompt_tokens / self.prompt if self.prompt > 0 else 0.0

    @property
    def generation_rate(self) -> float:
        """Generated tokens a second, all candidates together."""
        return self.completion_tokens / self.generation if self.generation > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work before the first token is."""

    stage: Literal["load", "prompt"]
    done: int = 0
    total: int = 0
    # bytes while loading, tokens while the prompt is read; total 0: not known


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer. One without text is a sign of life; the last of each candidate has a finish reason."""

    index: int = 0
    # which candidate
    text: str = ""
    ids: tuple[int, ...] = field(default=())
    # the tokens taken since the candidate's last chunk; their text may still be in flight
    logprob: float = 0.0
    # the sum over ids of the log-probability under the model itself (temperature 1, no filter)
    finish_reason: FinishReason | None = None
    timings: Timings | None = None
    # on the last chunk of all
    progress: Progress | None = None
    # on chunks that come before the first token
    line: float | None = None
    # with beams, on the last chunk: the log-probability of the line that the answer stands in
