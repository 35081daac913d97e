"""benchmarks/infill.py: what it counts, what it runs and within which limits, what it says where the data is absent."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import humaneval, infill
from benchmarks.fills import Scored, Scorer
from benchmarks.humaneval import Task
from codellama.backends.scripted import ScriptedBackend, Step
from codellama.memory import LoadOptions
from codellama.models import Model
from tests.reference import asset

TASK = Task(
    name="SingleLineInfilling/HumanEval/0/L0",
    prompt="def f(x):\n",
    suffix="    return y\n",
    solution="    y = x + 1\n",
    test="def check(candidate):\n    assert candidate(1) == 2\n",
    entry_point="f",
)
RIGHT = TASK.solution


def save(tasks: Sequence[Task], directory: Path) -> Path:
    lines = [
        json.dumps(
            {
                "task_id": task.name,
                "prompt": task.prompt,
                "suffix": task.suffix,
                "canonical_solution": task.solution,
                "test": task.test,
                "entry_point": task.entry_point,
            }
        )
        for task in tasks
    ]
    path = directory / humaneval.FILES["single-line"]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


Says = Callable[..., ScriptedBackend]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Has a backend with these scripts answer, and gives it once it was opened."""

    def script(*scripts: Sequence[Step]) -> ScriptedBackend:
        backend = ScriptedBackend.__new__(ScriptedBackend)

        def opened(model: Model, options: LoadOptions, tokens: int) -> ScriptedBackend:
            ScriptedBackend.__init__(backend, model, *scripts)
            return backend

        monkeypatch.setattr(infill, "LocalBackend", opened)
        return backend

    return script


HOSTILE = {
    "a loop without end": "while True:\n    pass",
    "a memory bomb": "x = [0]\nwhile True:\n    x += x",
    "an exit that says all is well": "import sys\nsys.exit(0)",
    "a hard exit": "import os\nos._exit(0)",
    "an exit with another status": "import sys\nsys.exit(3)",
    "a flood of output": "import sys\nwhile True:\n    print('x' * 1_000_000)\n    sys.stderr.write('x' * 1_000_000)",
    "a flood into a file": "with open('x', 'w') as f:\n    while True:\n        f.write('x' * 1_000_000)",
    "a question": "input()",
    "endless recursion": "def f():\n    f()\nf()",
    "a crash": "import os\nos.abort()",
    "a syntax error": "def",
    "a lone surrogate": "x = '\ud800'",
}


@pytest.mark.parametrize("program", HOSTILE.values(), ids=HOSTILE)
def test_what_does_not_run_to_its_end_fails_within_its_limits(program: str) -> None:
    began = time.monotonic()
    assert not humaneval.passes(program, seconds=1)
    assert time.monotonic() - began < 5


def test_a_program_that_sleeps_is_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(humaneval, "CLOCK", 1)
    assert not humaneval.passes("import time\ntime.sleep(60)", seconds=1)


def test_a_program_runs_alone_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "1")
    assert humaneval.passes("import os\nopen('here', 'w').close()\nassert 'SECRET' not in os.environ")
    assert not list(tmp_path.iterdir())


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    # without a limit of processes for root: by the group
    humaneval.passes(
        "import subprocess\np = subprocess.Popen(['/bin/sleep', '60'])\n"
        f"with open({str(path)!r}, 'w') as f:\n    f.write(str(p.pid))"
    )
    if not path.exists():
        return
    status = Path(f"/proc/{path.read_text()}/stat")
    for _ in range(100):
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.01)
    else:
        os.kill(int(path.read_text()), 9)
        pytest.fail("it runs on")


@pytest.mark.parametrize(
    ("fill", "matches", "passes"),
    [
        (RIGHT, True, True),
        ("    y = x + 1", True, False),
        ("    y = x + 1  \n\n", True, True),
        ("    y = 1 + x\n", False, True),
        ("   y = x + 1\n", False, False),
        ("    y = x + 2\n", False, False),
        ("", False, False),
    ],
)
def test_a_fill_matches_but_for_white_space_at_its_end_and_passes_by_the_test(
    fill: str, matches: bool, passes: bool
) -> None:
    assert TASK.matches(fill) is matches
    assert humaneval.passes(TASK.program(fill)) is passes


def test_a_blank_fill_does_not_parse_but_may_pass() -> None:
    task = replace(TASK, suffix="    return x + 1\n")
    assert Scorer(False)(task, "raw", " \n") == Scored("raw", " \n", False, False, None)
    assert Scorer(True)(task, "raw", " \n") == Scored("raw", " \n", False, False, True)


ROW = "| {order} | {fill} | {match} | {parses} | {passes} |"
ALL, NONE = "100.0% (1)", "0.0% (0)"


