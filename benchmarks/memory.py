"""What `codellama models memory` tells, against the bytes that torch allocates for weights and KV cache.

    PYTHONPATH=. python benchmarks/memory.py [--hidden 1024] [--layers 4] [--context 512] [--batch 1]

A random Llama is saved in bfloat16, loaded in each precision, and given a prompt of the context's length. Counted are
the storages of all parameters with what bitsandbytes keeps beside them, each once, and those of the cache's tensors.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from codellama.capacity import PRECISIONS, needs
from codellama.checkpoint import Checkpoint
from codellama.devices import Machine
from codellama.engine.load import load
from codellama.memory import LoadOptions, plan
from tests.checkpoints import allocated, save, storages


def measured(directory: Path, precision: str, context: int, batch: int) -> tuple[int, int]:
    """Bytes of the weights, and of the cache behind a prompt of `batch` sequences of `context` tokens."""
    checkpoint = Checkpoint.read(directory)
    dtype, quantisation = PRECISIONS[precision]
    planned = plan(checkpoint, LoadOptions(dtype, quantisation, "cpu"), Machine.detect(), context * batch)
    model = load(checkpoint, planned, lambda progress: None).model
    # before it computes: then bitsandbytes repacks 4-bit matrices on some CPUs, which takes 2 % more
    weights = allocated(model)
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        model(torch.ones(batch, context, dtype=torch.long), past_key_values=cache, logits_to_keep=1)
    layers: list[Any] = list(cache.layers)
    return weights, storages(tensor for layer in layers for tensor in (layer.keys, layer.values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = save(
            Path(temporary) / "model", "bfloat16",
            hidden_size=options.hidden, intermediate_size=options.hidden * 11 // 4,
            num_hidden_layers=options.layers, num_attention_heads=options.hidden // 64,
            num_key_value_heads=options.hidden // 64, vocab_size=4096, max_position_embeddings=options.context,
        )  # fmt: skip
        config = Checkpoint.read(directory).config
        row = "{:9}  {:>13}  {:>13}  {:>7}  {:>11}  {:>11}"
        print(row.format("precision", "weights told", "allocated", "off", "cache told", "allocated"))
        for need in needs(config, options.context, options.batch):
            weights, cache = measured(directory, need.precision, options.context, options.batch)
            told, off = need.weights.total, f"{need.weights.total / weights - 1:+.2%}"
            print(row.format(need.precision, f"{told:,}", f"{weights:,}", off, f"{need.cache:,}", f"{cache:,}"))


if __name__ == "__main__":
    main()
