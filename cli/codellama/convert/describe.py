"""The small files of a converted model: config.json and generation_config.json; and which model it is."""

from __future__ import annotations

from collections.abc import Sequence

from codellama import catalogue
from codellama.card import Identity
from codellama.catalogue import ChatFormat, Entry, Variant
from codellama.config import Config
from codellama.memory import parameters
from codellama.tokenizer import EOT, MID, PRE, STEP, SUF, Tokenizer


def candidates(config: Config) -> tuple[Entry, ...]:
    """The models of the family that have this shape, vocabulary and rope theta; empty: it is none of them."""
    return tuple(
        entry
        for entry in catalogue.FAMILY
        if _shape(entry.size) == (
            config.hidden_size, config.layers, config.heads, config.kv_heads, config.intermediate_size
        )
        and (entry.vocab_size, entry.rope_theta) == (config.vocab_size, config.rope_theta)
    )  # fmt: skip


def identify(config: Config, tokenizer: Tokenizer, variant: Variant) -> Identity:
    """The model of this shape and variant: looked up in the catalogue, else by what its tokenizer can."""
    for entry in candidates(config):
        if entry.variant == variant:
            return Identity.of(entry)
    pieces = [tokenizer.control(piece) for piece in (PRE, SUF, MID, EOT)]
    infill = variant != "python" and all(id is not None and id < config.vocab_size for id in pieces)
    chat_format: ChatFormat | None = None
    if variant == "instruct":
        # the pieces alone do not tell: others have <step> too, but none of them lacks the dummy prefix
        has_step = tokenizer.control(STEP) is not None
        chat_format = "instruct-70b" if has_step and not tokenizer.dummy_prefix else "instruct"
    return Identity(None, _size_name(config), variant, infill, chat_format)


def stop_ids(tokenizer: Tokenizer, chat_format: ChatFormat | None) -> list[int]:
    """Where generation ends for programs that know no prompt formats."""
    step = tokenizer.control(STEP) if chat_format == "instruct-70b" else None
    return [2] if step is None else [2, step]


def config_json(config: Config, stops: Sequence[int]) -> dict[str, object]:
    """For transformers and whatever else reads it, all but the dtype; `rope_theta` by itself is for older readers."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": list(stops),
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.context,
        "mlp_bias": False,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": config.vocab_size,
    }


def generation_json(stops: Sequence[int]) -> dict[str, object]:
    return {"bos_token_id": 1, "eos_token_id": list(stops)}


def _shape(size: catalogue.Size) -> tuple[int, ...]:
    return size.hidden_size, size.layers, size.heads, size.kv_heads, size.intermediate_size


def _size_name(config: Config) -> str:
    """7B, 95K: the size in the family, or one by the number of parameters."""
    shape = (config.hidden_size, config.layers, config.heads, config.kv_heads, config.intermediate_size)
    for size in catalogue.SIZES:
        if _shape(size) == shape:
            return size.name
    count = parameters(config).total
    for letter, unit in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= unit:
            return f"{round(count / unit)}{letter}"
    return str(count)
