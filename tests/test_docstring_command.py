"""`codellama docstring`: in this process with scripted fills, and as a program with the built-in model."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from codellama import prose
from codellama.backends.base import never
from codellama.backends.scripted import Endless, Pause, ScriptedBackend, Step
from codellama.dialog import Chunk, FinishReason, Prompt, Sampling
from codellama.errors import CodellamaError, InputError
from codellama.models import Model
from codellama.tokenizer import PRE, Tokenizer
from tests import terminal
from tests.harness import TINY, Cli, Result

PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"
FILE = "def area(radius):\n    return 3.14 * radius**2\n"
FILL = "Return what a circle covers."
DONE = f'def area(radius):\n    """{FILL}"""\n    return 3.14 * radius**2\n'
TWO = FILE + "\n\nclass Shape:\n    sides = 4\n"


@dataclass
class Speaker:
    """A backend that says one script after another, the last one again and again."""

    model: Model
    scripts: list[list[Step]]
    before: Callable[[int], None] = lambda number: None
    # called with each request's number, from 0
    requests: list[tuple[Prompt, Sampling]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool] = never) -> Iterator[Chunk]:
        number = len(self.requests)
        self.requests.append((prompt, sampling))
        self.before(number)
        script = self.scripts[min(number, len(self.scripts) - 1)]
        yield from ScriptedBackend(self.model, script).stream(prompt, sampling, cancelled)


def say(cli: Cli, *scripts: list[Step], before: Callable[[int], None] = lambda number: None) -> list[Speaker]:
    opened: list[Speaker] = []

    def backend(model: Model) -> Speaker:
        opened.append(Speaker(model, list(scripts), before))
        return opened[-1]

    cli.backend = backend
    return opened


def docstring(cli: Cli, *arguments: object, stdin: bytes = b"") -> Result:
    return cli("docstring", "-m", "tiny", *map(str, arguments), stdin=stdin, stdin_tty=not stdin)


def segments(speaker: Speaker, request: int = 0) -> dict[str, str]:
    return {s.label: s.text for s in speaker.requests[request][0].segments if not s.control}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "circle.py"
    path.write_text(FILE)
    return path


def test_a_docstring_is_written_and_the_exit_says_so(cli: Cli, file: Path) -> None:
    opened = say(cli, [FILL, '"""\n    return 1'])
    done = docstring(cli, file)
    assert (done.code, done.out) == (3, "")
    assert done.err == f"{file}: 1 docstring written\n1 docstring in 1 file\n"
    assert file.read_text() == DONE
    assert segments(opened[0]) == {
        "prefix": 'def area(radius):\n    """',
        "suffix": '"""\n    return 3.14 * radius**2\n',
    }
    sampling = opened[0].requests[0][1]
    assert (sampling.temperature, sampling.candidates, sampling.max_tokens) == (0.0, 1, 96)
    again = docstring(cli, file)
    assert (again.code, again.err) == (0, "no docstring is missing in 1 file\n")
    assert (file.read_text(), len(opened)) == (DONE, 1)


def test_generation_ends_with_the_docstring(cli: Cli, file: Path) -> None:
    say(cli, [FILL, "\n\n    ", Endless("And more is said. ")])
    assert docstring(cli, file).code == 3
    assert file.read_text() == DONE
    ends = {"One.\n\n": True, "\n\n  One\nand": False, "One.\n    Args:\n": True, "One.\n    Args": False}
    assert {text: prose.ended(text) for text in ends} == ends


def test_check_names_what_is_missing_and_needs_no_model(cli: Cli, file: Path) -> None:
    say(cli, [CodellamaError("opened")])
    file.write_text(TWO)
    done = cli("docstring", "--check", "-m", "nowhere", str(file))
    assert done.out == f"{file}:1: function area has no docstring\n{file}:5: class Shape has no docstring\n"
    assert (done.code, done.err) == (3, "2 docstrings missing in 1 file\n")
    file.write_text(DONE)
    done = cli("docstring", "--check", "-m", "nowhere", str(file))
    assert (done.code, done.out) == (0, "")


