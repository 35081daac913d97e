"""The history's file: made private, brought to the present schema, and put aside where it is damaged."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from codellama.migrations import MIGRATIONS

if TYPE_CHECKING:
    # 7 ms: imported where it is used
    import sqlite3

BUSY = 5.0
# seconds to wait for other writers
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "fuse.")
# what file systems of a network are called in /proc/mounts


class Refused(Exception):
    """A file that cannot be used as a history and is left as it is. Says why, on one line."""


def open_file(path: Path, warn: Callable[[str], None]) -> sqlite3.Connection:
    """The file at the present schema, made where there is none; a damaged one is put aside first, which `warn` is told.

    Raises Refused.
    """
    import sqlite3

    try:
        _create(path)
        try:
            return _open(path)
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
        put_aside(path, warn)
        _create(path)
        return _open(path)
    except sqlite3.Error as error:
        raise Refused(f"{path}: {why(error)}") from None
    except OSError as error:
        raise Refused(f"{path}: cannot be written: {error.strerror}") from None


def read_only(path: Path) -> sqlite3.Connection:
    """A copy in memory of what is in the file; an empty one where that cannot be read."""
    import sqlite3

    # immutable: without the log's index, which a directory that cannot be written has no room for
    for mode in ("ro", "ro&immutable=1"):
        memory = in_memory()
        with suppress(sqlite3.Error), closing(_connect(path, mode)) as db:
            if _version(db) == len(MIGRATIONS):
                db.backup(memory)
                if _sound(memory):
                    return memory
        memory.close()
    return in_memory()


def in_memory() -> sqlite3.Connection:
    import sqlite3

    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    for migrate in MIGRATIONS:
        migrate(db)
    db.execute("PRAGMA foreign_keys = ON")
    return db


def damaged(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is no database, or a broken one."""
    import sqlite3

    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def why(error: sqlite3.Error) -> str:
    """What an error says, for a message."""
    import sqlite3

    known = {
        sqlite3.SQLITE_READONLY: "cannot be written: it is read-only",
        sqlite3.SQLITE_FULL: "cannot be written: the disk is full",
        sqlite3.SQLITE_BUSY: f"is locked by another program for more than {BUSY:.0f} seconds",
        sqlite3.SQLITE_CORRUPT: "is damaged",
        sqlite3.SQLITE_NOTADB: "is damaged",
    }
    return known.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, f"cannot be used: {error}")


def put_aside(path: Path, warn: Callable[[str], None]) -> None:
    """Give a damaged file another name, unless another process has just done so. Raises OSError."""
    import sqlite3

    with _locked(path.parent):
        try:
            with closing(_connect(path, "rw")) as db:
                sound = _sound(db)
        except sqlite3.Error as error:
            sound = not damaged(error)
        if sound:
            return
        names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
        aside = next(name for name in names if not name.exists())
        # its logs too, which would be played into the next file of this name
        for suffix in ("-journal", "-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    warn(f"{path}: is damaged; it is kept as {aside.name}, and a new history begins")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        # a file system without locks is no reason to fail
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create(path: Path) -> None:
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # SQLite would make it 0644 & ~umask; an empty file is an empty database to it, and its journals take its mode
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    import sqlite3

    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False
    )
    db.execute("PRAGMA foreign_keys = ON")
    # what is deleted is overwritten
    db.execute("PRAGMA secure_delete = ON")
    return db


def _choose_journal(db: sqlite3.Connection, path: Path) -> None:
    """A write-ahead log, with which 50 writers of 41 transactions each are done in 5 s; with a rollback journal half of
    them wait in vain for more than 5 s. Not on a network's file system: other machines do not share the log's memory,
    and would damage the file (https://sqlite.org/wal.html).
    """
    import sqlite3

    # another process may be using the file as it is
    with suppress(sqlite3.OperationalError):
        db.execute(f"PRAGMA journal_mode = {'DELETE' if _on_network(path) else 'WAL'}")


def _on_network(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a file lies on a network's file system, as far as Linux tells."""
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return False
    resolved = path.resolve()
    # spaces in names are written \040
    kinds = {Path(row[1].replace("\\040", " ")): row[2] for row in rows if len(row) > 2}
    home = next((parent for parent in resolved.parents if parent in kinds), None)
    return home is not None and kinds[home].startswith(_NETWORK)


def _sound(db: sqlite3.Connection) -> bool:
    return bool(db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _open(path: Path) -> sqlite3.Connection:
    db = _connect(path, "rw")
    try:
        if not os.access(path, os.W_OK):
            raise Refused(f"{path}: cannot be written: it is read-only")
        if _version(db) != len(MIGRATIONS):
            _migrate(db, path)
        _choose_journal(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN IMMEDIATE")
    # another process may have been quicker
    version = _version(db)
    if version > len(MIGRATIONS):
        raise Refused(f"{path}: was written by a newer codellama (schema {version}; this one knows {len(MIGRATIONS)})")
    if version == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise Refused(f"{path}: is another program's database")
    if 0 < version < len(MIGRATIONS):
        _back_up(path, path.with_name(f"{path.stem}-v{version}{path.suffix}"))
    for migrate in MIGRATIONS[version:]:
        migrate(db)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    db.execute("COMMIT")


def _back_up(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    _create(copy)
    # a reader of its own: SQLite's backup waits for ever for the transaction of the connection that it copies
    with closing(_connect(path, "ro")) as source, closing(_connect(copy, "rw")) as target:
        source.backup(target)
