from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Sequence
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama import picker
from codellama.console import Console
from codellama.errors import InputError
from codellama.fullscreen import RESIZED, FullScreen, decode, open_fullscreen
from codellama.picker import Choice, Done, State, first_lines, frame, pick, press, stops
from codellama.preview import Preview, cells
from tests.terminal import Screen, Step, Terminal, environment, run

FIVE = "    if radius < 0:\n        raise ValueError\n\n    square = radius\n    return square"
BEFORE = "import math\n\n\ndef area(radius):\n"


def choice(fill: str, note: str = "the file parses", before: str = BEFORE, after: str = "\n\nx = 1\n") -> Choice:
    return Choice(Preview(before, fill, after, "python"), lambda text: note)


LONG = "".join(f"    x{number} = {number}\n" for number in range(1, 41)) + "    return x1"
CHOICES = [choice("    return 1"), choice(FIVE, "does not parse · repeats itself"), choice(LONG)]

# ---------------------------------------------------------------------------------------------------- what keys mean

STOPS = ((1,), (1, 2, 4, 5), (2, 3))


@pytest.mark.parametrize("key", ["\r", "\n", "\t", "a", "y"])
def test_keys_that_accept(key: str) -> None:
    assert press(State(STOPS, 1), key) == Done(1, None)
    assert press(State(STOPS, 1, 4), key) == Done(1, 4)


@pytest.mark.parametrize("key", ["q", "escape", "\x04"])
def test_keys_that_accept_none(key: str) -> None:
    assert press(State(STOPS, 1, 4), key) == Done(None)


@pytest.mark.parametrize("key", ["l", "down", "right"])
def test_keys_for_a_line_more(key: str) -> None:
    assert lines_after(State(STOPS, 1), [key] * 6) == [1, 2, 4, 5, 5, 5]
    assert lines_after(State(STOPS, 2), [key] * 2) == [2, 3]
    # one line is the whole
    assert lines_after(State(STOPS, 0), [key]) == [None]


@pytest.mark.parametrize("key", ["h", "up", "left"])
def test_keys_for_a_line_fewer(key: str) -> None:
    assert lines_after(State(STOPS, 1), [key] * 5) == [4, 2, 1, None, 4]
    assert lines_after(State(STOPS, 1, 5), [key]) == [4]
    assert lines_after(State(STOPS, 0), [key]) == [None]


def lines_after(state: State, keys: Sequence[str]) -> list[int | None]:
    found = []
    for key in keys:
        result = press(state, key)
        assert isinstance(result, State)
        state = result
        found.append(state.lines)
    return found


@pytest.mark.parametrize(
    ("key", "current"),
    [("n", 0), (" ", 0), ("j", 0), ("p", 1), ("k", 1), ("1", 0), ("2", 1), ("3", 2), ("4", 2), ("9", 2), ("0", 2)],
)
def test_keys_to_another_candidate(key: str, current: int) -> None:
    assert press(State(STOPS, 2), key) == State(STOPS, current)


def test_another_candidate_begins_whole() -> None:
    assert press(State(STOPS, 1, 2), "n") == State(STOPS, 2, None)
    # the same one stays as it is
    assert press(State(STOPS, 1, 2), "2") == State(STOPS, 1, 2)
    assert press(State(STOPS[:1]), "n") == State(STOPS[:1])


def test_help_comes_and_goes() -> None:
    assert press(State(STOPS), "?") == State(STOPS, help=True)
    assert press(State(STOPS, help=True), "?") == State(STOPS)


@pytest.mark.parametrize("key", ["A", "Y", "Q", "x", "0", "", "\x1a", "\x00", RESIZED, "é", "10", "²", "nn"])
def test_other_keys_change_nothing(key: str) -> None:
    assert press(State(STOPS, 1, 2, True), key) == State(STOPS, 1, 2, True)


