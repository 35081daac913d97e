"""Sampling, against transformers' own logits processors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from codellama.dialog import Sampling
from codellama.engine.sample import Sampler, forbid_repeats, penalise, top_k, top_p

VOCABULARY = 40
seeds = st.integers(0, 10_000)


def logits_of(seed: int) -> torch.Tensor:
    return torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3


def seen_of(seed: int, length: int, kinds: int = VOCABULARY) -> list[int]:
    return torch.randint(kinds, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


@given(seeds, st.integers(0, 50))
def test_top_k_equals_transformers(seed: int, k: int) -> None:
    logits = logits_of(seed)
    expected = TopKLogitsWarper(k)(torch.empty(0), logits[None])[0] if k else logits
    assert torch.equal(top_k(logits, k), expected)


@given(seeds, st.floats(0.01, 1.0))
def test_top_p_equals_transformers(seed: int, p: float) -> None:
    logits = logits_of(seed)
    expected = TopPLogitsWarper(p)(torch.empty(0), logits[None])[0] if p < 1 else logits
    assert torch.equal(top_p(logits, p), expected)


def test_top_p_that_a_set_reaches_exactly_keeps_no_more() -> None:
    logits = torch.tensor([0.5, 0.25, 0.25]).log()
    expected = TopPLogitsWarper(0.5)(torch.empty(0), logits[None])[0]
    assert torch.equal(top_p(logits, 0.5), expected)
    assert expected.isinf().tolist() == [False, True, True]


@given(seeds, st.integers(1, 30), st.floats(0.5, 3.0))
def test_penalty_equals_transformers(seed: int, length: int, penalty: float) -> None:
    logits, seen = logits_of(seed), seen_of(seed, length)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([seen]), logits[None])[0]
    assert torch.equal(penalise(logits, seen, penalty), expected)


@settings(max_examples=50)
@given(seeds, st.integers(1, 30), st.integers(1, 5))
def test_no_repeat_ngram_equals_transformers(seed: int, length: int, size: int) -> None:
    logits, seen = logits_of(seed), seen_of(seed, length, kinds=4)
    expected = NoRepeatNGramLogitsProcessor(size)(torch.tensor([seen]), logits[None])[0]
    assert torch.equal(forbid_repeats(logits, seen, size), expected)


def draws(sampling: Sampling, candidate: int = 0, count: int = 20) -> list[int]:
    sampler = Sampler(sampling, candidate, [])
    return [sampler.choose(logits_of(step))[0] for step in range(count)]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draws(Sampling(temperature=0)) == [int(logits_of(step).argmax()) for step in range(20)]


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    assert draws(Sampling(temperature=1, seed=5)) == draws(Sampling(temperature=1, seed=5))
    assert draws(Sampling(temperature=1, seed=5)) != draws(Sampling(temperature=1, seed=6))


def test_candidates_draw_differently_and_only_the_first_is_greedy() -> None:
    greedy, second, third = (draws(Sampling(temperature=0, candidates=3), number) for number in range(3))
    assert greedy == draws(Sampling(temperature=0))
    assert greedy != second != third != greedy


def test_draws_follow_the_distribution() -> None:
    """Chi-squared over 20,000 draws from six tokens, five degrees of freedom: above 30 once in 100,000 times."""
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -2.0])
    sampler = Sampler(Sampling(temperature=0.7, seed=1), 0, [])
    counts = torch.bincount(torch.tensor([sampler.choose(logits)[0] for _ in range(20_000)]), minlength=6)
    expected = (logits / 0.7).softmax(-1) * 20_000
    assert float(((counts - expected) ** 2 / expected).sum()) < 30


def test_logprob_is_the_models_own_whatever_the_sampling() -> None:
    logits = logits_of(3)
    id, logprob = Sampler(Sampling(temperature=2, top_k=3, repetition_penalty=1.5), 0, [1, 2]).choose(logits)
    assert logprob == pytest.approx(float(logits.log_softmax(-1)[id]), abs=1e-5)
