"""Whatever happens, the output is complete or not there, and what was there before is not lost."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codellama import publish
from codellama.convert import conversion, origin
from codellama.convert.conversion import Conversion
from codellama.convert.verify import recheck
from codellama.errors import CodellamaError, ExitCode, InputError
from codellama.manifest import MANIFEST
from tests.harness import Cli
from tests.meta import parameters, random_weights, save

CALLS = ("mkdir", "open", "pwrite", "fsync", "rename")
# of the os module: all that a conversion changes the disk with


def silent(doing: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    params = parameters(dim=16, n_heads=2, n_kv_heads=2, n_layers=1)
    return save(tmp_path / "meta", random_weights(params, 4200), params, count=2)


@pytest.fixture
def planned(meta: Path) -> Iterator[Conversion]:
    """Of four files of weights, that write in all ways there are."""
    with origin.opened(meta) as found:
        yield conversion.plan(found, "base", shard_size=100_000)


def state(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


class Fault:
    """Stands in for a function of the os module and does something else at one of its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, at: int, act: Callable[[], None]) -> None:
        self.calls = 0
        real = getattr(os, name)

        def stand_in(*arguments: Any, **settings: Any) -> Any:
            # what only reads is left alone
            reads = name == "open" and len(arguments) > 1 and not arguments[1] & os.O_CREAT
            if not reads:
                self.calls += 1
                if self.calls == at:
                    act()
            return real(*arguments, **settings)

        monkeypatch.setattr(os, name, stand_in)


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def calls_of(planned: Conversion, output: Path, name: str, *, force: bool = False) -> int:
    """How often a sound conversion calls a function."""
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(patch, name, 0, full)
        planned.run(output, force=force, report=silent)
    return fault.calls


@pytest.mark.parametrize("force", [False, True], ids=["new", "forced"])
@pytest.mark.parametrize("name", CALLS)
def test_f09_disk_full_at_any_write(planned: Conversion, meta: Path, tmp_path: Path, name: str, force: bool) -> None:
    before, output = state(meta), tmp_path / "out"
    count = calls_of(planned, output, name)
    assert count > 0
    if force:
        count = calls_of(planned, output, name, force=True)
        (output / "config.json").write_text("old")
    else:
        remove(output)
    old = state(output)
    for at in range(1, count + 1):
        with pytest.MonkeyPatch.context() as patch:
            Fault(patch, name, at, full)
            if (name, at) == ("fsync", count):
                # the last one, of the directory around it, does no harm
                planned.run(output, force=force, report=silent)
                continue
            with pytest.raises(CodellamaError) as caught:
                planned.run(output, force=force, report=silent)
        assert caught.value.exit_code is ExitCode.FAILED
        assert str(caught.value) == f"{output}: cannot be written: No space left on device; nothing of it was left"
        assert state(output) == old
        assert output.exists() == force
        assert {path.name for path in tmp_path.iterdir()} <= {"meta", "out"}
    assert state(meta) == before
    planned.run(output, force=True, report=silent)
    recheck(output, silent)