KEYS = st.sampled_from(
    ["n", "p", " ", "l", "h", "up", "down", "left", "right", "1", "2", "7", "9", "?", "\r", "q", "x", ""]
)
FILLS = st.lists(st.sampled_from(["a", "    b", "\n", "\n", " ", "\n    c = 日本"]), max_size=12).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(FILLS, min_size=1, max_size=9), st.lists(KEYS, max_size=25))
def test_what_is_accepted_is_the_beginning_of_a_candidate(fills: list[str], keys: list[str]) -> None:
    state: State | Done = State(tuple(map(stops, fills)))
    for key in keys:
        if isinstance(state, Done):
            break
        state = press(state, key)
        assert (state.current is None) or 0 <= state.current < len(fills)
    if isinstance(state, Done) and state.current is not None:
        fill = fills[state.current]
        accepted = first_lines(fill, state.lines)
        if state.lines is None or state.lines == len(fill.removesuffix("\n").split("\n")):
            assert accepted == fill
        else:
            assert accepted.strip()
            assert fill.split("\n")[: state.lines] == accepted.removesuffix("\n" * fill.endswith("\n")).split("\n")
            # what follows stays where it is
            assert accepted.endswith("\n") == fill.endswith("\n")
            assert accepted.strip("\n").split("\n")[-1].strip()


@pytest.mark.parametrize(
    ("fill", "lines", "accepted"),
    [
        ("a\nb\nc", 1, "a"),
        ("a\nb\nc\n", 2, "a\nb\n"),
        ("\n    a\n    b", 2, "\n    a"),
        ("a\nb\n", 2, "a\nb\n"),
        ("a\nb", None, "a\nb"),
    ],
)
def test_first_lines(fill: str, lines: int | None, accepted: str) -> None:
    assert first_lines(fill, lines) == accepted


def test_a_fill_is_not_cut_after_a_blank_line() -> None:
    assert stops("\n    a\n   \n    b\n") == (2, 4)


# ------------------------------------------------------------------------------------------------------ what is shown


def shown(state: State, width: int = 80, height: int = 24, choices: Sequence[Choice] = CHOICES) -> list[str]:
    return frame(choices, state, os.terminal_size((width, height)), colour=False)


def state_of(choices: Sequence[Choice], current: int = 0, lines: int | None = None, help: bool = False) -> State:
    return State(tuple(stops(each.preview.fill) for each in choices), current, lines, help)


def test_a_frame() -> None:
    assert shown(state_of(CHOICES, 1, 2)) == [
        "    2 │",
        "    3 │",
        "    4 │ def area(radius):",
        "+   5 │     if radius < 0:",
        "+   6 │         raise ValueError",
        "·   7 │",
        "·   8 │     square = radius",
        "·   9 │     return square",
        "   10 │",
        "   11 │ x = 1",
        "",
        "2 of 3 · does not parse · repeats itself · lines 1–2 of 5",
        "⏎ accept  l one more  h one fewer  n next  q none  ? help",
    ]


@pytest.mark.parametrize(
    ("state", "width", "status"),
    [
        (state_of(CHOICES), 80, ["1 of 3 · the file parses   ⏎ accept  n next  q none  ? help"]),
        (state_of(CHOICES), 59, ["1 of 3 · the file parses", "⏎ accept  n next  q none  ? help"]),
        (state_of(CHOICES, 2), 80, ["3 of 3 · the file parses   ⏎ accept  l by line  n next  q none  ? help"]),
        (state_of(CHOICES[:1]), 80, ["1 of 1 · the file parses   ⏎ accept  q none  ? help"]),
        (
            state_of(CHOICES, 1, 1),
            100,
            [
                "2 of 3 · does not parse · repeats itself · line 1 of 5",
                "⏎ accept  l one more  h one fewer  n next  q none  ? help",
            ],
        ),
        (state_of([choice("\n    a\n    b", "")], 0, 2), 90, [
            "1 of 1 · line 1 of 2   ⏎ accept  l one more  h one fewer  q none  ? help"
        ]),
    ],
)  # fmt: skip
def test_status(state: State, width: int, status: list[str]) -> None:
    choices = CHOICES[: len(state.stops)] if state.stops[0] == (1,) else [choice("\n    a\n    b", "")]
    rows = shown(state, width, choices=choices)
    assert rows[rows.index("") + 1 :] == status


def test_help_is_readable_at_any_width() -> None:
    for width in (30, 60, 80):
        rows = shown(state_of(CHOICES, help=True), width)
        text = " ".join(rows)
        for key in ("Tab", "Space", "Esc", "Ctrl-C", "1–9", "↓", "↑", "close this"):
            assert key in text
        assert all(cells(row) < width for row in rows[10:])


