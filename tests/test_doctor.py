"""`codellama doctor`: real packages once, and machines on which things are broken."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codellama import checkup, probe
from codellama.checkup import Finding
from codellama.devices import Gpu, Machine
from codellama.errors import InputError
from codellama.probe import Import
from codellama.settings import Settings
from tests.harness import TINY, Cli
from tests.terminal import Screen, run
from tests.test_layers import HEAVY, loaded_after, running

WELL = "__version__ = '1.2.3'\n"
TORCH = WELL + "class version: cuda = None\nclass cuda:\n    is_available = staticmethod(lambda: False)\n"
LLAMA = WELL + "LlamaForCausalLM = 1\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages that are imported in place of the heavy ones, in milliseconds."""
    for name, text in (("torch", TORCH), ("transformers", LLAMA), ("bitsandbytes", WELL)):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return tmp_path


def findings(cli: Cli, code: int = 0) -> dict[str, list[Finding]]:
    done = cli("doctor", "--json")
    assert (done.code, done.err) == (code, "")
    said = json.loads(done.out)
    assert said["well"] is (code == 0)
    found: dict[str, list[Finding]] = {}
    for each in said["findings"]:
        finding = Finding(each["name"], each["state"], each["said"], each["mend"] or "")
        found.setdefault(finding.name, []).append(finding)
    return found


# --------------------------------------------------------------------------------------------------- the real machine


def test_the_real_packages() -> None:
    import torch
    import transformers

    waited = []
    found = probe.imports(lambda: waited.append(1))
    assert list(found) == ["torch", "transformers", "bitsandbytes"]
    assert [each.error for each in found.values()] == ["", "", ""]
    assert found["torch"].version == torch.__version__
    assert found["torch"].details == {"cuda": torch.version.cuda, "gpus": torch.cuda.device_count()}
    assert found["transformers"].version == transformers.__version__
    assert waited


def test_a_machine_that_is_well(cli: Cli, packages: Path) -> None:
    found = findings(cli)
    assert found["Python"] == [Finding("Python", "ok", f"{sys.version.split()[0]}, {sys.executable}")]
    assert found["torch"] == [Finding("torch", "ok", "1.2.3")]
    assert found["models"][0].said == f"tiny: 18 MB, bfloat16, {TINY}"
    assert found["models"][1].state == "note"
    assert "7b is not on this machine" in found["models"][1].said
    assert found["history"] == [Finding("history", "ok", "no conversations yet")]
    assert not [each for of_one in found.values() for each in of_one if each.state == "broken"]


def test_text(cli: Cli, packages: Path) -> None:
    done = cli("doctor")
    rows = done.out.splitlines()
    assert rows[0] == f"✓ Python       {sys.version.split()[0]}, {sys.executable}"
    assert "✓ torch        1.2.3" in rows
    assert rows[-1].startswith("all is well")
    assert "\x1b" not in done.out
    assert cli("doctor", "-q").out == ""
    (packages / "torch.py").write_text("raise ImportError('lib\x1b]0;x\x07cudart.so: no such file')")
    done = cli("doctor", "-q")
    assert (done.code, done.out.splitlines()) == (1, [
        "✗ torch        cannot be imported: ImportError: lib␛]0;x␇cudart.so: no such file",
        f"               → {sys.executable} -m pip install --force-reinstall torch",
    ])  # fmt: skip


def test_on_a_terminal(packages: Path) -> None:
    program = "import sys; from codellama.app import main; sys.argv = ['codellama', 'doctor']; main()"
    done = run(program, environ={"PYTHONPATH": os.environ["PYTHONPATH"], "TERM": "xterm"}, width=200)
    assert done.code == 0
    screen = Screen(200).feed(done.output)
    assert screen.style_of("✓") == {"32"}
    assert "terminal     xterm, 16 colours" in screen.text
    done = run(program, environ={"PYTHONPATH": os.environ["PYTHONPATH"], "NO_COLOR": "1"}, width=200)
    assert b"\x1b[3" not in done.output


def test_nothing_heavy_comes_into_the_process(packages: Path) -> None:
    # its children get the light packages
    program = f"import os; os.environ['PYTHONPATH'] = {os.environ['PYTHONPATH']!r}\n"
    assert not loaded_after(program + running("doctor")) & HEAVY