BROKEN = ["    y = 1 +\n", "    z = 1\n"]


@pytest.mark.parametrize(
    ("scripts", "good"),
    [
        # a model that goes on behind the line
        ([["    y = x", " + 1\n", "    z =", " (\n"], BROKEN], {"first line", "post-processed", "2 verified"}),
        # one that is right in the second candidate
        ([BROKEN, [RIGHT]], {"2 verified"}),
        ([[RIGHT]], {"raw", "first line", "post-processed", "2 verified"}),
    ],
)
def test_the_table_has_each_way(
    scripts: list[list[Step]], good: set[str], tmp_path: Path, says: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    save([TASK], tmp_path)
    out = tmp_path / "out.jsonl"
    backend = says(*scripts)
    options = ["-m", "tiny", "--data", str(tmp_path), "--candidates", "2", "--execute", "--out", str(out)]
    assert infill.main(options) == 0
    table = capsys.readouterr().out
    for order in ("PSM", "SPM"):
        for way in ("raw", "first line", "post-processed", "2 verified"):
            share = ALL if way in good else NONE
            assert ROW.format(order=order, fill=way, match=share, parses=share, passes=share) in table
    # greedy to its end, and all candidates in one batch
    assert [sampling.candidates for _, sampling in backend.requests] == [1, 2] * 2
    [first, second, third, fourth] = [prompt.ids for prompt, _ in backend.requests]
    assert first == second != third == fourth
    [settings, *rows] = [json.loads(line) for line in out.read_text().splitlines()]
    assert settings["candidates"] == 2
    assert [(row["order"], len(row["drawn"])) for row in rows] == [("psm", 2), ("spm", 2)]


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, says: Says, capsys: pytest.CaptureFixture[str]) -> None:
    data = save([TASK, replace(TASK, name="two")], tmp_path)
    out = tmp_path / "out.jsonl"
    options = ["-m", "tiny", "--data", str(data), "--candidates", "1", "--order", "spm", "--out", str(out)]
    says([RIGHT])
    assert infill.main([*options, "--limit", "1"]) == 0
    with out.open("a") as file:
        file.write('{"task": "tw')
    says([KeyboardInterrupt()])
    assert infill.main(options) == 130
    assert ROW.format(order="SPM", fill="raw", match=ALL, parses=ALL, passes="") in capsys.readouterr().out
    says([RIGHT])
    assert infill.main(options) == 0
    table = capsys.readouterr().out
    assert "tiny, single-line: 2 tasks, seed 0, 2 tokens" in table
    assert "| SPM | post-processed | 100.0% (2) | 100.0% (2) |  |" in table
    # all is there: no backend is opened
    says([AssertionError()])
    assert infill.main(options) == 0
    assert capsys.readouterr().out == table
    assert infill.main([*options, "--seed", "1"]) == 2
    assert "has the results of other settings" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "there is none.jsonl.gz"])
def test_absent_data_is_one_line_and_exit_2(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for mode in ([], ["--reference"]):
        assert infill.main(["--data", str(tmp_path / name), *mode]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert "HumanEval-SingleLineInfilling.jsonl.gz is in the data/ of OpenAI's repository" in said.err


@pytest.mark.parametrize("content", [b"\x1f\x8b", b"text", b'{"task_id": 1}'])
def test_broken_data_is_one_line_and_exit_2(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path / "x.jsonl", tmp_path / "x.jsonl.gz"):
        path.write_bytes(content)
        assert infill.main(["--data", str(path)]) == 2
        assert "holds no infilling tasks" in capsys.readouterr().err


def test_reference_solutions_are_told_that_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [TASK, replace(TASK, suffix="\n    return y\n"), replace(TASK, name="wrong", solution="    y = x\n")]
    save(tasks, tmp_path)
    options = ["--reference", "--task", "single-line", "--data", str(tmp_path), "--execute"]
    assert infill.main(options) == 0
    assert capsys.readouterr().out.splitlines() == [
        "single-line: 1 of 3 changed: 1 by line_end",
        "single-line: 2 of 3 pass, and of these 2 with post-processing",
    ]
    monkeypatch.setattr(infill, "said", lambda task, lines: ("    y = x\n", ("scope",)))
    assert infill.main(options) == 1
    assert "and of these 0 with" in capsys.readouterr().out


def test_the_built_in_model_fills_and_fills_alike_again(capsys: pytest.CaptureFixture[str]) -> None:
    asset(humaneval.FILES["single-line"])
    tables = []
    for _ in range(2):
        options = ["-m", "tiny", "--limit", "1", "--candidates", "2", "--max-tokens", "8", "--order", "spm"]
        assert infill.main(options) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]
    assert "2 verified" in tables[0]
