"""What a stream of chunks amounts to: an answer for each candidate, and the JSON of a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
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
    # of the whole request; on the last answer

    @property
    def mean_logprob(self) -> float:
        """Of a token; 0 where there is none."""
        return self.logprob / len(self.ids) if self.ids else 0.0


def report(chunks: Iterable[Chunk], update: Callable[[Progress], None]) -> Iterator[Chunk]:
    """The chunks that say something; the others' progress goes to `update`."""
    for chunk in chunks:
        if chunk.progress:
            update(chunk.progress)
        else:
            yield chunk


def collect(chunks: Iterable[Chunk], each: Callable[[Chunk], None] = lambda chunk: None) -> list[Answer]:
    """The answers, by the candidates' numbers; `each` sees every chunk as it comes."""
    texts: dict[int, list[str]] = {}
    ids: dict[int, list[int]] = {}
    logprobs: dict[int, float] = {}
    ends: dict[int, FinishReason] = {}
    timings: Timings | None = None
    for chunk in chunks:
        each(chunk)
        texts.setdefault(chunk.index, []).append(chunk.text)
        ids.setdefault(chunk.index, []).extend(chunk.ids)
        logprobs[chunk.index] = logprobs.get(chunk.index, 0.0) + chunk.logprob
        if chunk.finish_reason:
            ends[chunk.index] = chunk.finish_reason
        timings = chunk.timings or timings
    return [
        Answer("".join(texts[index]), tuple(ids[index]), logprobs[index], ends[index], timings)
        for index in sorted(ends)
    ]


def as_json(model: Model, prompt: Prompt, sampling: Sampling, answers: list[Answer], echoed: str = "") -> str:
    """The one JSON object that --json prints, on one line."""
    timings = answers[-1].timings or Timings()
    return json.dumps(
        {
            "model": model.name,
            "candidates": [
                {
                    "text": echoed + answer.text,
                    "ids": answer.ids,
                    "finish_reason": answer.finish_reason,
                    "logprob": answer.logprob,
                }
                for answer in answers
            ],
            "usage": {
                "prompt_tokens": len(prompt.ids),
                "completion_tokens": sum(len(answer.ids) for answer in answers),
            },
            "timings": {
                "load_seconds": timings.load,
                "prompt_seconds": timings.prompt,
                "generation_seconds": timings.generation,
                "prompt_tokens_per_second": timings.prompt_rate,
                "tokens_per_second": timings.generation_rate,
            },
            "seed": sampling.seed,
        }
    )
