"""`codellama convert` on a synthetic checkpoint: wall time against `cp` and `sync`, and its anonymous memory.

    PYTHONPATH=. python benchmarks/convert.py [--layers 9] [--shards 1] [--rounds 3] [--directory DIR]

Layers of Code Llama 7B's shape, random weights, in bfloat16; 9 of them take 4.2 GB. The directory needs three times
that, and is emptied again. Each round copies, then converts; both begin with the input in the page cache, if it fits.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from codellama.catalogue import SIZES
from tests.meta import parameters, save, shapes


def checkpoint(directory: Path, layers: int, shards: int, dtype: str = "bfloat16") -> Path:
    size = SIZES[0]
    params = parameters(
        dim=size.hidden_size, n_layers=layers, n_heads=size.heads, n_kv_heads=size.kv_heads, multiple_of=256
    )
    # random bits, of numbers from 0 to 2
    weights = {
        name: torch.randint(0, 2**14, shape, dtype=torch.int16).view(getattr(torch, dtype))
        for name, shape in shapes(params, 32016).items()
    }
    return save(directory, weights, params, count=shards)


def copied(source: Path, target: Path) -> float:
    """Seconds of `cp -r` and `sync`."""
    start = time.perf_counter()
    subprocess.run(["cp", "-r", source, target], check=True)
    subprocess.run(["sync"], check=True)
    return time.perf_counter() - start


def converted(source: Path, target: Path, *options: str) -> tuple[float, int]:
    """Seconds of a conversion, and the most anonymous memory of its process in bytes (RssAnon, every 10 ms)."""
    start, most = time.perf_counter(), 0
    command = [sys.executable, "-m", "codellama", "convert", "-q", str(source), str(target), *options]
    process = subprocess.Popen(command)
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        lines = [line.split() for line in status.splitlines() if line.startswith("RssAnon:")]
        most = max([most, *(int(parts[1]) * 1024 for parts in lines)])
        time.sleep(0.01)
    if process.wait():
        raise SystemExit("the conversion failed")
    return time.perf_counter() - start, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=9)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--without-checklist", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        here = Path(name)
        source = checkpoint(here / "meta", options.layers, options.shards)
        if options.without_checklist:
            (source / "checklist.chk").unlink()
        subprocess.run(["sync"], check=True)
        size = sum(path.stat().st_size for path in source.iterdir())
        print(f"{size / 1e9:.2f} GB in {options.shards} shards", flush=True)
        ratios = []
        for _ in range(options.rounds):
            copy = copied(source, here / "copy")
            shutil.rmtree(here / "copy")
            seconds, most = converted(source, here / "out")
            shutil.rmtree(here / "out")
            ratios.append(seconds / copy)
            print(
                f"cp + sync {copy:5.1f} s, convert {seconds:5.1f} s, ratio {seconds / copy:.2f}, "
                f"{size / seconds / 1e9:.2f} GB/s, {most / 1e6:.0f} MB anonymous",
                flush=True,
            )
        print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
