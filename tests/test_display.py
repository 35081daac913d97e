from __future__ import annotations

import argparse
import ast
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama.console import Console
from codellama.display import Display, PipeDisplay, TerminalDisplay, open_display
from codellama.errors import InputError
from codellama.highlight import Highlighter, Run, lexer_name
from codellama.sanitiser import sanitise
from tests.terminal import Dialect, Finished, Screen, Terminal, environment, run

CASES = sorted((Path(__file__).parent / "cases" / "sanitise").glob("*.txt"))
CODE = '''"""Numbers.

With a "quoted" word.
"""
import sys  # not used


@cache
def fibonacci(number: int) -> int:
    """Return it."""
    if number < 2 and not None:
        return f"{number!r}" + '[red]x[/red]' * 0x1f
    class Inner: pass
    raise ValueError(number)
'''


def expected(text: str) -> str:
    """What a screen holds after a text: sanitised, tabs as spaces, ending in a newline unless empty."""
    text = sanitise(text).expandtabs()
    return text if not text or text.endswith("\n") else text + "\n"


def pieces_of(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


class Restless(Highlighter):
    """Has all of the text in another colour each time, so that the open line is painted over whenever it can be."""

    def __init__(self) -> None:
        super().__init__("python")
        self.style = 31

    def runs(self, text: str, start: int) -> list[Run]:
        self.style ^= 1
        return [(start, len(text), str(self.style))]

    def advance(self, text: str, line: int) -> int | None:
        return line


def streamed(
    pieces: list[str],
    width: int = 80,
    height: int = 24,
    dialect: Dialect | None = None,
    highlighter: Highlighter | None = None,
) -> Screen:
    """The screen after pieces, of Python unless told, each painted at once."""
    highlighter = highlighter or Highlighter("python")
    with Terminal(width, height) as terminal:
        with TerminalDisplay(terminal.console(), highlighter, interval=0, share=1) as display:
            for piece in pieces:
                display.push(piece)
        return terminal.screen(dialect)


# words that change their colours while they grow, what wraps, what terminals measure differently, what is hostile
PARTS = st.sampled_from(
    [
        *("def ", "class", "None", "# ", "'", '"""', '"', "f(", "1.5", "return", " ", "  ", "x", "@a", "i", "in"),
        *("\n", "\n", "\n\n", "\t", "\r\n", "\r", "\\", "word" * 5, "-" * 30),
        *(
            "é",
            "日本",
            "ｆ",
            "か\u3099",
            "e\u0301",
            "❤\ufe0f",
            "👨\u200d👩",
            "🔥",
            "👍\U0001f3fd",
            "한",
            "█",
            "ع",
            "1\ufe0f\u20e3",
        ),
        *("\x1b[2J", "\x1b]52;c;eA==\x07", "\x9b6n", "\b", "\u202e", "\ud800"),
    ]
)
TEXTS = st.lists(PARTS, max_size=40).map("".join)
DIALECTS = st.builds(Dialect, ambiguous=st.sampled_from([1, 2]), merges=st.booleans(), combines=st.booleans())


@settings(max_examples=250, deadline=None)
@given(TEXTS, st.data(), st.integers(1, 40), st.integers(1, 8), DIALECTS)
def test_screen_and_scrollback_hold_the_text(
    text: str, data: st.DataObject, width: int, height: int, dialect: Dialect
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=30)))
    pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for highlighter in (Highlighter("python"), Restless()):
        screen = streamed(pieces, width, height, dialect, highlighter)
        assert screen.text == expected(text)
        assert screen.style == ""


@pytest.mark.parametrize("characters", ["x", "日", "x日", "é", "\t", "👍\U0001f3fd"])
@pytest.mark.parametrize("width", [1, 2, 3, 9, 10])
def test_every_length_of_a_line_can_be_painted_over(characters: str, width: int) -> None:
    for dialect in (Dialect(), Dialect(ambiguous=2), Dialect(merges=True), Dialect(combines=False)):
        text = f"above\n{characters * 30}\nbelow"
        screen = streamed(pieces_of(text, 1), width, 24, dialect, Restless())
        assert screen.text == expected(text)


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_throttled_and_without_colours_it_is_the_same(text: str, size: int) -> None:
    for highlighter, interval in ((None, 0.0), (None, 1e9), (Highlighter("python"), 1e9)):
        with Terminal(20, 5) as terminal:
            with TerminalDisplay(terminal.console(), highlighter, interval=interval, share=1) as display:
                for piece in pieces_of(text, size):
                    display.push(piece)
            assert terminal.screen().text == expected(text)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text()))
