from __future__ import annotations

import ast
import io
import os
import re
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama.console import Console
from codellama.dialog import Progress
from codellama.errors import CodellamaError, ReaderGoneError
from codellama.sanitiser import sanitise
from tests.terminal import Dialect, Screen, Terminal, environment, run

CASES = sorted((Path(__file__).parent / "cases" / "sanitise").glob("*.txt"))

# Format characters (Cf) that are visible signs: number and verse signs that enclose the digits after them, the
# Syriac abbreviation mark, the Kaithi number signs.
VISIBLE = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}

# Default_Ignorable_Code_Point of Unicode 16 (DerivedCoreProperties.txt)
IGNORABLE = [
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
]  # fmt: skip


def case(path: Path) -> tuple[str, str]:
    hostile, shown = path.read_text("utf-8").split("# output\n")
    return ast.literal_eval(hostile), ast.literal_eval(shown)


@pytest.fixture(params=CASES, ids=lambda path: path.stem)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    return case(request.param)


def in_pieces(pieces: list[str]) -> str:
    shown = ""
    for piece in pieces:
        shown += sanitise(piece, shown[-1:])
    return shown


def test_f27_f28_case(pair: tuple[str, str]) -> None:
    assert sanitise(pair[0]) == pair[1]


def test_f27_split_over_chunks(pair: tuple[str, str]) -> None:
    # a display keeps \r\n together
    characters = re.findall(r"\r\n|.", pair[0], re.DOTALL)
    for size in (1, 2, 3):
        pieces = ["".join(characters[at : at + size]) for at in range(0, len(characters), size)]
        assert in_pieces(pieces) == pair[1]


def test_f28_no_control_or_format_character_passes() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or code in VISIBLE:
            continue
        if character not in "\n\t":
            assert character not in sanitise(f"a{character}b"), hex(code)
    assert sanitise("\n\t") == "\n\t"
    assert sanitise("".join(map(chr, sorted(VISIBLE)))) == "".join(map(chr, sorted(VISIBLE)))


def test_f28_no_ignorable_or_noncharacter_passes() -> None:
    ignorable = [code for first, last in IGNORABLE for code in range(first, last + 1)]
    noncharacters = [code for code in range(sys.maxunicode + 1) if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF]
    for code in ignorable + noncharacters:
        assert sanitise(f"a{chr(code)}b") == f"a<U+{code:04X}>b"


@given(st.lists(st.text(st.sampled_from("a1 \n\t\x1b\x9b\b\u202e\u200d\ufe0f\ufe0e❤🔥👍\U0001f3fdé\U000e0041"))))
def test_sanitise_in_pieces_is_sanitise_of_the_whole(pieces: list[str]) -> None:
    assert in_pieces(pieces) == sanitise("".join(pieces))


@given(st.text())
def test_sanitised_text_stays_as_it_is(text: str) -> None:
    once = sanitise(text)
    assert sanitise(once) == once


def test_ordinary_text_is_returned_itself() -> None:
    text = "def f():\n\treturn 'é 日本語'\n"
    assert sanitise(text) is text


def messages(stderr_tty: bool, text: str, term: str = "xterm", no_colour: str = "") -> str:
    with Terminal() as terminal:
        console = terminal.console(term=term, no_colour=no_colour)
        console.stderr_tty = stderr_tty
        console.note(text)
        console.warn(text)
        console.error(text)
        return terminal.close().decode()


def test_f27_note_warning_error(pair: tuple[str, str]) -> None:
    line = " ".join(pair[1].split())
    screen = Screen(1000).feed(messages(True, pair[0]).encode())
    assert screen.lines == [line, f"warning: {line}", f"codellama: {line}", ""]


def test_messages_are_coloured_on_a_terminal_only() -> None:
    assert "\x1b[2mtext\x1b[0m" in messages(True, "text")
    assert "\x1b[33mwarning: text\x1b[0m" in messages(True, "text")
    for plain in (
        messages(False, "text"), messages(True, "text", no_colour="1"), messages(True, "text", term="dumb")
    ):  # fmt: skip
        assert plain == "text\r\nwarning: text\r\ncodellama: text\r\n"


def test_a_message_is_one_line() -> None:
    console = Console()
    console.error("first\n  second\r\n\tthird  word\n")
    assert console.stderr.getvalue() == "codellama: first second third  word\n"  # type: ignore[attr-defined]


