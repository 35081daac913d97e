"""Generation, against transformers' own `generate` on the same weights in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from codellama import answers, models, prompts
from codellama.answers import Answer
from codellama.backends.local import LocalBackend
from codellama.dialog import Chunk, FinishReason, Prompt, Sampling, Segment
from codellama.errors import CapabilityError, ContextError, InputError
from codellama.memory import LoadOptions
from codellama.models import Model
from codellama.prompts import render
from codellama.tokenizer import Tokenizer
from tests import checkpoints
from tests.harness import TINY

FLOAT32 = LoadOptions(dtype="float32", device="cpu")
PROMPTS = ["def fibonacci(", "import os\n\n\ndef read_lines(path", "class Stack:\n    def push(self, item):\n        "]


@pytest.fixture(scope="module")
def tiny() -> LocalBackend:
    return LocalBackend(models.read(TINY, "tiny"), FLOAT32)


@pytest.fixture(scope="module")
def reference() -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(TINY, dtype=torch.float32)


@pytest.fixture(scope="module", params=[1, 2, 4], ids="kv_heads={}".format)
def random_backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Tokenizer
) -> LocalBackend:
    directory = checkpoints.save(
        tmp_path_factory.mktemp("random"),
        vocab_size=tiny_tokenizer.size,
        num_key_value_heads=request.param,
        max_position_embeddings=2048,
        initializer_range=0.3,
    )
    (directory / "tokenizer.model").write_bytes((TINY / "tokenizer.model").read_bytes())
    return LocalBackend(models.read(directory, "random"), FLOAT32)


def completion(backend: LocalBackend, text: str) -> Prompt:
    return prompts.render("complete", backend.model.tokenizer, text=text)


def answer(backend: LocalBackend, text: str, **sampling: object) -> Answer:
    (only,) = answers.collect(backend.stream(completion(backend, text), Sampling(**sampling)))  # type: ignore[arg-type]
    return only


def transformers_ids(model: LlamaForCausalLM, prompt: Prompt, tokens: int, **settings: object) -> list[int]:
    ids = torch.tensor([prompt.ids])
    # its stub does not know that it is its own first argument
    generate = cast("Any", model).generate
    output = generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, eos_token_id=2, pad_token_id=0,
        do_sample=False, **settings,
    )  # fmt: skip
    new: list[int] = output[0, ids.shape[1] :].tolist()
    return new[:-1] if new[-1] == 2 else new


@pytest.mark.parametrize("text", PROMPTS)
@pytest.mark.parametrize(
    "guards",
    [{"repetition_penalty": 1.0, "no_repeat_ngram_size": 0}, {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3}],
    ids=["plain", "guarded"],
)
def test_greedy_equals_transformers_on_the_builtin_model(
    tiny: LocalBackend, reference: LlamaForCausalLM, text: str, guards: dict[str, float]
) -> None:
    ours = answer(
        tiny, text, max_tokens=60,
        repetition_penalty=guards["repetition_penalty"], no_repeat_ngram=guards["no_repeat_ngram_size"],
    )  # fmt: skip
    assert list(ours.ids) == transformers_ids(reference, completion(tiny, text), 60, **guards)


def test_greedy_equals_transformers_on_random_models_and_long_prompts(random_backend: LocalBackend) -> None:
    theirs = LlamaForCausalLM.from_pretrained(random_backend.model.home, dtype=torch.float32)
    for text in (PROMPTS[0], PROMPTS[1] * 110):
        prompt = completion(random_backend, text)
        ours = answer(random_backend, text, max_tokens=40)
        assert list(ours.ids) == transformers_ids(theirs, prompt, 40)
    assert len(prompt.ids) > 1024, "the long prompt is read in several pieces"


@pytest.mark.parametrize("candidates", [2, 5])
def test_candidates_in_one_batch_equal_candidates_alone(tiny: LocalBackend, candidates: int) -> None:
    prompt = completion(tiny, PROMPTS[0])
    sampling = Sampling(temperature=0.9, seed=7, max_tokens=30, candidates=candidates)
    together = answers.collect(tiny.stream(prompt, sampling))
    assert len(together) == len({done.text for done in together}) == candidates
    again = answers.collect(tiny.stream(prompt, sampling))
    assert [done.ids for done in again] == [done.ids for done in together]
    (alone,) = answers.collect(tiny.stream(prompt, Sampling(temperature=0.9, seed=7, max_tokens=30)))
    assert alone.ids == together[0].ids


def test_candidates_that_end_at_different_times_do_not_disturb_each_other(tiny: LocalBackend) -> None:
    """Every newline stops a candidate, so that rows leave the batch one after the other."""
    prompt = completion(tiny, PROMPTS[0])
    free = answers.collect(tiny.stream(prompt, Sampling(temperature=1.0, seed=3, max_tokens=40, candidates=6)))
    stopped = Sampling(temperature=1.0, seed=3, max_tokens=40, candidates=6, stop=("\n",))
    cut = answers.collect(tiny.stream(prompt, stopped))
    assert len({len(done.ids) for done in cut}) > 1
    assert [done.text for done in cut] == [done.text.partition("\n")[0] for done in free]


@pytest.mark.parametrize("candidates", [1, 2, 5, 8])
def test_the_later_half_of_distinct_candidates_begins_with_other_words(tiny: LocalBackend, candidates: int) -> None:
    prompt = render("complete", tiny.model.tokenizer, text="def f(xs):\n    for x in xs:\n")
    plain = Sampling(seed=4, max_tokens=12, candidates=candidates)
    free, distinct = (
        answers.collect(tiny.stream(prompt, sampling)) for sampling in (plain, replace(plain, distinct=True))
    )
    free_half = (candidates + 1) // 2
    assert [answer.ids for answer in distinct[:free_half]] == [answer.ids for answer in free[:free_half]]
    said = [answer.text.split()[0] for answer in distinct]
    for number in range(free_half, candidates):
        assert said[number] not in said[:number]


def test_first_candidate_is_greedy_at_temperature_zero(tiny: LocalBackend) -> None:
    prompt = completion(tiny, PROMPTS[0])
    first, second = answers.collect(tiny.stream(prompt, Sampling(seed=1, max_tokens=30, candidates=2)))
    assert first.ids == answer(tiny, PROMPTS[0], max_tokens=30).ids
    assert first.ids != second.ids


def test_streamed_text_equals_the_whole_decode(tiny: LocalBackend) -> None:
    for seed in range(5):
        done = answer(tiny, PROMPTS[seed % 3], temperature=1.5, seed=seed, max_tokens=50)
        assert done.text == tiny.model.tokenizer.decode_infill(done.ids)


def test_logprob_is_what_a_full_forward_pass_says(tiny: LocalBackend, reference: LlamaForCausalLM) -> None:
    prompt = completion(tiny, PROMPTS[0])
    done = answer(tiny, PROMPTS[0], temperature=1.0, top_k=5, seed=2, max_tokens=25)
    ids = torch.tensor([[*prompt.ids, *done.ids]])
    with torch.no_grad():
        logprobs = reference(ids).logits[0].log_softmax(-1)
    places = range(len(prompt.ids) - 1, ids.shape[1] - 1)
    expected = sum(float(logprobs[at, ids[0, at + 1]]) for at in places)
    assert done.logprob == pytest.approx(expected, abs=1e-3)


def test_stop_ids_are_no_part_of_the_answer(random_backend: LocalBackend) -> None:
    free = answer(random_backend, PROMPTS[0], max_tokens=20)
    prompt = completion(random_backend, PROMPTS[0])
    stop = free.ids[5]
    with_stop = Prompt(prompt.segments, (stop,))
    (done,) = answers.collect(random_backend.stream(with_stop, Sampling(max_tokens=20)))
    assert done.ids == free.ids[: free.ids.index(stop)]
    assert done.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("length", [1, 3, 9])
def test_stop_strings_across_tokens(tiny: LocalBackend, length: int) -> None:
    free = answer(tiny, PROMPTS[1], max_tokens=40, temperature=0)
    stop = free.text[11 : 11 + length]
    done = answer(tiny, PROMPTS[1], max_tokens=40, stop=(stop,))
    assert done.text == free.text.partition(stop)[0]
    assert done.finish_reason is FinishReason.STOP
    assert len(done.ids) <= len(free.ids)


def test_f25_a_model_that_never_stops_ends_at_the_limit(random_backend: LocalBackend) -> None:
    prompt = Prompt(completion(random_backend, PROMPTS[0]).segments, ())
    (done,) = answers.collect(random_backend.stream(prompt, Sampling(max_tokens=17)))
    assert (len(done.ids), done.finish_reason) == (17, FinishReason.LENGTH)


@pytest.mark.parametrize(
    ("stop", "text", "reason"), [((), "é�", "length"), (("é�",), "", "stop"), (("x",), "é�", "length")]
)
def test_f26_an_end_in_mid_character_is_flushed(
    tiny_tokenizer: Tokenizer, stop: tuple[str, ...], text: str, reason: str
) -> None:
    """The limit comes after three of four bytes: é, and the first byte of another."""
    from codellama.engine.generate import _Candidate

    candidate = _Candidate(0, Sampling(stop=stop), (1,), tiny_tokenizer, (2,), set())
    ids = [0xC3 + 3, 0xA9 + 3, 0xC3 + 3]
    chunks = [candidate.take(torch.nn.functional.one_hot(torch.tensor(id), 4113).float(), 3) for id in ids]
    assert ("".join(chunk.text for chunk in chunks), chunks[-1].finish_reason) == (text, reason)


def of_length(backend: LocalBackend, tokens: int) -> Prompt:
    return Prompt((Segment("prefix", "…", tuple(3 + at % 200 for at in range(tokens))),), ())


@pytest.mark.parametrize(("short_of_context", "answered"), [(20, 20), (1, 1)])
def test_f23_the_answer_ends_where_the_context_does(tiny: LocalBackend, short_of_context: int, answered: int) -> None:
    prompt = of_length(tiny, tiny.model.context - short_of_context)
    (done,) = answers.collect(tiny.stream(prompt, Sampling(max_tokens=None)))
    assert (len(done.ids), done.finish_reason) == (answered, FinishReason.LENGTH)


@pytest.mark.parametrize("over", [0, 1, 5000])
def test_f23_a_prompt_that_fills_the_context_is_refused_with_both_numbers(tiny: LocalBackend, over: int) -> None:
    context = tiny.model.context
    with pytest.raises(ContextError, match=rf"{context + over} tokens .* {context}:"):
        next(tiny.stream(of_length(tiny, context + over), Sampling()))


def test_cancelling_stops_within_a_step_and_keeps_the_text(tiny: LocalBackend) -> None:
    chunks: list[Chunk] = []
    for chunk in tiny.stream(completion(tiny, PROMPTS[0]), Sampling(max_tokens=500), lambda: len(chunks) >= 10):
        chunks.append(chunk)
    assert len(chunks) == 11
    assert chunks[-1].finish_reason is FinishReason.CANCELLED
    assert chunks[-1].timings
    whole = "".join(chunk.text for chunk in chunks)
    assert whole == answer(tiny, PROMPTS[0], max_tokens=9).text


def test_cancelling_before_the_first_token(tiny: LocalBackend) -> None:
    chunks = list(tiny.stream(completion(tiny, PROMPTS[0]), Sampling(candidates=2), lambda: True))
    assert [chunk.finish_reason for chunk in chunks] == [FinishReason.CANCELLED] * 2


def test_cancelling_between_two_pieces_of_the_prompt(tiny: LocalBackend) -> None:
    seen: list[Chunk] = []
    for chunk in tiny.stream(of_length(tiny, 1000), Sampling(candidates=2), lambda: bool(seen)):
        seen.append(chunk)
    assert [chunk.progress.done for chunk in seen if chunk.progress] == [512]
    assert [chunk.finish_reason for chunk in seen[1:]] == [FinishReason.CANCELLED] * 2
    assert [bool(chunk.timings) for chunk in seen[1:]] == [False, True]


def test_an_abandoned_stream_leaves_the_backend_usable(tiny: LocalBackend) -> None:
    stream = tiny.stream(completion(tiny, PROMPTS[0]), Sampling(max_tokens=50))
    for _ in range(5):
        next(stream)
    del stream
    assert torch.is_inference_mode_enabled() is False
    assert answer(tiny, PROMPTS[0], max_tokens=10).ids == answer(tiny, PROMPTS[0], max_tokens=10).ids


def test_signs_of_life_come_while_loading_and_every_512_prompt_tokens() -> None:
    fresh = LocalBackend(models.read(TINY, "tiny"), FLOAT32)
    chunks = list(fresh.stream(of_length(fresh, 1000), Sampling(max_tokens=2)))
    stages = [chunk.progress.stage for chunk in chunks if chunk.progress]
    assert "load" in stages
    assert [(p.done, p.total) for c in chunks if (p := c.progress) and p.stage == "prompt"] == [
        (512, 1000),
        (1000, 1000),
    ]
    timings = chunks[-1].timings
    assert timings
    assert timings.load > 0
    assert (timings.prompt_tokens, timings.completion_tokens) == (1000, 2)


def test_a_loading_that_is_cancelled_goes_on_for_the_next_request() -> None:
    fresh = LocalBackend(models.read(TINY, "tiny"), FLOAT32)
    seen: list[Chunk] = []
    for chunk in fresh.stream(completion(fresh, PROMPTS[0]), Sampling(max_tokens=2), lambda: bool(seen)):
        seen.append(chunk)
    assert seen[-1].finish_reason is FinishReason.CANCELLED
    chunks = list(fresh.stream(completion(fresh, PROMPTS[0]), Sampling(candidates=2), lambda: True))
    assert [bool(chunk.timings) for chunk in chunks] == [False, True]
    assert answer(fresh, PROMPTS[0], max_tokens=5).text


def test_f44_out_of_memory_fails_one_request_and_not_the_next(
    tiny: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codellama.engine import generate
    from codellama.errors import CodellamaError

    def exhausted(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("no")

    answer(tiny, PROMPTS[0], max_tokens=1)
    with monkeypatch.context() as patch:
        patch.setattr(generate, "forward", exhausted)
        with pytest.raises(CodellamaError, match="out of memory while generating with tiny") as failure:
            answer(tiny, PROMPTS[0])
        assert failure.value.__context__ is None
    assert answer(tiny, PROMPTS[0], max_tokens=5).text


def test_a_models_own_guards_hold_unless_the_request_says_otherwise(tiny: LocalBackend, tmp_path: Path) -> None:
    for path in TINY.iterdir():
        if path.name != "generation_config.json":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 2, "repetition_penalty": 1.4}')
    guarded = LocalBackend(models.read(tmp_path, "guarded"), FLOAT32)
    text = "x = [1, 1, 1, 1, 1, 1, 1, 1,"
    asked = answer(tiny, text, max_tokens=30, repetition_penalty=1.4, no_repeat_ngram=0)
    plain = answer(tiny, text, max_tokens=30, repetition_penalty=1.0, no_repeat_ngram=0)
    assert answer(guarded, text, max_tokens=30).ids == asked.ids != plain.ids
    assert answer(guarded, text, max_tokens=30, repetition_penalty=1.0).ids == plain.ids


def test_capability_is_checked_before_anything_loads(random_backend: LocalBackend) -> None:
    prompt = Prompt(completion(random_backend, "x").segments, (2,), needs="instruct")
    with pytest.raises(CapabilityError, match="7b-instruct"):
        next(random_backend.stream(prompt, Sampling()))


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40), st.integers(0, 2**32))
def test_streamed_text_equals_the_whole_decode_after_any_text(tiny: LocalBackend, text: str, seed: int) -> None:
    done = answer(tiny, text, temperature=2.0, seed=seed, max_tokens=6)
    assert done.text == tiny.model.tokenizer.decode_infill(done.ids)


def test_a_foreign_tokenizer_is_named(tmp_path: Path) -> None:
    foreign = LocalBackend(models.read(checkpoints.save(tmp_path, vocab_size=300), "foreign"), FLOAT32)
    (tmp_path / "tokenizer.model").write_bytes((TINY / "tokenizer.model").read_bytes())
    with pytest.raises(InputError, match="its embedding has 300 rows: tokenizer and weights do not belong together"):
        next(foreign.stream(completion(foreign, PROMPTS[0]), Sampling()))


def test_the_model_knows_its_own_tokenizer(tiny: LocalBackend) -> None:
    assert isinstance(tiny.model, Model)
    assert tiny.model.tokenizer.path == TINY / "tokenizer.model"
