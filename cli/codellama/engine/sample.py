"""From the logits of one step to one token: guards, then temperature, top-k and top-p, then a draw.

The order and the formulas are those of transformers' logits processors, so that both choose alike.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from codellama.dialog import SPREAD_TEMPERATURE, Sampling


class Sampler:
    """Chooses the tokens of one candidate. Seeded by the request's seed and the candidate's number alone."""

    def __init__(self, sampling: Sampling, candidate: int, prompt: Sequence[int]) -> None:
        greedy = sampling.temperature == 0 and candidate == 0
        self.temperature = 0.0 if greedy else sampling.temperature or SPREAD_TEMPERATURE
        self._sampling = sampling
        self._seen = list(prompt)
        self._generator = torch.Generator().manual_seed((sampling.seed + 1_000_003 * candidate) % 2**63)

    def choose(self, logits: torch.Tensor, banned: Collection[int] = ()) -> tuple[int, float]:
        """The next id, none of the banned ones, and its log-probability under the model itself.

        `logits`: (vocabulary,), float32, on the CPU.
        """
        guarded = self._guard(logits)
        if banned:
            guarded = guarded.index_fill(0, torch.tensor(sorted(banned)), -torch.inf)
        if self.temperature == 0:
            id = int(guarded.argmax())
        else:
            kept = top_p(top_k(guarded / self.temperature, self._sampling.top_k), self._sampling.top_p)
            id = int(torch.multinomial(kept.softmax(-1), 1, generator=self._generator))
        self._seen.append(id)
        return id, float(logits[id] - logits.logsumexp(-1))

    def _guard(self, logits: torch.Tensor) -> torch.Tensor:
        if self._sampling.repetition_penalty not in (None, 1.0):
            logits = penalise(logits, self._seen, self._sampling.repetition_penalty or 1.0)
        if self._sampling.no_repeat_ngram:
            logits = forbid_repeats(logits, self._seen, self._sampling.no_repeat_ngram)
        return logits


def penalise(logits: torch.Tensor, seen: Sequence[int], penalty: float) -> torch.Tensor:
    """Lower the logits of all tokens seen, prompt included (CTRL, arXiv 1909.05858, section 4.1)."""
    ids = torch.tensor(sorted(set(seen)))
    ids = ids[ids < len(logits)]
    values = logits[ids]
    return logits.index_copy(0, ids, torch.where(values < 0, values * penalty, values / penalty))


def forbid_repeats(logits: torch.Tensor, seen: Sequence[int], size: int) -> torch.Tensor:
    """Rule out every token that would complete a run of `size` tokens for the second time."""
    tail = list(seen[len(seen) - size + 1 :]) if size > 1 else []
    if len(seen) < size:
        return logits
    banned = [seen[end] for end in range(size - 1, len(seen)) if list(seen[end - size + 1 : end]) == tail]
    return logits.index_fill(0, torch.tensor(banned, dtype=torch.long), -torch.inf) if banned else logits


def top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Rule out all but the k likeliest; 0: none."""
    if not 0 < k < len(logits):
        return logits
    return logits.masked_fill(logits < logits.topk(k).values[-1], -torch.inf)


def top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Keep the smallest set of likeliest tokens whose probabilities sum to p or more; 1: all."""
    if p >= 1:
        return logits
    # from the unlikeliest up, as transformers sums: the other way rounding decides otherwise at some p
    ordered, order = logits.sort()
    beyond = ordered.softmax(-1).cumsum(-1) <= 1 - p
    beyond[-1] = False
    return logits.index_fill(0, order[beyond], -torch.inf)
