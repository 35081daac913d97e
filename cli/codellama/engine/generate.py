"""Tokens from a loaded model: one plain generator over the forward pass, with an explicit KV cache.

No thread and no `generate()` behind it: whoever iterates decides the pace, and may stop after any chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from codellama.dialog import Chunk, FinishReason, Progress, Prompt, Sampling, Timings
from codellama.engine.sample import Sampler
from codellama.stops import StopStrings
from codellama.tokenizer import Tokenizer

if TYPE_CHECKING:
    from codellama.engine.load import Loaded

OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)
PREFILL = 512
# prompt tokens a forward pass takes at a time: between two of them a reader can show progress, or stop


def generate(
    loaded: Loaded,
    tokenizer: Tokenizer,
    prompt: Prompt,
    sampling: Sampling,
    limit: int,
    cancelled: Callable[[], bool],
    load_seconds: float = 0.0,
) -> Iterator[Chunk]:
    """Yield the chunks of `sampling.candidates` answers, all in one batch over one reading of the prompt.

    `limit`: tokens a candidate may have. At temperature 0 the first candidate is greedy. The ids that stop an answer
    are no part of it. Text streamed equals the whole decode, up to a stop string. The last chunk has the timings.
    """
    # counts for the thread that calls it, so it cannot be done where the model is loaded
    torch.set_num_threads(loaded.threads)
    began = perf_counter()
    ids = prompt.ids
    openings: set[int] = set()
    candidates = [
        _Candidate(number, sampling, ids, tokenizer, prompt.stop_ids, openings) for number in range(sampling.candidates)
    ]
    cache = DynamicCache(config=loaded.model.config)
    logits = yield from read(loaded, ids, cache, cancelled)
    prompt_read = perf_counter()

    running = candidates
    if logits is not None and len(running) > 1:
        cache.batch_repeat_interleave(len(running))
        logits = logits.expand(len(running), -1)
    last: list[Chunk] = []
    while running:
        if logits is None or cancelled():
            chunks = [candidate.end(FinishReason.CANCELLED) for candidate in running]
        else:
            chunks = [candidate.take(row, limit) for candidate, row in zip(running, logits, strict=True)]
        keep = [index for index, chunk in enumerate(chunks) if chunk.finish_reason is None]
        if not keep:
            last = chunks
            break
        yield from chunks
        if len(keep) < len(running):
            # on the CPU: with several GPUs the layers' caches lie on different ones, and each takes such an index
            cache.batch_select_indices(torch.tensor(keep))
            running = [running[index] for index in keep]
        logits = forward(loaded, [[candidate.ids[-1]] for candidate in running], cache)

    timings = Timings(
        load=load_seconds,
        prompt=prompt_read - began,
        generation=perf_counter() - prompt_read,
        prompt_tokens=len(ids),
        completion_tokens=sum(len(candidate.ids) for candidate in candidates),
    )
    yield from last[:-1]
    yield replace(last[-1], timings=timings)


def read(
    loaded: Loaded, ids: tuple[int, ...], cache: DynamicCache, cancelled: Callable[[], bool]
) -> Generator[Chunk, None, torch.Tensor | None]:
    """Yield how far the prompt is read; return the logits after it, or None where it was cancelled."""
    logits: torch.Tensor | None = None
    for start in range(0, len(ids), PREFILL):
        if cancelled():
            return None
        logits = forward(loaded, [list(ids[start : start + PREFILL])], cache)
        yield Chunk(progress=Progress("prompt", min(start + PREFILL, len(ids)), len(ids)))
    return logits


# not around the generator: a context manager there would leak into whoever iterates
@torch.inference_mode()
def forward(loaded: Loaded, ids: list[list[int]], cache: DynamicCache) -> torch.Tensor:
    """The logits after the last token of each row, float32 on the CPU: (rows, vocabulary)."""
    batch = torch.tensor(ids, device=loaded.device)
    output = loaded.model(input_ids=batch, past_key_values=cache, use_cache=True, logits_to_keep=1)
    logits: torch.Tensor = output.logits[:, -1]
    return logits.float().cpu()


class _Candidate:
    """One answer in the making."""

    def __init__(
        self,
        number: int,
        sampling: Sampling,
        prompt: tuple[int, ...],
        tokenizer: Tokenizer,
        stop_ids: tuple[int, ...],
        openings: set[int],
    ) -> None:
        """`openings`: the first ids of all candidates that are more than white space."""
        self._number = number
        self._sampler = Sampler(sampling, number, prompt)
        self._decoder = tokenizer.stream()
        self._stops = StopStrings(sampling.stop)
        self._stop_ids = stop_ids
        self._tokenizer = tokenizer
        self._openings = openings
        self._distinct = sampling.distinct and number >= (sampling.candidates + 1) // 2
        self._begun = False
        self.ids: list[int] = []

    def take(self, logits: torch.Tensor, limit: int) -> Chunk:
        """The chunk of the next token; its finish reason where the answer ends with it."""
        id, logprob = self._sampler.choose(logits, self._openings if self._distinct and not self._begun else ())
        if not self._begun and self._tokenizer.bytes_of(id).strip():
            self._begun = True
            self._openings.add(id)
        if id in self._stop_ids:
            return self.end(FinishReason.STOP)
        self.ids.append(id)
        text = self._stops.push(self._decoder.push([id]))
        if self._stops.hit:
            return Chunk(self._number, text, (id,), logprob, FinishReason.STOP)
        if len(self.ids) >= limit:
            return self.end(FinishReason.LENGTH, text, (id,), logprob)
        return Chunk(self._number, text, (id,), logprob)

    def end(self, reason: FinishReason, text: str = "", ids: tuple[int, ...] = (), logprob: float = 0.0) -> Chunk:
        """The last chunk, with the text that was in flight. A stop string that it completes still counts."""
        text += self._stops.push(self._decoder.finish())
        if self._stops.hit:
            reason = FinishReason.STOP
        return Chunk(self._number, text + self._stops.finish(), ids, logprob, reason)
