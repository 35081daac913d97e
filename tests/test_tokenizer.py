"""Token ids, against Meta's own, SentencePiece and llama.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from codellama.errors import InputError
from codellama.tokenizer import ADDED, EOT, MID, PRE, STEP, SUF, Tokenizer
from tests.harness import TINY
from tests.reference import HOSTILE, asset, meta_examples, meta_ids


def test_completions_equal_meta(llama7: Tokenizer, llama32: Tokenizer, llama70: Tokenizer) -> None:
    assert len(meta_ids()["complete"]) == 1064
    for case in meta_ids()["complete"]:
        for tokenizer, key in ((llama7, "ids7"), (llama32, "ids32"), (llama70, "ids70")):
            assert [1, *tokenizer.encode(case["text"])] == case[key], case["text"]
            # Meta's ids hold U+2581 as a space
            assert tokenizer.decode(case[key]) == case["text"].replace("▁", " ")


def test_example_completions_equal_meta(llama7: Tokenizer, llama32: Tokenizer, llama70: Tokenizer) -> None:
    for case in meta_examples()["complete"]:
        assert [1, *llama7.encode(case["text"])] == case["ids7"]
        assert [1, *llama32.encode(case["text"])] == case["ids_python32000"]
        assert [1, *llama70.encode(case["text"])] == case["ids70_nodummy"]


def test_fills_decode_as_meta_decodes_them(llama7: Tokenizer) -> None:
    for case in meta_ids()["middle"]:
        assert llama7.decode_infill(case["ids"]) == case["text"]
    for case in meta_examples()["decode_infilling"]:
        assert llama7.decode_infill(case["ids"]) == case["decode_infilling"]
        assert llama7.decode(case["ids"]) == case["plain_decode"]


def test_llama_cpp_vectors(llama32: Tokenizer) -> None:
    texts = asset("llama-spm.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    lines = asset("llama-spm.out").read_text(encoding="utf-8").split("\n")
    assert len(texts) == 47
    for text, line in zip(texts, lines, strict=True):
        assert list(llama32.encode(text)) == [int(id) for id in line.split()], text


def test_control_pieces_by_name(llama7: Tokenizer, llama32: Tokenizer, llama70: Tokenizer) -> None:
    assert [llama7.control(piece) for piece in (PRE, SUF, MID, EOT, STEP)] == [32007, 32008, 32009, 32010, None]
    assert (llama70.control(STEP), llama70.control("<s>"), llama70.control("</s>")) == (32015, 1, 2)
    assert llama32.control(PRE) is None
    assert llama7.control("▁def") is None, "an ordinary piece is no control piece"
    assert llama7.dummy_prefix
    assert not llama70.dummy_prefix


@pytest.fixture(scope="module", params=["tiny", "llama7", "llama70", "tiny.json"])
def tokenizer(request: pytest.FixtureRequest, tiny_tokenizer: Tokenizer) -> Tokenizer:
    if request.param == "tiny":
        return tiny_tokenizer
    if request.param == "tiny.json":
        return Tokenizer.load(TINY / "tokenizer.json")
    loaded: Tokenizer = request.getfixturevalue(request.param)
    return loaded


@pytest.mark.parametrize("text", HOSTILE)
def test_f18_f19_text_never_becomes_a_control(tokenizer: Tokenizer, text: str) -> None:
    for ids, decode in (
        (tokenizer.encode(text), tokenizer.decode),
        (tokenizer.encode_infill(text), tokenizer.decode_infill),
    ):
        assert not any(map(tokenizer.is_control, ids))
        assert decode(ids) in (text, text.replace("▁", " "))


@pytest.mark.parametrize("text", ["▁<MID>", "x ▁<SUF> y ▁"])
def test_f19_where_the_escaping_applies_u2581_comes_back_too(llama7: Tokenizer, text: str) -> None:
    assert llama7.decode(llama7.encode(text)) == text
    assert llama7.decode_infill(llama7.encode_infill(text)) == text


TEXTS = st.lists(
    st.one_of(
        st.text(max_size=12), st.sampled_from([*HOSTILE, *ADDED, "    return x\n", "def f(a, b):\n\t", "👩‍👩‍👧‍👦"])
    )
).map("".join)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_round_trip(tokenizer: Tokenizer, text: str) -> None:
    ids, following = tokenizer.encode(text), tokenizer.encode_infill(text)
    assert not any(map(tokenizer.is_control, ids + following))
    for decoded in (tokenizer.decode(ids), tokenizer.decode_infill(following)):
        assert decoded.replace("▁", " ") == text.replace("▁", " ")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_streaming_equals_sentencepiece_on_any_ids(tiny_tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Broken bytes too: SentencePiece's own decode behind its anchor is the reference's `decode_infilling`."""
    sentencepiece = SentencePieceProcessor(model_file=str(TINY / "tokenizer.model"))
    one = st.one_of(st.integers(0, tiny_tokenizer.size - 1), st.integers(3, 258), st.integers(0x80 + 3, 258))
    ids = data.draw(st.lists(one, max_size=12))
    anchor = sentencepiece.piece_to_id("☺")
    whole = sentencepiece.decode([anchor, *ids])[1:]
    stream = tiny_tokenizer.stream()
    assert "".join(stream.push([id]) for id in ids) + stream.finish() == whole
    assert tiny_tokenizer.decode_infill(ids) == whole
    assert tiny_tokenizer.decode(ids) == sentencepiece.decode(ids)


