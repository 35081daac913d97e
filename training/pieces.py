"""The vocabulary: SentencePiece pieces as Llama has them, Code Llama's added ones, and the encodings of prompts."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from codellama.prompts import render
from codellama.tokenizer import ADDED, ANCHOR, BOS, EOS, EOT, MID, PRE, SPACE, SUF, Tokenizer

ModelProto: Any = sentencepiece_model_pb2.ModelProto  # type: ignore[attr-defined]

BASE = 4096


def train(texts: Iterable[str]) -> bytes:
    """A SentencePiece model of the texts. Newlines never become pieces: they stay one byte piece, as in Llama.

    The pieces are learned from lines as they stand inside a text, without the space that encoding puts in front of
    a whole text; the finished model does put it there.
    """
    lines = (line for text in texts for line in text.split("\n") if line.strip())
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_writer=buffer,
        model_type="bpe",
        vocab_size=BASE,
        character_coverage=0.9998,
        required_chars=ANCHOR,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        max_sentence_length=65536,
        num_threads=2,
        minloglevel=2,
    )
    model = ModelProto.FromString(buffer.getvalue())
    model.normalizer_spec.add_dummy_prefix = True
    model.trainer_spec.ClearField("required_chars")
    lowest = min(piece.score for piece in model.pieces)
    for distance, text in enumerate(ADDED, start=1):
        piece = model.pieces.add()
        piece.piece, piece.score, piece.type = text, lowest - distance, ModelProto.SentencePiece.NORMAL
    model.trainer_spec.vocab_size = len(model.pieces)
    return bytes(model.SerializeToString())


class Encoder:
    """Text and holes to ids by the program's own tokenizer and prompts: training sees what the program sends."""

    def __init__(self, path: Path) -> None:
        self.model = path.read_bytes()
        self.tokenizer = Tokenizer.load(path)
        self.bos, self.eos = self._control(BOS), self._control(EOS)
        self.prefix, self.suffix, self.middle, self.end = (self._control(piece) for piece in (PRE, SUF, MID, EOT))
        if [self.tokenizer.piece(id) for id in self.tokenizer.encode(ANCHOR + "x")[:2]] != [SPACE, ANCHOR]:
            raise ValueError("the vocabulary does not encode the marker as two pieces of its own")

    def _control(self, piece: str) -> int:
        id = self.tokenizer.control(piece)
        if id is None:
            raise ValueError(f"the vocabulary lacks {piece}")
        return id

    def __len__(self) -> int:
        return self.tokenizer.size

    def encode(self, text: str) -> list[int]:
        """The ids of a text of its own. A control never comes of text."""
        return list(self.tokenizer.encode(text))

    def encode_inside(self, text: str) -> list[int]:
        """The ids of a text that goes on from another: no space is put in front of it."""
        return list(self.tokenizer.encode_infill(text))

    def decode_inside(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode_infill(ids)

    def infill(self, prefix: str, suffix: str, suffix_first: bool) -> list[int]:
        """The prompt of a hole: what the model's answer follows."""
        return list(render("infill", self.tokenizer, prefix=prefix, suffix=suffix, suffix_first=suffix_first).ids)
