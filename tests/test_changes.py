from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codellama import changes
from codellama.changes import ALL, Lines, Staged, staged, touched
from codellama.errors import InputError
from tests.harness import Cli
from tests.repository import Repository, isolate
from tests.terminal import CLI

TEN = "".join(f"{number}\n" for number in range(1, 11))


@pytest.fixture
def repository(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """One with ten lines in a.py, committed; it is the current directory."""
    isolate(monkeypatch)
    repository = Repository.create(tmp_path / "repo")
    repository.commit(a=TEN)
    monkeypatch.chdir(repository.top)
    return repository


def spans(path: str | Path, rev: str | None = None) -> tuple[tuple[int, int], ...]:
    return touched([Path(path)], rev)[Path(path)].spans


# --- the lines of a diff


@pytest.mark.parametrize(
    ("first", "last", "there"),
    [
        (1, 2, False),
        (2, 3, True),
        (3, 3, True),
        (4, 9, True),
        (5, 6, True),
        (6, 6, False),
        (6, 9, True),
        (9, 12, False),
    ],
)
def test_what_overlaps(first: int, last: int, there: bool) -> None:
    lines = Lines(((3, 5), (9, 8)))
    assert lines.overlaps(first, last) is there
    assert ALL.overlaps(first, last)
    assert not Lines().overlaps(first, last)


LINES = [*"abcd", "", "-- a", "++ b", "@@ -1,9 +1,9 @@", "diff --git x y", "rename to z", "Binary files a and b differ",
         "\\ No newline at end of file", "é", "a\r", "\x0c\x0b\x1c\x85\u2028"]  # fmt: skip
NAMES = st.text(st.sampled_from("ab -\"\\'\n\r\t:*é\u2028\udcff"), min_size=1, max_size=8)
TEXTS = st.tuples(st.lists(st.sampled_from(LINES), max_size=12), st.booleans())


def joined(text: tuple[list[str], bool]) -> str:
    lines, ended = text
    return "\n".join(lines) + ("\n" if lines and ended else "")


def lines_of(text: str) -> list[str]:
    return [line + "\n" for line in text.split("\n")[:-1]] + ([text.split("\n")[-1]] if text.split("\n")[-1] else [])


def common(old: list[str], new: list[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(new) + 1)
    for line in old:
        before = row[:]
        for at, other in enumerate(new):
            row[at + 1] = before[at] + 1 if line == other else max(before[at + 1], row[at])
    return row[-1]


def explains(old: list[str], new: list[str], found: tuple[tuple[int, int], ...]) -> bool:
    """Whether what is not touched stands in the old text as it is: runs of lines in order, cut at spans alone."""
    edges = [0, *(edge for first, last in found for edge in (first - 1, last)), len(new)]
    assert edges == sorted(edges), "spans are in order and apart"
    runs = [new[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    # where the first run ends in the old text; it begins there, unless a span comes first
    places = {len(runs[0])} if old[: len(runs[0])] == runs[0] else set()
    for run in runs[1:]:
        starts = {start for place in places for start in range(place, len(old) + 1)}
        places = {start + len(run) for start in starts if old[start : start + len(run)] == run}
    return len(old) in places


@given(st.lists(st.tuples(NAMES, TEXTS, TEXTS, st.booleans()), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_touched_lines_are_the_fewest_that_turn_one_text_into_the_other(
    repository: Repository, files: list[tuple[str, tuple[list[str], bool], tuple[list[str], bool], bool]]
) -> None:
    top = Path(tempfile.mkdtemp(dir=repository.top))
    changed: dict[Path, tuple[list[str], list[str]]] = {}
    for number, (name, old, new, _) in enumerate(files):
        path = top / str(number) / name
        repository.write(str(path), joined(old))
        changed[path] = lines_of(joined(old)), lines_of(joined(new))
    repository.commit()
    for path, (_, _, new, staging) in zip(changed, files, strict=True):
        path.write_bytes(joined(new).encode())
        if staging:
            repository.git("add", "--", str(path))
    found = touched(list(changed))
    for path, (before, after) in changed.items():
        assert explains(before, after, found[path].spans)
        assert sum(last - first + 1 for first, last in found[path].spans) == len(after) - common(before, after)
        assert bool(found[path].spans) == (before != after)


def test_a_hunk_is_no_header_whatever_it_holds() -> None:
    """A name that git quotes, a hunk that reads like another file's, and no newline at either end."""
    diff = [b'diff --git "a\\nb\\303\\251\\"\\\\.py" "a\\nb\\303\\251\\"\\\\.py"\n', b"index 1..2 100644\n",
            b'--- "a\\nb\\303\\251\\"\\\\.py"\n', b'+++ "a\\nb\\303\\251\\"\\\\.py"\n', b"@@ -3,2 +2,0 @@ def f():\n",
            b"--- c\n", b"-diff --git c c\n", b"@@ -9 +7,2 @@\n", b"-x\n", b"\\ No newline at end of file\n",
            b"+@@ -1 +1 @@\n", b"++++ c\n", b"\\ No newline at end of file\n", b"diff --git c c\n",
            b"Binary files c and c differ\n"]  # fmt: skip
    assert changes.parse(diff) == {'a\nbé"\\.py'.encode(): Lines(((3, 2), (7, 8))), b"c": ALL}


# --- what counts as touched

EDITED = TEN.replace("3\n", "three\n").replace("8\n", "")
# line 3 is another one, and one is missing after 7
EXPECTED = ((3, 3), (8, 7))


def test_staged_or_not(repository: Repository) -> None:
    assert spans("a.py") == ()
    path = repository.write("a.py", EDITED)
    assert spans("a.py") == EXPECTED
    repository.git("add", "a.py")
    assert spans("a.py") == EXPECTED
    path.write_text(EDITED.replace("5\n", "five\n"))
    assert spans("a.py") == ((3, 3), (5, 5), (8, 7))
    repository.commit()
    assert spans("a.py") == ()


def test_since_a_commit(repository: Repository) -> None:
    repository.git("tag", "begin")
    repository.commit(a=EDITED, b="x\ny\n")
    repository.write("a.py", EDITED + "more\n")
    for rev in ("HEAD~1", "begin", "begin^{tree}", repository.git("rev-parse", "begin").strip()):
        assert spans("a.py", rev) == (*EXPECTED, (10, 10))
        assert spans("b.py", rev) == ((1, 2),)
    assert spans("a.py", "HEAD") == spans("a.py") == ((10, 10),)


def test_of_a_merge_what_neither_side_had(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "theirs")
    repository.commit(a=TEN.replace("2\n", "their 2\n").replace("9\n", ""), b="theirs\n")
    repository.git("switch", "--quiet", "main")
    repository.commit(a=TEN.replace("2\n", "our 2\n").replace("5\n", "our 5\n"), c="ours\n")
    assert repository.try_git("merge", "theirs").returncode == 1
    resolved = TEN.replace("2\n", "2 of both\n").replace("5\n", "our 5\n").replace("9\n", "").replace("7\n", "")
    repository.write("a.py", resolved)
    names = [Path("a.py"), Path("b.py"), Path("c.py")]
    assert [*touched(names).values()] == [Lines(((2, 2), (7, 6))), Lines(), Lines()]
    assert [*touched(names, "HEAD").values()] == [Lines(((2, 2), (7, 6), (8, 7))), Lines(((1, 1),)), Lines()]
    repository.git("add", "a.py")
    assert spans("a.py") == ((2, 2), (7, 6))
    repository.commit()
    assert spans("a.py") == ()


def test_what_git_does_not_know_is_touched_wholly_but_not_what_it_ignores(repository: Repository) -> None:
    repository.write(".gitignore", "built/\n:!*\n")
    names = [Path(name) for name in ("new.py", "dir/new.py", ":(icase)x.py", "-n.py", "built/a.py", ":!y.py")]
    for name in names:
        repository.write(str(name), "x\n")
    assert [*touched(names).values()] == [ALL] * 4 + [Lines()] * 2
    # a file that was added all the same is a file like others
    repository.git("add", "--force", "built/a.py")
    repository.git("add", "--intent-to-add", "new.py")
    assert spans("built/a.py") == spans("new.py") == ((1, 1),)


@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_before_the_first_commit_all_lines_are_touched(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    unborn = Repository.create(repository.top.parent / "unborn", f"--object-format={format}")
    unborn.write("a.py", TEN)
    monkeypatch.chdir(unborn.top)
    assert touched([Path("a.py")]) == {Path("a.py"): ALL}
    unborn.git("add", "a.py")
    assert spans("a.py") == ((1, 10),)
    assert staged() == Staged((Path("a.py"),), ())
    with pytest.raises(InputError, match="HEAD: git knows no such commit"):
        touched([Path("a.py")], "HEAD")


@pytest.mark.parametrize("new", ["b.py", "a name.py", '"b".py', "b\n.py", "ä.py", "dir/a.py", "b c.py b c.py"])
@pytest.mark.parametrize("old", ["a.py", "b c.py", "-\t.py"])
def test_what_was_renamed_is_compared_with_what_it_was(repository: Repository, old: str, new: str) -> None:
    if old != "a.py":
        repository.git("mv", "--", "a.py", old)
        repository.commit()
    (repository.top / new).parent.mkdir(exist_ok=True)
    repository.git("mv", "--", old, new)
    assert spans(new) == ()
    repository.write(new, EDITED)
    assert spans(new) == EXPECTED
    repository.git("add", "--", new)
    assert spans(new) == EXPECTED
    assert staged().wholly == (Path(new),)


def test_a_mode_is_no_line_and_a_binary_file_has_none(repository: Repository) -> None:
    repository.write(".gitattributes", "b*.py binary\n")
    repository.write("b and b.py differ.py", TEN)
    repository.commit(b=TEN)
    (repository.top / "a.py").chmod(0o755)
    names = [Path("a.py"), Path("b.py"), Path("b and b.py differ.py")]
    assert [*touched(names).values()] == [Lines(), Lines(), Lines()]
    for name in names:
        repository.write(str(name), EDITED)
    assert [*touched(names).values()] == [Lines(EXPECTED), ALL, ALL]


def test_line_ends_that_git_converts_are_not_touched(repository: Repository) -> None:
    repository.git("config", "core.autocrlf", "true")
    repository.write("a.py", TEN.replace("\n", "\r\n"))
    assert spans("a.py") == ()
    repository.write("a.py", EDITED.replace("\n", "\r\n"))
    assert spans("a.py") == EXPECTED


# --- where a file lies


def test_a_subdirectory_and_other_ways_to_say_where(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.write("sub/deep/b.py", TEN)
    repository.commit()
    repository.write("a.py", EDITED)
    repository.write("sub/deep/b.py", EDITED)
    monkeypatch.chdir(repository.top / "sub")
    names = [Path("deep/b.py"), Path("../a.py"), Path("deep/../../a.py"), repository.top / "a.py"]
    assert touched(names) == dict.fromkeys(names, Lines(EXPECTED))
    # also from outside
    monkeypatch.chdir(repository.top.parent)
    assert spans("repo/sub/deep/b.py") == EXPECTED


def test_a_symlink_is_the_file_it_leads_to(repository: Repository) -> None:
    (repository.top / "link.py").symlink_to("a.py")
    (repository.top / "dir").symlink_to(".")
    repository.commit()
    repository.write("a.py", EDITED)
    assert spans("link.py") == spans("dir/a.py") == EXPECTED


def test_a_linked_worktree(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.git("worktree", "add", "--quiet", "../other")
    repository.write("a.py", "x\n")
    other = repository.top.parent / "other"
    (other / "a.py").write_text(EDITED)
    assert spans(other / "a.py") == EXPECTED
    monkeypatch.chdir(other)
    assert spans("a.py") == EXPECTED


def test_a_submodule_is_a_repository_of_its_own(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Repository.create(repository.top.parent / "library")
    library.commit(a=TEN)
    repository.git("submodule", "--quiet", "add", str(library.top), "lib")
    repository.commit()
    both = [Path("a.py"), Path("lib/a.py")]
    assert [*touched(both).values()] == [Lines(), Lines()]
    repository.write("lib/a.py", EDITED)
    assert [*touched(both).values()] == [Lines(), Lines(EXPECTED)]
    # in a hook of the outer one
    with monkeypatch.context() as environment:
        environment.setenv("GIT_INDEX_FILE", ".git/index")
        environment.setenv("GIT_DIR", str(repository.top / ".git"))
        assert [*touched(both).values()] == [Lines(), Lines(EXPECTED)]
    # what the outer one says of it is no line, though settings ask for all of it
    Repository(repository.top / "lib").commit(a="x\n")
    repository.git("config", "diff.submodule", "diff")
    repository.git("add", "lib")
    assert staged() == Staged((), ())


def test_a_repository_that_the_environment_names(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those keep one who version the files of their home directory."""
    (repository.top / ".git").rename(repository.top.parent / "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(repository.top.parent / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repository.top))
    repository.write("a.py", EDITED)
    assert spans("a.py") == EXPECTED
    monkeypatch.chdir(repository.top.parent)
    assert spans("repo/a.py") == EXPECTED


PRINT = f"""#!/bin/sh
PYTHONPATH='{CLI}' exec '{sys.executable}' -c '
from pathlib import Path
from codellama.changes import staged, touched
print(*(lines.spans for lines in touched([Path("a.py"), Path("b.py")]).values()), *staged().wholly, *staged().partly)
' >"$TOLD"
"""


@pytest.mark.parametrize("linked", [False, True])
def test_f38_the_index_of_a_hook(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    repository.hook(PRINT)
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    if linked:
        repository.git("worktree", "add", "--quiet", "../other")
        repository = Repository(repository.top.parent / "other")

    def told(*arguments: str) -> str:
        repository.git("commit", "--quiet", "-m", "a commit", *arguments)
        return (tmp_path / "told").read_text().strip()

    repository.write("a.py", EDITED)
    repository.write("b.py", "x\n")
    repository.git("add", "b.py")
    # the index of this commit holds b.py no more than HEAD does
    assert told("a.py") == f"{EXPECTED} ((1, {sys.maxsize}),) a.py"
    repository.write("a.py", TEN)
    assert told("--all") == "((3, 3), (8, 8)) ((1, 1),) a.py b.py"
    repository.write("a.py", EDITED)
    repository.git("add", "a.py")
    repository.write("a.py", EDITED + "more\n")
    assert told() == f"{(*EXPECTED, (10, 10))} () a.py"


# --- settings


@pytest.mark.parametrize(
    "setting",
    ["diff.external=false", "color.ui=always", "color.diff=always", "diff.colorMoved=zebra",
     "diff.noprefix=true", "diff.mnemonicPrefix=true", "core.quotePath=false", "diff.context=5",
     "diff.interHunkContext=9", "diff.renames=false", "diff.renames=copies", "diff.algorithm=patience",
     "diff.suppressBlankEmpty=true", "diff.wsErrorHighlight=all", "diff.relative=true", "diff.submodule=log",
     "diff.srcPrefix=x/", "diff.indentHeuristic=false", "diff.dirstat=files", "diff.orderFile=/nonexistent",
     "core.pager=false", "diff.p.textconv=false", "diff.p.command=false", "diff.p.xfuncname=.*",
     "diff.wordRegex=.", "diff.ignoreSubmodules=none", "status.renames=false", "core.abbrev=40"],
)  # fmt: skip
def test_settings_do_not_change_the_answer(repository: Repository, setting: str) -> None:
    repository.write(".gitattributes", "*.py diff=p\n")
    repository.write("sub/é ü.py", TEN)
    repository.write("old.py", TEN.replace("\n", "!\n"))
    repository.commit()
    repository.git("config", *setting.split("=", 1))
    repository.git("mv", "old.py", "new.py")
    for name in ("a.py", "sub/é ü.py"):
        repository.write(name, EDITED)
    repository.write("new.py", EDITED.replace("\n", "!\n"))
    repository.git("add", "--all")
    names = [Path("a.py"), Path("sub/é ü.py"), Path("new.py")]
    with chdir(repository.top / "sub"):
        assert touched([Path("..") / name for name in names]) == {Path("..") / name: Lines(EXPECTED) for name in names}
    assert sorted(staged().wholly) == sorted([*names])


@pytest.mark.parametrize(("name", "value"), [("GIT_DIFF_OPTS", "-u7"), ("GIT_EXTERNAL_DIFF", "false"), ("LC_ALL", "C")])
def test_the_environment_does_not_change_the_answer(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    repository.write("a.py", EDITED)
    assert spans("a.py") == EXPECTED


def test_the_index_is_only_read(repository: Repository) -> None:
    """Also where times of files are others than in the index, which git likes to bring up to date."""
    index = repository.top / ".git" / "index"
    repository.write("a.py", TEN)
    os.utime("a.py", (1, 1))
    before = index.read_bytes()
    (repository.top / ".git" / "index.lock").touch()
    assert spans("a.py") == ()
    assert staged() == Staged((), ())
    (repository.top / ".git" / "index.lock").unlink()
    assert spans("a.py") == ()
    assert staged() == Staged((), ())
    assert index.read_bytes() == before


# --- what is staged


def test_f38_partly_staged_files_are_told_apart(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["wholly.py", "partly.py", "times.py", "gone.py", "not.py", "removed.py", "sub/a\nb é.py", "-n.py"]
    repository.write("untouched.py", TEN)
    for name in names[:6]:
        # so that none is taken for the rename of another
        repository.write(name, TEN if name != "removed.py" else "x\ny\n")
    repository.commit()
    (repository.top / "link.py").symlink_to("a.py")
    for name in names[:4] + names[6:]:
        repository.write(name, EDITED)
    repository.git("add", "--all")
    repository.git("rm", "--quiet", "--cached", "removed.py")
    repository.write("partly.py", EDITED + "more\n")
    repository.write("not.py", EDITED)
    (repository.top / "gone.py").unlink()
    os.utime("times.py", (1, 1))
    assert sorted(staged().wholly) == [Path("-n.py"), Path("sub/a\nb é.py"), Path("times.py"), Path("wholly.py")]
    assert staged().partly == (Path("gone.py"), Path("partly.py"))
    monkeypatch.chdir(repository.top / "sub")
    assert Path("../wholly.py") in staged().wholly
    assert Path("a\nb é.py") in staged().wholly


# --- what goes wrong


def test_no_git(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository.top))
    for ask in (staged, lambda: touched([Path("a.py")])):
        with pytest.raises(InputError, match=r"^git cannot be run, .*: No such file or directory$"):
            ask()


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    isolate(monkeypatch)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^a\.py: is in no git repository"):
        touched([Path("a.py")])
    with pytest.raises(InputError, match=r"^the current directory is in no git repository"):
        staged()


@pytest.mark.parametrize(
    "rev", ["nope", "", "HEAD..main", "^HEAD", "--all", "--glob=main", "-h", "HEAD~9", "main:b.py"]
)
def test_no_such_commit(repository: Repository, rev: str) -> None:
    repository.git("tag", "--", "begin")
    with pytest.raises(InputError, match="^" + re.escape(f"{rev}: git knows no such commit in {repository.top}") + "$"):
        touched([Path("a.py")], rev)


def test_what_git_says_is_passed_on(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^git failed in .*: error: bad tree object"):
        touched([Path("a.py")], "HEAD:a.py")
    # as git's own tests do, for files of another user
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(InputError, match=r"^git failed in .*: fatal: detected dubious ownership"):
        touched([Path("a.py")])


# --- as options of `codellama docstring`

CLASS = """\
class Box:
    @property
    def area(self):
        return 2

    def side(self):
        return 3

    size = 1
"""


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        ("return 3", "return 4", "6: method Box.side"),
        ("@property", "@cached", "3: method Box.area"),
        ("Box", "Case", "1: class Case"),
        ("Box:", "Box:\n    # of cardboard", "1: class Box"),
        ("size = 1", "size = 2", ""),
        ("    def side", "\n    def side", ""),
        ("class Box:", "import os\n\n\nclass Box:", ""),
        ("        return 2\n", "        two = 2\n        return two\n", "3: method Box.area"),
    ],
)
def test_what_is_touched_is_what_should_have_a_docstring(
    repository: Repository, cli: Cli, old: str, new: str, missing: str
) -> None:
    """Not a class whose method was edited."""
    repository.commit(a=CLASS)
    repository.write("a.py", CLASS.replace(old, new, 1))
    for options in (["--changed", "a.py"], ["--changed", "."], ["--since", "HEAD", "a.py"]):
        assert cli("docstring", "--check", *options).out == (f"a.py:{missing} has no docstring\n" if missing else "")
    assert cli("docstring", "--check", "--staged").out == ""
    repository.git("add", "a.py")
    assert bool(cli("docstring", "--check", "--staged").out) == bool(missing)


def test_since_and_changed_together(repository: Repository, cli: Cli) -> None:
    repository.commit(a=CLASS)
    repository.commit(a=CLASS.replace("return 2", "return 5"))
    repository.write("a.py", CLASS.replace("return 2", "return 5").replace("return 3", "return 6"))
    one, both = (
        cli("docstring", "--check", "--changed", "a.py"),
        cli("docstring", "--check", "--since", "HEAD~", "a.py"),
    )
    assert (one.code, one.out) == (3, "a.py:6: method Box.side has no docstring\n")
    assert (both.code, both.out) == (3, "a.py:3: method Box.area has no docstring\n" + one.out)
    assert cli("docstring", "--check", "--changed").out == one.out, "without a path: all that is here"
    assert cli("docstring", "--check", "--changed", "--since", "HEAD~", "a.py").out == both.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--staged", "a.py"], "--staged takes the files from git: leave the paths out"),
        (["--changed", "-"], "git knows nothing of standard input: leave --changed and --since out"),
        (["--since", "", "a.py"], ": git knows no such commit in "),
        (["--since", "nope", "a.py"], "nope: git knows no such commit in "),
    ],
)
def test_options_that_cannot_be(repository: Repository, cli: Cli, arguments: list[str], complaint: str) -> None:
    done = cli("docstring", *arguments)
    assert done.code == 2
    assert done.err.startswith(f"codellama: {complaint}")