def test_a_pipe_gets_the_bytes_exactly_and_at_once(pieces: list[str]) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(writer, "wb") as stdout, os.fdopen(reader, "rb", buffering=0) as read_end:
        with open_display(Console(stdout=stdout), filename="x.py") as display:
            for piece in pieces:
                display.push(piece)
                if piece:
                    assert read_end.read(65536) == piece.encode()
        stdout.close()
        assert read_end.read() == b""


def test_a_token_gets_its_colour_when_it_is_whole() -> None:
    screen = streamed(["d", "e", "f", " fib", "onacci", "(n", ")"])
    assert screen.style_of("def") == {"35"}
    assert screen.style_of("fibonacci") == {"1"}
    assert screen.style_of("(n)") == {""}


def test_a_wrapped_line_is_painted_over_from_its_start() -> None:
    # an open string is coloured as one when it closes, three rows further
    text = "x = f(" + "a, " * 20 + "'" + "b" * 40 + "'"
    screen = streamed(pieces_of(text, 3), width=30)
    assert screen.text == text + "\n"
    assert screen.style_of("b" * 20) == {"32"}


def test_a_line_longer_than_the_screen_is_only_added_to() -> None:
    with Terminal(10, 3) as terminal:
        with TerminalDisplay(terminal.console(), Highlighter("python"), interval=0, share=1) as display:
            for piece in pieces_of("x = " + "abc + " * 9 + "de", 2):
                display.push(piece)
            terminal_rows = 60 // 10
            assert terminal_rows > 3
            display.push("f")
        assert terminal.screen().text == "x = " + "abc + " * 9 + "def\n"


@pytest.mark.parametrize("size", [1, 3, 17, 10**6])
def test_streamed_colours_are_those_of_the_whole(size: int) -> None:
    whole, screen = streamed([CODE], 40), streamed(pieces_of(CODE, size), 40)
    assert screen.rows == whole.rows
    assert whole.style_of("fibonacci") == {"1"}
    assert whole.style_of("'[red]x[/red]'"[:8]) == {"32"}


def test_colours_of_a_long_text_are_those_of_the_whole() -> None:
    """The window of the highlighter moves on: over a module of 100 kB, and over docstrings longer than it is."""
    docstring = 'def f():\n    """\n' + "    a # word, a 1\n" * 300 + '    """\n'
    text = docstring * 3 + Path(argparse.__file__).read_text("utf-8")
    whole = Highlighter("python").runs(text, 0)
    highlighter, runs, start, longest = Highlighter("python"), list[Run](), 0, 0
    for match in re.finditer(r"(.*\n){1,15}", text):
        window = text[start : match.end()]
        runs += [(a + start, b + start, style) for a, b, style in highlighter.runs(window, match.start() - start)]
        forget = highlighter.advance(window, len(window))
        assert forget is not None
        longest = max(longest, len(window))
        start += forget
    assert styles(runs, len(text)) == styles(whole, len(text))
    assert longest < 12_000


def styles(runs: list[Run], length: int) -> list[str]:
    result = [""] * length
    for begin, end, style in runs:
        result[begin:end] = [style] * (end - begin)
    return result


def test_f24_a_line_without_end_takes_bounded_time() -> None:
    for unit in ("x", "(", '"', "a = 1; "):
        with Terminal() as terminal:
            began = time.process_time()
            with open_display(terminal.console()) as display:
                for piece in pieces_of(unit * 50_000, 5):
                    display.push(piece)
            assert time.process_time() - began < 5
            assert terminal.screen().text == unit * 50_000 + "\n"


