"""Greedy decoding: our generator against transformers' own `generate` on the same loaded model, in one run.

    python benchmarks/generate.py [--model DIR] [--tokens 200] [--rounds 5] [--dtype float32]

Prints tokens per second of both, their ratio, and whether they gave the same ids.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import torch

import codellama
from codellama import answers, models, prompts
from codellama.backends.local import LocalBackend
from codellama.dialog import Sampling
from codellama.engine.load import Loaded
from codellama.memory import LoadOptions

TEXT = "import os\n\n\ndef read_lines(path):\n    "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(codellama.__file__).parent / "tiny")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()

    model = models.read(options.model, options.model.name)
    backend = LocalBackend(model, LoadOptions(dtype=options.dtype, device=options.device))
    prompt = prompts.render("complete", model.tokenizer, text=TEXT)
    sampling = Sampling(max_tokens=options.tokens, repetition_penalty=1.0, no_repeat_ngram=0)
    answers.collect(backend.stream(prompt, Sampling(max_tokens=8)))
    loaded = backend._loaded
    assert isinstance(loaded, Loaded)
    # neither may stop early
    endless = type(prompt)(prompt.segments, ())

    def ours() -> tuple[float, list[int]]:
        began = perf_counter()
        (answer,) = answers.collect(backend.stream(endless, sampling))
        return perf_counter() - began, list(answer.ids)

    generate = cast("Any", loaded.model).generate

    def theirs() -> tuple[float, list[int]]:
        ids = torch.tensor([prompt.ids], device=loaded.device)
        began = perf_counter()
        output = generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=options.tokens, do_sample=False,
            eos_token_id=None, pad_token_id=0, repetition_penalty=1.0,
        )  # fmt: skip
        return perf_counter() - began, output[0, ids.shape[1] :].tolist()

    seconds: dict[str, list[float]] = {"ours": [], "transformers": []}
    same = True
    for _ in range(options.rounds):
        (a, ids_a), (b, ids_b) = ours(), theirs()
        seconds["ours"].append(a)
        seconds["transformers"].append(b)
        same = same and ids_a == ids_b
    rates = {name: options.tokens / statistics.median(values) for name, values in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:13} {rate:8.1f} tokens/s")
    print(f"ratio {rates['ours'] / rates['transformers']:.2f}; same ids: {same}")


if __name__ == "__main__":
    main()
