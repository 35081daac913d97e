"""What a stream of chunks amounts to: an answer for each candidate, and the JSON of a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from codellama.dialog import Chunk, FinishReason, Progress, Prompt, Sampling, Timings
from codellama.models import Model


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    ids: tuple[int, ...]
    logprob: float
    # the sum over ids
    finish_reason: FinishReason
    timings: Timings | None = None
    # of the whole request
    line: float | None = None
    # the log-probability of its line, where answers were searched by beams


def report(chunks: Iterable[Chunk], update: Callable[[Progress], None]) -> Iterator[Chunk]:
    """The chunks that say something; the others' progress goes to `update`."""
    for chunk in chunks:
        if chunk.progress:
            update(chunk.progress)
        else:
            yield chunk


class Collector:
    """Puts the chunks of a request together; `answers` may be asked for at any time."""

    def __init__(self) -> None:
        self._chunks: dict[int, list[Chunk]] = {}
        self._timings: Timings | None = None

    def add(self, chunk: Chunk) -> None:
        """After a candidate's end only the request's timings count."""
        said = self._chunks.setdefault(chunk.index, [])
        if not (said and said[-1].finish_reason):
            said.append(chunk)
        self._timings = chunk.timings or self._timings

    def answers(self) -> list[Answer]:
        """By the candidates' numbers; one that has not ended counts as cancelled."""
        return [
            Answer(
                "".join(chunk.text for chunk in chunks),
                tuple(id for chunk in chunks for id in chunk.ids),
                sum(chunk.logprob for chunk in chunks),
                chunks[-1].finish_reason or FinishReason.CANCELLED,
                self._timings,
                chunks[-1].line,
            )
            for _, chunks in sorted(self._chunks.items())
        ]


def collect(chunks: Iterable[Chunk], each: Callable[[Chunk], None] = lambda chunk: None) -> list[Answer]:
    """The answers of a whole stream; `each` sees every chunk as it comes."""
    collector = Collector()
    for chunk in chunks:
        each(chunk)
        collector.add(chunk)
    return collector.answers()


def as_json(
    model: Model,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    candidates: Sequence[tuple[Answer, Mapping[str, object]]],
    **more: object,
) -> str:
    """The one JSON object that --json prints, on one line, with what a command has to say of it and each candidate.

    `prompts`: of the requests that were made. A candidate's `text` is the answer's unless the command says another.
    """
    requests = list({id(answer.timings): answer.timings for answer, _ in candidates if answer.timings}.values())
    timings = sum(requests[1:], requests[0]) if requests else Timings()
    return json.dumps(
        {
            "model": model.name,
            "candidates": [
                {
                    "text": answer.text,
                    "ids": answer.ids,
                    "finish_reason": answer.finish_reason,
                    "logprob": answer.logprob,
                    **more,
                }
                for answer, more in candidates
            ],
            "usage": {
                "prompt_tokens": sum(len(prompt.ids) for prompt in prompts),
                "completion_tokens": sum(len(answer.ids) for answer, _ in candidates),
            },
            "timings": {
                "load_seconds": timings.load,
                "prompt_seconds": timings.prompt,
                "generation_seconds": timings.generation,
                "prompt_tokens_per_second": timings.prompt_rate,
                "tokens_per_second": timings.generation_rate,
            },
            "seed": sampling.seed,
            **more,
        }
    )
