"""The history: what is kept comes back, and whatever befalls the file, nothing fails and nothing is lost (F47)."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codellama import database, migrations
from codellama.dialog import FinishReason, Message, Sampling
from codellama.errors import InputError
from codellama.history import Conversation, History, Saved
from codellama.migrations import MIGRATIONS
from codellama.recording import Recording
from tests import terminal

ANSWER = Saved(
    "assistant", "so", 5.0, "tiny", "float16", "instruct", Sampling(temperature=0.2, stop=("a",), seed=3),
    FinishReason.LENGTH, 7, 1.5,
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history" / "history.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    with closing(History.open(path, pytest.fail)) as history:
        yield history


def filled(history: History, *contents: str, title: str = "t") -> int:
    id = history.start(title, "tiny")
    for content in contents:
        history.add(id, Saved("user", content, 1.0))
    return id


def contents(history: History, id: int) -> list[str]:
    return [saved.content for saved in history.messages(id)]


def test_what_is_kept_comes_back(history: History, path: Path) -> None:
    id = history.start("how?", "tiny")
    question = history.add(id, Saved("user", "how?"))
    answer = history.add(id, ANSWER)
    with closing(History.open(path, pytest.fail)) as again:
        first, second = again.messages(id)
        assert (first.id, first.message, first.created > 1e9) == (question, Message("user", "how?"), True)
        assert second == Saved(**{**{name: getattr(ANSWER, name) for name in ANSWER.__slots__}, "id": answer})
        (only,) = again.conversations()
        assert only == again.conversation(id) == again.last()
        assert only == Conversation(id, "how?", "tiny", only.created, only.updated, 2, None)
        assert again.kept


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=50, deadline=None)
@given(content=texts, title=texts, reason=st.sampled_from([None, *FinishReason]))
def test_any_text_comes_back(content: str, title: str, reason: FinishReason | None) -> None:
    with closing(History.nowhere()) as history:
        id = history.start(title, "m")
        place = history.add(id, Saved("assistant", "", 1.0))
        saved = Saved("assistant", content, 1.0, finish_reason=reason, id=place)
        history.replace(place, saved)
        assert history.messages(id) == (saved,)
        assert saved.partial == (reason in (None, "cancelled"))
        assert [each.title for each in history.conversations()] == [title]


def test_the_last_is_the_one_that_was_added_to_last(history: History) -> None:
    assert history.last() is None
    first, second = filled(history, "a"), filled(history, "b")
    assert [each.id for each in history.conversations()] == [second, first]
    place = history.add(first, Saved("user", "c"))
    assert [each.id for each in history.conversations()] == [first, second]
    history.add(second, Saved("user", "d"))
    history.replace(place, Saved("user", "c, whole"))
    assert [each.id for each in history.conversations(1)] == [first]


def test_a_branch_outlives_what_it_branched_off(history: History) -> None:
    id = filled(history, "a", "b", "c")
    branch = history.start("t", "tiny", id)
    history.add(branch, Saved("user", "other"))
    assert history.conversation(branch).parent == id
    history.delete(id)
    assert contents(history, branch) == ["other"]
    assert history.conversation(branch).parent is None


def test_a_conversation_that_is_not_there_is_named(history: History) -> None:
    gone = filled(history, "a")
    place = history.messages(gone)[0].id
    history.delete(gone)
    for read in (history.conversation, history.delete):
        with pytest.raises(InputError, match=f"no conversation {gone}; `codellama history list`"):
            read(gone)
    # an answer that comes in meanwhile does no harm
    assert history.add(gone, ANSWER) == 0
    history.replace(place, ANSWER)
    history.replace(0, ANSWER)
    assert history.messages(gone) == ()
    assert filled(history) != gone, "the number is not given again"


def test_what_is_deleted_is_gone_from_the_file(history: History, path: Path) -> None:
    kept, gone = filled(history, "kept words"), filled(history, "zyxwv " * 100, title="zyxwv")
    history.delete(gone)
    assert [each.id for each in history.conversations()] == [kept]
    for file in path.parent.iterdir():
        # the index has trigrams
        assert (file.name, b"zyx" in file.read_bytes()) == (file.name, False)


# --- searching -------------------------------------------------------------------------------------------------------

queries = st.text(st.sampled_from("abAB %_\"'*()-:^\\é\n"), max_size=8)


@pytest.mark.parametrize("tokenizer", ["trigram", "one_that_an_old_sqlite_lacks"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(st.tuples(queries, st.lists(queries, max_size=3)), max_size=4), query=queries)
def test_any_text_is_a_query_and_finds_what_holds_its_words(
    monkeypatch: pytest.MonkeyPatch, tokenizer: str, said: list[tuple[str, list[str]]], query: str
) -> None:
    monkeypatch.setattr(migrations, "TOKENIZER", tokenizer)

    def holds(text: str) -> bool:
        return all(word.lower() in text.lower() for word in query.split())

    with closing(History.nowhere()) as history:
        expected = set()
        for title, messages in said:
            id = filled(history, *messages, title=title)
            if holds(title) or any(map(holds, messages)):
                expected.add(id)
        assert {each.id for each in history.conversations(search=query)} == expected
        for id in expected:
            history.delete(id)
        assert history.conversations(search=query) == []


def test_searching_finds_what_was_changed_and_not_what_it_was(history: History) -> None:
    id = filled(history, "alpha beta")
    history.replace(history.messages(id)[0].id, Saved("user", "gamma delta"))
    assert [each.id for each in history.conversations(search="amm elt")] == [id]
    assert history.conversations(search="alpha") == []
    assert history.conversation(id).count == 1


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_directory_and_the_file_are_private_from_the_start(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(History.open(path, pytest.fail)) as history:
            filled(history, "x")
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in [path.parent, *path.parent.iterdir()]}
    finally:
        os.umask(before)
    assert modes.pop("history") == 0o700
    assert "history.db-wal" in modes
    assert set(modes.values()) == {0o600}


def test_a_network_gets_no_write_ahead_log(path: Path, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/sda1 / ext4 rw 0 0\nhome:/x {str(tmp_path / 'data').replace(' ', chr(92) + '040')} nfs4 rw 0 0\n"
    )
    assert database._on_network(path, mounts)
    assert not database._on_network(tmp_path / "x" / "y", mounts)
    assert not database._on_network(path, tmp_path / "absent")


def test_an_older_file_is_copied_before_it_is_migrated(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        MIGRATIONS[0](db)
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO conversations VALUES (4, 'old', 'tiny', NULL, 1, 2)")
        db.execute("INSERT INTO messages VALUES (1, 4, 'user', 'old words', 1, '', '', '', '', '', 0, 0)")
    with closing(History.open(path, pytest.fail)) as history:
        assert [each.id for each in history.conversations(search="old wor")] == [4]
        assert contents(history, 4) == ["old words"]
    copy = path.with_name("history-v1.db")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT content FROM messages").fetchall() == [("old words",)]
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(History.open(path, pytest.fail)) as history:
        id = filled(history, "kept")

    def m003_broken(db: sqlite3.Connection) -> None:
        if db.execute("PRAGMA database_list").fetchone()[2]:
            db.execute("DROP TABLE messages")
            db.execute("no SQL")

    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, m003_broken))
    said: list[str] = []
    with closing(History.open(path, said.append)) as history:
        assert not history.kept
    assert "cannot be used" in said[0]
    monkeypatch.undo()
    with closing(History.open(path, pytest.fail)) as history:
        assert contents(history, id) == ["kept"]


def goes_on_in_memory(history: History) -> None:
    assert not history.kept
    id = filled(history, "new words")
    history.replace(history.add(id, ANSWER), ANSWER)
    assert contents(history, id) == ["new words", "so"]
    assert id in {each.id for each in history.conversations(search="new words")}


def test_f47_a_newer_schema_is_left_alone_and_said(path: Path) -> None:
    with closing(History.open(path, pytest.fail)) as history:
        filled(history, "x")
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    said: list[str] = []
    with closing(History.open(path, said.append)) as history:
        goes_on_in_memory(history)
    assert (path.read_bytes() == before) is True
    assert {file.name for file in path.parent.iterdir()} <= {"history.db", "history.db-wal", "history.db-shm"}
    (line,) = said
    assert line == (
        f"{path}: was written by a newer codellama (schema {len(MIGRATIONS) + 1}; this one knows {len(MIGRATIONS)}); "
        "this conversation will not be kept"
    )


def test_f47_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    said: list[str] = []
    with closing(History.open(path, said.append)) as history:
        goes_on_in_memory(history)
    assert (path.read_bytes() == before, len(said)) == (True, 1)
    assert "is another program's database" in said[0]


@pytest.mark.parametrize("damage", ["text", "random", "header"])
def test_f47_a_corrupt_file_is_kept_aside_and_said(path: Path, damage: str) -> None:
    with closing(History.open(path, pytest.fail)) as history:
        filled(history, "x")
    old = path.read_bytes()
    bad = {"text": b"not a database", "random": os.urandom(9000), "header": b"SQLite format 4" + old[15:]}[damage]
    path.write_bytes(bad)
    said: list[str] = []
    with closing(History.open(path, said.append)) as history:
        assert history.kept
        assert history.conversations() == []
        id = filled(history, "new")
    aside = path.with_name("history.db.damaged-1")
    assert said == [f"{path}: is damaged; it is kept as {aside.name}, and a new history begins"]
    assert (aside.read_bytes() == bad) is True
    with closing(History.open(path, pytest.fail)) as history:
        assert contents(history, id) == ["new"]
    path.write_bytes(b"damaged once more")
    History.open(path, said.append).close()
    assert (aside.read_bytes() == bad) is True, "the first is still there"
    assert path.with_name("history.db.damaged-2").read_bytes() == b"damaged once more"


def test_f47_damage_that_shows_only_later_is_said_and_kept_aside_too(path: Path) -> None:
    with closing(History.open(path, pytest.fail)) as history:
        id = filled(history, *(f"words {number} " * 200 for number in range(40)))
    data = bytearray(path.read_bytes())
    # all but the first pages: the schema is whole
    data[16 * 4096 :] = b"\xff" * (len(data) - 16 * 4096)
    path.write_bytes(data)
    said: list[str] = []
    with closing(History.open(path, said.append)) as history:
        assert history.kept
        history.messages(id)
        goes_on_in_memory(history)
    assert "is damaged; from here on this conversation is not kept" in said[0]
    assert "it is kept as history.db.damaged-" in said[1]
    aside = next(path.parent.glob("*.damaged-*"))
    assert (aside.read_bytes() == data) is True
    with closing(History.open(path, pytest.fail)) as history:
        assert history.kept


def test_f47_a_directory_in_the_way_fails_nothing(path: Path) -> None:
    path.mkdir(parents=True)
    said: list[str] = []
    with closing(History.open(path, said.append)) as history:
        goes_on_in_memory(history)
    assert len(said) == 1
    other = path / "file" / "history" / "history.db"
    (path / "file").write_text("")
    with closing(History.open(other, said.append)) as history:
        goes_on_in_memory(history)
    assert "cannot be written: " in said[1]


def child(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program that has History and Saved."""
    prelude = (
        "import os, sys, resource, sqlite3\nfrom pathlib import Path\nfrom codellama import database\n"
        "from codellama.history import History, Saved\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + program, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=terminal.environment(), timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("what", ["file", "directory"])
def test_f47_a_read_only_history_is_read_and_said(what: str) -> None:
    """As another user, since root may write anything."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        path = Path(name) / "history" / "history.db"
        with closing(History.open(path, pytest.fail)) as history:
            filled(history, "old words")
        path.chmod(0o444)
        path.parent.chmod(0o777 if what == "file" else 0o555)
        before = path.read_bytes()
        done = child(
            "if os.getuid() == 0: os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
            "h = History.open(Path(sys.argv[1]), print)\n"
            "print(h.kept, h.messages(1)[0].content)\n"
            "print(h.start('new', 'tiny'), len(h.conversations()))",
            path,
        )  # fmt: skip
        path.parent.chmod(0o700)
        assert done.stderr == ""
        assert done.stdout.splitlines() == [
            f"{path}: cannot be written: it is read-only; this conversation will not be kept", "False old words", "2 2",
        ]  # fmt: skip
        assert (path.read_bytes() == before) is True


def test_f47_a_disk_that_fills_up_is_said_once_and_nothing_fails(path: Path) -> None:
    done = child(
        "h = History.open(Path(sys.argv[1]), print)\n"
        "i = h.start('t', 'tiny')\n"
        "h.add(i, Saved('user', 'before'))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "places = [h.add(i, Saved('user', 'x' * 30_000)) for _ in range(6)]\n"
        "h.replace(places[-1], Saved('user', 'whole'))\n"
        "print(h.kept, [len(m.content) for m in h.messages(i)])",
        path,
    )
    said, last = done.stdout.splitlines()
    assert "from here on this conversation is not kept" in said
    assert last == "False [6, 30000, 30000, 30000, 30000, 30000, 5]"
    with closing(History.open(path, pytest.fail)) as history:
        assert contents(history, 1)[0] == "before"


def test_f47_a_writer_that_never_ends_is_said_and_nothing_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY", 0.1)
    said: list[str] = []
    with closing(History.open(path, said.append)) as history, closing(sqlite3.connect(path)) as other:
        id = filled(history, "before")
        other.execute("BEGIN IMMEDIATE")
        history.add(id, ANSWER)
        assert contents(history, id) == ["before", "so"]
        goes_on_in_memory(history)
    (line,) = said
    assert "is locked by another program" in line


_WRITERS = """
import time
begin = time.time() + 0.5
for number in range(50):
    if os.fork() == 0:
        time.sleep(max(begin - time.time(), 0))
        said = []
        h = History.open(Path(sys.argv[1]), said.append)
        i = h.start(f"writer {number}", "tiny")
        for message in range(4):
            place = h.add(i, Saved("user", ""))
            h.replace(place, Saved("user", f"{number} says {message}"))
        h.close()
        os._exit(len(said))
print(*[os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(50)])
"""


def test_f47_50_writers_at_once_lose_nothing(path: Path) -> None:
    """Processes, which all find that there is no file yet."""
    done = child(_WRITERS, path)
    assert done.stdout.split() == ["0"] * 50, done.stderr
    with closing(History.open(path, pytest.fail)) as history:
        said = {each.title: contents(history, each.id) for each in history.conversations()}
    assert said == {f"writer {one}": [f"{one} says {message}" for message in range(4)] for one in range(50)}


def test_threads_may_share_a_history(history: History) -> None:
    def write(number: int) -> None:
        for message in range(5):
            history.add(ids[number], Saved("user", str(message)))

    ids = [filled(history) for _ in range(8)]
    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [contents(history, id) for id in ids] == [["0", "1", "2", "3", "4"]] * 8


# --- an answer on its way --------------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def recording(history: History, clock: Clock, conversation: int | None = None) -> Recording:
    asked = [Saved("system", "s"), Saved("user", "q")]
    return Recording(history, asked, Saved("assistant", "", model="tiny"), "title", "tiny", conversation, clock)


def test_an_answer_is_kept_when_it_begins_and_again_every_second(history: History) -> None:
    clock = Clock()
    record = recording(history, clock)
    record.push("", 0)
    record.push(" \n", 1)
    assert history.last() is None, "nothing was said yet"
    record.push("a", 1)
    assert record.conversation
    assert contents(history, record.conversation) == ["s", "q", " \na"]
    assert record.kept
    clock.now += 0.9
    record.push("b", 1)
    assert contents(history, record.conversation)[-1] == " \na"
    clock.now += 0.2
    record.push("c", 2)
    assert contents(history, record.conversation)[-1] == " \nabc"
    assert history.messages(record.conversation)[-1].partial
    record.push("d", 1)
    record.end(FinishReason.STOP)
    last = history.messages(record.conversation)[-1]
    assert (last.content, last.finish_reason, last.tokens) == (" \nabcd", "stop", 6)
    assert last.seconds == pytest.approx(1.1)
    assert not last.partial


def test_a_question_without_an_answer_is_not_kept(history: History) -> None:
    record = recording(history, Clock())
    record.push("\n", 1)
    record.end(FinishReason.STOP)
    assert history.conversations() == []
    assert not record.kept


def test_a_conversation_goes_on(history: History) -> None:
    id = filled(history, "q", "a")
    record = recording(history, Clock(), id)
    record.push("so", 1)
    record.end(FinishReason.CANCELLED)
    assert contents(history, id) == ["q", "a", "s", "q", "so"]
    assert history.messages(id)[-1].partial


def test_sigkill_leaves_what_was_said(path: Path) -> None:
    done = child(
        "from codellama.recording import Recording\n"
        "h = History.open(Path(sys.argv[1]), print)\n"
        "r = Recording(h, [Saved('user', 'q')], Saved('assistant', ''), 't', 'tiny')\n"
        "r.push('half an ans', 3)\n"
        "os.kill(os.getpid(), 9)",
        path,
    )
    assert done.returncode == -9
    with closing(History.open(path, pytest.fail)) as history:
        assert contents(history, 1) == ["q", "half an ans"]
        assert history.messages(1)[1].partial