def test_painting_takes_a_quarter_of_the_time() -> None:
    """A clock that every look at it moves on by the cost of a painting, 40 ms: one painting in 160 ms."""
    now, paintings = 0.0, 0

    def clock() -> float:
        return now

    class Slow(Highlighter):
        def runs(self, text: str, start: int) -> list[Run]:
            nonlocal now, paintings
            now += 0.04
            paintings += 1
            return super().runs(text, start)

    with Terminal() as terminal:
        display = TerminalDisplay(terminal.console(), Slow("python"), clock=clock)
        for _ in range(1000):
            now += 0.001
            display.push("x ")
    # a second of tokens, and so 40 ms out of every 160
    assert paintings == pytest.approx(1 / 0.12, abs=1)


def test_a_slow_token_is_shown_at_once() -> None:
    now = 0.0
    stdout = io.BytesIO()
    console = Console(stdout=stdout, stdout_tty=True, environ={"TERM": "xterm"})
    display = TerminalDisplay(console, Highlighter("text"), clock=lambda: now)
    for number in range(5):
        now += 0.07
        display.push(f"{number}")
        assert stdout.getvalue().decode().endswith(f"{number}")
    # a fast one waits, and is there in the end
    display.push("5")
    display.push("6")
    assert stdout.getvalue() == b"01234"
    display.finish()
    assert stdout.getvalue() == b"0123456\n"


def test_a_resized_terminal_is_not_painted_over() -> None:
    with Terminal(20, 5) as terminal:
        with TerminalDisplay(terminal.console(), Restless(), interval=0, share=1) as display:
            display.push("a" * 30)
            terminal.resize(10, 5)
            display.push("b")
            display.push("c")
            display.push("\nd")
            display.push("e")
        output = terminal.close()
    # the line that was open stays as it is, the next one is painted over again
    assert output.count(b"\x1b[K") == 1
    assert output.index(b"\x1b[K") > output.index(b"\n")


@pytest.mark.parametrize("length", range(1, 32))
def test_ctrl_c_echoed_by_the_terminal_leaves_the_text(length: int) -> None:
    with Terminal(10) as terminal:
        display = TerminalDisplay(terminal.console(), Restless(), interval=1e9)
        display.push("x" * length)
        terminal.stdout.write(b"^C")
        display.push("y")
        display.abort()
        assert terminal.screen().text in ("x" * length + "y\n", "x" * length + "^Cy\n")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_f27_f28_in_an_answer(path: Path, size: int) -> None:
    hostile, shown = (ast.literal_eval(part) for part in path.read_text("utf-8").split("# output\n"))
    assert streamed(pieces_of(hostile, size), 100).text == expected(shown)
    # and where nothing is coloured, no sequence at all is written
    for term, no_colour in (("xterm", "1"), ("dumb", "")):
        with Terminal(100) as terminal:
            with open_display(terminal.console(term=term, no_colour=no_colour)) as display:
                for piece in pieces_of(hostile, size):
                    display.push(piece)
            assert terminal.close().decode() == expected(shown).replace("\n", "\r\n")


def test_f29_markup_is_literal() -> None:
    text = "[red]x[/red] [link=http://e]y[/link] [bold\n"
    assert streamed(pieces_of(text, 4)).text == text


def test_raw_has_no_colours_and_is_still_sanitised() -> None:
    with Terminal() as terminal:
        with open_display(terminal.console(), language="python", raw=True) as display:
            display.push("def\x1b[31m")
        assert terminal.close() == "def␛[31m\r\n".encode()


def test_nothing_pushed_nothing_shown() -> None:
    with Terminal() as terminal:
        with open_display(terminal.console()) as display:
            display.push("")
        assert terminal.close() == b""


def test_finish_twice_ends_the_line_once() -> None:
    with Terminal() as terminal:
        with open_display(terminal.console()) as display:
            display.push("x")
            display.finish()
        assert terminal.screen().lines == ["x", ""]


