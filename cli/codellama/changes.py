"""What git says has been touched: lines of files since a commit, and the files of the next commit.

Git is asked through its plumbing, which reads no settings of how a diff looks, and is told the rest. A file belongs to
the repository that its directory lies in, a submodule's to the submodule; a symlink stands for the file it leads to.
What git puts into the environment of a hook, as the index of a `git commit FILE`, holds for that repository alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from codellama.errors import InputError


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a file, counted from 1 as git does: only "\\n" ends one."""

    spans: tuple[tuple[int, int], ...] = ()
    # first and last; (n + 1, n): none is left of what stood between n and n + 1

    def overlaps(self, first: int, last: int) -> bool:
        """Whether any of these lines is here, or something between two of them was deleted."""
        return any(begin <= last and end >= first for begin, end in self.spans)

    def __and__(self, other: Lines) -> Lines:
        """The lines that are among both; a deletion is one of both where it is in the same place."""
        pairs = ((max(a, c), min(b, d), (a, b) == (c, d)) for a, b in self.spans for c, d in other.spans)
        return Lines(tuple((first, last) for first, last, equal in pairs if first <= last or equal))


ALL = Lines(((1, sys.maxsize),))


@dataclass(frozen=True, slots=True)
class Staged:
    """Files of which the next commit has other lines, by their paths from the current directory."""

    wholly: tuple[Path, ...]
    partly: tuple[Path, ...]
    # they differ from what is staged, so that a commit takes another text than the one on the disk


def touched(paths: Sequence[Path], rev: str | None = None) -> Mapping[Path, Lines]:
    """The lines of each file that are others than in a commit: staged or not, committed since or not.

    `rev`: a commit or a tree, as in `git diff REV`: what was done there since the branches parted counts too. None:
    HEAD, and while a merge is to be committed, what is other than on both sides; before the first commit all lines. All
    lines of a file are touched where git does not know it yet, or where it changed and git takes it for binary; none
    where git ignores it. In a file that git takes for renamed, lines that only moved with it are not touched.

    Raises InputError where git is not installed or fails, a file is in no repository, or there is no such commit.
    """
    ambient, asked = _ambient(), dict[Path, dict[bytes, list[Path]]]()
    for path in paths:
        real = path.resolve()
        top = next((parent for parent in real.parents if os.path.lexists(parent / ".git") or parent == ambient), None)
        if top is None:
            raise InputError(f"{path}: is in no git repository, so nothing tells what was touched there")
        asked.setdefault(top, {}).setdefault(os.fsencode(real.relative_to(top)), []).append(path)
    found: dict[Path, Lines] = {}
    for top, names in asked.items():
        repository = _Repository(top, _environment(own=top != ambient))
        changed = repository.differences("diff-index", repository.tree(rev))
        merged = repository.commit("MERGE_HEAD") if rev is None else None
        if merged:
            theirs = repository.differences("diff-index", merged)
            changed = {name: lines & theirs.get(name, Lines()) for name, lines in changed.items()}
        unknown = names.keys() - set(repository.ask("ls-files", "-z").split(b"\0"))
        if unknown:
            changed |= dict.fromkeys(unknown - repository.ignored(unknown), ALL)
        found |= {path: changed.get(name, Lines()) for name, paths in names.items() for path in paths}
    return found


def staged() -> Staged:
    """The files in which the next commit adds or changes lines, without symlinks.

    Raises InputError where git is not installed or fails, or the current directory is in no repository.
    """
    top = _ambient()
    if top is None:
        raise InputError("the current directory is in no git repository, so nothing tells what is staged")
    repository = _Repository(top, _environment())
    unstaged = repository.differences("diff-files")
    wholly, partly = [], []
    for name in repository.differences("diff-index", "--cached", "--diff-filter=d", repository.tree(None)):
        path = Path(os.path.relpath(repository.top / os.fsdecode(name)))
        if name in unstaged:
            partly.append(path)
        elif not path.is_symlink():
            wholly.append(path)
    return Staged(tuple(wholly), tuple(partly))


_HUNK = re.compile(rb"@@ -[\d,]+ \+(\d+)(?:,(\d+))? @@")