def test_f27_a_hostile_note() -> None:
    rows = shown(State(((1,),)), choices=[choice("    a", "\x1b[2J\nfalse: \u202e")])
    assert "1 of 1 · ␛[2J false: <U+202E>" in rows[-1]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (40, 11)])
def test_a_long_fill_is_cut_and_says_how_much(width: int, height: int) -> None:
    for lines in (None, *range(1, 42)):
        rows = shown(state_of(CHOICES, 2, lines), width, height)
        assert len(rows) == height
        numbers = [int(match[1]) for row in rows if (match := re.match(r"[+·] +(\d+) │", row))]
        above = [int(match[1]) for row in rows if (match := re.fullmatch(r"  … (\d+) lines? above", row))]
        below = [int(match[1]) for row in rows if (match := re.fullmatch(r"  … (\d+) more lines?", row))]
        # none twice, none lost, in order
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert sum(above) == numbers[0] - 5
        assert sum(below) == 45 - numbers[-1]
        # the last accepted line is seen, and the next one
        assert (lines or 1) + 4 in numbers
        assert min((lines or 1) + 5, 45) in numbers
        # and where it is
        assert "    4 │ def area(radius):" in rows
        assert "   46 │" in rows


def test_neighbours_go_before_lines_of_the_fill() -> None:
    choices = [choice("x\n" * 12, before="a\nb\nc\n", after="d\ne\nf\n")]
    for room, expected in [
        (18, "abcxxxxxxxxxxxxdef"),
        (17, "abcxxxxxxxxxxxxde"),
        (16, "bcxxxxxxxxxxxxde"),
        (15, "bcxxxxxxxxxxxxd"),
        (14, "cxxxxxxxxxxxxd"),
        (13, "cxxxxxxxxxx…d"),
        (12, "cxxxxxxxxx…d"),
    ]:
        *rows, _, _ = shown(state_of(choices), 80, room + 2, choices)
        assert "".join("…" if "…" in row else row[-1] for row in rows) == expected
    # where there are none on one side, the other has the room
    for before, after, expected in [("", "d\ne\nf\n", "xxxxxxxxxxxxdef"), ("a\nb\nc\n", "", "abcxxxxxxxxxxxx")]:
        choices = [choice("x\n" * 12, before=before, after=after)]
        *rows, _, _ = shown(state_of(choices), 80, 17, choices)
        assert "".join(row[-1] for row in rows) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(FILLS, min_size=1, max_size=4), st.lists(KEYS, max_size=8), st.integers(1, 100), st.integers(1, 30),
    st.text("note \n\t\x1b", max_size=90),
    st.sampled_from(["", "x = f(", "a\nb\nc\n"]), st.sampled_from(["", ")\n", "\nd\ne\n"]),
)  # fmt: skip
def test_frames_fit(
    fills: list[str], keys: list[str], width: int, height: int, note: str, before: str, after: str
) -> None:
    choices = [choice(fill, note, before, after) for fill in fills]
    state: State | Done = state_of(choices)
    for key in keys:
        if isinstance(state, State):
            state = press(state, key)
    if isinstance(state, State):
        rows = shown(state, width, height, choices)
        assert len(rows) <= height
        assert all("\n" not in row for row in rows)
        if width >= 22:
            assert all(cells(row) <= width for row in rows)
        coloured = frame(choices, state, os.terminal_size((width, height)), colour=True)
        screen = Screen(300, 40).feed("\r\n".join(coloured).encode())
        assert screen.style == ""


