"""The history's schema, a function a step. They are only ever added to: what was released stays as it is.

`PRAGMA user_version` counts the steps that a file has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection
TOKENIZER = "trigram"


def m001_conversations(db: Connection) -> None:
    # AUTOINCREMENT: the number of what was deleted is not given again
    db.execute("""
        CREATE TABLE conversations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            title TEXT NOT NULL,
            model TEXT NOT NULL,
            parent INTEGER REFERENCES conversations (id) ON DELETE SET NULL,
            created REAL NOT NULL,
            updated REAL NOT NULL
        )""")
    db.execute("""
        CREATE TABLE messages (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            role TEXT NOT NULL,
            content TEXT NOT NULL,
            created REAL NOT NULL,
            model TEXT NOT NULL,
            precision TEXT NOT NULL,
            chat_format TEXT NOT NULL,
            sampling TEXT NOT NULL,
            finish_reason TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            seconds REAL NOT NULL
        )""")
    db.execute("CREATE INDEX messages_by_conversation ON messages (conversation, id)")


def m002_search(db: Connection) -> None:
    from sqlite3 import OperationalError

    # trigrams: code is looked for by parts of names, which an index of words does not find
    try:
        db.execute(f"""
            CREATE VIRTUAL TABLE message_texts USING fts5 (
                content, content = messages, content_rowid = id, tokenize = '{TOKENIZER}'
            )""")
    except OperationalError:
        # SQLite before 3.34 has no trigrams (3.26 in RHEL 8), and one built by hand may have no FTS5: without the index
        # searching reads every message
        return
    add = "INSERT INTO message_texts (rowid, content) VALUES (new.id, new.content);"
    drop = "INSERT INTO message_texts (message_texts, rowid, content) VALUES ('delete', old.id, old.content);"
    db.execute(f"CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN {add} END")
    db.execute(f"CREATE TRIGGER message_changed AFTER UPDATE OF content ON messages BEGIN {drop} {add} END")
    db.execute(f"CREATE TRIGGER message_deleted AFTER DELETE ON messages BEGIN {drop} END")
    db.execute("INSERT INTO message_texts (message_texts) VALUES ('rebuild')")


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (m001_conversations, m002_search)
