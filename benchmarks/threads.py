"""One thread against all, on random Llamas of growing size: where `engine.load.SMALL` should lie.

    PYTHONPATH=. python benchmarks/threads.py [--tokens 40] [--rounds 3]

Prints tokens per second, greedy, batch 1, best of the rounds; the bytes are those of the bfloat16 weights.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from codellama import answers, models
from codellama.backends.local import LocalBackend
from codellama.dialog import Prompt, Sampling, Segment
from codellama.engine import load
from codellama.memory import LoadOptions
from tests import checkpoints
from tests.harness import TINY

SHAPES = ((256, 6), (512, 6), (768, 8), (1024, 8))
# hidden size and layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prompt = Prompt((Segment("prefix", "…", tuple(range(3, 40))),), ())
    sampling = Sampling(max_tokens=options.tokens)
    for hidden, layers in SHAPES:
        with tempfile.TemporaryDirectory() as directory:
            path = checkpoints.save(
                Path(directory), "bfloat16", vocab_size=4113, hidden_size=hidden, intermediate_size=hidden * 11 // 4,
                num_hidden_layers=layers, num_attention_heads=hidden // 64, num_key_value_heads=hidden // 64,
            )  # fmt: skip
            (path / "tokenizer.model").write_bytes((TINY / "tokenizer.model").read_bytes())
            backend = LocalBackend(models.read(path, "random"), LoadOptions(device="cpu"))
            answers.collect(backend.stream(prompt, Sampling(max_tokens=2)))
            loaded = backend._loaded
            assert loaded is not None
            rates = {}
            for threads in (1, load.THREADS):
                backend._loaded = replace(loaded, threads=threads)
                runs = [answers.collect(backend.stream(prompt, sampling))[-1] for _ in range(options.rounds)]
                rates[threads] = max(run.timings.generation_rate for run in runs if run.timings)
            shown = ", ".join(f"{rate:.0f} tokens/s on {threads}" for threads, rate in rates.items())
            print(f"{backend.checkpoint.weight_bytes / 1e6:.0f} MB: {shown}", flush=True)


if __name__ == "__main__":
    main()
