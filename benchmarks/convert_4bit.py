"""Loading a checkpoint that was quantised on the disk, against quantising the same one on loading.

    PYTHONPATH=. python benchmarks/convert_4bit.py [--layers 4] [--rounds 3] [--directory DIR]

Layers of Code Llama 7B's shape, random weights, in float16. Each loading is a process of its own, timed without its
imports; the files are in the page cache.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.convert import checkpoint, converted

LOADING = """
import sys
from pathlib import Path
from codellama.checkpoint import Checkpoint
from codellama.devices import Machine
from codellama.engine.load import load
from codellama.memory import LoadOptions, plan
import bitsandbytes
checkpoint = Checkpoint.read(Path(sys.argv[1]))
options = LoadOptions(quantisation=sys.argv[2] or None, device="cpu")
print(load(checkpoint, plan(checkpoint, options, Machine.detect(), 64), lambda progress: None).seconds)
"""


def seconds(directory: Path, quantisation: str) -> float:
    command = [sys.executable, "-c", LOADING, str(directory), quantisation]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def size(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.glob("*.safetensors")) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        here = Path(name)
        source = checkpoint(here / "meta", options.layers, 1, "float16")
        for target, extra in (("plain", ()), ("4bit", ("--4bit",))):
            taken, most = converted(source, here / target, *extra)
            print(
                f"{target:5} {size(here / target):.2f} GB, made in {taken:.0f} s, {most / 1e9:.2f} GB anonymous",
                flush=True,
            )
        ratios = []
        for _ in range(options.rounds):
            ready, on_loading = seconds(here / "4bit", ""), seconds(here / "plain", "4bit")
            ratios.append(on_loading / ready)
            print(f"stored in 4 bit {ready:.2f} s, --4bit {on_loading:.1f} s, ratio {ratios[-1]:.1f}", flush=True)
        print(f"median ratio {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