def remove(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


def test_f09_free_space_is_checked_first(planned: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "free_disk", lambda directory: planned.bytes - 1)
    with pytest.raises(CodellamaError, match=r"out: needs 0\.0 GB, 0\.0 GB are free there: make room, or name"):
        planned.run(tmp_path / "out", force=False, report=silent)
    assert [path.name for path in tmp_path.iterdir()] == ["meta"]


@pytest.mark.parametrize("force", [False, True], ids=["new", "forced"])
@pytest.mark.parametrize("name", CALLS)
def test_f10_killed_at_any_point(planned: Conversion, tmp_path: Path, name: str, force: bool) -> None:
    output = tmp_path / "out"
    count = calls_of(planned, output, name)
    if force:
        count = calls_of(planned, output, name, force=True)
    else:
        remove(output)
    old = state(output)
    # the first, the last, and some in between
    for at in sorted({1, 2, count // 2, count - 1, count} & set(range(1, count + 1))):
        assert killed(planned, output, name, at, force)
        if output.exists():
            recheck(output, silent)
            if not force:
                remove(output)
        else:
            assert not force or name in ("rename", "fsync")
        # whatever was left is put in order by the next run
        planned.run(output, force=force or output.exists(), report=silent)
        recheck(output, silent)
        assert {path.name for path in tmp_path.iterdir()} == {"meta", "out"}
        if not force:
            remove(output)
        else:
            assert state(output) == old


def killed(planned: Conversion, output: Path, name: str, at: int, force: bool) -> bool:
    """Whether a process was killed that ran a conversion up to some call."""
    with warnings.catch_warnings():
        # Python 3.12 warns of forking with threads, which torch has
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            Fault(patch, name, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
            planned.run(output, force=force, report=silent)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_f10_an_old_output_that_was_just_renamed_comes_back(planned: Conversion, tmp_path: Path) -> None:
    output = tmp_path / "out"
    planned.run(output, force=False, report=silent)
    old = state(output)
    assert killed(planned, output, "rename", 2, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.codellama-new", ".out.codellama-old", "meta"]
    # the next run restores it even where it then refuses to replace it
    with pytest.raises(InputError, match="out: exists"):
        planned.run(output, force=False, report=silent)
    assert state(output) == old


def test_a_run_that_is_still_at_work_is_left_alone(planned: Conversion, tmp_path: Path) -> None:
    with publish.publishing(tmp_path / "out") as directory:
        (directory / "half").write_text("x")
        with pytest.raises(InputError, match=r"\.out\.codellama-new: another run is at work there"):
            planned.run(tmp_path / "out", force=False, report=silent)
        assert (directory / "half").exists()
    assert state(tmp_path / "out") == {"half": b"x"}


def test_a_run_that_begins_while_another_ends_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is renamed, the temporary name belongs to whoever takes it next."""
    new = tmp_path / ".out.codellama-new"
    with publish.publishing(tmp_path / "out"):
        monkeypatch.setattr(publish, "_sync", lambda directory: None if directory == new else new.mkdir())
    assert new.is_dir()


def test_a_directory_that_was_locked_and_then_removed_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    real = fcntl.flock

    def removed(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        (tmp_path / "new").rmdir()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", removed)
        assert publish._locked(tmp_path / "new") is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError, OSError])
def test_nothing_is_left_after(tmp_path: Path, error: type[BaseException]) -> None:
    expected = CodellamaError if error is OSError else error
    with pytest.raises(expected), publish.publishing(tmp_path / "out"):
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stage", ["writing", "verifying"])
def test_ctrl_c_leaves_nothing(planned: Conversion, tmp_path: Path, stage: str) -> None:
    def interrupt(doing: str, done: int, total: int) -> None:
        if doing == stage and done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        planned.run(tmp_path / "out", force=False, report=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["meta"]


def test_an_output_that_came_back_changed_is_not_published(planned: Conversion, tmp_path: Path) -> None:
    def damage(doing: str, done: int, total: int) -> None:
        if done == total and doing == "writing":
            file = next(tmp_path.glob(".out*/model-00002-*"))
            data = bytearray(file.read_bytes())
            data[-1] ^= 1
            file.write_bytes(data)

    with pytest.raises(CodellamaError, match=r"in model-00002-of-.* came back from the disk other than it was written"):
        planned.run(tmp_path / "out", force=False, report=damage)
    assert [path.name for path in tmp_path.iterdir()] == ["meta"]


# F12: where an output may go


def test_f12_an_output_that_exists(cli: Cli, meta: Path, tmp_path: Path) -> None:
    def convert(output: str, *options: str) -> tuple[int, str]:
        done = cli("convert", str(meta), str(tmp_path / output), "--variant", "base", *options)
        return done.code, done.err.removeprefix(f"codellama: {tmp_path / output}: ")

    (tmp_path / "empty").mkdir()
    assert convert("empty") == (2, "exists: name another directory, or --force replaces it once all is done\n")
    assert convert("empty", "--force")[0] == 0
    assert convert("empty", "--force")[0] == 0
    (tmp_path / "file").write_text("x")
    assert convert("file")[1].startswith("exists")
    assert convert("file", "--force") == (2, "is no directory: remove it yourself, or name another\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    code, error = convert("full", "--force")
    assert (code, error[:17]) == (2, "holds thesis.tex,")
    assert (tmp_path / "full" / "thesis.tex").exists()
    (tmp_path / "empty" / "notes").mkdir()
    code, error = convert("empty", "--force")
    assert (code, error) == (2, "holds notes, which codellama convert did not make: move it away\n")
    assert (tmp_path / "empty" / "notes").exists()
    assert convert("no/such")[1].endswith("no is no directory: make it first\n")
    assert convert("..")[0] == 2


def test_f12_the_input_is_never_the_output(cli: Cli, meta: Path, tmp_path: Path) -> None:
    before = state(meta)
    (tmp_path / "link").symlink_to(meta)
    (meta / MANIFEST).write_text("as if it were ours")
    (tmp_path / MANIFEST).write_text("as if it were ours")
    for output in (meta, tmp_path / "link", tmp_path / "x" / ".." / "meta", meta / ".", tmp_path):
        for options in ((), ("--force",)):
            done = cli("convert", str(meta), str(output), *options)
            assert done.code == 2, done
            assert done.err.count("\n") == 1 or "base is taken" in done.err
    for given in (tmp_path / "link", meta):
        done = cli("convert", str(given), str(meta), "--force", "--variant", "base")
        assert (done.code, "is the input: name another directory" in done.err) == (2, True)
    (meta / MANIFEST).unlink()
    assert state(meta) == before


def test_f12_a_symbolic_link(cli: Cli, meta: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "dangling").symlink_to(tmp_path / "later")
    for name in ("link", "dangling"):
        done = cli("convert", str(meta), str(tmp_path / name), "--variant", "base")
        assert (done.code, "is a symbolic link: name what it points to, or --force follows it" in done.err) == (2, True)
        assert cli("convert", str(meta), str(tmp_path / name), "--variant", "base", "--force").code == 0
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "disk" / "model.safetensors").is_file()
    assert (tmp_path / "later" / "model.safetensors").is_file()


def test_f12_an_output_beside_or_in_the_input(cli: Cli, meta: Path) -> None:
    before = state(meta)
    assert cli("convert", str(meta), str(meta / "hf"), "--variant", "base").code == 0
    recheck(meta / "hf", silent)
    assert {name: data for name, data in state(meta).items() if not name.startswith("hf/")} == before


def test_f12_a_read_only_old_output_is_replaced(planned: Conversion, tmp_path: Path) -> None:
    output = tmp_path / "out"
    planned.run(output, force=False, report=silent)
    output.chmod(0o555)
    with pytest.raises(InputError, match="out: exists"):
        planned.run(output, force=False, report=silent)
    planned.run(output, force=True, report=silent)
    assert output.stat().st_mode & 0o200
    assert {path.name for path in tmp_path.iterdir()} == {"meta", "out"}


def test_f12_nowhere_to_write(cli: Cli, meta: Path) -> None:
    # a place where not even root may make a directory
    done = cli("convert", str(meta), "/proc/out", "--variant", "base")
    assert done.code == ExitCode.FAILED
    assert done.err.startswith("codellama: /proc/out: ")
    assert done.err.count("\n") == 1


# F14: modes


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_f14_modes_are_the_umasks(planned: Conversion, tmp_path: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        planned.run(tmp_path / "out", force=False, report=silent)
    finally:
        os.umask(previous)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()}
    assert modes == {0o666 & ~umask}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o777 & ~umask
