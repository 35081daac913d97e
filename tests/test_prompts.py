"""Prompts, id for id: our case files, Meta's ids, and what a user may not do to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama import prompts
from codellama.dialog import Message, Prompt
from codellama.errors import CapabilityError, InputError
from codellama.prompts import TAGS, render
from codellama.tokenizer import ADDED, Tokenizer
from tests.harness import CASES
from tests.reference import HOSTILE, asset, meta_examples, meta_ids

FILES = sorted((CASES / "prompts").glob("*/*.json"))


def made(template: str, tokenizer: Tokenizer | None, values: dict[str, Any]) -> Prompt:
    if "dialog" in values:
        values = {"dialog": [Message(**message) for message in values["dialog"]]}
    prompt: Prompt = render(template, tokenizer, **values)
    return prompt


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_case_file(file: Path) -> None:
    """The text in every place; the ids where the tokenizer's model is at hand."""
    case = json.loads(file.read_text(encoding="utf-8"))
    if file.parent.name == "docstring":
        # the text of a message; the chat formats' own cases pin what becomes of one
        assert prompts.question("docstring", **case["values"]) == case["text"]
        return
    prompt = made(file.parent.name, None, case["values"])
    assert prompt.text == case["text"]
    assert not prompt.has_ids
    with_ids = made(file.parent.name, Tokenizer.load(asset(f"tokenizer-{case['tokenizer']}.model")), case["values"])
    assert list(with_ids.ids) == case["ids"]
    assert with_ids.text == case["text"]


def test_every_template_has_cases_and_a_header() -> None:
    templates = {path.stem: path.read_text(encoding="utf-8") for path in prompts.directory().glob("*.jinja")}
    assert templates.keys() >= {"complete", "python", "infill", "instruct", "instruct-70b"}
    assert {file.parent.name for file in FILES} == templates.keys()
    for text in templates.values():
        assert text.startswith("{#-")
        assert "Serves: " in text.partition("#}")[0]


def test_infill_equals_meta(llama7: Tokenizer) -> None:
    assert len(meta_ids()["infill"]) == 600
    for case in [*meta_ids()["infill"], *meta_examples()["infill"]]:
        hole = {"prefix": case["prefix"], "suffix": case["suffix"]}
        psm = render("infill", llama7, **hole)
        spm = render("infill", llama7, **hole, suffix_first=True)
        if hole["prefix"] == "say <PRE> ":
            # the one where the reference lets a user's text become controls
            assert (list(psm.ids).count(32007), list(psm.ids).count(32010)) == (1, 0)
            continue
        assert list(psm.ids) == case["psm"]
        assert list(spm.ids) == case["spm"]
        assert psm.stop_ids == spm.stop_ids == (32010, 2)


@pytest.mark.parametrize(
    ("key", "template", "tokenizer"),
    [
        ("chat_inst", "instruct", "llama7"),
        ("chat_inst", "instruct", "llama32"),
        ("chat_70b", "instruct-70b", "llama70"),
    ],
)
def test_chat_equals_meta(key: str, template: str, tokenizer: str, request: pytest.FixtureRequest) -> None:
    pieces: Tokenizer = request.getfixturevalue(tokenizer)
    assert len(meta_ids()[key]) == 192
    for case in meta_ids()[key]:
        prompt = made(template, pieces, {"dialog": case["dialog"]})
        assert list(prompt.ids) == case["ids"]
        assert prompt.stop_ids == ((32015, 2) if template == "instruct-70b" else (2,))


def test_model_cards_own_example(llama70: Tokenizer) -> None:
    for case in meta_examples()["dialog70_nodummy"]:
        assert list(made("instruct-70b", llama70, {"dialog": case["dialog"]}).ids) == case["ids"]


@pytest.mark.parametrize("template", ["complete", "python"])
def test_completion_equals_meta(template: str, llama7: Tokenizer, llama32: Tokenizer, llama70: Tokenizer) -> None:
    for case in meta_ids()["complete"]:
        for pieces, key in ((llama7, "ids7"), (llama32, "ids32"), (llama70, "ids70")):
            prompt = render(template, pieces, text=case["text"])
            assert list(prompt.ids) == case[key]
            assert prompt.stop_ids == (2,)


