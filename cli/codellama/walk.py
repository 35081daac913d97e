"""The Python files of directories: what git does not ignore where there is a repository, else what is there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from codellama.errors import InputError

SUFFIX = ".py"
_SKIPPED = {
    "__pycache__", "node_modules", "site-packages", "venv", "env", "__pypackages__", "build", "dist",
}  # fmt: skip
# beside hidden directories: what others wrote, or a build did. What git tracks is taken all the same


def python_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, whatever their suffix, and those in the directories named; each once, in order.

    A symlink to a directory is not followed, so that loops end. Raises InputError for what is not there.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            for each in _within(path):
                found.setdefault(os.path.realpath(each), each)
        elif path.exists() or path.is_symlink():
            found.setdefault(os.path.realpath(path), path)
        else:
            raise InputError(f"{path}: no such file or directory")
    return list(found.values())


def _within(directory: Path) -> list[Path]:
    listed = _listed_by_git(directory)
    names = listed if listed is not None else _walked(directory)
    return [path for path in sorted(names) if path.suffix == SUFFIX and path.is_file()]


def _listed_by_git(directory: Path) -> list[Path] | None:
    """What git tracks or would: None where there is no repository, or no git, or git is told to ignore all of it."""
    # in a hook they name the index and the repository of the commit, relative to another directory
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", os.fspath(directory), "ls-files", "-z"]
    try:
        tracked, others = (
            subprocess.run([*command, *more], env=environ, capture_output=True, check=True).stdout
            for more in (["--cached"], ["--others", "--exclude-standard"])
        )
        ignored = subprocess.run(
            [*command[:3], "check-ignore", "-q", "."], env=environ, capture_output=True, check=False
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    if ignored.returncode == 0 and not tracked:
        return None
    own, new = ([Path(os.fsdecode(name)) for name in names.split(b"\0") if name] for names in (tracked, others))
    parents = {parent for path in new for parent in path.parents} - {Path()}
    foreign = {parent for parent in parents if _foreign(directory / parent)}
    return [directory / path for path in (*own, *(path for path in new if foreign.isdisjoint(path.parents)))]


def _walked(directory: Path) -> Iterator[Path]:
    for place, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if not _foreign(Path(place, name))]
        yield from (Path(place, name) for name in names)


def _foreign(directory: Path) -> bool:
    name = directory.name
    return name.startswith(".") or name in _SKIPPED or (directory / "pyvenv.cfg").exists()