def test_diff_applies_and_writes_nothing(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(cli, [FILL])
    monkeypatch.chdir(file.parent)
    done = docstring(cli, "--diff", "circle.py")
    assert (done.code, file.read_text()) == (0, FILE)
    subprocess.run(["git", "apply", "-"], input=done.out.encode(), check=True)
    assert file.read_text() == DONE


def test_standard_input_is_printed_with_its_docstrings(cli: Cli) -> None:
    say(cli, [FILL])
    done = docstring(cli, "-", stdin=FILE.replace("\n", "\r\n").encode())
    assert (done.code, done.out) == (0, DONE.replace("\n", "\r\n"))
    done = docstring(cli, "-", stdin=DONE.encode())
    assert (done.code, done.out) == (0, DONE)
    done = docstring(cli, "-", "x.py", stdin=b" ")
    assert (done.code, done.err) == (2, "codellama: standard input stands alone: leave out - or the files\n")
    done = docstring(cli, "--check", "-", stdin=FILE.encode())
    assert (done.code, done.out) == (3, "standard input:1: function area has no docstring\n")


def test_what_is_refused_is_named_and_changes_nothing(cli: Cli, file: Path) -> None:
    say(cli, ["Return the area of the"])
    done = docstring(cli, file)
    assert (done.code, file.read_text()) == (0, FILE)
    assert done.err == (
        f"warning: {file}:1: function area skipped: the fill is cut in mid-sentence\n0 docstrings; 1 skipped\n"
    )


def test_one_model_for_all_files_and_a_bad_one_does_not_stop_the_others(cli: Cli, tmp_path: Path) -> None:
    for name, text in {"a": FILE, "b": "def broken(:\n", "c": TWO, "d": "x = '\xff'"}.items():
        (tmp_path / f"{name}.py").write_bytes(text.encode("latin-1"))
    opened = say(cli, [FILL], ["Return it all."], ["Holds corners together."])
    done = docstring(cli, tmp_path)
    assert (done.code, len(opened), len(opened[0].requests)) == (3, 1, 3)
    assert (tmp_path / "a.py").read_text() == DONE
    assert (tmp_path / "b.py").read_text() == "def broken(:\n"
    assert (tmp_path / "c.py").read_text().count('"""') == 4
    assert done.err.splitlines()[:2] == [
        f"codellama: {tmp_path}/b.py: does not parse as {PYTHON} at line 1: invalid syntax",
        f"codellama: {tmp_path}/d.py: is not UTF-8: byte 5 is 0xFF; convert it first",
    ]
    assert done.err.endswith("3 docstrings in 2 files\n")
    assert docstring(cli, tmp_path).code == 2


def test_bad_usage(cli: Cli, file: Path) -> None:
    for arguments, said in {
        (): "there is nothing to document; for example: codellama docstring src/",
        ("nowhere.py",): "nowhere.py: no such file or directory",
        ("--check", "--diff", file): "--check and --diff exclude each other: choose one",
        ("--max-functions", "0", file): "max-functions must be 1 or more, not 0",
        ("--timeout", "0", file): "timeout must be above 0 seconds, not 0",
        ("--timeout", "nan", file): "timeout must be above 0 seconds, not nan",
    }.items():
        done = docstring(cli, *arguments)
        assert (done.code, done.err) == (2, f"codellama: {said}\n")


def test_max_functions_leaves_the_others(cli: Cli, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.py", "b.py")]
    for path in paths:
        path.write_text(TWO)
    opened = say(cli, [FILL], ["Holds corners together."], ["Return it once more."])
    done = docstring(cli, "--max-functions", "3", *paths)
    assert (done.code, len(opened[0].requests)) == (3, 3)
    assert done.err.endswith("3 docstrings in 2 files; 1 left for another run\n")


def test_a_timeout_ends_a_fill_and_keeps_those_before(cli: Cli, file: Path) -> None:
    file.write_text(TWO)
    opened = say(cli, [FILL], ["Holds ", Pause(60), "corners together."])
    done = docstring(cli, "--timeout", "1.5", file)
    assert (done.code, len(opened[0].requests)) == (3, 2)
    assert file.read_text() == DONE + "\n\nclass Shape:\n    sides = 4\n"
    assert done.err.endswith("1 docstring in 1 file; 1 left for another run\n")


@pytest.mark.parametrize("error", [CodellamaError("out of memory"), InputError("a broken checkpoint")])
def test_f39_a_model_that_fails(cli: Cli, file: Path, error: CodellamaError) -> None:
    say(cli, [error])
    done = docstring(cli, file)
    assert (done.code, done.err, file.read_text()) == (error.exit_code, f"codellama: {error}\n", FILE)
    done = docstring(cli, "--fail-open", file)
    assert (done.code, done.err, file.read_text()) == (0, f"warning: {error}; nothing was touched\n", FILE)


def test_the_demonstration_writes_into_files_only_where_it_is_asked_for(cli: Cli, file: Path) -> None:
    say(cli, [FILL])
    done = cli("docstring", str(file))
    assert (done.code, file.read_text()) == (2, FILE)
    assert "there is no model but the built-in demonstration" in done.err
    assert f'+    """{FILL}"""' in cli("docstring", "--diff", str(file)).out
    assert cli("docstring", "-", stdin=FILE.encode()).out == DONE
    assert (cli("docstring", "--diff", "--fail-open", str(file)).out, file.read_text()) == ("", FILE)


def test_no_path_is_empty(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    for arguments in ([""], [file, ""], ["--check", ""]):
        done = docstring(cli, *arguments)
        assert (done.code, file.read_text()) == (2, FILE)
        assert "a path is empty" in done.err


def test_f39_files_that_are_no_python_stop_no_commit(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(:\n")
    done = docstring(cli, "--fail-open", tmp_path)
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        f"warning: {tmp_path}/a.py: does not parse as {PYTHON} at line 1: invalid syntax\n"
        "no docstring is missing in 0 files; 1 file could not be read\n"
    )
    assert docstring(cli, tmp_path).code == 2


def test_f27_names_of_files(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m\n.py").write_text(FILE)
    done = docstring(cli, "--check", tmp_path)
    assert done.out == f"{tmp_path}/a␛[31m .py:1: function area has no docstring\n"


def test_f39_a_model_that_is_not_there(cli: Cli, file: Path) -> None:
    for name in ("7b", "nowhere"):
        done = cli("docstring", "-m", name, str(file))
        assert (done.code, file.read_text()) == (2, FILE)
        done = cli("docstring", "--fail-open", "-m", name, str(file))
        assert (done.code, file.read_text()) == (0, FILE)
        assert done.err.endswith("; nothing was touched\n")


def test_f39_a_model_that_fails_late_leaves_what_was_written(cli: Cli, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.py", "b.py")]
    for path in paths:
        path.write_text(FILE)
    say(cli, [FILL], [CodellamaError("out of memory")])
    done = docstring(cli, "--fail-open", *paths)
    assert (done.code, paths[0].read_text(), paths[1].read_text()) == (3, DONE, FILE)


def test_f39_an_interrupt_leaves_whole_files(cli: Cli, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.py", "b.py", "c.py")]
    for path in paths:
        path.write_text(TWO)
    said: list[list[Step]] = [[FILL], ["Holds corners together."], ["Return it once more."], [KeyboardInterrupt()]]
    say(cli, *said)
    done = docstring(cli, *paths)
    assert done.code == 130
    assert done.err.endswith("interrupted; 1 file changed, the others are as they were\n")
    assert [path.read_text().count('"""') for path in paths] == [4, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "b.py", "c.py"]


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """A copy of the built-in model whose card says something else."""

    def copy(**card: object) -> Path:
        directory = tmp_path / "model"
        shutil.copytree(TINY, directory, copy_function=os.symlink)
        (directory / "codellama.json").unlink()
        told = json.loads((TINY / "codellama.json").read_text())
        (directory / "codellama.json").write_text(json.dumps({**told, "name": "other", **card}))
        return directory

    return copy


def test_a_control_piece_ends_a_fill(cli: Cli, file: Path, tiny_tokenizer: Tokenizer) -> None:
    piece = tiny_tokenizer.control(PRE) or 0

    class Stray(Speaker):
        def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool] = never) -> Iterator[Chunk]:
            yield Chunk(0, FILL, (5,))
            yield Chunk(0, "", (piece,))
            assert cancelled()
            yield Chunk(0, " And more is said.", (5,), finish_reason=FinishReason.CANCELLED)

    cli.backend = lambda model: Stray(model, [])
    assert docstring(cli, file).code == 3
    assert file.read_text() == DONE


def test_a_model_that_can_neither_infill_nor_chat_is_refused(cli: Cli, file: Path, model: Callable[..., Path]) -> None:
    opened = say(cli, [FILL])
    done = cli("docstring", "-m", str(model(infill=False, chat_format=None)), str(file))
    assert (done.code, opened, file.read_text()) == (5, [], FILE)
    assert done.err.startswith("codellama: other cannot infill: it was not trained to")


@pytest.mark.parametrize(
    "answer",
    [
        f'Here it is:\n\n```python\n"""{FILL}"""\n```\nI hope it helps.',
        f'```\ndef area(radius):\n    """\n    {FILL}\n    """\n    return 1\n```',
        f'"""{FILL}"""',
        f"```\n{FILL}\n```",
        f"'''{FILL}'''",
        FILL,
    ],
)
def test_a_model_that_chats_is_asked(cli: Cli, file: Path, model: Callable[..., Path], answer: str) -> None:
    opened = say(cli, list(answer))
    done = cli("docstring", "-m", str(model(infill=False)), str(file))
    assert (done.code, file.read_text()) == (3, DONE)
    assert segments(opened[0]) == {
        "user": "[INST] Write the docstring of the function `area` in this Python code.\n\n```python\n" + FILE +
        "```\n\nSay in one or two sentences what it does, or what it is, in plain prose, with no list of parameters. "
        "Answer with the docstring alone, without the code. [/INST]"
    }  # fmt: skip


def test_a_chat_is_cut_short_behind_the_quotes(cli: Cli, file: Path, model: Callable[..., Path]) -> None:
    say(cli, [f'"""{FILL}', '"""', Endless("\nmore")])
    assert cli("docstring", "-m", str(model(infill=False)), str(file)).code == 3
    assert file.read_text() == DONE


def test_f20_code_that_the_chat_format_cannot_carry_is_skipped(
    cli: Cli, file: Path, model: Callable[..., Path]
) -> None:
    file.write_text("def one():\n    return '[INST]'\n\n\n" + FILE)
    opened = say(cli, [FILL])
    done = cli("docstring", "-m", str(model(infill=False)), str(file))
    assert (done.code, len(opened[0].requests)) == (3, 1)
    assert file.read_text() == "def one():\n    return '[INST]'\n\n\n" + DONE
    assert f"{file}:1: function one skipped: the code cannot be sent: message 1 (user) holds [INST] at" in done.err
    # where the text between the quotes is infilled it is plain text
    file.write_text("def one():\n    return '[INST] <PRE> </s>'\n")
    assert docstring(cli, file).code == 3


def test_f33_a_file_that_changed_meanwhile_is_left_and_its_diff_shown(cli: Cli, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.py", "b.py")]
    for path in paths:
        path.write_text(FILE)

    def meanwhile(number: int) -> None:
        paths[0].write_text("x = 1\n")

    say(cli, [FILL], before=meanwhile)
    done = docstring(cli, paths[0])
    assert (done.code, paths[0].read_text()) == (7, "x = 1\n")
    assert f'+    """{FILL}"""' in done.out
    paths[0].write_text(FILE)
    say(cli, [FILL], before=meanwhile)
    assert docstring(cli, *paths).code == 3
    assert (paths[0].read_text(), paths[1].read_text()) == ("x = 1\n", DONE)


def test_f32_links_and_modes(cli: Cli, file: Path) -> None:
    file.chmod(0o755)
    link = file.with_name("link.py")
    link.symlink_to(file)
    say(cli, [FILL])
    assert docstring(cli, link).code == 3
    assert link.is_symlink()
    assert (file.read_text(), file.stat().st_mode & 0o777) == (DONE, 0o755)
    file.write_text(FILE)
    os.link(file, file.with_name("hard.py"))
    opened = say(cli, [FILL])
    done = docstring(cli, file)
    assert (done.code, file.read_text(), opened[0].requests) == (2, FILE, [])
    assert "is one of 2 hard links" in done.err


def test_f34_a_full_disk_leaves_the_old_bytes(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    say(cli, [FILL])
    done = docstring(cli, file)
    assert (done.code, file.read_text(), [*file.parent.iterdir()]) == (1, FILE, [file])
    assert "No space left on device" in done.err
    assert FILL in done.out


@pytest.mark.parametrize("at", ["os.write", "os.fsync", "Path.replace"])
def test_f34_sigkill_while_writing_leaves_the_old_bytes(file: Path, at: str) -> None:
    owner, name = at.split(".")
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom tests.test_docstring_command import *\n"
        "def die(*a, **k): os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli = Cli(dict(os.environ))\n"
        f"say(cli, [FILL], before=lambda number: setattr({owner}, {name!r}, die))\n"
        "docstring(cli, sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, file], env=terminal.environment(), check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert file.read_text() == FILE


def test_settings_of_the_project_say_how_long_lines_are(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.black]\nline-length = 40\n")
    path = tmp_path / "a.py"
    path.write_text(FILE)
    say(cli, ["Return what a circle of some radius covers."])
    assert docstring(cli, path).code == 3
    wrapped = '"""Return what a circle of some\n    radius covers.\n    """'
    assert path.read_text() == DONE.replace(f'"""{FILL}"""', wrapped)


def test_a_style_asks_for_a_section_too(cli: Cli, file: Path) -> None:
    opened = say(cli, [FILL], [" Half the width.\n\n    Returns:\n        A number of squares.", '"""'])
    assert docstring(cli, "--style", "google", file).code == 3
    assert file.read_text() == (
        f'def area(radius):\n    """{FILL}\n\n    Args:\n        radius: Half the width.\n\n'
        '    Returns:\n        A number of squares.\n    """\n    return 3.14 * radius**2\n'
    )
    assert segments(opened[0], 1)["prefix"] == f'def area(radius):\n    """{FILL}\n\n    Args:\n        radius:'
    assert docstring(cli, "--style", "other", file).code == 2


def test_tests_private_names_modules_and_magic_are_taken_when_asked_for(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(FILE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "helper.py").write_text(FILE)
    path = tmp_path / "b.py"
    path.write_text("class A:\n    'Doc.'\n    def __init__(self): pass\n    def _b(self): pass\n")

    def found(*options: str) -> str:
        return docstring(cli, "--check", tmp_path, *options).out.replace(f"{tmp_path}/", "")

    assert found() == ""
    assert found("--tests") == (
        "test_a.py:1: function area has no docstring\ntests/helper.py:1: function area has no docstring\n"
    )
    done = docstring(cli, "--check", tmp_path / "test_a.py")
    assert (done.code, done.err) == (
        0,
        "no docstring is missing in 0 files (1 test left out; --tests takes tests too)\n",
    )
    assert found("--magic") == "b.py:3: method A.__init__ has no docstring\n"
    assert found("--private") == "b.py:4: method A._b has no docstring\n"
    assert found("--modules") == "b.py:1: the module has no docstring\n"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "codellama", "docstring", *arguments],
        cwd=cwd, env=terminal.environment(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_the_built_in_model_writes_what_is_a_docstring_or_nothing(file: Path) -> None:
    done = run("-m", "tiny", "circle.py", cwd=file.parent)
    text = file.read_text()
    assert (done.returncode, text == FILE) in ((0, True), (3, False)), done.stderr
    lines = [line for line in text.splitlines(keepends=True) if line in FILE.splitlines(keepends=True)]
    assert "".join(lines) == FILE
    assert run("--check", "circle.py", cwd=file.parent).returncode == (3 if text == FILE else 0)
