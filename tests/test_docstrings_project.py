"""Which files are documented, and how long their lines may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codellama import project, walk
from codellama.errors import InputError
from tests.repository import Repository


def made(top: Path, *names: str) -> None:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def names(top: Path, *paths: Path) -> list[str]:
    return [os.path.relpath(path, top) for path in walk.python_files(paths or [top])]


def test_a_directory_without_a_repository(tmp_path: Path) -> None:
    made(tmp_path, "b.py", "a/c.py", "a/d.txt", "a/e.pyi", ".hidden/f.py", "x/pyvenv.cfg", "x/lib/g.py", "venv/h.py")
    made(tmp_path, "node_modules/i.py", "a/__pycache__/j.py")
    assert names(tmp_path) == ["a/c.py", "b.py"]


def test_what_is_named_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    made(tmp_path, "script", "venv/h.py")
    assert names(tmp_path, tmp_path / "script", tmp_path / "venv" / "h.py") == ["script", "venv/h.py"]
    assert names(tmp_path, tmp_path / "venv") == ["venv/h.py"]
    with pytest.raises(InputError, match="nowhere: no such file or directory"):
        names(tmp_path, tmp_path / "nowhere")


def test_symlinks_end_in_no_loop_and_count_once(tmp_path: Path) -> None:
    made(tmp_path, "a/b.py")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "twin.py").symlink_to(tmp_path / "a" / "b.py")
    (tmp_path / "a" / "broken.py").symlink_to(tmp_path / "nowhere")
    assert names(tmp_path) == ["a/b.py"]
    assert names(tmp_path, tmp_path / "a" / "twin.py", tmp_path / "a" / "b.py") == ["a/twin.py"]


def test_git_tells_what_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "a project"
    repository = Repository.create(top)
    made(top, "a.py", "build/tracked.py", "out/b.py", "sub/c.py", "sub/new\nline.py", "env/pyvenv.cfg", "env/d.py")
    (top / ".gitignore").write_text("out/\n*_generated.py\n")
    made(top, "e_generated.py")
    repository.git("add", "a.py", "build/tracked.py")
    repository.git("commit", "--quiet", "-m", "a commit")
    made(top, "build/untracked.py")
    expected = ["a.py", "build/tracked.py", "sub/c.py", "sub/new\nline.py"]
    assert names(top) == expected
    (top / "a.py").unlink()
    assert names(top) == expected[1:]
    # what git puts into the environment of a hook is of another directory
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index.lock")
    assert names(top) == expected[1:]
    assert names(top, top / "sub") == ["sub/c.py", "sub/new\nline.py"]
    # ignored as a whole, but named
    assert names(top, top / "out") == ["out/b.py"]


def test_without_git_all_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Repository.create(tmp_path / "a")
    made(tmp_path / "a", "b.py")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert names(tmp_path) == ["a/b.py"]


@pytest.mark.parametrize(
    ("name", "text", "width"),
    [
        ("pyproject.toml", "[tool.ruff]\nline-length = 100", 100),
        ("pyproject.toml", "[tool.black]\nline-length = 79", 79),
        ("pyproject.toml", "[tool.black]\nline_length = 79", 79),
        ("pyproject.toml", "[tool.ruff]\nline-length = 100\n[tool.black]\nline-length = 79", 100),
        ("pyproject.toml", "[tool.ruff]\nline-length = 99\n[tool.ruff.lint.pycodestyle]\nmax-doc-length = 72", 72),
        ("pyproject.toml", "[tool.flake8]\nmax-line-length = 91", 91),
        ("pyproject.toml", "[tool.pycodestyle]\nmax_line_length = 92", 92),
        ("pyproject.toml", "[tool.pylint.format]\nmax-line-length = 93", 93),
        ("pyproject.toml", "[project]\nname = 'x'", 88),
        ("pyproject.toml", "[tool.ruff]\nline-length = 'wide'", 88),
        ("pyproject.toml", "[tool.ruff]\nline-length = 100000", 88),
        ("pyproject.toml", "tool = 1", 88),
        ("ruff.toml", "line-length = 110", 110),
        (".ruff.toml", "line-length = 111", 111),
        ("setup.cfg", "[flake8]\nmax-line-length = 101\n[metadata]\nname = %x", 101),
        ("setup.cfg", "[pycodestyle]\nmax_line_length = 102", 102),
        ("tox.ini", "[flake8]\nmax-line-length = 103\nmax-doc-length = 73", 73),
        (".flake8", "[flake8]\nmax-line-length = 104", 104),
    ],
)
def test_settings_say_how_long_a_line_may_be(tmp_path: Path, name: str, text: str, width: int) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / name).write_text(text)
    (tmp_path / "src" / "deep").mkdir(parents=True)
    assert project.line_length(tmp_path / "src" / "deep") == width


def test_the_nearest_settings_count_and_none_beyond_the_repository(tmp_path: Path) -> None:
    (tmp_path / "ruff.toml").write_text("line-length = 100")
    inner = tmp_path / "repository"
    (inner / ".git").mkdir(parents=True)
    assert project.line_length(inner) == 88
    (inner / "src").mkdir()
    (inner / "setup.cfg").write_text("[flake8]\nmax-line-length = 79")
    (inner / "src" / "pyproject.toml").write_text("[tool.black]\nline-length = 60")
    assert project.line_length(inner / "src") == 60
    assert project.line_length(tmp_path) == 100


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.cfg"])
def test_settings_that_cannot_be_read_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[tool\n")
    with pytest.raises(InputError, match=f"{name}: cannot be read: "):
        project.line_length(tmp_path)


def test_tests_are_known_by_pytests_names_and_their_directory(tmp_path: Path) -> None:
    top = tmp_path / "tests" / "project"
    (top / ".git").mkdir(parents=True)
    tests = ["test_a.py", "src/a_test.py", "conftest.py", "tests/b.py", "src/test/deep/c.py"]
    others = ["testing.py", "a_tests.py", "src/contest.py", "latest/d.py", "test.py"]
    assert [name for name in tests + others if project.is_test(top / name)] == tests
    # outside of a project its own directory counts
    assert project.is_test(Path("/nowhere/tests/a.py"))
    assert not project.is_test(Path("/tests/nowhere/a.py"))
