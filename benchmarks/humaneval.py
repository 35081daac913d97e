"""OpenAI's HumanEval infilling tasks: reading them, and running a task's test on a fill."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codellama.errors import InputError
from codellama.holes import Hole

ASSETS = Path(__file__).parents[2] / "shared" / "assets"
FILES = {
    "single-line": "HumanEval-SingleLineInfilling.jsonl.gz",
    "random-span": "HumanEval-RandomSpanInfillingLight.jsonl.gz",
}
# by the names that OpenAI's repository has for the tasks
SECONDS = 5
# of the processor's time
CLOCK = 3
# times that by the clock, which also runs while others compute
MEMORY = 1 << 30
FILE_SIZE = 1 << 20
PASSED = 97
# the exit status that only the end of a test gives: a fill that exits with 0 has not passed
_DRIVER = """
import resource, sys
seconds, memory, size, passed = map(int, sys.argv[1:])
limits = {"RLIMIT_CPU": seconds, "RLIMIT_FSIZE": size, "RLIMIT_CORE": 0, "RLIMIT_NPROC": 0}
if sys.platform != "darwin":
    # macOS refuses it
    limits["RLIMIT_AS"] = memory
for name, most in limits.items():
    resource.setrlimit(getattr(resource, name), (most, most))
exec(sys.stdin.read(), {"__name__": "task"})
import os
os._exit(passed)
"""


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    prompt: str
    suffix: str
    solution: str
    test: str
    entry_point: str

    def hole(self, lines: int | None = None) -> Hole:
        return Hole(self.prompt, self.suffix, lines=lines)

    def matches(self, fill: str) -> bool:
        """Whether a fill is the reference solution, but for white space at its end."""
        return fill.rstrip() == self.solution.rstrip()

    def program(self, fill: str) -> str:
        """The file with the fill, and its test, put together as OpenAI's harness does."""
        return f"{self.prompt}{fill}{self.suffix}\n{self.test}\ncheck({self.entry_point})\n"


def read(kind: str, data: Path | None = None) -> list[Task]:
    """The tasks of a kind, from a file or a directory. Raises InputError where they are not there."""
    path = data or ASSETS
    path = path / FILES[kind] if path.is_dir() or data is None else path
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; {FILES[kind]} is in the data/ of OpenAI's repository "
            "human-eval-infilling: --data takes the file or its directory"
        ) from None
    try:
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()
        return [_task(json.loads(line)) for line in lines]
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{path}: holds no infilling tasks: {type(error).__name__}: {error}") from None


def _task(fields: dict[str, str]) -> Task:
    return Task(
        fields["task_id"], fields["prompt"], fields["suffix"], fields["canonical_solution"], fields["test"],
        fields["entry_point"],
    )  # fmt: skip


def passes(program: str, seconds: int = SECONDS) -> bool:
    """Whether a program that may do anything runs to its end within its limits, in a process and directory of its own.

    The limits stop accidents. They are no sandbox: what wants to do harm can.
    """
    limits: Sequence[int] = (seconds, MEMORY, FILE_SIZE, PASSED)
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _DRIVER, *map(str, limits)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=directory, env={}, start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(program.encode("utf-8", "surrogatepass"), timeout=CLOCK * seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            # what it started goes too
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode == PASSED
