"""Tiny random Llama checkpoints, saved by transformers itself as Hugging Face would."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def tiny_config(**changes: Any) -> LlamaConfig:
    """The config of a Llama of about 95,000 parameters, with grouped-query attention."""
    settings: dict[str, Any] = {
        "vocab_size": 160,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "eos_token_id": 2,
    }
    return LlamaConfig(**{**settings, **changes})


def save(directory: Path, dtype: str = "float32", shard: str = "1GB", seed: int = 0, **changes: Any) -> Path:
    """Save a random model in `dtype`; `shard` ("60KB") is the size from which it is cut into shards."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(tiny_config(**changes)).to(getattr(torch, dtype))
    model.save_pretrained(directory, max_shard_size=shard)
    return directory


def save_quantised(directory: Path, source: Path, bits: int) -> Path:
    """Save what bitsandbytes makes of another checkpoint, without a forward pass in between."""
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LlamaForCausalLM.from_pretrained(source, quantization_config=settings, device_map={"": "cpu"})
        model.save_pretrained(directory)
    return directory


IDS = torch.arange(3, 27).unsqueeze(0)
# (1, 24): a prompt for whatever such a model is


def reference(directory: Path, **settings: Any) -> torch.Tensor:
    """What transformers' own from_pretrained makes of the prompt: logits, (1, 24, vocabulary)."""
    model = LlamaForCausalLM.from_pretrained(directory, **settings)
    with torch.no_grad():
        logits: torch.Tensor = model(IDS).logits
    return logits


def allocated(model: LlamaForCausalLM) -> int:
    """Bytes of all weights with what bitsandbytes keeps beside them, each storage once."""
    tensors: list[Any] = []
    parameter: Any
    for parameter in model.parameters():
        tensors.append(parameter.data)
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            tensors += [state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code]
        tensors += [parameter.SCB] if getattr(parameter, "SCB", None) is not None else []
    return storages(tensors)


def storages(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of what tensors lie in, each storage once."""
    found = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(found.values())
