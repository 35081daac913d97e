"""What other programs are given: ids equal to SentencePiece's, and prompts equal to ours."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Fast
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from codellama import prompts
from codellama.catalogue import ChatFormat
from codellama.convert.fast_tokenizer import CHAT_TEMPLATES, tokenizer_config, tokenizer_json
from codellama.dialog import Message
from codellama.errors import InputError
from codellama.tokenizer import Tokenizer
from tests.harness import TINY
from tests.reference import HOSTILE, asset, meta_ids

MODELS = {
    "32016": "tokenizer-standin-32016.model",
    "32000": "tokenizer-llama-32000.model",
    "70b": "tokenizer-standin-70b.model",
    "tiny": "",
}


@pytest.fixture(scope="module", params=MODELS)
def both(request: pytest.FixtureRequest) -> tuple[Fast, Any]:
    """The tokenizer.json that is made, and the SentencePiece model that it is made of."""
    from sentencepiece import SentencePieceProcessor

    path = asset(MODELS[request.param]) if MODELS[request.param] else TINY / "tokenizer.model"
    fast = Fast.from_str(tokenizer_json(path))
    fast.encode_special_tokens = True
    return fast, SentencePieceProcessor(model_file=str(path))


LIBRARY = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[::6]


def test_it_encodes_as_sentencepiece_does(both: tuple[Fast, Any]) -> None:
    """On a sample: benchmarks/convert_tokenizer.py takes the whole standard library."""
    fast, slow = both
    texts = [path.read_text(encoding="utf-8") for path in LIBRARY]
    assert len(texts) > 20
    for text in [*texts, *HOSTILE, *(text.removesuffix("\n") for text in texts[:3])]:
        assert fast.encode(text, add_special_tokens=False).ids == slow.encode(text), text[:80]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
@example("")
@example(" ")
@example("  a  \n\n\tb ")
def test_any_text_is_encoded_as_sentencepiece_does(both: tuple[Fast, Any], text: str) -> None:
    fast, slow = both
    assert fast.encode(text, add_special_tokens=False).ids == slow.encode(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=40))
def test_decoding_gives_the_text_back(both: tuple[Fast, Any], text: str) -> None:
    fast, _ = both
    assert fast.decode(fast.encode(text, add_special_tokens=False).ids) == text


def test_the_pieces_and_their_ids_stay(both: tuple[Fast, Any]) -> None:
    fast, slow = both
    assert fast.get_vocab_size() == slow.vocab_size()
    assert all(fast.id_to_token(id) == slow.id_to_piece(id) for id in range(slow.vocab_size()))
    assert fast.encode("x").ids == [1, *slow.encode("x")]


def directory(path: Path, tokenizer: Path, chat_format: ChatFormat | None) -> Path:
    path.mkdir()
    (path / "tokenizer.json").write_text(tokenizer_json(tokenizer))
    (path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(16384, chat_format)))
    (path / "config.json").write_text('{"model_type": "llama"}')
    return path


def test_transformers_reads_it_as_it_is(tmp_path: Path) -> None:
    made = directory(tmp_path / "model", asset(MODELS["32016"]), None)
    theirs = AutoTokenizer.from_pretrained(made)
    assert isinstance(theirs, PreTrainedTokenizerFast)
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.unk_token_id, len(theirs)) == (1, 2, 0, 32016)
    cases = meta_ids()["complete"][:200]
    assert [theirs(case["text"]).input_ids for case in cases] == [case["ids7"] for case in cases]


DIALOGS = {
    "question": [("user", "What is a monad? ")],
    "system": [("system", "Be brief.\n"), ("user", "  Sort a list."), ],
    "turns": [("user", "one"), ("assistant", " two "), ("user", "three\n"), ("assistant", "four"), ("user", "five")],
    "all": [("system", "S"), ("user", "one"), ("assistant", "two"), ("user", "three")],
}  # fmt: skip


@pytest.mark.parametrize("dialog", DIALOGS)
@pytest.mark.parametrize(("chat_format", "name"), [("instruct", "32016"), ("instruct-70b", "70b")])
def test_the_chat_template_gives_our_prompts(tmp_path: Path, chat_format: ChatFormat, name: str, dialog: str) -> None:
    model = asset(MODELS[name])
    theirs: Any = AutoTokenizer.from_pretrained(directory(tmp_path / "model", model, chat_format))
    messages = [{"role": role, "content": content} for role, content in DIALOGS[dialog]]
    found = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    ours = prompts.render(
        chat_format,
        Tokenizer.load(model),
        dialog=[Message(role, content) for role, content in DIALOGS[dialog]],  # type: ignore[arg-type]
    )
    assert tuple(found) == ours.ids


def test_the_70b_templates_golden_ids(tmp_path: Path) -> None:
    """The model card's example."""
    made = directory(tmp_path / "model", asset(MODELS["70b"]), "instruct-70b")
    theirs: Any = AutoTokenizer.from_pretrained(made)
    messages = [
        {"role": "system", "content": "System prompt    "},
        {"role": "user", "content": "First user query"},
        {"role": "assistant", "content": "Model response to first query"},
        {"role": "user", "content": "Second user query"},
    ]
    found = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    golden = (
        "1 7562 29901 1788 13 13 2184 9508 32015 7562 29901 1404 13 13 3824 1404 2346 32015 7562 29901 20255 13 13 "
        "8125 2933 304 937 2346 32015 7562 29901 1404 13 13 6440 1404 2346 32015 7562 29901 20255 13 14994 3381 29901 "
        "1404 13 13 29871"
    )
    assert found == [int(id) for id in golden.split()]


def test_only_chat_models_have_a_template() -> None:
    assert "chat_template" not in tokenizer_config(4096, None)
    assert tokenizer_config(4096, "instruct")["chat_template"] == CHAT_TEMPLATES["instruct"]


def test_f15_a_tokenizer_that_is_no_byte_pair_encoding(tmp_path: Path) -> None:
    import sentencepiece

    with (tmp_path / "other.model").open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([path.read_text(encoding="utf-8")[:2000] for path in LIBRARY]),
            model_writer=stream, model_type="unigram", vocab_size=400, byte_fallback=True, minloglevel=2,
        )  # fmt: skip
    Tokenizer.load(tmp_path / "other.model")
    with pytest.raises(InputError, match=r"other\.model: is no byte pair encoding as Llama's is"):
        tokenizer_json(tmp_path / "other.model")