# ---------------------------------------------------------------------------------------------------- what is broken


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no')", "cannot be imported: RuntimeError: no"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ends the process by SIGSEGV when it is imported"),
        ("import os; os._exit(3)", "ends the process with exit code 3 when it is imported"),
        ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0"),
        ("x =", "cannot be imported: SyntaxError"),
        (TORCH + "print('hello'); import sys; print('noise', file=sys.stderr)", "1.2.3"),
    ],
)
def test_a_torch_that_breaks(packages: Path, text: str, said: str) -> None:
    (packages / "torch.py").write_text(text)
    found = probe.imports(lambda: None, ("torch",))
    (finding,) = checkup.libraries(found)
    assert said in finding.said
    assert finding.state == ("ok" if said == "1.2.3" else "broken")


def test_a_torch_that_hangs_is_ended(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (packages / "torch.py").write_text("import time; time.sleep(600)")
    monkeypatch.setattr(probe, "TIMEOUT", 0.3)
    assert probe.imports(lambda: None, ("torch",))["torch"].error == "takes more than 0 seconds to import"


def test_a_python_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/python")
    found = probe.imports(lambda: None, ("torch",))
    assert found["torch"].error == "/no/python cannot be started: No such file or directory"


def test_an_interrupt_leaves_no_process(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (packages / "torch.py").write_text(
        "import time, os; open(os.environ['MARK'], 'w').write(str(os.getpid())); time.sleep(600)"
    )
    mark = packages / "mark"
    monkeypatch.setenv("MARK", str(mark))

    def interrupt() -> None:
        if mark.exists() and mark.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe.imports(interrupt, ("torch",))
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_a_torch_py_in_the_current_directory_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json5.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert "ModuleNotFoundError" in probe.imports(lambda: None, ("json5",))["json5"].error


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ("x", "is not TOML"),
        ("model = '9b'", "9b: no such model"),
        ("max_tokens = -3", "max-tokens must be 1 or more, not -3"),
        ("4bit = true\n8bit = true", "exclude each other"),
    ],
)
def test_settings_that_cannot_be_used(cli: Cli, packages: Path, home: Path, config: str, said: str) -> None:
    (home / "codellama").mkdir()
    (home / "codellama" / "config.toml").write_text(config)
    found = findings(cli, code=1)
    assert [each.state for each in found["settings"]][-1] == "broken"
    assert said in found["settings"][-1].said
    # all else is looked at just the same
    assert {"torch", "CUDA", "terminal", "models"} <= set(found)


def test_a_config_that_may_not_be_read(cli: Cli, packages: Path, home: Path) -> None:
    (home / "codellama" / "config.toml").mkdir(parents=True)
    assert "cannot be read: Is a directory" in findings(cli, code=1)["settings"][0].said


def test_a_broken_model_is_named(cli: Cli, packages: Path, home: Path) -> None:
    good, bad = (home / "codellama" / "models" / name for name in ("7b", "mine"))
    shutil.copytree(TINY, good)
    shutil.copytree(TINY, bad)
    os.truncate(bad / "model.safetensors", 1000)
    found = findings(cli, code=1)["models"]
    assert [each.state for each in found] == ["ok", "ok", "broken"]
    assert found[1].said.startswith("7b: 18 MB")
    assert found[2].said.startswith(str(bad))


def test_history(cli: Cli, packages: Path, home: Path) -> None:
    file = home / "codellama" / "history" / "history.db"
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE conversations (id INTEGER)")
    db.close()
    assert findings(cli)["history"] == [Finding("history", "ok", f"0 conversations in {file}")]
    file.write_bytes(b"no database" * 100)
    (finding,) = findings(cli, code=1)["history"]
    assert finding.said == f"{file}: file is not a database"
    assert finding.mend == f"mv {file} {file}.damaged"


def test_a_home_that_cannot_be_written(cli: Cli, packages: Path, home: Path) -> None:
    (home / "file").touch()
    cli.environ["CODELLAMA_HOME"] = f"{home}/file/codellama"
    (finding,) = findings(cli)["directories"]
    assert finding.said == f"{home}/file/codellama/models: cannot be written: nothing can be put into {home}/file"
    assert finding.mend == "export CODELLAMA_HOME=DIRECTORY"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_is_read_only(cli: Cli, packages: Path, home: Path) -> None:
    (home / "codellama").mkdir(mode=0o555)
    assert findings(cli)["directories"][0].state == "note"


