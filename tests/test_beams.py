"""Beam search, against transformers' own on the same weights in float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import LlamaForCausalLM

from codellama import answers, models, prompts
from codellama.answers import Answer
from codellama.backends.local import LocalBackend
from codellama.backends.scripted import ScriptedBackend
from codellama.dialog import Chunk, FinishReason, Prompt, Sampling
from codellama.engine.beams import PATIENCE
from codellama.infill import JUDGED
from codellama.memory import LoadOptions
from codellama.models import Model
from tests.harness import TINY, Cli

BEFORE = "import os\n\n\ndef load(path):\n    with open(pa"
BEHIND = ") as file:\n        return file.read()\n"


@pytest.fixture(scope="module")
def tiny() -> LocalBackend:
    return LocalBackend(models.read(TINY, "tiny"), LoadOptions(dtype="float32", device="cpu"))


@pytest.fixture(scope="module")
def reference() -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(TINY, dtype=torch.float32)


def prompt_of(backend: LocalBackend, prefix: str = BEFORE, suffix: str = BEHIND) -> Prompt:
    return prompts.render("infill", backend.model.tokenizer, prefix=prefix, suffix=suffix, suffix_first=True)


def beams(backend: LocalBackend, width: int, count: int | None = None, tokens: int = 12) -> list[Answer]:
    wanted = Sampling(candidates=count or width, beams=width, between=(BEFORE, BEHIND), max_tokens=tokens)
    return answers.collect(backend.stream(prompt_of(backend), wanted))


def logprobs(model: LlamaForCausalLM, ids: list[int]) -> torch.Tensor:
    """Of each id but the first."""
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return logits.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


@pytest.mark.parametrize("width", [4, 12])
@pytest.mark.parametrize("length", [1, 4])
def test_the_beams_are_those_of_transformers(
    tiny: LocalBackend, reference: LlamaForCausalLM, width: int, length: int
) -> None:
    prompt, tokenizer = prompt_of(tiny), tiny.model.tokenizer
    ids = torch.tensor([prompt.ids])
    barred = [id for id in range(tokenizer.size) if b"\n" in tokenizer.bytes_of(id) or tokenizer.is_control(id)]
    found = cast("Any", reference).generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=length, do_sample=False, num_beams=width,
        num_return_sequences=width, length_penalty=0.0, pad_token_id=0, suppress_tokens=barred,
        repetition_penalty=1.0, no_repeat_ngram_size=0, return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    new = map(tuple, found.sequences[:, ids.shape[1] :].tolist())
    theirs = dict(zip(new, found.sequences_scores.tolist(), strict=True))
    ours = {answer.text: answer for answer in beams(tiny, width, count=8 * width, tokens=length)}
    alike = {row: ours[tokenizer.decode_infill(row)] for row in theirs}
    # what fewer ids say as well is likelier
    assert all(own.logprob == pytest.approx(theirs[row], abs=1e-3) for row, own in alike.items() if own.ids == row)
    assert all(own.logprob > theirs[row] for row, own in alike.items() if own.ids != row)
    assert sum(own.ids == row for row, own in alike.items()) > 2


def test_an_answer_has_the_logprobs_of_its_ids_and_of_its_line(tiny: LocalBackend, reference: LlamaForCausalLM) -> None:
    prompt, tokenizer = prompt_of(tiny), tiny.model.tokenizer
    found = beams(tiny, 8)
    above = len(tokenizer.encode(BEFORE[: BEFORE.rfind("\n") + 1]))
    for answer in found:
        own = logprobs(reference, [*prompt.ids, *answer.ids])[len(prompt.ids) - 1 :].sum()
        assert answer.logprob == pytest.approx(float(own), abs=1e-3)
        text = BEFORE + answer.text + BEHIND[: BEHIND.index("\n") + 1]
        line = logprobs(reference, [prompt.ids[0], *tokenizer.encode(text)])[above:].sum()
        assert answer.line == pytest.approx(float(line), abs=1e-3)
    lines = [answer.line for answer in found if answer.line is not None]
    assert lines == sorted(lines, reverse=True)
    assert len(lines) == 8


def test_the_best_of_many_beams_are_given(tiny: LocalBackend) -> None:
    every = beams(tiny, 16)
    assert [answer.ids for answer in beams(tiny, 16, count=3)] == [answer.ids for answer in every[:3]]


def test_answers_are_of_one_line_and_each_comes_once(tiny: LocalBackend) -> None:
    found = beams(tiny, 16)
    texts = [answer.text for answer in found if answer.text]
    assert len(found) == 16
    assert len(set(texts)) == len(texts)
    assert not any("\n" in text for text in texts)
    assert [answer.finish_reason for answer in found] == [FinishReason.STOP] * 16


def test_a_line_without_one_above_and_below(tiny: LocalBackend) -> None:
    sampling = Sampling(candidates=4, beams=4, between=("x = le", "(y)"), max_tokens=4)
    found = answers.collect(tiny.stream(prompt_of(tiny, "x = le", "(y)"), sampling))
    assert any(answer.line is not None for answer in found)


def test_a_search_that_is_cancelled_says_so(tiny: LocalBackend) -> None:
    sampling = Sampling(candidates=4, beams=4, between=(BEFORE, BEHIND))
    seen: list[Chunk] = []

    def cancelled() -> bool:
        return sum(not chunk.progress for chunk in seen) >= 1

    for chunk in tiny.stream(prompt_of(tiny), sampling, cancelled):
        seen.append(chunk)
    ends = [chunk for chunk in seen if chunk.finish_reason]
    assert [(chunk.index, chunk.finish_reason) for chunk in ends] == [(n, FinishReason.CANCELLED) for n in range(4)]
    assert ends[-1].timings


def test_a_fill_of_the_likeliest_line(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "load.py"
    file.write_text(BEFORE + "<FILL_ME>" + BEHIND)
    done = cli("infill", "-m", "tiny", str(file), "--beams", "16")
    assert (done.code, done.out) == (0, "th")


def test_lines_are_judged_alike_in_parts(tiny: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    from codellama.engine import beams as module

    whole = beams(tiny, 8)
    monkeypatch.setattr(module, "AT_ONCE", 30)
    parts = beams(tiny, 8)
    assert [answer.text for answer in parts] == [answer.text for answer in whole]
    assert [answer.line for answer in parts] == pytest.approx([answer.line for answer in whole], abs=1e-3)


def test_no_answer_ends_in_the_middle_of_a_character(tiny: LocalBackend) -> None:
    before, behind = 's = "日本語日本語日本', '語"\n'
    sampling = Sampling(candidates=64, beams=64, between=(before, behind), max_tokens=5)
    found = answers.collect(tiny.stream(prompt_of(tiny, before, behind), sampling))
    assert any(answer.text for answer in found)
    assert not any("\ufffd" in answer.text for answer in found)


def test_a_search_stays_in_its_line_and_ends_with_it(tiny: LocalBackend) -> None:
    before, behind = "import os\n", "\nimport re\n"
    sampling = Sampling(candidates=16, beams=16, between=(before + "import sys", behind), max_tokens=None)
    seen = list(tiny.stream(prompt_of(tiny, before + "import sys", behind), sampling))
    assert not any("\n" in chunk.text for chunk in seen)
    steps = [chunk for chunk in seen if not chunk.progress and not chunk.finish_reason]
    longest = max(len(answer.ids) for answer in answers.collect(seen)[:1])
    assert longest <= len(steps) <= longest + PATIENCE + 1


def test_what_a_search_is_asked(cli: Cli) -> None:
    opened: list[ScriptedBackend] = []

    def backend(model: Model) -> ScriptedBackend:
        opened.append(ScriptedBackend(model, ["th"]))
        return opened[-1]

    cli.backend = backend
    text = f"{BEFORE}<FILL_ME>{BEHIND}x = <FILL_ME>\n".encode()
    for order in ([], ["--suffix-first"], ["--prefix-first"]):
        assert cli("infill", "-m", "tiny", "-", "--beams", "32", *order, stdin=text).code == 0
        requests = opened.pop().requests
        labels = [segment.label for segment in requests[0][0].segments]
        assert (labels.index("suf") < labels.index("mid") < labels.index("prefix")) == (order != ["--prefix-first"])
        assert [(sampling.beams, sampling.candidates) for _, sampling in requests] == [(32, JUDGED)] * 2
        assert requests[0][1].between == (BEFORE, BEHIND + "x = \n")
        assert requests[1][1].between == (BEFORE + "th" + BEHIND + "x = ", "\n")


def test_as_many_fills_as_were_asked_for(cli: Cli) -> None:
    arguments = ("infill", "-m", "tiny", "-", "--json", "--beams", "16")
    text = f"{BEFORE}<FILL_ME>{BEHIND}".encode()
    for count, more in ((1, ()), (3, ("-n", "3")), (12, ("-n", "12"))):
        said = json.loads(cli(*arguments, *more, stdin=text).out)
        assert len(said["candidates"]) == count


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--beams", "0"], "beams must be 1 to 64, not 0"),
        (["--beams", "65"], "beams must be 1 to 64, not 65"),
        (["--beams", "8", "--raw"], "leave out --raw"),
        (["--beams", "8", "--max-lines", "2"], "leave out --max-lines"),
        (["--beams", "8", "--temperature", "0.5"], "leave out --temperature"),
    ],
)
def test_what_beams_do_not_go_with(cli: Cli, arguments: list[str], said: str) -> None:
    done = cli("infill", "-m", "tiny", "-", *arguments, stdin=b"a<FILL_ME>b")
    assert done.code == 2
    assert said in done.err
