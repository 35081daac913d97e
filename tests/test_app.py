"""The command tree as a whole: version, help, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import codellama
from codellama import errors
from codellama.errors import CodellamaError, ExitCode
from tests import terminal
from tests.harness import Cli

ROOT = Path(codellama.__file__).parents[2]


def test_version_and_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "codellama", "--version"],
        capture_output=True, text=True, check=False, env=terminal.environment(),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"codellama {codellama.__version__}\n", "")


@pytest.mark.parametrize(
    "path", [[], ["complete"], ["prompt"], ["prompt", "show"], ["prompt", "show", "infill"], ["chat"], ["history"]]
)
def test_help_in_both_spellings(path: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli = Cli()
    shown = []
    for option in ("-h", "--help"):
        assert cli(*path, option).code == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert shown[0].startswith("Usage: " + " ".join(["codellama", *path]))


def test_every_option_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    Cli()("complete", "--help")
    shown = capsys.readouterr().out
    options = (
        *("--model", "--dtype", "--4bit", "--8bit", "--device", "--temperature", "--top-p", "--top-k", "--seed"),
        *("--max-tokens", "--as", "--quiet", "--echo", "--candidates", "--stop", "--json", "--dry-run"),
    )
    assert [option for option in options if option not in shown] == []


@pytest.mark.parametrize("arguments", [[], ["prompt"], ["prompt", "show"]])
def test_a_group_alone_shows_its_help_as_a_usage_error(arguments: list[str]) -> None:
    done = Cli()(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: codellama")
    assert "Commands:" in done.err


def test_an_unknown_command_is_named() -> None:
    done = Cli()("compete")
    assert (done.code, done.err) == (
        2,
        "codellama: No such command 'compete'. Did you mean 'complete', 'prompt'? (`codellama --help` tells more)\n",
    )


@pytest.mark.parametrize(
    "command", ["--help >/dev/full", "prompt show complete -q x >/dev/full", "prompt show complete -q x >&-"]
)
def test_output_that_cannot_be_written_is_one_line(command: str) -> None:
    line = f"{sys.executable} -m codellama {command}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, env=terminal.environment(),
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "Traceback" not in done.stderr


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    text = errors.__doc__ or ""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CodellamaError)]
    assert len(kinds) == 7
    for kind in kinds:
        (line,) = [line for line in text.splitlines() if kind.__name__ in line.replace("├── ", "").split()]
        assert str(kind.exit_code.value) in line.split()
    assert {kind.exit_code for kind in kinds} < set(ExitCode)


def test_the_wheel_holds_package_prompts_and_model(tmp_path: Path) -> None:
    import zipfile

    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "codellama/app.py",
        "codellama/py.typed",
        "codellama/prompts/infill.jinja",
        "codellama/tiny/config.json",
        "codellama/tiny/model.safetensors",
        "codellama/tiny/tokenizer.model",
    } <= names
    assert not any(name.startswith(("tests/", "training/", "benchmarks/")) for name in names)
    assert wheel.stat().st_size < 40_000_000
