"""A file that the program makes for the user: there whole or not at all, and never over another one unasked."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from codellama.errors import CodellamaError, InputError


def check(path: Path, *, force: bool = False, way_out: str = "name another") -> None:
    """Raises what `create` would as far as that can be known before there are any bytes. `way_out`: of a file that is
    there already.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name a file")
    if os.path.lexists(path) and not force:
        raise InputError(f"{path}: is there already; {way_out}")
    if force and path.exists() and not path.is_file():
        raise InputError(f"{path}: is not a regular file, so it is not replaced")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise CodellamaError(f"{path}: cannot be written: no permission to write into {path.parent}")


def create(path: Path, data: bytes, *, force: bool = False) -> None:
    """Make a file, mode 0666 less the umask; with `force` in place of another one. A symlink is not followed.

    Raises InputError where there is one already, or no such directory, CodellamaError where it cannot be written.
    """
    check(path, force=force)
    temporary = path.with_name(f".{path.name[:48]}.{os.urandom(8).hex()}.codellama")
    try:
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if force:
                temporary.replace(path)
            else:
                _take(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
    except FileExistsError:
        raise InputError(f"{path}: is there already; name another") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise CodellamaError(f"{path}: cannot be written: {why}; nothing is left there") from None


def _take(temporary: Path, path: Path) -> None:
    """Give the file its name. Unlike a renaming, a link takes nobody's place; not every file system has links."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary.replace(path)
