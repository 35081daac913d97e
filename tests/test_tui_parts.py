"""The parts of the full-screen chat that need no screen: lines, Markdown, completion, commands, files, status."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from codellama.attachments import Place
from codellama.dialog import Chunk, FinishReason, Progress, Sampling
from codellama.errors import InputError
from codellama.tui import about, clipboard, slash
from codellama.tui.completion import completions, paths
from codellama.tui.lines import CodeLines, rows, wrap, wrap_words
from codellama.tui.mailbox import Mailbox
from codellama.tui.markdown import lines
from codellama.tui.orders import settable
from codellama.tui.status import State, compact, line

TEXT = st.text(st.sampled_from("ab cdeé日本👩\u0301.,-") | st.characters(codec="utf-8"), max_size=60)


@given(TEXT.map(lambda text: text.replace("\n", " ")), st.integers(1, 20))
def test_a_line_is_broken_without_loss_and_no_part_is_too_wide(text: str, width: int) -> None:
    parts = wrap(text, width)
    assert "".join(text[start:end] for start, end in parts) == text
    for start, end in parts:
        assert cell_len(text[start:end]) <= width or end - start == 1


@given(TEXT.map(lambda text: text.replace("\n", " ")), st.integers(1, 20))
def test_words_are_broken_only_where_they_must_be_and_only_spaces_are_left_out(text: str, width: int) -> None:
    parts = wrap_words(text, width)
    assert "".join("".join(text[start:end] for start, end in parts).split()) == "".join(text.split())
    for start, end in parts:
        # what combines with the character before may make a part wider than the sum of its characters
        assert cell_len(text[start:end]) <= width or end - start <= 2


def test_words_stay_whole_where_there_is_room() -> None:
    assert [("one two three"[a:b]) for a, b in wrap_words("one two three", 8)] == ["one two", "three"]


PYTHON = Path(re.__file__).read_text("utf-8")


@pytest.mark.parametrize("size", [40, 1000, 100_000])
def test_a_block_in_pieces_ends_as_a_block_at_once(size: int) -> None:
    whole, pieces = CodeLines("python"), CodeLines("python")
    whole.push(PYTHON)
    whole.finish()
    for at in range(0, len(PYTHON), size):
        pieces.push(PYTHON[at : at + size])
    pieces.finish()
    assert pieces.lines == whole.lines
    assert any("35" in style for each in whole.lines for _, _, style in each.runs)


@given(st.lists(st.text(st.sampled_from("ab\n\r\t\x1b\u202e \"'#"), max_size=8), max_size=12))
def test_lines_that_are_settled_never_change_their_text(pieces: list[str]) -> None:
    code = CodeLines("python")
    for piece in pieces:
        before = list(code.lines)
        first = code.push(piece)
        assert [each.text for each in code.lines[:first]] == [each.text for each in before[:first]]
    code.finish()
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\t]", code.text)
    whole = CodeLines("python")
    whole.push("".join(pieces))
    whole.finish()
    assert whole.text == code.text


@given(
    st.text(
        st.sampled_from("ab*_`#>|-1. []()!&;<\n\x1b\u202e\u200b%20x\\~") | st.characters(codec="utf-8"), max_size=80
    )
)
def test_markdown_gives_sanitised_lines_that_fit(text: str) -> None:
    found = lines(text, 30)
    for each in found:
        shown = each.first + each.text + each.rest
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\u2028\u2029]", shown)
        for begin, end, _ in each.runs:
            assert 0 <= begin <= end <= len(each.text)
        assert [run[0] for run in each.runs] == sorted(run[0] for run in each.runs)
    rows(found, 30)


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("a &#x202e; b", ["a <U+202E> b"]),
        ("&#27;[2J", ["\ufffd[2J"]),
        ("<http://a/%1b]52;c;x>", ["http://a/␛]52;c;x (http://a/%1b%5D52;c;x)"]),
        ("<http://a/%e2%80%ae>", ["http://a/<U+202E> (http://a/%e2%80%ae)"]),
        ("[go](http://b)", ["go (http://b)"]),
        ("vector<int> <b>x</b>", ["vector<int> <b>x</b>"]),
        ("- a\n  - b\n\n3. c", ["a", "b", "", "c"]),
        ("a\\\nb", ["a", "b"]),
    ],
)
def test_what_is_written_is_what_is_shown(markdown: str, shown: list[str]) -> None:
    assert [each.text for each in lines(markdown, 60)] == shown


def test_a_table_fits_its_width() -> None:
    table = "| name | what it does |\n|---|---|\n| one | " + "word " * 20 + "|\n| a `code` | b |\n"
    found = lines(table, 40)
    assert max(cell_len(each.text) for each in found) <= 40
    assert found[0].text.startswith("name")


def test_commands_are_told_from_questions() -> None:
    assert slash.parse("/set temperature=0.5") == ("set", "temperature=0.5")
    assert slash.parse("/help") == ("help", "")
    assert slash.parse("/usr/bin/env: what is it?") is None
    assert slash.parse("what is /help?") is None
    assert slash.parse("/Users/me is a path") is None


def test_completion_of_commands_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("app.py", "apple", ".hidden", "[red]x"):
        (tmp_path / name).write_text("")
    (tmp_path / "api").mkdir()
    assert [each.text for each in completions("/mo", {})] == ["/model "]
    assert [each.text for each in completions("/model t", {"model": ["tiny", "7b"]})] == ["/model tiny"]
    assert [each.text for each in completions("/file ap", {})] == ["/file api/", "/file app.py", "/file apple"]
    assert [path for path, _ in paths(".h")] == [".hidden"]
    assert ("[red]x", "[red]x") in paths("[")
    assert completions("a question", {}) == []
    assert completions("/nothing x", {}) == []
    assert paths("nowhere/") == []


def test_a_fence_names_its_file() -> None:
    assert about.named("python app.py") == "app.py"
    assert about.named("python:src/app.py") == "src/app.py"
    assert about.named('py title="a/b.py"') == "a/b.py"
    assert about.named("python") is None
    assert about.named("") is None


def test_a_block_replaces_the_lines_it_is_about(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_bytes(b"a = 1\r\nb = 2\r\nc = 3")
    read, new = about.proposed(Place(path, 2, 2), "b = 20")
    assert read.raw.startswith(b"a = 1")
    assert new == b"a = 1\r\nb = 20\r\nc = 3"
    assert about.proposed(Place(path, 3, 3), "c = 30")[1] == b"a = 1\r\nb = 2\r\nc = 30\r\n"
    assert about.proposed(Place(path), "x = 1")[1] == b"x = 1\r\n"
    with pytest.raises(InputError, match="no longer has"):
        about.proposed(Place(path, 3, 4), "x")


def test_the_mailbox_merges_and_rings_once() -> None:
    box = Mailbox()
    assert box.put(Chunk(progress=Progress("load", 1, 2)))
    assert not box.put(Chunk(text="a", ids=(1,)))
    assert not box.put(Chunk(text="b", ids=(2, 3), finish_reason=FinishReason.STOP))
    burst = box.take()
    assert (burst.text, burst.tokens, burst.finish_reason, burst.last) == ("ab", 3, FinishReason.STOP, False)
    assert box.end(ValueError("x"))
    assert box.take().last
    assert box.take().text == ""


def test_the_status_leaves_out_what_has_no_room() -> None:
    state = State("a-rather-long-name-7b-instruct", "float16", "cuda:0", 31.2, 13500, 16384, "generating")
    assert line(state, 100).plain.split() == [
        "a-rather-long-name-7b-instruct", "·", "float16", "·", "cuda:0", "31.2", "tok/s", "·", "14k/16k", "82%", "·",
        "generating",
    ]  # fmt: skip
    for width in range(25, 101):
        assert line(state, width).cell_length <= width
    assert line(state, 30).plain.endswith("14k/16k 82% · generating")
    assert compact(999) == "999"
    assert compact(1024) == "1.0k"


def test_settings_of_an_answer() -> None:
    assert settable(Sampling(), "temperature=0.5").temperature == 0.5
    assert settable(Sampling(), "top-k = 3").top_k == 3
    assert settable(Sampling(), "max_tokens=none").max_tokens is None
    for wrong in ("temperature", "candidates=3", "seed=x", "top_k=", "seed=1.5"):
        with pytest.raises(InputError):
            settable(Sampling(), wrong)


def test_the_clipboard_is_given_the_text_by_the_program_there_is(tmp_path: Path) -> None:
    program = tmp_path / "xclip"
    program.write_text(f"#!/bin/sh\n/bin/cat > {tmp_path}/got\necho $* >> {tmp_path}/got\n")
    program.chmod(0o755)
    assert clipboard.copy("é\n", {"PATH": str(tmp_path)}) is None
    assert clipboard.copy("é\n", {"PATH": str(tmp_path), "DISPLAY": ":0"}) == "xclip"
    assert (tmp_path / "got").read_text() == "é\n-selection clipboard\n"
    program.write_text("#!/bin/sh\nexit 1\n")
    assert clipboard.copy("x", {"PATH": str(tmp_path), "DISPLAY": ":0"}) is None
