"""CPU time of `codellama --help` and other light commands, against `python -c pass` in the same run.

python benchmarks/startup.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import typer": ["-c", "import typer"],
    "codellama --help": ["-m", "codellama", "--help"],
    "codellama complete --help": ["-m", "codellama", "complete", "--help"],
    "codellama __complete models": ["-m", "codellama", "__complete", "models", ""],
    "codellama prompt show complete x": ["-m", "codellama", "prompt", "show", "complete", "-q", "x"],
}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run, its children's too."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    # bytecode must be there, as it is after an installation
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            seconds[name].append(cpu_seconds(arguments))
    base = statistics.median(seconds["python -c pass"][1:])
    for name, values in seconds.items():
        median = statistics.median(values[1:])
        print(f"{name:36} {median * 1000:6.0f} ms  {median / base:5.1f} × python -c pass")


if __name__ == "__main__":
    main()