# ---------------------------------------------------------------------------------------------- keys out of a terminal


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (b"nq", ["n", "q"]),
        (b"\r\n\t \x03\x04", ["\r", "\n", "\t", " ", "\x03", "\x04"]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", ["up", "down", "right", "left"]),
        (b"\x1bOA\x1bOB\x1bOC\x1bOD", ["up", "down", "right", "left"]),
        (b"\x1b[1;5A", ["up"]),
        (b"\x1b", ["escape"]),
        (b"\x1b\x1b", ["escape", "escape"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        # Alt and a letter, function keys, Home, Delete, a report of the cursor's place
        (b"\x1ba\x1bOP\x1b[15~\x1b[H\x1b[3~\x1b[1;1Rn", ["n"]),
        (b"\x1b[200~y\r\x1b[A\x1b\x03q\x1b[201~n", ["n"]),
        (b"\x1b[200~y", []),
        (b"\x1b[", []),
        (b"\x1b[1;\x03", ["\x03"]),
        (b"\x1bO", []),
        ("é日\u202ey".encode(), ["y"]),
        (b"\xff\x00", ["\x00"]),
    ],
)
def test_keys(typed: bytes, found: list[str]) -> None:
    keys, rest = decode(typed, last=False)
    more, none = decode(rest, last=True)
    assert keys + more == found
    assert none == b""


SEQUENCES = st.sampled_from(
    [b"n", b"\r", b"\x1b[A", b"\x1b[1;5B", b"\x1bOC", b"\x1b[15~", b"\xc3\xa9", b"\x1b[200~y\x1b[B q\x1b[201~", b"\x03"]
)


@given(st.lists(SEQUENCES, max_size=8).map(b"".join), st.lists(st.integers(0, 60), max_size=6))
def test_keys_in_pieces_are_the_keys_of_the_whole(typed: bytes, cuts: list[int]) -> None:
    keys, rest = [], b""
    cuts = sorted(min(cut, len(typed)) for cut in cuts)
    for start, stop in zip([0, *cuts], [*cuts, len(typed)], strict=True):
        found, rest = decode(rest + typed[start:stop], last=False)
        keys += found
    assert rest == b""
    assert keys == decode(typed, last=True)[0]


@given(st.binary(max_size=40))
def test_any_bytes_are_keys_in_the_end(typed: bytes) -> None:
    keys, rest = decode(typed, last=False)
    assert decode(rest, last=True)[1] == b""
    assert all((len(key) == 1 and key.isascii()) or key in ("up", "down", "right", "left", "escape") for key in keys)


def test_a_long_paste_is_not_kept() -> None:
    rest = b"\x1b[200~"
    for _ in range(100):
        found, rest = decode(rest + b"y\r" * 1000 + b"\x1b[20", last=False)
        assert found == []
        assert len(rest) < 20
    assert decode(rest + b"1~n", last=False) == (["n"], b"")


# ------------------------------------------------------------------------------------------------------- on a terminal


def picked(
    terminal: Terminal, choices: Sequence[Choice] = CHOICES, term: str = "xterm", no_colour: str = "1"
) -> object:
    """What is picked by the terminal's user; the terminal then is as it was."""
    console = terminal.console(term=term, no_colour=no_colour)
    before = termios.tcgetattr(terminal.stdin)
    terminal.stdout.write(b"$ command\n")
    terminal.stdout.flush()
    try:
        return pick(console, choices)
    except KeyboardInterrupt:
        return KeyboardInterrupt
    finally:
        assert termios.tcgetattr(terminal.stdin) == before
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def frames(output: bytes, width: int = 80, height: int = 24) -> list[list[str]]:
    """What was on the alternate screen, one after the other; the last one is blank."""
    first = b"\x1b[1;1H\x1b[K"
    _, *painted = output.split(first)
    found = []
    for each in painted:
        screen = Screen(width, height).feed(b"\x1b[?1049h\x1b[?7l" + first + each.partition(b"\x1b[1;1H\x1b[?")[0])
        found.append([row.text for row in screen.rows])
    return found


@pytest.mark.parametrize(
    ("steps", "result"),
    [
        ([(b"1 of 3", b"\r")], "    return 1"),
        ([(b"1 of 3", b"n"), (b"2 of 3", b"y")], FIVE),
        ([(b"1 of 3", b"2"), (b"2 of 3", b"l"), (b"line 1 of 5", b"\x1b[B"), (b"lines 1\xe2\x80\x932", b"\t")],
         "    if radius < 0:\n        raise ValueError"),
        ([(b"1 of 3", b"2\x1bOAa")], FIVE.rpartition("\n")[0]),
        ([(b"1 of 3", b"q")], None),
        ([(b"1 of 3", b"\x1b")], None),
        ([(b"1 of 3", b"n"), (b"2 of 3", b"\x03")], KeyboardInterrupt),
        # pasted: nothing but what comes behind it
        ([(b"1 of 3", b"\x1b[200~y\r\x03\x1b[201~n"), (b"2 of 3", b"q")], None),
        ([(b"1 of 3", b"\x1a\x1c\x13n"), (b"2 of 3", b"q")], None),
    ],
)  # fmt: skip
def test_picking(steps: list[Step], result: object) -> None:
    with Terminal(steps=steps) as terminal:
        assert picked(terminal) == result
        assert terminal.steps == []
        output = terminal.close()
    assert Screen().feed(output.partition(b"\x1b[?2004l")[0]).modes == {"?1049", "?2004"}
    screen = Screen().feed(output)
    # nothing of it stays
    assert screen.lines == ["$ command", ""]
    assert screen.modes == {"?7", "?25"}
    assert screen.style == ""


@pytest.mark.parametrize("no_colour", ["", "1"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (10, 3), (1, 1)])
def test_what_is_painted_is_the_frame(width: int, height: int, no_colour: str) -> None:
    with Terminal(width, height, [(b"\x1b[?1049h", b"3"), (b"\x1b[1;1H", b""), (b"\x1b[1;1H", b"q")]) as terminal:
        assert picked(terminal, no_colour=no_colour) is None
        output = terminal.close()
    painted = frames(output, width, height)
    assert len(painted) == 3
    expected = shown(state_of(CHOICES, 2), width, height)
    if width > 20:
        assert painted[1] == expected + [""] * (height - len(expected))
    else:
        assert len(painted[1]) == height
    assert painted[-1] == [""] * height
    # the typed 3 is not seen, and colours only where they are wanted
    assert (b"\x1b[2m" in output) == (no_colour == "")


def test_another_size_is_painted_anew() -> None:
    steps: list[Step] = [(b"1 of 3", b"3"), (b"3 of 3", (60, 10)), (b"3 of 3", b"q")]
    with Terminal(80, 24, steps) as terminal:
        assert picked(terminal) is None
        assert terminal.steps == []
        output = terminal.close()
    assert frames(output, 60, 10)[2] == shown(state_of(CHOICES, 2), 60, 10)


def test_f27_hostile_fills_on_a_terminal() -> None:
    hostile = choice("    a = '\x1b[2J\x1b]0;x\x07\x9b6n\r\u202e'", "\x1b[2J", "\x1b[?1049l\n", "\x1b[?7h\n")
    with Terminal(steps=[(b"1 of 1", b"q")]) as terminal:
        assert picked(terminal, [hostile], no_colour="") is None
        # it fails on a sequence that is not ours
        assert terminal.screen().lines == ["$ command", ""]


def test_what_was_typed_before_is_no_answer() -> None:
    with Terminal(steps=[(b"1 of 3", b"q")]) as terminal:
        terminal.send(b"y\n")
        assert select.select([terminal.stdin], [], [], 10)[0]
        assert picked(terminal) is None


def test_what_is_typed_behind_the_answer_is_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(state: State, key: str) -> State | Done:
        terminal.send(b"rm -r\n")
        assert select.select([terminal.stdin], [], [], 10)[0]
        return press(state, key)

    monkeypatch.setattr(picker, "press", pressed)
    with Terminal(steps=[(b"1 of 3", b"y")]) as terminal:
        assert picked(terminal) == "    return 1"
        assert not select.select([terminal.stdin], [], [], 0)[0]


def test_an_error_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(state: State, key: str) -> NoReturn:
        raise RuntimeError("a defect")

    monkeypatch.setattr(picker, "press", failing)
    with Terminal(steps=[(b"1 of 3", b"y")]) as terminal:
        with pytest.raises(RuntimeError, match="a defect"):
            picked(terminal)
        screen = terminal.screen()
    assert screen.lines == ["$ command", ""]
    assert screen.modes == {"?7", "?25"}


def test_a_dumb_terminal_gets_one_candidate_below_the_other() -> None:
    steps: list[Step] = [(b"1 of 3", b"x"), (b"\r\n\r\n", b"2"), (b"2 of 3", b"l"), (b"line 1 of 5", b"y")]
    with Terminal(steps=steps) as terminal:
        assert picked(terminal, term="dumb", no_colour="") == "    if radius < 0:"
        output = terminal.close().decode()
    states = [state_of(CHOICES), state_of(CHOICES, 1), state_of(CHOICES, 1, 1)]
    assert "\x1b" not in output
    assert output.split("\r\n") == ["$ command", *(row for state in states for row in [*shown(state), ""]), ""]


def test_a_terminal_that_is_gone_is_none() -> None:
    master, slave = os.openpty()

    def close() -> None:
        output = b""
        while b"? help" not in output:
            output += os.read(master, 4096)
        os.close(master)

    with os.fdopen(slave, "rb") as stdin, os.fdopen(os.dup(slave), "w") as stderr:
        console = Console(stdin, stderr=stderr, stdin_tty=True, stderr_tty=True, environ={"TERM": "xterm"})
        reader = threading.Thread(target=close)
        reader.start()
        assert pick(console, CHOICES) is None
        reader.join()


def test_a_thread_can_ask_too() -> None:
    results: list[object] = []
    with Terminal(steps=[(b"1 of 3", b"y")]) as terminal:
        thread = threading.Thread(target=lambda: results.append(pick(terminal.console(), CHOICES)))
        thread.start()
        thread.join(20)
    assert results == ["    return 1"]


def test_a_terminal_that_takes_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as end:
        with monkeypatch.context() as patch, os.fdopen(writer, "wb"):
            patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
            FullScreen(reader, writer, dumb=False).write("é" * 30)
        assert end.read().decode() == "é" * 30


def test_nothing_to_choose_among() -> None:
    assert pick(Console(), []) is None


def test_without_a_size_it_is_laid_out_for_80_columns() -> None:
    with Terminal(0, 0, [(b"1 of 3", b"q")]) as terminal:
        assert picked(terminal) is None
        assert b"\x1b[24;1H" in terminal.close()


PROGRAM = f"""
import os, sys, tempfile
from codellama.console import Console
from codellama.picker import Choice, pick
from codellama.preview import Preview
fills = ("    return 1", {FIVE!r})
choices = [Choice(Preview("def f():\\n", fill, "\\n", "python"), lambda text: "") for fill in fills]
"""


def test_the_process_s_own_terminal_serves_where_the_streams_are_none() -> None:
    program = f"""{PROGRAM}
reader, writer = os.pipe()
files = [tempfile.TemporaryFile() for _ in range(2)]
kept = os.dup(1)
os.dup2(reader, 0)
os.dup2(files[0].fileno(), 1)
os.dup2(files[1].fileno(), 2)
console = Console.from_process()
before = os.listdir("/dev/fd")
console.write(pick(console, choices))
assert os.listdir("/dev/fd") == before
os.dup2(kept, 1)
for file in files:
    file.seek(0)
    print(file.read())
"""
    finished = run(program, keys=[(b"1 of 2", b"n"), (b"2 of 2", b"y")])
    assert finished.code == 0
    assert Screen().feed(finished.output).lines == [repr(FIVE.encode()), "b''", ""]


def test_sigterm_gives_the_terminal_back() -> None:
    program = f"""{PROGRAM}
import signal, termios
from codellama import picker
picker.press = lambda state, key: os.kill(os.getpid(), signal.SIGTERM)
before = termios.tcgetattr(0)
try:
    pick(Console.from_process(), choices)
finally:
    assert termios.tcgetattr(0) == before
    print("given back")
"""
    finished = run(program, keys=(b"1 of 2", b"n"))
    assert finished.code == 128 + signal.SIGTERM
    screen = Screen().feed(finished.output)
    assert screen.lines == ["given back", ""]
    assert screen.modes == {"?7", "?25"}


def test_without_a_terminal_there_is_another_way() -> None:
    program = f"""{PROGRAM}
from codellama.errors import InputError
try:
    pick(Console.from_process(), choices)
except InputError as error:
    print(error)
"""
    finished = subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(),
        start_new_session=True, timeout=20, check=True,
    )  # fmt: skip
    assert finished.stdout == ("there is no terminal to ask on: take --candidates N --json in place of --pick\n")
    assert finished.stderr == ""


def test_without_termios_there_is_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "termios", None)
    with Terminal() as terminal, pytest.raises(InputError, match="--json"):
        pick(terminal.console(), CHOICES)


def test_a_stream_that_only_claims_to_be_a_terminal() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stdin, os.fdopen(writer, "w") as stderr:
        with (
            pytest.raises(InputError),
            open_fullscreen(Console(stdin, stderr=stderr, stdin_tty=True, stderr_tty=True), ""),
        ):
            pass
        # and what can no longer be read or written has no keys, and is no error
        stderr.close()
        screen = FullScreen(reader, reader, dumb=False)
        screen.paint(["text"])
        assert list(screen.pressed()) == []
