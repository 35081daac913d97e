"""The full-screen chat on a real pseudo-terminal, answered by the built-in model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codellama.console import Console
from codellama.history import History
from codellama.tui.notices import forwarded
from tests.terminal import run

PROGRAM = "import os, sys; sys.argv = ['codellama', *{arguments}]; {before}; from codellama.app import main; main()"
LEAVE = [(b"tok/s", b"\x03"), (b"again leaves", b"\x03")]


def chat(
    home: Path, *arguments: str, before: str = "pass", keys: list[tuple[bytes, bytes]], **environment: str
) -> bytes:
    program = PROGRAM.format(arguments=["chat", *arguments], before=before)
    environ = {"CODELLAMA_HOME": str(home / "codellama"), "HF_HOME": str(home / "huggingface"), **environment}
    done = run(program, width=100, height=30, environ=environ, keys=keys, timeout=60)
    assert done.code == 0, done.output
    # the terminal is as it was: the main screen, with its cursor, no mouse, no marks about what is pasted
    for mode in (b"1049", b"1000", b"1003", b"2004"):
        assert done.output.rindex(b"\x1b[?" + mode + b"l") > done.output.rindex(b"\x1b[?" + mode + b"h")
    assert done.output.rindex(b"\x1b[?25h") > done.output.rindex(b"\x1b[?25l")
    return done.output


def kept(home: Path) -> list[tuple[str, str]]:
    history = History.open(home / "codellama" / "history" / "history.db")
    last = history.last()
    assert last
    messages: list[tuple[str, str]] = [(saved.role, saved.content) for saved in history.messages(last.id)]
    history.close()
    return messages


def test_a_question_is_asked_answered_kept_and_gone_on_with(home: Path) -> None:
    output = chat(home, "--max-tokens", "24", keys=[(b"ready", b"write a loop\r"), *LEAVE])
    assert b"write a loop" in output
    (asked, answered) = kept(home)
    assert asked == ("user", "write a loop")
    assert answered[0] == "assistant"
    assert answered[1].strip()
    output = chat(home, "--tui", "-c", keys=[(b"ready", b"\x11")])
    # what was said is on the screen again
    assert b"write a loop" in output


def test_with_standard_input_piped_the_keys_come_from_the_terminal(home: Path) -> None:
    before = "r, w = os.pipe(); os.write(w, b'x = 1'); os.close(w); os.dup2(r, 0)"
    chat(home, "--tui", "--max-tokens", "8", before=before, keys=[(b"ready", b" explain\r"), *LEAVE])
    assert kept(home)[0] == ("user", "x = 1 explain")


def test_the_editor_gets_the_terminal_and_gives_the_text_back(home: Path, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nread answer < /dev/tty\necho $answer >> $1\n")
    editor.chmod(0o755)
    before = f"os.environ['EDITOR'] = {str(editor)!r}"
    keys = [(b"ready", b"first \x07"), (b"?1049l", b"typed\r"), (b"?1049h", b""), (b"typed", b"\r"), *LEAVE]
    chat(home, "--max-tokens", "8", before=before, keys=keys)
    assert kept(home)[0] == ("user", "first typed")


@pytest.mark.parametrize(("editor", "named"), [("/nowhere/editor", "/nowhere/editor"), ("", "vi")])
def test_an_editor_that_cannot_be_started_takes_neither_the_terminal_nor_the_text(
    home: Path, tmp_path: Path, editor: str, named: str
) -> None:
    before = f"os.environ.update(EDITOR={editor!r}, VISUAL='', PATH={str(tmp_path)!r})"
    keys = [(b"ready", b"first \x07"), (b"?1049h", b""), (f"{named}: No such file".encode(), b"more\r"), *LEAVE]
    chat(home, "--max-tokens", "8", before=before, keys=keys)
    assert kept(home)[0] == ("user", "first more")


def test_no_color_is_heeded(home: Path) -> None:
    output = chat(home, "--max-tokens", "8", keys=[(b"ready", b"/s\x15why?\r"), *LEAVE], NO_COLOR="1")
    colours = {
        code for found in re.findall(rb"\x1b\[([0-9;]*)m", output) for code in re.findall(rb"[349]\d|10\d", found)
    }
    # 39 and 49 are the terminal's own
    assert colours <= {b"39", b"49"}
    assert b"why?" in output


def test_sigterm_gives_the_terminal_back_and_keeps_the_draft(home: Path) -> None:
    before = "import signal, threading; threading.Timer(9, os.kill, (os.getpid(), signal.SIGTERM)).start()"
    chat(home, before=before, keys=[(b"ready", b"a draft")])
    assert (home / "codellama" / "history" / "draft.txt").read_text() == "a draft"


def test_what_is_said_on_standard_error_meanwhile_is_forwarded_and_the_stream_given_back() -> None:
    console, said = Console(stderr_tty=True), list[str]()
    stderr = console.stderr
    with forwarded(console, said.append):
        console.warn("the disk is full")
        console.note("a\x1b[2Jb")
    assert said == ["warning: the disk is full", "a␛[2Jb"]
    assert (console.stderr, console.stderr_tty) == (stderr, True)