def test_quiet_silences_all_but_errors() -> None:
    with Terminal() as terminal:
        console = terminal.console(quiet=True)
        console.note("note")
        console.warn("warning")
        with console.progress("tiny") as line:
            line.update(Progress("load", 1, 2))
        console.error("error")
        assert terminal.close() == b"codellama: error\r\n"


def test_a_pipe_gets_the_bytes_at_once() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(writer, "wb") as stdout:
        console = Console(stdout=stdout)
        for text in ("\x1b[31m\r\n", "é日\0", "\udc80"):
            console.write(text)
            assert os.read(reader, 100) == text.encode("utf-8", "surrogateescape")
    os.close(reader)


def test_a_surrogate_that_stands_for_no_byte_does_not_crash() -> None:
    console = Console()
    console.write("a\ud800b")
    assert console.stdout.getvalue() == b"a?b"  # type: ignore[attr-defined]


def test_f27_write_to_a_terminal(pair: tuple[str, str]) -> None:
    with Terminal(1000) as terminal:
        terminal.console().write_line(pair[0])
        assert terminal.screen().lines == [*pair[1].expandtabs().split("\n"), ""]


ENDLESS = """
from codellama.console import Console
from codellama.errors import ReaderGoneError
console = Console.from_process()
try:
    while True:
        console.write("line\\n")
except ReaderGoneError as error:
    raise SystemExit(error.exit_code)
"""


def test_f30_head_1() -> None:
    finished = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$0" | head -1; echo "${{PIPESTATUS[0]}}"', ENDLESS],
        capture_output=True, env=environment(), timeout=20,
    )  # fmt: skip
    assert finished.stdout == b"line\n141\n"
    assert finished.stderr == b""


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "2>/dev/full"])
def test_closed_and_full_streams(redirection: str) -> None:
    program = """
from codellama.console import Console
from codellama.errors import CodellamaError
console = Console.from_process()
console.note("note")
try:
    console.write_line(str(len(console.stdin.read())))
except CodellamaError as error:
    console.error(str(error))
    raise SystemExit(1)
console.error("error")
"""
    finished = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$0" {redirection}', program],
        capture_output=True, stdin=subprocess.DEVNULL, env=environment(), timeout=20,
    )  # fmt: skip
    # an answer that nobody can get is a failure; notes that nobody can get are not
    assert finished.returncode == (1 if redirection.startswith(">&-") else 0)
    assert finished.stdout == (b"" if redirection.startswith(">") else b"0\n")
    said = "cannot write to standard output: it is closed" if redirection.startswith(">&-") else "error"
    assert finished.stderr.decode() == ("" if "2>" in redirection else f"note\ncodellama: {said}\n")


def test_a_full_standard_output_is_an_error_and_quiet_at_exit() -> None:
    program = """
from codellama.console import Console
from codellama.errors import CodellamaError
console = Console.from_process()
try:
    console.write("text")
except CodellamaError as error:
    console.error(str(error))
    raise SystemExit(error.exit_code)
"""
    finished = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$0" > /dev/full', program],
        capture_output=True, env=environment(), timeout=20,
    )  # fmt: skip
    assert finished.returncode == 1
    assert finished.stderr == b"codellama: cannot write to standard output: No space left on device\n"


def test_a_full_standard_error_is_given_up() -> None:
    with Path("/dev/full").open("w") as stderr:
        Console(stderr=stderr).error("text")
    # closing it would have failed with what was left in its buffer


def test_f30_in_process() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    with os.fdopen(writer, "wb") as stdout:
        with pytest.raises(ReaderGoneError):
            Console(stdout=stdout).write("text")
        # now it goes to /dev/null
        stdout.write(b"more")
        stdout.flush()


def test_a_closed_terminal_is_a_reader_gone() -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "wb") as stdout:
        os.close(master)
        with pytest.raises(CodellamaError) as caught:
            Console(stdout=stdout, stdout_tty=True).write("text")
        assert isinstance(caught.value, ReaderGoneError)


def test_terminal_facts() -> None:
    with Terminal(33, 7) as terminal:
        console = terminal.console()
        assert (console.width, console.height, console.size, console.colour) == (33, 7, (33, 7), True)
        assert not terminal.console(no_colour="1").colour
        assert terminal.console(no_colour="").colour
        assert not terminal.console(term="dumb").colour
    assert Console().size is None
    assert not Console().colour


def test_a_terminal_that_tells_no_size() -> None:
    with Terminal(0, 0) as terminal:
        assert terminal.console().size is None
        assert terminal.console().width > 0


