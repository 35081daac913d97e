"""A directory appears complete or not at all.

It is filled beside its place under a temporary name, `.NAME.codellama-new`, and renamed last. An old one that it
replaces is renamed to `.NAME.codellama-old` just before, and removed after.

A lock on the temporary directory tells a run that is still at work from one that was killed: the kernel drops it with
the process. What a killed run left is removed by the next run for the same output, or gone on with where that is asked
for, and an old directory that had just been renamed takes its place again. One that is to be removed is renamed to
`.NAME.codellama-gone` first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from codellama import manifest
from codellama.errors import CodellamaError, InputError


def place_of(output: Path) -> Path:
    """Where the output is: beside it the temporary directories are."""
    return output.resolve() if output.is_symlink() else output.parent.resolve() / output.name


def target(output: Path, source: Path, force: bool) -> Path:
    """Where the output goes: a symbolic link is followed with `force`. Raises InputError where it may not go there."""
    if output.is_symlink() and not force:
        raise InputError(f"{output}: is a symbolic link: name what it points to, or --force follows it")
    place = place_of(output)
    given = source.resolve()
    if place == given or (place.exists() and place.samefile(given)):
        raise InputError(f"{output}: is the input: name another directory")
    if given.is_relative_to(place):
        raise InputError(f"{output}: the input lies in it: name another directory")
    if not output.name or output.name == "..":
        raise InputError(f"{output}: name a directory to be made")
    if not place.parent.is_dir():
        raise InputError(f"{output}: {place.parent} is no directory: make it first")
    if os.path.lexists(place):
        if not force:
            raise InputError(f"{output}: exists: name another directory, or --force replaces it once all is done")
        if not place.is_dir():
            raise InputError(f"{output}: is no directory: remove it yourself, or name another")
        made = manifest.read(place) if (place / manifest.MANIFEST).is_file() else {}
        others = [path.name for path in place.iterdir() if path.name not in (*made, manifest.MANIFEST)]
        if others:
            raise InputError(f"{output}: holds {min(others)}, which codellama convert did not make: move it away")
    return place


@contextmanager
def publishing(place: Path, *, resume: bool = False) -> Iterator[Path]:
    """A directory to fill, which then takes its place; if anything is raised, nothing is left of it.

    With `resume` all is left, for a later run to go on with, and what an earlier one left is there at the beginning.
    Raises CodellamaError where the disk is full or fails, InputError where another run is writing the same output.
    """
    new = beside(place, "new")
    lock, ours = None, False
    try:
        if not resume:
            _remove_leftover(new)
        new.mkdir(parents=resume, exist_ok=resume)
        ours = not resume
        lock = _locked(new)
        if lock is None:
            ours = False
            raise InputError(f"{place}: another run is writing it: wait for it, or stop it")
        yield new
        _sync(new)
        _swap(new, place)
    except BaseException as error:
        if ours:
            _remove(new)
        if isinstance(error, OSError):
            raise _failed(place, error, resume) from error
        raise
    finally:
        if lock is not None:
            os.close(lock)


def discard(place: Path) -> None:
    """Remove a directory, and what runs left beside it; it is gone for everybody before the first file is.

    Raises InputError while a run is at work there, OSError.
    """
    _remove_leftover(beside(place, "new"))
    # not `old`, which the next run would put back
    gone = beside(place, "gone")
    _remove(gone)
    _remove(beside(place, "old"))
    if place.is_dir():
        place.rename(gone)
        shutil.rmtree(gone)


def traces(place: Path) -> bool:
    """Whether there is anything to discard."""
    return any(directory.is_dir() for directory in (place, *(beside(place, what) for what in ("new", "old", "gone"))))


def recover(place: Path) -> None:
    """Undo half a replacement, which a run left that was killed between its two renamings. Raises CodellamaError."""
    old = beside(place, "old")
    if old.is_dir() and not os.path.lexists(place):
        try:
            old.rename(place)
        except OSError as error:
            raise _failed(place, error) from error


def beside(place: Path, what: str) -> Path:
    """The directory that is filled (`new`), replaced (`old`) or removed (`gone`)."""
    return place.with_name(f".{place.name}.codellama-{what}")


def unfinished(folder: str) -> str | None:
    """The name of the place that a directory called so is being filled for. None: it is no such directory."""
    name = folder.removeprefix(".").removesuffix(".codellama-new")
    return name if name and beside(Path(name), "new").name == folder else None


def _remove_leftover(new: Path) -> None:
    """Remove what a killed run left. Raises InputError where the run is still alive."""
    if not new.is_dir():
        return
    lock = _locked(new)
    if lock is None:
        raise InputError(f"{new}: another run is at work there: wait for it, or stop it")
    try:
        _remove(new)
    finally:
        os.close(lock)


def _locked(directory: Path) -> int | None:
    """A descriptor with the directory's lock. None: somebody else holds it, or removed the directory meanwhile."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # a network's file system may know no locks: there two runs at once are not told apart
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                raise
        if os.path.samestat(directory.stat(), os.fstat(descriptor)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _swap(new: Path, place: Path) -> None:
    old = beside(place, "old")
    _remove(old)
    if not place.is_dir():
        new.rename(place)
    else:
        place.rename(old)
        try:
            new.rename(place)
        except BaseException:
            old.rename(place)
            raise
        _remove(old)
    # it is complete: losing its name in a power cut would be all that can happen still
    with suppress(OSError):
        _sync(place.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def _failed(place: Path, error: OSError, resume: bool = False) -> CodellamaError:
    left = "what is there is kept: make room, or mend it, and run it again" if resume else "nothing of it was left"
    return CodellamaError(f"{place}: cannot be written: {error.strerror or error}; {left}")
