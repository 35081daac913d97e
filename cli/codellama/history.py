"""Conversations in SQLite.

A failure of the history never fails an answer. Where the file cannot be used, one warning says why, and all goes on
with a copy in memory of what could still be read, which ends with the program:

- A file that is no database, or a damaged one, is moved aside (`history.db.damaged-1`, `-2` …) and a new one begun.
- One of a newer schema is left alone, and so is one that cannot be written.
- A disk that fills up later, or a file that breaks later, is noticed at the next write.

The directory is 0700, the file 0600 from its creation. Before a migration the file is copied to `history-vN.db`.

For the full-screen chat: everything public here. All methods may be called from any thread.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from codellama.dialog import FinishReason, Message, Role, Sampling
from codellama.errors import InputError

if TYPE_CHECKING:
    from sqlite3 import Connection, Error

T = TypeVar("T")

_CONVERSATION = """
    SELECT c.id, c.title, c.model, c.created, c.updated, count(m.id), c.parent
    FROM conversations c LEFT JOIN messages m ON m.conversation = c.id"""
_MESSAGE = """
    SELECT role, content, created, model, precision, chat_format, sampling, finish_reason, tokens, seconds, id
    FROM messages"""


@dataclass(frozen=True, slots=True)
class Saved:
    """A message as it is kept. What follows `created` is known of answers alone."""

    role: Role
    content: str
    created: float = 0.0
    # seconds since 1970; 0: when it is added
    model: str = ""
    precision: str = ""
    # float16, 4bit …
    chat_format: str = ""
    sampling: Sampling | None = None
    finish_reason: FinishReason | None = None
    # None on an answer: it is being written, or the program died then
    tokens: int = 0
    seconds: float = 0.0
    # of generation
    id: int = 0
    # 0: not yet in the history

    @property
    def message(self) -> Message:
        return Message(self.role, self.content)

    @property
    def partial(self) -> bool:
        """Whether an answer was stopped before its end."""
        return self.role == "assistant" and self.finish_reason in (None, FinishReason.CANCELLED)


@dataclass(frozen=True, slots=True)
class Conversation:
    id: int
    title: str
    model: str
    # with which it can be found again (`-m`)
    created: float
    updated: float
    # seconds since 1970
    count: int
    # of messages
    parent: int | None
    # the one that it branched off; None also where that was deleted


def _ignore(text: str) -> None: ...


class History:
    """Use `open` or `nowhere`. Readers raise InputError where there is no such conversation; writers never fail."""

    def __init__(self, db: Connection, path: Path | None = None, warn: Callable[[str], None] = _ignore) -> None:
        self._db, self._path, self._warn, self._lock = db, path, warn, RLock()

    @classmethod
    def open(cls, path: Path, warn: Callable[[str], None] = _ignore) -> History:
        """The history in a file, made where there is none. `warn` is told on one line what is wrong with it."""
        from codellama import database  # sqlite3: 7 ms

        try:
            return cls(database.open_file(path, warn), path, warn)
        except database.Refused as refused:
            warn(f"{refused}; this conversation will not be kept")
            return cls(database.read_only(path))

    @classmethod
    def nowhere(cls, path: Path | None = None) -> History:
        """A history that keeps nothing beyond the program; with `path` it begins as a copy of that file."""
        from codellama import database

        return cls(database.in_memory() if path is None else database.read_only(path))

    @property
    def kept(self) -> bool:
        """Whether what is added outlasts the program."""
        return self._path is not None

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def conversations(self, limit: int | None = None, search: str = "") -> list[Conversation]:
        """The latest first; with `search` those whose title or one of whose messages holds each of its words."""
        where, values = _holding(search.split(), indexed=bool(search) and self._safely(_indexed))
        query = f"{_CONVERSATION} {where} GROUP BY c.id ORDER BY c.updated DESC, c.id DESC LIMIT ?"
        return [Conversation(*row) for row in self._rows(query, *values, -1 if limit is None else limit)]

    def conversation(self, id: int) -> Conversation:
        rows = self._rows(f"{_CONVERSATION} WHERE c.id = ? GROUP BY c.id", id)
        if not rows:
            raise InputError(f"there is no conversation {id}; `codellama history list` names those there are")
        return Conversation(*rows[0])

    def last(self) -> Conversation | None:
        """The one that was added to last; None: there is none."""
        return next(iter(self.conversations(1)), None)

    def messages(self, id: int) -> tuple[Saved, ...]:
        """In order. Empty where there is no such conversation."""
        return tuple(_saved(*row) for row in self._rows(f"{_MESSAGE} WHERE conversation = ? ORDER BY id", id))

    def start(self, title: str, model: str, parent: int | None = None) -> int:
        """A new conversation without messages, which branches off `parent`. Gives its id."""

        def insert(db: Connection) -> int:
            now = time.time()
            values = (title, model, parent, now, now)
            db.execute(
                "INSERT INTO conversations (title, model, parent, created, updated)"
                # another window may have deleted the one it branches off
                " VALUES (?, ?, (SELECT id FROM conversations WHERE id = ?), ?, ?)",
                values,
            )
            return _last_id(db)

        return self._write(insert)

    def add(self, id: int, saved: Saved) -> int:
        """Add a message to a conversation. Gives the message's id; 0: the conversation was deleted meanwhile."""
        columns = _columns(saved)

        def insert(db: Connection) -> int:
            if not _touch(db, id):
                return 0
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            query = f"INSERT INTO messages (conversation, {names}) VALUES (?, {marks})"
            db.execute(query, (id, *columns.values()))
            return _last_id(db)

        return self._write(insert)

    def replace(self, message: int, saved: Saved) -> bool:
        """Put a later state of a message in its place, an answer that goes on. False: it was deleted meanwhile."""
        columns = _columns(saved)

        def update(db: Connection) -> bool:
            names = ", ".join(f"{name} = ?" for name in columns)
            found = db.execute(f"UPDATE messages SET {names} WHERE id = ?", (*columns.values(), message)).rowcount > 0
            for (conversation,) in db.execute("SELECT conversation FROM messages WHERE id = ?", (message,)).fetchall():
                _touch(db, conversation)
            return found

        return self._write(update)

    def delete(self, id: int) -> None:
        """Delete a conversation and its messages, also from the file's free pages; those that branched off it stay."""
        self.conversation(id)

        def delete(db: Connection) -> None:
            db.execute("DELETE FROM conversations WHERE id = ?", (id,))
            # the index keeps what was deleted until its parts are merged
            if _indexed(db):
                db.execute("INSERT INTO message_texts (message_texts) VALUES ('optimize')")

        self._write(delete)
        # and so does the log
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._safely(lambda db: db.execute(query, values).fetchall())

    def _write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction."""

        def transaction(db: Connection) -> T:
            db.execute("BEGIN IMMEDIATE")
            try:
                done = work(db)
                db.execute("COMMIT")
                return done
            except BaseException:
                # some errors have ended it already
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

        return self._safely(transaction)

    def _safely(self, work: Callable[[Connection], T]) -> T:
        """Do something with the database; where the file fails, with what takes its place."""
        from sqlite3 import Error, ProgrammingError

        with self._lock:
            try:
                return work(self._db)
            except ProgrammingError:
                raise
            except Error as error:
                if self._path is None:
                    raise
                self._give_up(self._path, error)
                return work(self._db)

    def _give_up(self, path: Path, error: Error) -> None:
        """Go on in memory with what can still be read; a damaged file is put aside."""
        from contextlib import suppress

        from codellama import database

        self._warn(f"{path}: {database.why(error)}; from here on this conversation is not kept")
        self._db.close()
        self._db, self._path = database.read_only(path), None
        if database.damaged(error):
            with suppress(OSError):
                database.put_aside(path, self._warn)


def _indexed(db: Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'message_texts'").fetchone() is not None


def _touch(db: Connection, id: int) -> bool:
    """Note that a conversation was added to; False: it is not there."""
    return db.execute("UPDATE conversations SET updated = ? WHERE id = ?", (time.time(), id)).rowcount > 0


def _last_id(db: Connection) -> int:
    row: tuple[int] = db.execute("SELECT last_insert_rowid()").fetchone()
    return row[0]


def _columns(saved: Saved) -> dict[str, object]:
    return {
        "role": saved.role,
        "content": saved.content,
        "created": saved.created or time.time(),
        "model": saved.model,
        "precision": saved.precision,
        "chat_format": saved.chat_format,
        "sampling": json.dumps(asdict(saved.sampling)) if saved.sampling else "",
        "finish_reason": saved.finish_reason or "",
        "tokens": saved.tokens,
        "seconds": saved.seconds,
    }


def _saved(
    role: Role, content: str, created: float, model: str, precision: str, chat_format: str, sampling: str,
    finish_reason: str, tokens: int, seconds: float, id: int,
) -> Saved:  # fmt: skip
    return Saved(
        role, content, created, model, precision, chat_format, _sampling(sampling),
        FinishReason(finish_reason) if finish_reason else None, tokens, seconds, id,
    )  # fmt: skip


def _sampling(text: str) -> Sampling | None:
    """A later version may have written more fields than there are here."""
    if not text:
        return None
    known = {field.name for field in fields(Sampling)}
    values = {name: value for name, value in json.loads(text).items() if name in known}
    return Sampling(**{**values, "stop": tuple(values.get("stop", ()))})


def _holding(words: list[str], *, indexed: bool) -> tuple[str, list[str]]:
    """The condition that a title, or a message, holds all of some words, whatever is in them, in either case.

    The index has trigrams: what is shorter is looked for without it.
    """
    if not words:
        return "", []
    like = ["%" + re.sub(r"([\\%_])", r"\\\1", word) + "%" for word in words]
    title = " AND ".join(["c.title LIKE ? ESCAPE '\\'"] * len(words))
    quoted = ['"' + word.replace('"', '""') + '"' for word in words if indexed and len(word) >= 3]
    others = [pattern for word, pattern in zip(words, like, strict=True) if not (indexed and len(word) >= 3)]
    found = ["id IN (SELECT rowid FROM message_texts WHERE message_texts MATCH ?)"] * bool(quoted)
    content = " AND ".join([*found, *["content LIKE ? ESCAPE '\\'"] * len(others)])
    where = f"WHERE ({title}) OR c.id IN (SELECT conversation FROM messages WHERE {content})"
    return where, [*like, *([" ".join(quoted)] if quoted else []), *others]
