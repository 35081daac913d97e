from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from codellama.convert import fast_tokenizer
from codellama.llama_ids import TEXTS, agreement
from codellama.tokenizer import PRE, Tokenizer
from tests.reference import asset

PROVED = "the pieces and their scores are Meta's"


@pytest.mark.parametrize("name", ["tokenizer-llama-32000", "tokenizer-standin-32016", "tokenizer-standin-70b"])
def test_code_llamas_own_tokenizers_are_metas(name: str) -> None:
    tokenizer = Tokenizer.load(asset(f"{name}.model"))
    found = agreement(tokenizer, tokenizer.size)
    assert (found.metas, found.reason) == (True, PROVED)


def test_the_texts_have_the_ids_of_metas_encode_infilling() -> None:
    from sentencepiece import SentencePieceProcessor

    meta = SentencePieceProcessor(model_file=str(asset("tokenizer-llama-32000.model")))
    for text, ids in TEXTS:
        assert " ".join(map(str, meta.encode("☺" + text)[2:])) == ids, text


def test_another_tokenizer(tiny_tokenizer: Tokenizer) -> None:
    found = agreement(tiny_tokenizer, tiny_tokenizer.size)
    assert (found.metas, found.reason) == (False, f"it has {tiny_tokenizer.size} pieces of its own")


def changed_model(tmp_path: Path, name: str, change: Callable[[Any], None]) -> Tokenizer:
    from sentencepiece import sentencepiece_model_pb2

    model = cast("Any", sentencepiece_model_pb2).ModelProto()
    model.ParseFromString(asset(name).read_bytes())
    change(model)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model.SerializeToString())
    return Tokenizer.load(path)


def test_one_score(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        model.pieces[20000].score -= 1

    found = agreement(changed_model(tmp_path, "tokenizer-standin-32016.model", change), 32016)
    assert (found.metas, found.reason) == (False, "it has Llama's pieces with other scores")


def test_one_piece(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        model.pieces[20000].piece += "x"

    assert not agreement(changed_model(tmp_path, "tokenizer-standin-32016.model", change), 32016).metas


def test_a_normaliser_that_changes_text(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        model.normalizer_spec.remove_extra_whitespaces = True

    found = agreement(changed_model(tmp_path, "tokenizer-llama-32000.model", change), 32000)
    assert (found.metas, "becomes" in found.reason) == (False, True)


def test_added_pieces_count_where_the_embedding_has_rows_for_them(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        # as some Python variants' on the hub
        piece = model.pieces.add()
        piece.piece, piece.score, piece.type = PRE, -1e9, 4

    odd = changed_model(tmp_path, "tokenizer-llama-32000.model", change)
    assert odd.size == 32001
    assert agreement(odd, 32000).metas
    assert agreement(odd, 32001).reason == "its pieces from 32000 on are not Meta's: ▁<PRE> …"


@pytest.mark.parametrize(
    ("name", "dummy"), [("tokenizer-standin-70b.model", True), ("tokenizer-llama-32000.model", False)]
)
def test_the_space_before_a_text(tmp_path: Path, name: str, dummy: bool) -> None:
    def change(model: Any) -> None:
        model.normalizer_spec.add_dummy_prefix = dummy

    odd = changed_model(tmp_path, name, change)
    found = agreement(odd, odd.size)
    assert (found.metas, "space before" in found.reason) == (False, True)


def test_a_tokenizer_json(tmp_path: Path) -> None:
    text = fast_tokenizer.tokenizer_json(asset("tokenizer-standin-32016.model"))
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    found = agreement(Tokenizer.load(path), 32016)
    assert (found.metas, found.reason) == (True, f"the pieces, and the ids of {len(TEXTS)} texts are Meta's")

    # merges in another order than the scores', as transformers makes them of a tokenizer.model
    content = json.loads(text)
    merges = content["model"]["merges"]
    merges.sort(key=lambda merge: not all(set(part) == {"▁"} for part in merge))
    path.write_text(json.dumps(content))
    found = agreement(Tokenizer.load(path), 32016)
    assert (found.metas, "becomes" in found.reason) == (False, True), found

    content = json.loads(text)
    vocabulary = content["model"]["vocab"]
    one, two = (next(piece for piece, id in vocabulary.items() if id == wanted) for wanted in (20000, 20001))
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    path.write_text(json.dumps(content))
    assert not agreement(Tokenizer.load(path), 32016).metas
