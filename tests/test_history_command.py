"""`codellama history`, and the switch in config.toml that it turns."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from codellama.dialog import FinishReason
from codellama.errors import CodellamaError, InputError
from codellama.history import History, Saved
from codellama.preferences import set_switch
from codellama.settings import read
from tests.harness import Cli


@pytest.fixture
def home(cli: Cli) -> Path:
    return Path(cli.environ["CODELLAMA_HOME"])


@pytest.fixture
def kept(home: Path) -> Path:
    """Two conversations; gives the database's path."""
    path = home / "history" / "history.db"
    with closing(History.open(path, pytest.fail)) as history:
        first = history.start("reverse a list", "7b-instruct")
        history.add(first, Saved("user", "reverse a list", 1.0))
        history.add(first, Saved("assistant", "Use `reversed`.", 2.0, "7b-instruct", finish_reason=FinishReason.STOP))
        second = history.start("evil \x1b]52;c;aGk=\x07 title\n", "tiny")
        history.add(second, Saved("assistant", "```py\nx =", 3.0, "tiny"))
    return path


def test_list_gives_the_latest_first(cli: Cli, kept: Path) -> None:
    done = cli("history", "list")
    assert (done.code, done.err) == (0, "")
    first, second = done.out.splitlines()
    assert re.fullmatch(r" +2  \d{4}-\d\d-\d\d \d\d:\d\d +1 message +tiny  evil ␛\]52;c;aGk=␇ title", first)
    assert re.fullmatch(r" +1  .* 2 messages  7b-instruct  reverse a list", second)
    assert cli("history", "list", "-n", "1").out.count("\n") == 1
    assert cli("history", "list", "-n", "0").out.count("\n") == 2
    listed = json.loads(cli("history", "list", "--json").out)["conversations"]
    assert [(each["id"], each["model"], each["count"]) for each in listed] == [(2, "tiny", 1), (1, "7b-instruct", 2)]


@pytest.mark.parametrize(
    ("text", "ids"), [("REVERSED", [1]), ("list reverse", [1]), ("x =", [2]), ("zz", []), ('"', [])]
)
def test_search(cli: Cli, kept: Path, text: str, ids: list[int]) -> None:
    found = json.loads(cli("history", "search", text, "--json").out)["conversations"]
    assert [each["id"] for each in found] == ids
    done = cli("history", "search", text)
    assert done.out.count("\n") == len(ids)
    assert done.err == ("" if ids else f"no conversation holds {text}\n")


def test_show_and_export_give_markdown(cli: Cli, kept: Path, tmp_path: Path) -> None:
    shown = cli("history", "show", "1").out
    lines = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "then", shown)
    assert lines == (
        "# reverse a list\n\n## User (then)\n\nreverse a list\n\n## Assistant (7b-instruct, then)\n\nUse `reversed`.\n"
    )
    last = cli("history", "show").out
    assert last.startswith("# evil \x1b"), "a pipe gets it as it is"
    assert "## Assistant (tiny, not finished, " in last
    assert last.endswith("```py\nx =\n```\n")
    messages = json.loads(cli("history", "show", "1", "--json").out)["messages"]
    assert [(each["role"], each["content"]) for each in messages][1] == ("assistant", "Use `reversed`.")
    file = tmp_path / "a.md"
    assert cli("history", "export", "1", str(file)).code == 0
    assert file.read_text() == shown
    done = cli("history", "export", "2", str(file))
    assert (done.code, done.err) == (2, f"codellama: {file}: is there already; name another\n")
    assert file.read_text() == shown
    assert "`codellama history show 1` prints it" in cli("history", "export", "1", "-").err
    assert cli("history", "export", "1", str(tmp_path / "absent" / "a.md")).code == 2


def test_delete(cli: Cli, kept: Path) -> None:
    done = cli("history", "delete", "1", "9")
    assert (done.code, done.err) == (
        2,
        "codellama: there is no conversation 9; `codellama history list` names those there are\n",
    )
    assert cli("history", "list").out.count("\n") == 2, "all or nothing"
    done = cli("history", "delete", "1", "1")
    assert (done.code, done.err) == (0, "deleted 1 conversation\n")
    done = cli("history", "delete", "--all")
    assert (done.code, done.err) == (
        2, "codellama: delete 1 conversation? --yes says so where nobody can be asked\n"
    )  # fmt: skip
    assert cli("history", "delete", "--all", "--yes").err == "deleted 1 conversation\n"
    assert cli("history", "list").err == "no conversation is kept yet\n"


def test_nothing_is_said_to_be_deleted_that_is_not(cli: Cli, kept: Path) -> None:
    with closing(sqlite3.connect(kept)) as db:
        db.execute("PRAGMA user_version = 99")
    done = cli("history", "delete", "--all")
    assert "was written by a newer codellama" in done.err
    assert done.code == 1
    assert done.err.splitlines()[-1] == "codellama: nothing was deleted: the history cannot be written"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("show", "no conversation is kept yet"),
        ("show 3", "there is no conversation 3"),
        ("search", "Missing argument"),
        ("delete", "name the conversations to delete, or --all"),
        ("delete 1 --all", "name the conversations to delete, or --all"),
        ("list -n -1", "limit must be 0 or more, not -1"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, home: Path, arguments: str, complaint: str) -> None:
    done = cli("history", *arguments.split())
    assert (done.code, done.out) == (2, "")
    assert complaint in done.err
    assert done.err.count("\n") == 1
    assert not (home / "history").exists(), "looking makes no file"


def test_nothing_to_search_for(cli: Cli) -> None:
    assert "there is nothing to search for" in cli("history", "search", " ").err


def test_on_and_off(cli: Cli, home: Path) -> None:
    assert cli("history", "off").err.startswith("conversations are not kept; `codellama history delete --all`")
    assert (home / "config.toml").read_text() == "history = false\n"
    assert cli("history", "on").err == "conversations are kept\n"
    assert (home / "config.toml").read_text() == "history = true\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# mine\nmodel = 'x'  # note\n", "# mine\nmodel = 'x'  # note\nhistory = false\n"),
        ("model = 'x'", "model = 'x'\nhistory = false\n"),
        ("  history  =  true # why\r\nseed = 1\r\n", "  history  =  false # why\r\nseed = 1\r\n"),
        ('"history" = true', '"history" = false'),
        ("# history = true\n", "# history = true\nhistory = false\n"),
        ("history = false # as it is", "history = false # as it is"),
        ("seed = 1\n[keys]\nhistory = 'x'\n", "seed = 1\nhistory = false\n[keys]\nhistory = 'x'\n"),
        ("[keys]\n", "history = false\n[keys]\n"),
    ],
)
def test_a_switch_changes_one_key_and_nothing_else(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(before.encode())
    set_switch(path, "history", on=False)
    assert path.read_bytes() == after.encode()
    assert read(path)["history"] is False


def test_a_config_that_is_wrong_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("modle = 1")
    with pytest.raises(InputError, match="unknown key 'modle'"):
        set_switch(tmp_path / "config.toml", "history", on=True)
    assert (tmp_path / "config.toml").read_text() == "modle = 1"
    (tmp_path / "file").write_text("")
    with pytest.raises(CodellamaError, match="cannot be written"):
        set_switch(tmp_path / "file" / "config.toml", "history", on=True)
