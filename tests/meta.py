"""Checkpoints in Meta's layout, written by torch.save as Meta wrote them.

    python -m tests.meta OUTPUT [--model DIRECTORY]

writes the built-in model, or another in Hugging Face's layout, as Meta would have shipped it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from codellama.checkpoint import Checkpoint
from tests.harness import TINY

CUT = {
    "tok_embeddings": 1, "output": 0, "wq": 0, "wk": 0, "wv": 0, "wo": 1, "w1": 0, "w2": 1, "w3": 0,
}  # fmt: skip
# the axis along which a model-parallel run keeps each matrix in parts; all else is in every shard

HUGGING_FACE = {
    "attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj", "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj", "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}  # fmt: skip

Weights = dict[str, torch.Tensor]


def parameters(**changes: Any) -> dict[str, Any]:
    """A params.json of a model of about 100,000 parameters, with grouped-query attention."""
    settings = {"dim": 64, "n_layers": 2, "n_heads": 8, "n_kv_heads": 8, "vocab_size": -1, "multiple_of": 16,
                "ffn_dim_multiplier": 1.0, "norm_eps": 1e-5, "rope_theta": 1e6}  # fmt: skip
    return {**settings, **changes}


def shapes(params: Mapping[str, Any], vocabulary: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the whole model's tensors by Meta's names."""
    dim, heads = params["dim"], params["n_heads"]
    kv = dim // heads * (params.get("n_kv_heads") or heads)
    hidden = int(params.get("ffn_dim_multiplier", 1) * int(2 * 4 * dim / 3))
    hidden += -hidden % params["multiple_of"]
    found: dict[str, tuple[int, ...]] = {"tok_embeddings.weight": (vocabulary, dim)}
    for layer in range(params["n_layers"]):
        for name, shape in {
            "attention.wq": (dim, dim), "attention.wk": (kv, dim), "attention.wv": (kv, dim),
            "attention.wo": (dim, dim),
            "feed_forward.w1": (hidden, dim), "feed_forward.w2": (dim, hidden), "feed_forward.w3": (hidden, dim),
            "attention_norm": (dim,), "ffn_norm": (dim,),
        }.items():  # fmt: skip
            found[f"layers.{layer}.{name}.weight"] = shape
    return found | {"norm.weight": (dim,), "output.weight": (vocabulary, dim), "rope.freqs": (dim // heads // 2,)}


def random_weights(params: Mapping[str, Any], vocabulary: int, dtype: str = "bfloat16", seed: int = 0) -> Weights:
    """Random tensors of the whole model: around zero, and norms around one, as trained ones are."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes(params, vocabulary).items():
        scale, middle = (0.25, 0) if len(shape) > 1 else (0.1, 1)
        weights[name] = (torch.randn(shape, generator=generator) * scale + middle).to(getattr(torch, dtype))
    return weights


def shards(weights: Weights, count: int) -> list[Weights]:
    """The parts that each of `count` processes of a model-parallel run holds."""
    found: list[Weights] = []
    for number in range(count):
        part = {}
        for name, tensor in weights.items():
            axis = next((CUT[word] for word in name.split(".") if word in CUT), None)
            # a copy: torch.save would write the whole storage of a view
            part[name] = (tensor if axis is None else tensor.chunk(count, axis)[number]).clone()
        found.append(part)
    return found


def save(
    directory: Path, weights: Weights, params: Mapping[str, Any], tokenizer: Path | None = None, count: int = 1
) -> Path:
    """Write shards, params.json, tokenizer and checklist."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(shards(weights, count)):
        torch.save(part, directory / f"consolidated.{number:02}.pth")
    (directory / "params.json").write_text(json.dumps(dict(params)))
    shutil.copyfile(tokenizer or TINY / "tokenizer.model", directory / "tokenizer.model")
    write_checklist(directory)
    return directory


def write_checklist(directory: Path) -> None:
    files = sorted(path for path in directory.iterdir() if path.name != "checklist.chk")
    lines = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (directory / "checklist.chk").write_text("".join(lines))


def interleaved(matrix: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of q or k in Meta's order: elements that turn together side by side instead of half a head apart."""
    rows, columns = matrix.shape
    return matrix.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def of_hugging_face(directory: Path) -> tuple[Weights, dict[str, Any]]:
    """The weights and params.json of a model in Hugging Face's layout."""
    checkpoint = Checkpoint.read(directory)
    config = checkpoint.config
    stored: Weights = {}
    for file in checkpoint.files:
        stored |= load_file(file)
    weights = {"tok_embeddings.weight": stored["model.embed_tokens.weight"]}
    for layer in range(config.layers):
        for name, other in HUGGING_FACE.items():
            tensor = stored[f"model.layers.{layer}.{other}.weight"]
            heads = {"attention.wq": config.heads, "attention.wk": config.kv_heads}.get(name)
            weights[f"layers.{layer}.{name}.weight"] = interleaved(tensor, heads) if heads else tensor
    weights |= {"norm.weight": stored["model.norm.weight"], "output.weight": stored["lm_head.weight"]}
    steps = torch.arange(0, config.head_dim, 2) / config.head_dim
    weights["rope.freqs"] = 1 / config.rope_theta**steps
    return weights, {
        "dim": config.hidden_size, "n_layers": config.layers, "n_heads": config.heads, "n_kv_heads": config.kv_heads,
        "norm_eps": config.rms_norm_eps, "rope_theta": config.rope_theta,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", type=Path, default=TINY)
    options = parser.parse_args()
    weights, params = of_hugging_face(options.model)
    save(options.output, weights, params, options.model / "tokenizer.model")


if __name__ == "__main__":
    main()
