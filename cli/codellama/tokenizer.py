"""Text to token ids and back, equal to Meta's reference id for id.

`tokenizer.model` is read by sentencepiece, a bare `tokenizer.json` by tokenizers; transformers' own Code Llama
tokenizer changes ids on ordinary code. Two rules are ours:

- Text never becomes a control id. Code Llama's added pieces (`▁<PRE>`, `▁<EOT>`, ...) are ordinary pieces of the
  SentencePiece model, so that a user's literal ` <EOT>` would end the answer. Where a control id comes out of text,
  that text is encoded again with every `<` by itself and U+2581 as bytes; all other text keeps Meta's ids.
- Decoding goes over bytes, a piece at a time, so that what is streamed equals the decode of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from codellama.errors import InputError

SPACE = "▁"
# U+2581, SentencePiece's space
ANCHOR = "☺"
# the reference encodes a suffix behind this piece, so that no dummy prefix comes before the text itself
UNKNOWN = " ⁇ "
# what SentencePiece decodes <unk> to

BOS, EOS = "<s>", "</s>"
PRE, SUF, MID, EOT, STEP = "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>", "<step>"
ADDED = (
    *("▁<SU", "▁<SUF", "▁<PRE", "▁<M", "▁<MID", "▁<E", "▁<EOT"),
    *(PRE, SUF, MID, EOT),
    *(SPACE + "<EOT>" * n for n in range(2, 7)),
    STEP,
)
# Code Llama's pieces beyond Llama's 32000; the first seven are the steps by which BPE reaches the next four

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPLIT = re.compile(f"({SPACE}+|<)")


class _Pieces(Protocol):
    """What a tokenizer library must give: raw ids of a text, and the pieces by id and by name."""

    size: int

    def encode(self, text: str) -> list[int]: ...
    def piece(self, id: int) -> str: ...
    def score(self, id: int) -> float | None: ...
    def id(self, piece: str) -> int | None: ...
    def controls(self) -> Iterable[int]: ...
    def is_byte(self, id: int) -> bool: ...


class Tokenizer:
    """Encodes and decodes as Meta's reference does; `control` gives the ids that only prompt templates may use."""

    def __init__(self, pieces: _Pieces, path: Path) -> None:
        self.path = path
        self._pieces = pieces
        self._bytes: dict[int, bytes] = {}
        self._controls = frozenset(pieces.controls())
        self._anchor = pieces.encode(ANCHOR)
        first = pieces.encode("a")
        self.dummy_prefix = bool(first) and pieces.piece(first[0]).startswith(SPACE)
        # Code Llama's own puts a space before every text; the 70B's does not

    @staticmethod
    def load(path: Path | str) -> Tokenizer:
        """Read a `tokenizer.model`, a `tokenizer.json`, or a directory that holds one (the `.model` goes first).

        Raises InputError where there is none or it cannot be read.
        """
        path = Path(path)
        if path.is_dir():
            found = [path / name for name in ("tokenizer.model", "tokenizer.json") if (path / name).is_file()]
            if not found:
                raise InputError(f"{path}: holds neither tokenizer.model nor tokenizer.json")
            path = found[0]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        pieces: _Pieces = _JsonPieces(data, path) if path.suffix == ".json" else _SentencePieces(data, path)
        return Tokenizer(pieces, path)

    @property
    def size(self) -> int:
        """The number of pieces; ids are 0 … size - 1."""
        return self._pieces.size

    def piece(self, id: int) -> str:
        """The piece's name, as `▁def`; of an id that the tokenizer lacks, `<id>`."""
        return self._pieces.piece(id) if 0 <= id < self.size else f"<{id}>"

    def score(self, id: int) -> float | None:
        """What SentencePiece merges by, the highest first. None: a tokenizer.json has merges instead."""
        return self._pieces.score(id)

    def control(self, piece: str) -> int | None:
        """The id of a control piece by its name; None where the tokenizer lacks it."""
        id = self._pieces.id(piece)
        return id if id in self._controls else None

    def is_control(self, id: int) -> bool:
        return id in self._controls

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a text by itself: SentencePiece's encoding, without bos and eos, never a control id."""
        ids = self._pieces.encode(text)
        return tuple(ids) if self._controls.isdisjoint(ids) else tuple(self._literal(text))

    def encode_infill(self, text: str) -> tuple[int, ...]:
        """The ids of a text that follows other text: no dummy prefix, so that a leading space survives.

        The reference's `encode_infilling`: encoded behind `☺`, whose ids are then dropped.
        """
        ids = self._behind_anchor(text)
        return tuple(ids) if self._controls.isdisjoint(ids) else tuple(self._literal(text, following=True))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids that `encode` gave: one leading space is the dummy prefix and is dropped."""
        text = self.decode_infill(ids)
        return text[1:] if self.dummy_prefix and text.startswith(" ") and self.opens_with_space(ids) else text

    def decode_infill(self, ids: Sequence[int]) -> str:
        """The text of ids as it continues other text, leading space kept: the reference's `decode_infilling`."""
        stream = self.stream()
        return stream.push(ids) + stream.finish()

    def stream(self) -> StreamDecoder:
        return StreamDecoder(self)

    def bytes_of(self, id: int) -> bytes:
        """What one id adds to the text, in UTF-8; bos, eos and the like add nothing."""
        known = self._bytes.get(id)
        if known is None:
            known = self._bytes[id] = self._spell(id)
        return known

    def _spell(self, id: int) -> bytes:
        if not 0 <= id < self.size:
            return UNKNOWN.encode()
        piece = self._pieces.piece(id)
        if self._pieces.is_byte(id):
            match = _BYTE.fullmatch(piece)
            assert match is not None
            return bytes([int(match[1], 16)])
        if piece == "<unk>":
            return UNKNOWN.encode()
        return b"" if piece in (BOS, EOS) else piece.replace(SPACE, " ").encode()

    def opens_with_space(self, ids: Sequence[int]) -> bool:
        """Whether the first id that says anything is a piece with a leading space (not the byte 0x20)."""
        said = next((id for id in ids if self.bytes_of(id)), None)
        return said is not None and self.piece(said).startswith(SPACE)

    def _behind_anchor(self, text: str) -> list[int]:
        ids = self._pieces.encode(ANCHOR + text)
        assert ids[: len(self._anchor)] == self._anchor, "the tokenizer merges the anchor with what follows it"
        return ids[len(self._anchor) :]

    def _literal(self, text: str, following: bool = False) -> list[int]:
        ids: list[int] = []
        for part in filter(None, _SPLIT.split(text)):
            if part.startswith(SPACE):
                new = self._byte_ids(part)
            else:
                new = self._behind_anchor(part) if following else self._pieces.encode(part)
            for id in new:
                # a tokenizer.json may declare more control pieces than ours: those are spelt out in bytes
                ids += self._byte_ids(self._pieces.piece(id).replace(SPACE, " ")) if id in self._controls else [id]
            following = True
        return ids

    def _byte_ids(self, text: str) -> list[int]:
        ids = [self._pieces.id(f"<0x{byte:02X}>") for byte in text.encode()]
        if None in ids:
            raise InputError(f"{self.path}: has no byte pieces, so that {text!r} cannot be encoded as plain text")
        return [id for id in ids if id is not None]


