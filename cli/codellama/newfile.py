"""A file that the program makes for the user: there whole or not at all, and never over another one unasked."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from codellama.errors import CodellamaError, InputError


def check(path: Path, *, force: bool = False) -> None:
    """Raises what `create` would as far as that can be known before there are any bytes."""
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name a file")
    if os.path.lexists(path) and not force:
        raise InputError(f"{path}: is there already; --force replaces it")
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
                # unlike a renaming, a link takes nobody's place
                os.link(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
    except FileExistsError:
        raise InputError(f"{path}: is there already; --force replaces it") from None
    except OSError as error:
        raise CodellamaError(f"{path}: cannot be written: {error.strerror}; nothing is left there") from None