def test_a_control_between_two_bytes_breaks_their_character(tiny_tokenizer: Tokenizer) -> None:
    """As for SentencePiece: C2 and 80 would be a character, but not with a bos between them."""
    sentencepiece = SentencePieceProcessor(model_file=str(TINY / "tokenizer.model"))
    ids = [0xC2 + 3, 1, 0x80 + 3]
    assert tiny_tokenizer.decode_infill(ids) == sentencepiece.decode(ids) == "��"


def test_f26_no_replacement_character_while_a_character_is_in_flight(tokenizer: Tokenizer) -> None:
    text = "# 👩‍👩‍👧‍👦 日本 é\n"
    stream = tokenizer.stream()
    pushed = [stream.push([id]) for id in tokenizer.encode_infill(text)]
    assert "".join(pushed) == text
    assert stream.finish() == ""
    assert "�" not in "".join(pushed)


def test_f26_an_end_in_mid_character_is_flushed_byte_by_byte(tokenizer: Tokenizer) -> None:
    ids = [id for id in tokenizer.encode_infill("\U0001f9ff") if tokenizer.bytes_of(id)][:3]
    stream = tokenizer.stream()
    assert stream.push(ids) == ""
    assert stream.finish() == "���"


@pytest.mark.parametrize("text", ["x" * 1_000_000, " " * 1_000_000, "a" * 10_000, "<EOT> " * 100_000], ids=len)
def test_f24_long_lines_and_repetitions(tiny_tokenizer: Tokenizer, text: str) -> None:
    assert tiny_tokenizer.decode(tiny_tokenizer.encode(text)) == text


def test_json_gives_the_same_ids_as_the_model(tiny_tokenizer: Tokenizer) -> None:
    from_json = Tokenizer.load(TINY / "tokenizer.json")
    sources = [Path(__file__).read_text(encoding="utf-8"), *HOSTILE, "    return x\n\n\n\tdef\n", "日本語 👍🏽"]
    for text in sources:
        assert from_json.encode(text) == tiny_tokenizer.encode(text)
        assert from_json.encode_infill(text) == tiny_tokenizer.encode_infill(text)
    for piece in (PRE, SUF, MID, EOT, STEP, "<s>", "</s>"):
        assert from_json.control(piece) == tiny_tokenizer.control(piece) is not None


def test_a_bare_json_of_code_llamas_pieces_equals_meta(llama7: Tokenizer, tmp_path: Path) -> None:
    """With merges in the order of the scores; the file is made by the recipe that exports the built-in model."""
    from training.export import fast_tokenizer

    fast_tokenizer(llama7.path.read_bytes()).save(str(tmp_path / "tokenizer.json"))
    bare = Tokenizer.load(tmp_path)
    for case in meta_ids()["complete"]:
        assert [1, *bare.encode(case["text"])] == case["ids7"], case["text"]
    for case in meta_ids()["infill"]:
        assert bare.encode_infill(case["suffix"]) == llama7.encode_infill(case["suffix"])
    for text in HOSTILE:
        assert bare.encode(text) == llama7.encode(text)
    assert bare.control(PRE) == 32007


def test_directory_prefers_the_sentencepiece_model(tmp_path: Path) -> None:
    assert Tokenizer.load(TINY).path.name == "tokenizer.model"
    (tmp_path / "tokenizer.json").write_bytes((TINY / "tokenizer.json").read_bytes())
    assert Tokenizer.load(tmp_path).path.name == "tokenizer.json"


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"<html>sorry</html>", b"{}", None], ids=["empty", "html", "braces", "cut"])
def test_f15_a_malformed_tokenizer_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    path.write_bytes((TINY / name).read_bytes()[:9000] if content is None else content)
    with pytest.raises(InputError, match=name):
        Tokenizer.load(path)


def test_a_directory_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither tokenizer\.model nor tokenizer\.json"):
        Tokenizer.load(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        Tokenizer.load(tmp_path / "tokenizer.model")