def test_from_process_knows_terminals() -> None:
    program = """
from codellama.console import Console
console = Console.from_process()
console.write_line(f"{console.stdin_tty} {console.stdout_tty} {console.stderr_tty} {console.width} {console.colour}")
"""
    assert run(program, width=50).output == b"True True True 50 True\r\n"
    finished = subprocess.run([sys.executable, "-c", program], input=b"", capture_output=True, env=environment())
    assert finished.stdout == b"False False False 80 False\n"


def test_progress_is_painted_in_place_and_erased() -> None:
    with Terminal() as terminal:
        with terminal.console().progress("7b") as line:
            line.update(Progress("load", 4_200_000_000, 13_500_000_000))
        output = terminal.close()
    assert Screen().feed(output).text == ""
    # everything before the erasure
    assert Screen().feed(output.removesuffix(b"\r\x1b[K")).lines == [
        "7b: loading  4.2 of 13.5 GB  31 %  0:00  [######..............]"
    ]


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        (
            Progress("prompt", 512, 2048),
            "7b: reading the prompt  512 of 2048 tokens  25 %  0:00  [#####...............]",
        ),
        (Progress("prompt", 512), "7b: reading the prompt  512 tokens  0:00"),
        (Progress("load"), "7b: loading  0:00"),
        (Progress("load", 700, 5_300_000), "7b: loading  0.0 of 5.3 MB  0 %  0:00  [....................]"),
        (Progress("load", 9, 3), "7b: loading  9 of 3 bytes  100 %  0:00  [####################]"),
    ],
)
def test_progress_text(progress: Progress, shown: str) -> None:
    with Terminal() as terminal:
        with terminal.console().progress("7b") as line:
            line.update(progress)
        assert Screen().feed(terminal.close().removesuffix(b"\r\x1b[K")).lines == [shown]


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 90), st.text(st.sampled_from("ab é日🔥\x1b\u202e"), max_size=60))
def test_progress_never_wraps(width: int, label: str) -> None:
    with Terminal(width) as terminal:
        with terminal.console().progress(label) as line:
            line.update(Progress("load", 1, 3))
        # a terminal that shows é in two cells
        screen = terminal.screen(Dialect(ambiguous=2))
    assert [row.text for row in screen.rows] == [""]


def test_progress_repaints_at_most_ten_times_a_second() -> None:
    now = 0.0
    with Terminal() as terminal:
        with terminal.console().progress("7b") as line:
            line._clock = lambda: now
            line._due = line._began = now
            for step in range(1000):
                now = step / 500
                line.update(Progress("load", step, 1000))
        paintings = terminal.close().count(b"loading")
    assert 15 <= paintings <= 20


def test_f27_progress_label(pair: tuple[str, str]) -> None:
    with Terminal(1000) as terminal:
        with terminal.console().progress(pair[0]) as line:
            line.update(Progress("load"))
        output = terminal.close().removesuffix(b"\r\x1b[K")
    assert Screen(1000).feed(output).lines == [f"{' '.join(pair[1].split())}: loading  0:00"]


def test_progress_makes_way_for_the_answer_and_for_notes() -> None:
    with Terminal() as terminal:
        console = terminal.console()
        with console.progress("7b") as line:
            line.update(Progress("load", 1, 2))
            console.note("a note")
            line._due = 0
            line.update(Progress("load", 1, 2))
            console.write("answer")
            # the answer is in mid-line
            line._due = 0
            line.update(Progress("load", 2, 2))
            console.write(" goes on")
        assert terminal.screen().lines == ["a note", "answer goes on"]


def test_progress_is_silent_in_a_pipe_and_on_a_dumb_terminal() -> None:
    pipe = Console(stderr=io.StringIO())
    with pipe.progress("7b") as line:
        line.update(Progress("load", 1, 2))
    assert pipe.stderr.getvalue() == ""  # type: ignore[attr-defined]
    with Terminal() as terminal:
        with terminal.console(term="dumb").progress("7b") as line:
            line.update(Progress("load", 1, 2))
        assert terminal.close() == b""


def test_importing_the_console_costs_little() -> None:
    program = "import sys, codellama.console; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {environment()['PYTHONPATH']!r}); {program}"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert "codellama.console" in modules
    assert not {"rich", "pygments", "typer", "textual", "torch", "numpy", "logging"} & set(modules)