GPU = Gpu(0, "NVIDIA H200", 100 * 10**9, 80 * 10**9)


@pytest.mark.parametrize(
    ("gpu", "torch", "states", "said"),
    [
        (None, Import("2"), ["ok"], "no NVIDIA GPU"),
        (GPU, Import("2+cpu", details={"cuda": None, "gpus": 0}), ["broken", "ok"], "built without CUDA"),
        (
            GPU,
            Import("2", details={"cuda": "13.0", "gpus": 0}),
            ["broken", "ok"],
            "the driver may be too old for CUDA 13.0",
        ),
        (GPU, Import("2", details={"cuda": "13.0", "gpus": 1}), ["ok", "ok"], "13.0; PyTorch finds 1"),
        (GPU, Import(error="no"), ["ok"], "80.0 GB of 100.0 GB free"),
        (Gpu(0, "full", 10**10, 10**9), Import(error="no"), ["note"], "1.0 GB of 10.0 GB free"),
    ],
)
def test_gpus(gpu: Gpu | None, torch: Import, states: list[str], said: str) -> None:
    found = list(checkup.gpus(Machine((gpu,) if gpu else (), 10**9, 10**9), torch))
    assert [each.state for each in found] == states
    assert said in found[0].said


@pytest.mark.parametrize(
    ("environ", "tty", "encoding", "states"),
    [
        ({"TERM": "xterm-256color"}, True, "UTF-8", ["ok"]),
        ({"TERM": "dumb"}, True, "UTF-8", ["note"]),
        ({}, False, "UTF-8", ["ok"]),
        ({"TERM": "xterm"}, True, "ANSI_X3.4-1968", ["ok", "note"]),
        ({"TERM": "screen", "STY": "1.x"}, True, "utf8", ["ok", "note"]),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, "utf-8", ["ok"]),
    ],
)
def test_terminals(environ: dict[str, str], tty: bool, encoding: str, states: list[str]) -> None:
    assert [each.state for each in checkup.terminal(environ, tty=tty, encoding=encoding)] == states


def test_requirements_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    asked = ["pytest>=1", "pytest>=9999", "no-such-thing>=1; python_version > '3'", "other; extra == 'dev'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: asked)
    said = [(each.state, each.said, each.mend) for each in checkup.requirements()]
    assert said == [
        ("broken", f"pytest {pytest.__version__} is not >=9999", f"{sys.executable} -m pip install 'pytest>=9999'"),
        ("broken", "no-such-thing is missing",
         f"{sys.executable} -m pip install 'no-such-thing>=1; python_version > \"3\"'"),
    ]  # fmt: skip


def test_a_check_that_fails_is_a_finding() -> None:
    def fails() -> Iterator[Finding]:
        yield Finding("x", "ok", "first")
        raise ZeroDivisionError("two")

    assert checkup.guarded("x", fails) == [
        Finding("x", "ok", "first"), Finding("x", "broken", "cannot be checked: ZeroDivisionError: two"),
    ]  # fmt: skip

    def refuses() -> Iterator[Finding]:
        yield from ()
        raise InputError("how it is mended")

    assert checkup.guarded("x", refuses) == [Finding("x", "broken", "how it is mended")]


def test_what_keeps_things_from_being_fetched_is_told() -> None:
    environ = {"CODELLAMA_HOME": "/", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "0"}
    found = list(checkup.configuration(lambda: Settings.load(environ), environ))
    assert [(each.state, each.mend) for each in found] == [("ok", ""), ("note", "unset HF_HUB_OFFLINE")]


def test_completion(cli: Cli, packages: Path, home: Path) -> None:
    cli.environ.update(SHELL="/usr/bin/fish", HOME=str(home))
    assert findings(cli)["completion"][0].mend == "codellama completion install fish"
    assert cli("completion", "install", "fish").code == 0
    assert findings(cli)["completion"][0].state == "ok"
    file = home / ".config" / "fish" / "completions" / "codellama.fish"
    file.write_text(file.read_text() + "# changed\n")
    assert findings(cli)["completion"][0].said == f"{file}: is another version's"
    cli.environ["SHELL"] = "/bin/tcsh"
    assert "completion" not in findings(cli)