class StreamDecoder:
    """Turns ids into text as they come.

    All that `push` and `finish` return, joined, equals `decode_infill` of all ids. A character whose bytes are still
    in flight is held back; `finish` gives each byte of an unfinished one as U+FFFD, as SentencePiece does.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._pending = b""

    def push(self, ids: Iterable[int]) -> str:
        text: list[str] = []
        for id in ids:
            new = self._tokenizer.bytes_of(id)
            if new:
                shown, self._pending = _decode(self._pending + new)
                text.append(shown)
            else:
                # a bos between two bytes of a character breaks it, as for SentencePiece
                text.append(self.finish())
        return "".join(text)

    def finish(self) -> str:
        text, self._pending = "�" * len(self._pending), b""
        return text


def _decode(data: bytes) -> tuple[str, bytes]:
    """The text of UTF-8 bytes, and the bytes at their end that may yet become a character.

    Each byte that can be no part of a character is one U+FFFD: SentencePiece's rule (Python's `replace` handler
    gives one for a whole broken sequence).
    """
    text: list[str] = []
    while data:
        try:
            text.append(data.decode())
            data = b""
        except UnicodeDecodeError as error:
            text.append(data[: error.start].decode())
            data = data[error.start :]
            if error.end == error.start + len(data) and error.reason == "unexpected end of data":
                break
            text.append("�")
            data = data[1:]
    return "".join(text), data


class _SentencePieces:
    def __init__(self, data: bytes, path: Path) -> None:
        from sentencepiece import SentencePieceProcessor  # 26 ms

        try:
            self._model = SentencePieceProcessor(model_proto=data)
            self.size: int = self._model.vocab_size()
        except (RuntimeError, ValueError):
            self.size = 0
        if not self.size:
            raise InputError(f"{path}: is not a SentencePiece model (damaged, or not fully downloaded)")

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._model.encode(text)
        return ids

    def piece(self, id: int) -> str:
        piece: str = self._model.id_to_piece(id)
        return piece

    def score(self, id: int) -> float | None:
        score: float = self._model.get_score(id)
        return score

    def id(self, piece: str) -> int | None:
        id: int = self._model.piece_to_id(piece)
        return id if self._model.id_to_piece(id) == piece else None

    def controls(self) -> Iterable[int]:
        yield from (id for id in range(self.size) if self._model.is_control(id) or self._model.is_unknown(id))
        yield from (id for id in map(self.id, ADDED) if id is not None)

    def is_byte(self, id: int) -> bool:
        return bool(self._model.is_byte(id))


class _JsonPieces:
    def __init__(self, data: bytes, path: Path) -> None:
        from tokenizers import Tokenizer as Fast  # 20 ms

        try:
            self._model = Fast.from_buffer(data)
        except Exception as error:  # noqa: BLE001  the library raises Exception itself
            raise InputError(f"{path}: is not a tokenizer.json: {' '.join(str(error).split())}") from None
        # a literal </s> in text stays text
        self._model.encode_special_tokens = True
        self._added = frozenset(self._model.get_added_tokens_decoder())
        self.size: int = self._model.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        # no special tokens: the post-processor's <s> is put in place by our templates
        ids: list[int] = self._model.encode(text, add_special_tokens=False).ids
        return ids

    def piece(self, id: int) -> str:
        piece: str | None = self._model.id_to_token(id)
        return f"<{id}>" if piece is None else piece

    def score(self, id: int) -> float | None:
        return None

    def id(self, piece: str) -> int | None:
        id: int | None = self._model.token_to_id(piece)
        return id

    def controls(self) -> Iterable[int]:
        yield from self._added
        yield from (id for id in map(self.id, (BOS, EOS, "<unk>", *ADDED)) if id is not None)

    def is_byte(self, id: int) -> bool:
        return id not in self._added and _BYTE.fullmatch(self.piece(id)) is not None