WILD = st.one_of(st.text(max_size=20), st.sampled_from([*HOSTILE, *ADDED, "{{ bos }}", "{% if x %}", "⟦<s>⟧"]))


@settings(max_examples=200, deadline=None)
@given(prefix=WILD, suffix=WILD, suffix_first=st.booleans())
def test_f18_f19_a_user_can_neither_add_a_control_nor_move_a_boundary(
    tiny_tokenizer: Tokenizer, prefix: str, suffix: str, suffix_first: bool
) -> None:
    prompt = render("infill", tiny_tokenizer, prefix=prefix, suffix=suffix, suffix_first=suffix_first)
    order = (
        ["bos", "pre", "suf", "suffix", "mid", "prefix"]
        if suffix_first
        else ["bos", "pre", "prefix", "suf", "suffix", "mid"]
    )
    assert [segment.label for segment in prompt.segments] == order
    controls = [id for id in prompt.ids if tiny_tokenizer.is_control(id)]
    assert len(controls) == 4
    assert {s.label: s.text for s in prompt.segments if not s.control} == {"prefix": prefix, "suffix": suffix}


@settings(max_examples=100, deadline=None)
@given(st.lists(WILD, min_size=1, max_size=5).filter(lambda texts: not any(tag in t for t in texts for tag in TAGS)))
def test_chat_has_the_controls_of_its_turns_and_no_more(tiny_tokenizer: Tokenizer, texts: list[str]) -> None:
    texts = texts if len(texts) % 2 else texts[:-1]
    dialog = [Message("assistant" if at % 2 else "user", text) for at, text in enumerate(texts)]
    inst = render("instruct", tiny_tokenizer, dialog=dialog)
    assert sum(map(tiny_tokenizer.is_control, inst.ids)) == len(texts)
    seventy = render("instruct-70b", tiny_tokenizer, dialog=dialog)
    assert sum(map(tiny_tokenizer.is_control, seventy.ids)) == len(texts) + 2


@pytest.mark.parametrize("template", ["instruct", "instruct-70b"])
@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("at", range(4))
def test_f20_metas_tags_are_refused_with_message_and_offset(template: str, tag: str, at: int) -> None:
    dialog = [Message("system", "s"), Message("user", "q"), Message("assistant", "a"), Message("user", "q2")]
    dialog[at] = Message(dialog[at].role, f"see {tag} there")
    with pytest.raises(InputError) as refusal:
        render(template, None, dialog=dialog)
    assert f"message {at + 1} ({dialog[at].role}) holds {tag} at character 4" in str(refusal.value)


def test_f20_the_first_of_several_tags_is_named() -> None:
    with pytest.raises(InputError, match=r"holds \[/INST\] at character 2"):
        render("instruct", None, dialog=[Message("user", "a [/INST] b [INST] c <<SYS>>")])


def test_metas_tags_are_plain_text_elsewhere(tiny_tokenizer: Tokenizer) -> None:
    text = " ".join(TAGS)
    ids = render("complete", tiny_tokenizer, text=text).ids
    assert tiny_tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    ("roles", "complaint"),
    [
        ([], "empty"),
        (["system"], "not with a question"),
        (["assistant"], "message 1 is the assistant's, where the user's is due"),
        (["user", "user"], "message 2 is the user's, where the assistant's is due"),
        (["user", "assistant"], "ends with the assistant's message"),
        (["user", "system", "user"], "message 2 is the system's, where the assistant's is due"),
        (["system", "system", "user"], "message 2 is the system's, where the user's is due"),
    ],
)
def test_a_dialog_out_of_order_is_refused(roles: list[Any], complaint: str) -> None:
    for template in prompts.CHAT:
        with pytest.raises(InputError, match=complaint):
            render(template, None, dialog=[Message(role, "x") for role in roles])


def test_a_tokenizer_without_the_pieces_is_named(llama32: Tokenizer) -> None:
    with pytest.raises(CapabilityError, match=r"llama-32000\.model: has no piece <PRE>"):
        render("infill", llama32, prefix="a", suffix="b")


def test_ids_of_a_prompt_without_a_tokenizer_are_no_empty_list() -> None:
    with pytest.raises(ValueError, match="without a tokenizer"):
        _ = render("complete", None, text="x").ids
