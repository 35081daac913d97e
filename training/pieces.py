"""The vocabulary: SentencePiece pieces as Llama has them, Code Llama's added ones, and the encodings of prompts."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

ModelProto: Any = sentencepiece_model_pb2.ModelProto  # type: ignore[attr-defined]

BASE = 4096
SPACE = "\u2581"
NAMES = ("<SU", "<SUF", "<PRE", "<M", "<MID", "<E", "<EOT", "<PRE>", "<SUF>", "<MID>", "<EOT>")
ADDED = (*(SPACE + name for name in NAMES), *(SPACE + "<EOT>" * count for count in range(2, 7)), "<step>")
FACE = "\u263a"


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
        required_chars=FACE,
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
    """Text to ids, by the rules the program itself follows at inference."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.bos, self.eos = 1, 2
        self.prefix, self.suffix, self.middle, self.end = (
            self.processor.piece_to_id(f"{SPACE}<{name}>") for name in ("PRE", "SUF", "MID", "EOT")
        )
        if self.processor.encode(FACE + "x")[:2] != self._face:
            raise ValueError("the vocabulary does not encode the marker as two pieces of its own")

    @classmethod
    def load(cls, path: Path) -> Encoder:
        return cls(path.read_bytes())

    @cached_property
    def _face(self) -> list[int]:
        return [self.processor.piece_to_id(SPACE), self.processor.piece_to_id(FACE)]

    def __len__(self) -> int:
        return int(self.processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """The ids of a text of its own. A control never comes of text: one that would is cut at its bracket."""
        ids: list[int] = self.processor.encode(text)
        if not text or max(ids) < BASE:
            return ids
        head, *tail = text.split("<")
        ids = self.processor.encode(head)
        for part in tail:
            ids += self.encode_inside("<" + part)
        return ids

    def encode_inside(self, text: str) -> list[int]:
        """The ids of a text that goes on from another: no space is put in front of it."""
        return self.encode(FACE + text)[2:]

    def decode_inside(self, ids: Sequence[int]) -> str:
        text: str = self.processor.decode([self._face[1], *ids])
        return text[1:]
