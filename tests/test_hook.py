"""The hooks, run by real git: through the real pre-commit, with this repository's manifest, and as git's own hook.

A commit that lacks docstrings stops, with them in the files and the index as it was; the next one goes through.
"""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repository import IDENTITY, Repository, isolate
from tests.terminal import CLI

MANIFEST = Path(__file__).parents[1] / ".pre-commit-hooks.yaml"
OWN = "#!/bin/sh\nexec codellama docstring --staged --fail-open --max-functions=10 --timeout=60\n"
# git's own hook, as the README shows it

# a program that git finds as `codellama`, with a model that says one sentence; $LOG tells what became of it
PROGRAM = f"""#!{sys.executable}
import math, os, sys
sys.path.insert(0, {str(CLI)!r})
from codellama import app
from codellama.backends.scripted import Pause, ScriptedBackend
from codellama.commands.options import Run
from codellama.console import Console

def log(what):
    with open(os.environ["LOG"], "a") as file:
        file.write(what)

class Backend(ScriptedBackend):
    def stream(self, *asked):
        hangs = len(self.requests) == int(os.environ.get("HANGS_AFTER", -1))
        self._scripts = ([Pause(math.inf)] if hangs else ["Say what it is for.", "\\n\\n"],)
        log("hangs" if hangs else "asked ")
        return super().stream(*asked)

sys.exit(app.run(sys.argv[1:], Run(Console.from_process(), lambda model, options, tokens: Backend(model))))
"""

OLD = "def old(a):\n    return a\n"
NEW = "\n\ndef new(b):\n    return b\n"
DONE = '\n\ndef new(b):\n    """Say what it is for."""\n    return b\n'
LATER = "\n\nlater = 1\n"
# what is not staged