def parse(diff: Iterable[bytes]) -> dict[bytes, Lines]:
    """The lines on the new side of each file of a diff, by its name from the top of the repository.

    `diff`: the lines of what git writes with `--unified=0 --no-prefix`; format: git-diff(1), Generating patch text.
    """
    spans: dict[bytes, list[tuple[int, int]]] = {}
    name = b""
    # the lines of a hunk begin with "+", "-" or "\\", which no line here does
    for line in diff:
        if line.startswith(b"diff --git "):
            # the same name twice, or else it is said again
            names = line[len(b"diff --git ") :].removesuffix(b"\n")
            name = _unquoted(names[len(names) // 2 + 1 :])
        elif line.startswith(b"rename to "):
            name = _unquoted(line[len(b"rename to ") :].removesuffix(b"\n"))
        elif line.startswith(b"Binary files "):
            spans.setdefault(name, []).extend(ALL.spans)
        elif hunk := _HUNK.match(line):
            count = int(hunk[2] or 1)
            first = int(hunk[1]) if count else int(hunk[1]) + 1
            spans.setdefault(name, []).append((first, first + count - 1))
    return {name: Lines(tuple(found)) for name, found in spans.items()}


_ESCAPES = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))


def _unquoted(name: bytes) -> bytes:
    """A name as it is: git puts those with other than printable ASCII into quotes, as C does."""
    if not (name.startswith(b'"') and name.endswith(b'"')):
        return name
    return re.sub(
        rb"\\([0-7]{3}|.)",
        lambda match: bytes([int(match[1], 8) if len(match[1]) == 3 else _ESCAPES.get(match[1][0], match[1][0])]),
        name[1:-1],
    )


# GIT_DIFF_OPTS beats --unified, so it is kept from git
_DIFF = (
    *("-p", "--unified=0", "--find-renames", "--no-prefix", "--ignore-submodules=all"),
    # what git 2.39 does here anyway; its documentation has it otherwise
    *("--no-color", "--no-ext-diff", "--no-textconv"),
)


@dataclass(frozen=True, slots=True)
class _Repository:
    top: Path
    environ: Mapping[str, str]

    def ask(self, *arguments: str, given: bytes = b"", codes: Sequence[int] = (0,)) -> bytes:
        done = _git(arguments, self.top, self.environ, given)
        if done.returncode not in codes:
            said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
            raise InputError(f"git failed in {self.top}: {said}")
        return done.stdout

    def differences(self, *command: str) -> dict[bytes, Lines]:
        return parse(BytesIO(self.ask(command[0], *_DIFF, *command[1:])))

    def commit(self, name: str) -> str | None:
        """The id of what a name stands for."""
        found = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", name, codes=(0, 1)).decode().strip()
        # of a range come several, some with "^"
        return found if re.fullmatch("[0-9a-f]+", found) else None

    def tree(self, rev: str | None) -> str:
        """The id of what a name stands for; for None that of HEAD, or of the empty tree before the first commit."""
        found = self.commit("HEAD" if rev is None else rev)
        if found is None and rev is not None:
            raise InputError(f"{rev}: git knows no such commit in {self.top}")
        return found or self.ask("hash-object", "-t", "tree", "--stdin").decode().strip()

    def ignored(self, names: Iterable[bytes]) -> set[bytes]:
        # a name that begins with ":" is a pattern to this command; 1: none of them
        given = b"".join(b"./" + name + b"\0" for name in names)
        found = self.ask("check-ignore", "-z", "--stdin", given=given, codes=(0, 1))
        return {name.removeprefix(b"./") for name in found.split(b"\0")}


def _ambient() -> Path | None:
    """The top of the repository that git sees from the current directory; None: none."""
    top = _git(["rev-parse", "--show-toplevel"]).stdout.removesuffix(b"\n")
    return Path(os.fsdecode(top)) if top else None


def _environment(*, own: bool = False) -> dict[str, str]:
    """`own`: without what a hook's environment says of the repository of the hook."""
    local = _git(["rev-parse", "--local-env-vars"]).stdout.decode().split() if own else ()
    return {name: value for name, value in os.environ.items() if name not in ("GIT_DIFF_OPTS", *local)}


def _git(
    arguments: Sequence[str],
    directory: Path | None = None,
    environ: Mapping[str, str] | None = None,
    given: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=directory, env=environ, input=given, capture_output=True, check=False
        )
    except OSError as error:
        raise InputError(f"git cannot be run, and it alone knows what was touched: {error.strerror}") from None
