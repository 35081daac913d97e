"""Conversions from end to end, against Meta's arithmetic and against the libraries that read the output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from tests.harness import Cli
from tests.meta import Weights, parameters, random_weights, save


def meta_logits(weights: Weights, params: dict[str, Any], ids: torch.Tensor) -> torch.Tensor:
    """What Meta's llama/model.py computes, in float32: (tokens,) → (tokens, vocabulary).

    The rotary embedding takes neighbouring elements of a head for a complex number and turns it.
    """
    weights = {name: tensor.float() for name, tensor in weights.items()}
    heads, kv_heads = params["n_heads"], params.get("n_kv_heads") or params["n_heads"]
    size = params["dim"] // heads
    frequencies = params["rope_theta"] ** (-torch.arange(0, size, 2).double() / size)
    angles = torch.outer(torch.arange(len(ids)).double(), frequencies)
    turns = torch.polar(torch.ones_like(angles), angles).to(torch.complex64).unsqueeze(1)

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + params["norm_eps"]) * weight

    def turned(x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], size // 2, 2))
        return torch.view_as_real(pairs * turns).flatten(-2)

    hidden = weights["tok_embeddings.weight"][ids]
    future = torch.full((len(ids), len(ids)), float("-inf")).triu(1)
    for number in range(params["n_layers"]):
        layer = {name.split(".", 2)[2]: w for name, w in weights.items() if name.startswith(f"layers.{number}.")}
        x = norm(hidden, layer["attention_norm.weight"])
        q, k, v = ((x @ layer[f"attention.{name}.weight"].T).view(len(ids), -1, size) for name in ("wq", "wk", "wv"))
        q, k = turned(q), turned(k)
        k, v = (each.repeat_interleave(heads // kv_heads, 1) for each in (k, v))
        scores = torch.einsum("qhs,khs->hqk", q, k) / size**0.5 + future
        seen = torch.einsum("hqk,khs->qhs", scores.softmax(-1), v).flatten(1)
        hidden = hidden + seen @ layer["attention.wo.weight"].T
        x = norm(hidden, layer["ffn_norm.weight"])
        gate = torch.nn.functional.silu(x @ layer["feed_forward.w1.weight"].T)
        hidden = hidden + (gate * (x @ layer["feed_forward.w3.weight"].T)) @ layer["feed_forward.w2.weight"].T
    return norm(hidden, weights["norm.weight"]) @ weights["output.weight"].T


IDS = torch.arange(3, 27)


@pytest.mark.parametrize("vocabulary", [32000, 32016])
@pytest.mark.parametrize(("heads", "kv_heads"), [(8, None), (16, 8)], ids=["mha", "gqa"])
@pytest.mark.parametrize("shards", [1, 2, 4, 8])
def test_logits_are_metas(
    cli: Cli, tmp_path: Path, shards: int, heads: int, kv_heads: int | None, vocabulary: int
) -> None:
    params = parameters(n_heads=heads, n_kv_heads=kv_heads)
    weights = random_weights(params, vocabulary)
    save(tmp_path / "meta", weights, params, count=shards)
    assert cli("convert", str(tmp_path / "meta"), str(tmp_path / "out")).code == 0
    model = LlamaForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.no_grad():
        found = model(IDS.unsqueeze(0)).logits[0]
    expected = meta_logits(weights, params, IDS)
    assert found.shape == (24, vocabulary)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4
    assert float((found - expected).norm() / expected.norm()) < 1e-4