@dataclass(frozen=True)
class Hooked(Repository):
    kind: str
    log: Path

    def commit_with(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.try_git("commit", "-m", "a commit", *arguments)

    def refused(self, *arguments: str) -> str:
        """What is told where a commit is stopped, which must leave the index and HEAD as they were."""
        before = self.git("write-tree"), self.git("rev-parse", "HEAD")
        done = self.commit_with(*arguments)
        assert done.returncode == 1, done.stderr
        assert (self.git("write-tree"), self.git("rev-parse", "HEAD")) == before
        return done.stdout + done.stderr

    def accepted(self, *arguments: str) -> str:
        before = self.git("rev-parse", "HEAD")
        done = self.commit_with(*arguments)
        assert done.returncode == 0, done.stderr
        assert self.git("rev-parse", "HEAD~") == before
        return done.stdout + done.stderr

    def text(self, name: str, rev: str | None = None) -> str:
        """Of a file on the disk; at a revision, "" being the index."""
        return (self.top / name).read_text() if rev is None else self.git("show", f"{rev}:{name}")

    def asked(self) -> str:
        """What the model was asked since this was called before."""
        text = self.log.read_text() if self.log.exists() else ""
        self.log.write_text("")
        return text


@pytest.fixture(scope="session")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with the manifest. pre-commit keeps what it fetched in one place for all tests."""
    top = tmp_path_factory.mktemp("hooks") / "codellama"
    with pytest.MonkeyPatch.context() as monkeypatch:
        isolate(monkeypatch)
        hooks = Repository.create(top)
        hooks.write(MANIFEST.name, MANIFEST.read_bytes())
        hooks.commit()
    return hooks


@pytest.fixture
def program(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    isolate(monkeypatch)
    program = tmp_path / "bin" / "codellama"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("CODELLAMA_MODEL", "tiny")
    return program


def hooked(kind: str, hooks: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str = "") -> Hooked:
    """A repository with one commit, and a hook: "pre-commit" or "own"."""
    repository = Hooked(Repository.create(tmp_path / "repo").top, kind, tmp_path / "log")
    if kind == "pre-commit":
        monkeypatch.setenv("PRE_COMMIT_HOME", str(hooks.top.parent / "cache"))
        rev = hooks.git("rev-parse", "HEAD").strip()
        hook = settings or "id: codellama-docstring-system"
        repository.write(
            ".pre-commit-config.yaml",
            f"repos:\n- repo: {hooks.top}\n  rev: {rev}\n  hooks:\n  - {hook}\n",
        )
    repository.commit(a=OLD, b=OLD)
    if kind == "pre-commit":
        subprocess.run(
            [sys.executable, "-m", "pre_commit", "install"], cwd=repository.top, check=True, capture_output=True
        )
    else:
        repository.hook(OWN)
    return repository


@pytest.fixture(params=["pre-commit", "own"])
def repository(
    request: pytest.FixtureRequest, program: Path, hooks: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Hooked:
    return hooked(request.param, hooks, tmp_path, monkeypatch)


by_pre_commit = pytest.mark.parametrize("repository", ["pre-commit"], indirect=True)
by_git = pytest.mark.parametrize("repository", ["own"], indirect=True)


def test_a_commit_stops_until_its_docstrings_are_added(repository: Hooked) -> None:
    repository.write("a.py", OLD + NEW)
    repository.write("b.py", OLD + LATER)
    repository.git("add", "a.py", "b.py")
    assert "a.py: 1 docstring written" in repository.refused()
    assert repository.text("a.py") == OLD + DONE
    assert repository.text("b.py") == OLD + LATER
    assert repository.asked() == "asked "
    # nothing is missing now, so the model is not asked
    repository.git("add", "a.py")
    repository.accepted()
    assert repository.asked() == ""
    assert repository.text("a.py", "HEAD") == OLD + DONE
    assert repository.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("arguments", "names"),
    [(["--all"], "abc"), (["a.py", "c.py"], "ac"), (["--include", "a.py", "c.py"], "abc")],
    ids=["-a", "path", "path and index"],
)
def test_f38_commit_all_and_commit_path(repository: Hooked, arguments: list[str], names: str) -> None:
    kept = {"a": OLD, "b": OLD, "c": ""}
    for name, text in kept.items():
        repository.write(f"{name}.py", text + NEW)
    # a file that git has never heard of cannot be committed by its path
    repository.git("add", "b.py", "c.py")
    repository.refused(*arguments)
    for name, text in kept.items():
        assert repository.text(f"{name}.py") == text + (DONE if name in names else NEW)
    if "--include" in arguments:
        # what comes from the index has to be added there
        repository.git("add", "b.py")
    repository.accepted(*arguments)
    for name in names:
        assert repository.text(f"{name}.py", "HEAD") == kept[name] + DONE
    assert repository.git("status", "--porcelain") == ("" if "b" in names else "M  b.py\n")


@by_pre_commit
def test_f38_a_partly_staged_file_under_pre_commit(repository: Hooked) -> None:
    """The commit holds what was staged and its docstring; what was not staged stays on the disk alone."""
    repository.write("a.py", OLD + NEW)
    repository.git("add", "a.py")
    repository.write("a.py", LATER + OLD + NEW)
    repository.refused()
    assert repository.text("a.py") == LATER + OLD + DONE
    assert repository.text("a.py", "") == OLD + NEW
    # as `git add --patch` does
    blob = repository.write("blob", OLD + DONE)
    repository.git("update-index", "--cacheinfo", f"100644,{repository.git('hash-object', '-w', 'blob').strip()},a.py")
    blob.unlink()
    repository.accepted()
    assert repository.text("a.py", "HEAD") == OLD + DONE
    assert repository.text("a.py") == LATER + OLD + DONE


@by_pre_commit
def test_f38_a_partly_staged_file_whose_hunks_meet_under_pre_commit(repository: Hooked) -> None:
    """pre-commit takes the docstring back rather than lose what was not staged."""
    repository.write("a.py", OLD + NEW)
    repository.git("add", "a.py")
    repository.write("a.py", OLD + NEW.replace("return b", "return 2 * b"))
    assert "Rolling back fixes" in repository.refused()
    assert repository.text("a.py") == OLD + NEW.replace("return b", "return 2 * b")
    assert repository.text("a.py", "") == OLD + NEW


@by_git
def test_f38_a_partly_staged_file_is_left_alone_by_the_own_hook(repository: Hooked) -> None:
    repository.write("a.py", OLD + NEW)
    repository.git("add", "a.py")
    repository.write("a.py", LATER + OLD + NEW)
    repository.write("b.py", OLD + NEW)
    repository.write("c.txt", "x\n")
    repository.write("d.txt", "no Python (\n")
    repository.git("add", "b.py", "c.txt", "d.txt")
    repository.write("c.txt", "y\n")
    assert "warning: a.py: has changes that are not staged, so it is left alone" in (said := repository.refused())
    assert ".txt" not in said
    assert repository.text("b.py") == OLD + DONE
    repository.git("add", "b.py")
    repository.accepted()
    assert repository.text("a.py", "HEAD") == OLD + NEW
    assert repository.text("a.py") == LATER + OLD + NEW
    assert repository.asked() == "asked "


def test_f38_names_and_renames(repository: Hooked) -> None:
    long = "".join(f"x{number} = {number}\n" for number in range(9)) + OLD
    repository.write("c.py", long)
    repository.git("add", "c.py")
    repository.git("commit", "--quiet", "--no-verify", "-m", "a commit")
    names = ["a b.py", "c\nd.py", "é \"q\" 'r'.py", "dir/$(touch x).py"]
    for name in names:
        repository.write(name, NEW)
    repository.git("mv", "a.py", "only moved.py")
    repository.git("mv", "c.py", "moved.py")
    repository.write("moved.py", long + NEW)
    repository.git("add", "--all")
    repository.refused()
    for name in names:
        assert repository.text(name) == DONE
    assert repository.text("moved.py") == long + DONE
    assert repository.text("only moved.py") == OLD
    repository.git("add", "--all")
    repository.accepted()
    assert repository.asked() == "asked " * 5
    assert repository.git("status", "--porcelain") == ""
    assert repository.text("c\nd.py", "HEAD") == DONE


def test_f38_a_file_that_is_staged_and_gone_from_the_disk(repository: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.write("a.py", OLD + NEW)
    repository.git("add", "a.py")
    (repository.top / "a.py").unlink()
    if repository.kind == "pre-commit":
        # it puts the file back for the hook, and cannot take it away with a docstring in it
        assert "Rolling back fixes" in repository.refused()
        assert not (repository.top / "a.py").exists()
        monkeypatch.setenv("SKIP", "codellama-docstring-system")
        repository.accepted()
    else:
        assert "a.py: has changes that are not staged, so it is left alone" in repository.accepted()
    assert not (repository.top / "a.py").exists()
    assert repository.text("a.py", "HEAD") == OLD + NEW


def test_a_linked_worktree_and_a_subdirectory(repository: Hooked) -> None:
    repository.git("worktree", "add", "--quiet", "../other")
    other = Hooked(repository.top.parent / "other", repository.kind, repository.log)
    # a file of that name in the first one is another file
    repository.write("sub/d.py", NEW)
    repository.git("add", "sub/d.py")
    other.write("sub/d.py", OLD + NEW)
    other.git("add", "sub/d.py")
    below = Hooked(other.top / "sub", other.kind, other.log)
    below.refused()
    assert other.text("sub/d.py").count("Say what it is for.") == 1
    below.git("add", "d.py")
    below.accepted()
    assert repository.text("sub/d.py") == NEW


# starts what follows it with Ctrl-C as a terminal has it, whatever started the tests
START = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])"


def test_f39_ctrl_c_loses_nothing(repository: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANGS_AFTER", "1")
    for name in ("a.py", "b.py"):
        repository.write(name, OLD + NEW)
    repository.write("c.py", "c = 1\n")
    repository.git("add", "a.py", "b.py", "c.py")
    repository.write("c.py", "c = 2\n")
    before = repository.git("write-tree"), repository.git("rev-parse", "HEAD")
    process = subprocess.Popen(
        [sys.executable, "-c", START, "git", *IDENTITY, "commit", "-m", "a commit"],
        cwd=repository.top, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (repository.log.exists() and "hangs" in repository.log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        # its end is that of all that git started, since they all write there
        output, _ = process.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert "Traceback" not in output
    assert (repository.git("write-tree"), repository.git("rev-parse", "HEAD")) == before
    # the file that was finished is whole, the one that was not is as it was, and so is what was not staged
    assert repository.text("a.py") == OLD + DONE
    assert repository.text("b.py") == OLD + NEW
    assert repository.text("c.py") == "c = 2\n"
    assert repository.git("status", "--porcelain", "--ignored") == "MM a.py\nM  b.py\nAM c.py\n"
    # what was finished is not asked again
    monkeypatch.delenv("HANGS_AFTER")
    repository.git("add", "a.py", "b.py")
    repository.asked()
    repository.refused()
    assert repository.asked() == "asked "
    repository.git("add", "a.py", "b.py")
    repository.accepted()
    assert repository.text("b.py", "HEAD") == OLD + DONE


@pytest.mark.parametrize("model", ["7b", "/nonexistent", None])
def test_f39_without_a_model_a_commit_goes_through_as_it_is(
    repository: Hooked, monkeypatch: pytest.MonkeyPatch, model: str | None
) -> None:
    """Also where there is none but the built-in demonstration, and nobody asked for that."""
    if model:
        monkeypatch.setenv("CODELLAMA_MODEL", model)
    else:
        monkeypatch.delenv("CODELLAMA_MODEL")
    repository.write("a.py", OLD + NEW)
    repository.git("add", "a.py")
    assert "; nothing was touched" in repository.accepted()
    assert repository.text("a.py") == repository.text("a.py", "HEAD") == OLD + NEW
    assert repository.asked() == ""


def test_the_check_names_what_a_commit_lacks_and_touches_nothing(
    program: Path, hooks: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # without an environment of its own: a configuration may say so
    check = "id: codellama-docstring-check\n    language: system"
    repository = hooked("pre-commit", hooks, tmp_path, monkeypatch, check)
    repository.write("a.py", OLD + NEW)
    repository.write("b.pyi", NEW)
    repository.git("add", "a.py", "b.pyi")
    said = repository.refused()
    assert "a.py:1: function old has no docstring\na.py:5: function new has no docstring\n" in said
    assert "b.pyi" not in said
    assert repository.text("a.py") == OLD + NEW
    assert repository.asked() == ""


def test_the_two_that_write_differ_in_their_language_alone() -> None:
    text = re.sub(r"^ *#.*\n", "", MANIFEST.read_text(encoding="utf-8"), flags=re.MULTILINE)
    first, second, _ = text.split("\n\n")
    assert second == first.replace("id: codellama-docstring", "id: codellama-docstring-system").replace(
        "language: python", "language: system"
    )


def test_the_built_in_model(program: Path, hooks: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing scripted: the program as it is, torch and all."""
    program.write_text(f"#!/bin/sh\nPYTHONPATH='{CLI}' exec '{sys.executable}' -m codellama \"$@\"\n")
    repository = hooked("pre-commit", hooks, tmp_path, monkeypatch)
    function = "\n\ndef get_name(path):\n    return path.rsplit('/', 1)[-1]\n"
    repository.write("a.py", OLD + function)
    repository.git("add", "a.py")
    repository.refused()
    tree = ast.parse(repository.text("a.py"))
    written = tree.body[1]
    assert isinstance(written, ast.FunctionDef)
    assert len(ast.get_docstring(written) or "") > 10
    del written.body[0]
    assert ast.dump(tree) == ast.dump(ast.parse(OLD + function))
    repository.git("add", "a.py")
    repository.accepted()
    assert repository.git("status", "--porcelain") == ""