def test_an_error_leaves_what_was_streamed() -> None:
    def stream(display: Display) -> None:
        with display:
            display.push("def f")
            display.push("ibonacci(")
            raise RuntimeError("the model")

    with Terminal() as terminal:
        with pytest.raises(RuntimeError, match="the model"):
            stream(open_display(terminal.console()))
        screen = terminal.screen()
    assert screen.lines == ["def fibonacci(", ""]
    assert screen.column == 0
    assert screen.style == ""


def test_ctrl_c_while_lexing_loses_nothing() -> None:
    class Interrupted(Highlighter):
        left = 1

        def runs(self, text: str, start: int) -> list[Run]:
            if "ibo" in text and self.left:
                self.left = 0
                raise KeyboardInterrupt
            return super().runs(text, start)

    def stream(display: Display) -> None:
        with display:
            display.push("def f")
            display.push("ibonacci(")

    with Terminal() as terminal:
        with pytest.raises(KeyboardInterrupt):
            stream(TerminalDisplay(terminal.console(), Interrupted("python"), interval=0, share=1))
        assert terminal.screen().lines == ["def fibonacci(", ""]


def stream_until_ctrl_c(width: int) -> Finished:
    program = """
import itertools, time
from codellama.console import Console
from codellama.display import open_display
console = Console.from_process()
try:
    with open_display(console, language="python") as display:
        for number in itertools.count():
            display.push(f"def number{number}(): ret")
            time.sleep(0.01)
            display.push("urn None")
            if number % 3 == 2:
                display.push("\\n")
except KeyboardInterrupt:
    console.error("interrupted")
    raise SystemExit(130)
"""
    return run(program, width=width, keys=(b"number10", b"\x03"))


@pytest.mark.parametrize("width", [200, 50, 7])
def test_ctrl_c_keeps_the_streamed_text(width: int) -> None:
    finished = stream_until_ctrl_c(width)
    assert finished.code == 130
    screen = Screen(width, 24).feed(finished.output)
    *lines, error, last = screen.lines
    assert (error, last, screen.style) == ("codellama: interrupted", "", "")
    # the terminal's ^C may stand where it was typed
    text = "".join(lines).replace("^C", "")
    count = text.count("def")
    assert count >= 11
    whole = "".join(f"def number{number}(): return None" for number in range(count))
    assert whole.startswith(text)
    assert len(text) > len(whole) - 10


def test_f30_head_1() -> None:
    program = """
from codellama.console import Console
from codellama.display import open_display
from codellama.errors import ReaderGoneError
try:
    with open_display(Console.from_process()) as display:
        while True:
            display.push("line\\n")
except ReaderGoneError as error:
    raise SystemExit(error.exit_code)
"""
    finished = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$0" | head -1; echo "${{PIPESTATUS[0]}}"', program],
        capture_output=True, env=environment(), timeout=20,
    )  # fmt: skip
    assert (finished.stdout, finished.stderr) == (b"line\n141\n", b"")


@pytest.mark.parametrize(
    ("filename", "language", "name"),
    [
        (None, None, "python"),
        ("a/b/app.py", None, "python"),
        ("main.c", None, "c"),
        ("Main.java", None, "java"),
        ("a.js", None, "javascript"),
        ("Makefile", None, "make"),
        ("no_extension", None, "python"),
        ("-", None, "python"),
        ("main.c", "rust", "rust"),
        (None, "py", "python"),
        (None, "C++", "cpp"),
    ],
)
def test_lexer_name(filename: str | None, language: str | None, name: str) -> None:
    assert lexer_name(filename, language) == name


def test_an_unknown_language_is_refused_with_a_way_out() -> None:
    with pytest.raises(InputError, match=r"^unknown language klingon: take python, c, .* or leave it out$"):
        lexer_name(None, "klingon")
    with pytest.raises(InputError):
        open_display(Console(), language="klingon")


def test_a_pipe_needs_no_lexer() -> None:
    program = """
import sys
from codellama.console import Console
from codellama.display import open_display
with open_display(Console.from_process(), filename="x.py") as display:
    display.push("def f")
print({"pygments", "rich", "typer", "torch"} & set(sys.modules), end="")
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment(), timeout=20)
    assert finished.stdout == b"def fset()"
    assert isinstance(open_display(Console()), PipeDisplay)
