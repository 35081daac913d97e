"""A thousand mutations of a shard: each must be refused or converted bit for bit.

    PYTHONPATH=. python benchmarks/convert_mutations.py [--count 1000] [--seed 1]

Two shards and no checklist, so that nothing but the archive's own sums is there to notice. A traceback or a wrong
tensor ends the run with 1.
"""

from __future__ import annotations

import argparse
import io
import random
import tempfile
from collections import Counter
from pathlib import Path

from codellama import app
from codellama.commands.options import Run
from codellama.console import Console
from tests.meta import parameters, random_weights, save
from tests.mutations import KINDS, mutated


def convert(source: Path, output: Path) -> tuple[int, str]:
    console = Console(stdout=io.BytesIO(), stderr=io.StringIO(), quiet=True)
    arguments = ["convert", str(source), str(output), "--variant", "base", "--force"]
    code = app.run(arguments, Run(console))
    assert isinstance(console.stderr, io.StringIO)
    return code, console.stderr.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    outcomes: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name, "meta"), Path(name, "out")
        params = parameters(dim=16, n_heads=2, n_kv_heads=2, n_layers=1)
        save(source, random_weights(params, 4200), params, count=2)
        (source / "checklist.chk").unlink()
        assert convert(source, output)[0] == 0
        expected = (output / "model.safetensors").read_bytes()
        shards = {path: path.read_bytes() for path in source.glob("*.pth")}
        for number in range(options.count):
            kind = KINDS[number % len(KINDS)]
            path = chance.choice(sorted(shards))
            path.write_bytes(mutated(shards[path], kind, chance))
            code, error = convert(source, output)
            if code == 0:
                outcome = "bit-exact" if (output / "model.safetensors").read_bytes() == expected else "WRONG"
            else:
                outcome = "refused" if code == 2 and error.count("\n") == 1 and str(path) in error else "WRONG"
            outcomes[kind, outcome] += 1
            if outcome == "WRONG":
                print(kind, code, error)
            path.write_bytes(shards[path])
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:8} {outcome:10} {count}")
    raise SystemExit(any(outcome == "WRONG" for _, outcome in outcomes))


if __name__ == "__main__":
    main()
