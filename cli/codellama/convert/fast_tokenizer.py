"""`tokenizer.json` and the chat templates: what other programs need to give the model the ids it was trained on.

codellama itself reads tokenizer.model and its own templates, never these.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from codellama.catalogue import ChatFormat
from codellama.errors import InputError
from codellama.tokenizer import BOS, EOS, SPACE, STEP

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "<unk>"

SAMPLE = """\
def remove_non_ascii(s: str) -> str:
    \"\"\" <EOT> ▁<PRE> and a tab:\t, "ﬁ Å ①"  two  spaces, ☺ 👩‍🚀 é é 漢字 \\n\r
    return re.sub(r"[^\\x00-\\x7F]+", '', s)  # 1234567890 </s
"""
# text on which the two must agree: whitespace, digits, pieces that are merged late, and what normalising would change

CHAT_TEMPLATES: dict[ChatFormat, str] = {
    # after prompts/instruct.jinja and prompts/instruct-70b.jinja, with the control pieces in the text
    "instruct": (
        "{%- if messages[0].role == 'system' -%}"
        "{%- set system = '<<SYS>>\\n' ~ messages[0].content ~ '\\n<</SYS>>\\n\\n' -%}{%- set turns = messages[1:] -%}"
        "{%- else -%}{%- set system = '' -%}{%- set turns = messages -%}{%- endif -%}"
        "{%- for message in turns -%}"
        "{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}"
        "{{- raise_exception('roles must alternate: user, assistant, user, ...') -}}{%- endif -%}"
        "{%- if message.role == 'user' -%}"
        "{{- bos_token ~ '[INST] ' ~ ((system if loop.first else '') ~ message.content).strip() ~ ' [/INST]' -}}"
        "{%- else -%}{{- ' ' ~ message.content.strip() ~ ' ' ~ eos_token -}}{%- endif -%}"
        "{%- endfor -%}"
    ),
    "instruct-70b": (
        "{{- bos_token -}}"
        "{%- if messages[0].role != 'system' -%}{{- ' Source: system' ~ '<step>' -}}{%- endif -%}"
        "{%- for message in messages -%}"
        "{{- ' Source: ' ~ message.role -}}"
        "{%- if message.destination -%}{{- '\\nDestination: ' ~ message.destination -}}{%- endif -%}"
        "{%- if message.content -%}{{- '\\n\\n ' ~ message.content.strip() -}}{%- endif -%}"
        "{{- '<step>' -}}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- ' Source: assistant\\nDestination: user\\n\\n ' -}}{%- endif -%}"
    ),
}


def tokenizer_json(path: Path) -> str:
    """A tokenizer.json that encodes as a tokenizer.model does, one that `Tokenizer.load` reads.

    Raises InputError where it is no byte pair encoding.

    The merges are all splits of a piece into two pieces, in the order of SentencePiece's scores: it always joins the
    neighbours whose joined piece has the highest score.
    """
    from sentencepiece import SentencePieceProcessor
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    pieces = SentencePieceProcessor(model_proto=path.read_bytes())
    ids = {pieces.id_to_piece(id): id for id in range(pieces.vocab_size())}
    first = pieces.encode("a")
    dummy_prefix = bool(first) and pieces.id_to_piece(first[0]).startswith(SPACE)
    special = [piece for piece, id in ids.items() if pieces.is_control(id) or pieces.is_unknown(id)]
    plain = {piece: id for piece, id in ids.items() if piece not in special and not pieces.is_byte(id)}
    merges = sorted(
        (-pieces.get_score(id), plain[piece[:cut]], plain[piece[cut:]], piece[:cut], piece[cut:])
        for piece, id in plain.items()
        for cut in range(1, len(piece))
        if piece[:cut] in plain and piece[cut:] in plain
    )
    if not {UNKNOWN, BOS, EOS} <= ids.keys():
        raise InputError(f"{path}: lacks {UNKNOWN}, {BOS} or {EOS}: it is no Llama's")
    fast: Tokenizer = Tokenizer(
        models.BPE(
            vocab=ids,
            merges=[(left, right) for *_, left, right in merges],
            unk_token=UNKNOWN,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spaces = normalizers.Replace(" ", SPACE)
    fast.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), spaces] if dummy_prefix else [spaces])
    strip = [decoders.Strip(" ", 1, 0)] if dummy_prefix else []
    fast.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    # the 70B's prompts need <step>, a piece that no text is ever encoded to
    added = [*special, STEP] if STEP in ids and not dummy_prefix else special
    fast.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in added])
    fast.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, ids[BOS])]
    )
    fast.encode_special_tokens = True
    if fast.encode(SAMPLE, add_special_tokens=False).ids != pieces.encode(SAMPLE):
        raise InputError(f"{path}: is no byte pair encoding as Llama's is: take the tokenizer.model of the download")
    text: str = fast.to_str()
    return text


def tokenizer_config(context: int, chat_format: ChatFormat | None) -> dict[str, object]:
    """What transformers is told about the tokenizer."""
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "unk_token": UNKNOWN,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
    return {**config, "chat_template": CHAT_TEMPLATES[chat_format]} if chat_format else config
