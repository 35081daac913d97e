"""Beam search for what stands in one line: of the likeliest beginnings of an answer, those that suit the line.

In mid-word a model sees pieces of words, which it hardly knows. The same model knows the words where it reads the line
as a whole: of the built-in model's answers it prefers the right one, where that is among them, nearly always. So every
beginning is an answer, wherever the model would end it, and how likely its line is decides.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from codellama.dialog import Chunk, FinishReason, Prompt, Sampling, Timings
from codellama.engine.generate import forward, read
from codellama.tokenizer import Tokenizer

if TYPE_CHECKING:
    from codellama.engine.load import Loaded

LONGEST = 48
# tokens of an answer: it is a part of one line
PATIENCE = 4
# tokens that beginnings grow by without a likelier line, before the search stops
BEFORE, BEHIND = 1000, 200
# characters around an answer by which its line is judged, at most
AT_ONCE = 2048
# tokens of lines in one forward pass: their logits over 32,016 pieces are 260 MB


@dataclass(frozen=True, slots=True)
class _Beam:
    ids: tuple[int, ...]
    logprob: float
    # the sum over ids


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    beam: _Beam
    line: float


def search(
    loaded: Loaded,
    tokenizer: Tokenizer,
    prompt: Prompt,
    sampling: Sampling,
    limit: int,
    cancelled: Callable[[], bool],
    load_seconds: float = 0.0,
) -> Iterator[Chunk]:
    """Yield `sampling.candidates` answers without a line's end, the likeliest line first, a chunk each.

    The `sampling.beams` likeliest beginnings grow by a token at a time, to `limit` at most, until none of the last few
    tokens made a likelier line. What there is less of comes as answers without text.
    """
    assert sampling.beams is not None
    torch.set_num_threads(loaded.threads)
    began = perf_counter()
    cache = DynamicCache(config=loaded.model.config)
    logits = yield from read(loaded, prompt.ids, cache, cancelled)
    prompt_read = perf_counter()
    line = Line(loaded, tokenizer, prompt.ids[0], *(sampling.between or ("", "")))
    barred = _barred(tokenizer, loaded.model.config.vocab_size)
    beams, answers = [_Beam((), 0.0)], dict[str, _Answer]()
    best, best_at = -torch.inf, 0
    for step in range(min(limit, LONGEST)):
        if logits is None or cancelled() or step - best_at > PATIENCE:
            break
        scores = logits.log_softmax(-1) + torch.tensor([[beam.logprob] for beam in beams])
        scores[:, barred] = -torch.inf
        likeliest = scores.flatten().topk(min(sampling.beams, len(beams) * (scores.shape[1] - len(barred))))
        places = [divmod(index, scores.shape[1]) for index in likeliest.indices.tolist()]
        beams = [
            _Beam((*beams[row].ids, id), score)
            for (row, id), score in zip(places, likeliest.values.tolist(), strict=True)
        ]
        new: dict[str, _Beam] = {}
        for beam in beams:
            text = tokenizer.decode_infill(beam.ids)
            if text not in answers and "\ufffd" not in text:  # half a character is no answer
                new.setdefault(text, beam)
        for (text, beam), found in zip(new.items(), line.likelihoods(list(new)), strict=True):
            answers[text] = _Answer(text, beam, found)
            if found > best:
                best, best_at = found, step
        cache.batch_select_indices(torch.tensor([row for row, _ in places]))
        logits = forward(loaded, [[beam.ids[-1]] for beam in beams], cache)
        yield Chunk()
    stopped = logits is None or cancelled()
    judged = [] if stopped else sorted(answers.values(), key=lambda answer: -answer.line)[: sampling.candidates]
    chunks = [
        Chunk(number, each.text, each.beam.ids, each.beam.logprob, FinishReason.STOP, line=each.line)
        for number, each in enumerate(judged)
    ]
    reason = FinishReason.CANCELLED if stopped else FinishReason.STOP
    chunks += [Chunk(number, finish_reason=reason) for number in range(len(chunks), sampling.candidates)]
    timings = Timings(
        load=load_seconds,
        prompt=prompt_read - began,
        generation=perf_counter() - prompt_read,
        prompt_tokens=len(prompt.ids),
        completion_tokens=sum(len(chunk.ids) for chunk in chunks),
    )
    yield from chunks[:-1]
    yield replace(chunks[-1], timings=timings)


class Line:
    """A line with a hole in it, behind those above, under the model as it reads plain text.

    It is encoded as a whole, with no cut where the hole begins and ends. Pieces do not span lines, so that the text
    above is read once for all that may fill the hole.
    """

    def __init__(self, loaded: Loaded, tokenizer: Tokenizer, bos: int, before: str, behind: str) -> None:
        self._loaded = loaded
        before, behind = before[-BEFORE:], behind[:BEHIND]
        start, end = before.rfind("\n") + 1, behind.find("\n") + 1 or len(behind)
        self._before, self._behind = before[start:], behind[:end]
        self._encode = tokenizer.encode_infill if start else tokenizer.encode
        self._cache = DynamicCache(config=loaded.model.config)
        self._logits = forward(loaded, [[bos, *tokenizer.encode(before[:start])]], self._cache)

    @torch.inference_mode()
    def likelihoods(self, fills: list[str]) -> list[float]:
        """The log-probability of the line with each fill, its end included."""
        lines = [list(self._encode(self._before + fill + self._behind)) for fill in fills]
        size = max(1, AT_ONCE // max(map(len, lines), default=1))
        parts = [lines[start : start + size] for start in range(0, len(lines), size)]
        return [each for part in parts for each in self._judge(part)]

    def _judge(self, lines: list[list[int]]) -> list[float]:
        longest = max(map(len, lines))
        batch = torch.tensor([line + [0] * (longest - len(line)) for line in lines])
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(len(lines))
        output = self._loaded.model(input_ids=batch.to(self._loaded.device), past_key_values=cache, use_cache=True)
        first = self._logits.expand(len(lines), -1)[:, None]
        logits = torch.cat((first, output.logits[:, :-1].float().cpu()), dim=1)
        each = logits.log_softmax(-1).gather(2, batch[:, :, None])[:, :, 0]
        return [float(row[: len(line)].sum()) for row, line in zip(each, lines, strict=True)]


def _barred(tokenizer: Tokenizer, vocabulary: int) -> list[int]:
    """The ids that no answer of one line holds: of line ends, of control pieces, and those that mean nothing."""
    known = range(min(tokenizer.size, vocabulary))
    barred = [id for id in known if tokenizer.is_control(id) or b"\n" in tokenizer.bytes_of(id)]
    return [*barred, *range(tokenizer.size, vocabulary)]
