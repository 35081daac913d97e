"""What the README shows is what the program prints."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from codellama import prompts
from codellama.errors import ExitCode
from tests import meta, test_hook
from tests.harness import Cli

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
SHOWN = re.findall(r"^```console\n\$ (codellama prompt show .*?)\n(.*?)^```", TEXT, flags=re.M | re.S)


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_output_in_the_readme(cli: Cli, command: str, output: str) -> None:
    assert cli(*shlex.split(command)[1:], stdin_tty=True).out == output


def test_there_is_such_output() -> None:
    assert SHOWN


@pytest.mark.parametrize(
    ("section", "command"),
    [
        ("Converting Meta's weights", "convert"),
        ("Completing", "complete"),
        ("Filling in the middle", "infill"),
        ("Asking", "chat"),
        ("As a git hook", "docstring"),
        ("Seeing the attention", "attention"),
        ("Precision and device", "infill"),
    ],
)
def test_options_in_the_readme_exist(cli: Cli, capsys: pytest.CaptureFixture[str], section: str, command: str) -> None:
    cli(command, "--help")
    listed = capsys.readouterr().out
    rows = re.findall(r"^\| `(.*?)` \|", TEXT.partition(f"## {section}\n")[2].partition("\n## ")[0], flags=re.M)
    named = {word for row in rows for word in re.findall(r"--[a-z0-9-]+", row)}
    assert len(named) > 3
    assert [option for option in sorted(named) if option not in listed] == []


def test_exit_codes_in_the_readme_are_those_of_the_program() -> None:
    section = TEXT.partition("## Exit codes")[2].partition("##")[0]
    assert {int(code) for code in re.findall(r"\b\d+\b", section)} <= {code.value for code in ExitCode}


def test_the_hook_in_the_readme_is_the_one_that_is_tested() -> None:
    assert f"```sh\n{test_hook.OWN}```" in TEXT


def test_every_template_is_in_its_readme() -> None:
    listed = (prompts.directory() / "README.md").read_text(encoding="utf-8")
    for template in prompts.directory().glob("*.jinja"):
        assert f"`{template.name}`" in listed


def test_the_conversion_in_the_readme(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.search(r"^```console\n(\$ python -m tests\.meta .*?)^```", TEXT, flags=re.M | re.S)
    assert shown
    monkeypatch.chdir(tmp_path)
    for step in shown[1].split("$ ")[1:]:
        command, _, output = step.partition("\n")
        words = shlex.split(command)
        if words[:3] == ["python", "-m", "tests.meta"]:
            monkeypatch.setattr(sys, "argv", words[2:])
            meta.main()
        else:
            done = cli(*words[1:])
            assert (done.code, done.out + done.err) == (0, output)
