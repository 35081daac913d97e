from __future__ import annotations

import ast
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama.preview import NEIGHBOURS, Preview, Row, cells, rows, show
from codellama.sanitiser import sanitise
from tests.terminal import Screen, Terminal

CASES = sorted((Path(__file__).parent / "cases" / "sanitise").glob("*.txt"))
BEFORE = 'import math\n\n\ndef area(radius):\n    """Area."""\n'


def preview(before: str, fill: str, after: str, first_line: int = 1) -> Preview:
    return Preview(before, fill, after, "python", first_line)


def plain(shown: Preview, width: int = 80, accepted: int | None = None) -> list[str]:
    return [row.text for row in rows(shown, width, colour=False, accepted=accepted)]


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def screen_of(shown: Preview, width: int = 80, accepted: int | None = None) -> Screen:
    text = "\r\n".join(row.text for row in rows(shown, width, colour=True, accepted=accepted))
    return Screen(width).feed(text.encode())


def test_a_fill_of_whole_lines() -> None:
    # how the newlines are divided between the three texts makes no difference
    for before, fill, after in (
        (BEFORE, "    half = radius / 2\n    return half\n", "\n\nx = 1\ny = 2\n"),
        (BEFORE, "    half = radius / 2\n    return half", "\n\n\nx = 1\ny = 2\n"),
        (BEFORE[:-1], "\n    half = radius / 2\n    return half", "\n\n\nx = 1\ny = 2\n"),
        (BEFORE + "    ", "half = radius / 2\n    return half", "\n\n\nx = 1\ny = 2\n"),
    ):
        assert plain(preview(before, fill, after, 95)) == [
            "   97 │",
            "   98 │ def area(radius):",
            '   99 │     """Area."""',
            "+ 100 │     half = radius / 2",
            "+ 101 │     return half",
            "  102 │",
            "  103 │",
            "  104 │ x = 1",
        ]


def test_the_lines_of_a_fill_are_counted_from_its_first_one() -> None:
    whole = rows(preview(BEFORE, "    a\n    b\n", "c\n"), 80, colour=False)
    assert [row.line for row in whole] == [0, 0, 0, 1, 2, 0]
    behind = rows(preview(BEFORE[:-1], "\n    a\n    b", "\nc\n"), 80, colour=False)
    assert [row.line for row in behind] == [0, 0, 0, 2, 3, 0]


def test_a_fill_inside_of_a_line_has_carets_where_there_are_no_colours() -> None:
    shown = preview("def f(a):\n\treturn sum(", "b, '日本',\n               1 + 2", ") + 1\n\treturn\n")
    assert plain(shown) == [
        "    1 │ def f(a):",
        "+   2 │         return sum(b, '日本',",
        "      │                    ^^^^^^^^^^",
        "+   3 │                1 + 2) + 1",
        "      │                ^^^^^",
        "    4 │         return",
    ]
    screen = screen_of(shown)
    assert "^" not in screen.text
    assert screen.style_of("b, ") == {"4"}
    assert screen.style_of("'日") == {"32;4"}
    assert screen.style_of("1 + 2)") == {"36;4", "4", "2"}
    assert screen.style_of("return sum(") == {"2"}
    assert screen.style_of(") + 1") == {"2"}


def test_blanks_beside_a_fill_are_no_reason_for_carets() -> None:
    assert plain(preview("    ", "x = 1", "  \n")) == ["+   1 │     x = 1  "]
    screen = screen_of(preview("    ", "x = y", "  \n"))
    assert screen.style_of("x = y") == {""}


def test_empty_lines_of_a_fill_are_marked() -> None:
    assert plain(preview("a\n", "\n\nb\n\n", "c")) == [
        "    1 │ a", "+   2 │", "+   3 │", "+   4 │ b", "+   5 │", "    6 │ c"
    ]  # fmt: skip


def test_nothing_around_and_nothing_in_it() -> None:
    assert plain(preview("", "a", "")) == ["+   1 │ a"]
    assert plain(preview("", "", "")) == ["    1 │"]
    assert plain(preview("a\nb", "", "c\n")) == ["    1 │ a", "    2 │ bc"]
    assert rows(preview("a\n", "", "b\n"), 80, colour=True) != []


def test_accepted_by_line() -> None:
    shown = preview(BEFORE, "    half = 1\n    return 'half'\n    pass\n", "")
    assert plain(shown, accepted=2)[-3:] == ["+   6 │     half = 1", "+   7 │     return 'half'", "·   8 │     pass"]
    screen = screen_of(shown, accepted=1)
    assert screen.style_of("half = 1") == {"", "36"}
    assert screen.style_of("return 'half'") == {"2"}
    assert screen_of(shown).style_of("return") == {"35"}
    assert screen.style_of("+") == {"32"}
    assert screen.style_of("·") == {""}


def test_a_fill_is_coloured_by_what_stands_before_it() -> None:
    docstring = screen_of(preview('def f():\n    """Give ', "return of it\n\n    for ever", '."""\n    return 1\n'))
    assert docstring.style_of("return of it") == {"32;4"}
    assert docstring.style_of("for ever") == {"32;4"}
    # and by nothing else: neighbours are faint
    assert docstring.style_of("    return 1") == {"2"}
    code = screen_of(preview("def f():\n    ", "return 'of it'", "\n"))
    assert code.style_of("return") == {"35"}
    assert code.style_of("'of it'") == {"32"}


@pytest.mark.parametrize("opening", ['    """A word, ', "    x = "])
def test_a_long_text_before_is_not_lexed_whole(opening: str) -> None:
    function = 'def f():\n    """A word.\n\n    A second one.\n    """\n    return "\'"\n\n\n'
    before = function * 40_000 + "class A:\n" + "    x = 1\n" * 10 + opening
    began = time.process_time()
    shown = preview(before, "class B", "\n")
    screen = screen_of(shown)
    # some 20 s for the whole
    assert time.process_time() - began < 2
    assert screen.style_of("class B") == ({"32;4"} if '"' in opening else {"35;4", "4", "1;4"})
    assert plain(shown)[:4] == [
        *(f"  {number} │     x = 1" for number in (320_009, 320_010, 320_011)), f"+ 320012 │ {opening}class B"
    ]  # fmt: skip


def test_a_long_class_before_keeps_its_neighbours() -> None:
    before = "class A:\n" + "    x = 1\n" * 5_000 + "y = 2\n"
    assert plain(preview(before, "z = 3", "")) == [
        "  5000 │     x = 1", "  5001 │     x = 1", "  5002 │ y = 2", "+ 5003 │ z = 3"
    ]  # fmt: skip


def test_lines_without_end_do_not_fill_the_screen() -> None:
    long = "x " * 500_000
    began = time.process_time()
    text = preview(f"{long}\n{long}", "the fill", f"{long}\n{long}\n")
    shown = plain(text)
    assert "the fill" in screen_of(text).text
    # some 10 s were they lexed whole
    assert time.process_time() - began < 2
    assert len(shown) <= 9
    assert shown[0].endswith("x…")
    assert shown[1].startswith("+   2 │ …")
    assert "the fill" in "".join(shown)
    assert shown[-1].endswith("x…")
    assert shown[-2].endswith("…")


def test_a_neighbour_has_one_row_and_a_line_of_the_fill_as_many_as_it_needs() -> None:
    shown = preview("n" * 30 + "\n" + "m" * 12 + "\n", "f" * 30 + "\n", "")
    assert plain(shown, 20) == [
        "    1 │ nnnnnnnnnnn…",
        "    2 │ mmmmmmmmmmmm",
        "+   3 │ ffffffffffff",
        "+     │ ffffffffffff",
        "+     │ ffffff",
    ]


TEXTS = st.lists(
    st.sampled_from(
        [
            *("def ", "x", " ", "    ", '"""', "'", "# ", "1.5", "(", ")", ",", "\n", "\n", "\n", "\t", "word" * 5),
            *(
                "é",
                "日本",
                "e\u0301",
                "👍",
                "\r\n",
                "\r",
                "\x1b[2J",
                "\x1b]52;c;eA==\x07",
                "\x9b6n",
                "\u202e",
                "\ud800",
            ),
        ]
    ),
    max_size=25,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.integers(16, 90), st.one_of(st.none(), st.integers(0, 9)))
def test_rows_fit_and_are_inert(before: str, fill: str, after: str, width: int, accepted: int | None) -> None:
    shown = preview(before, fill, after)
    coloured = rows(shown, width, colour=True, accepted=accepted)
    # the screen fails on any sequence but ours
    screen = Screen(width).feed("".join(row.text + "\r\n" for row in coloured).encode())
    assert screen.style == ""
    assert not any(row.wrapped for row in screen.rows)
    bare = rows(shown, width, colour=False, accepted=accepted)
    assert all(row.text == sanitise(row.text) and "\t" not in row.text for row in bare)
    assert all(cells(row.text) <= width for row in bare)
    texts = [Row(without_colours(row.text), row.line) for row in coloured]
    assert texts == [row for row in bare if not re.fullmatch(r" +│ +\^+|[^│]+│ \^+", row.text)]


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.integers(1, 2000))
def test_rows_are_the_lines_of_the_text(before: str, fill: str, after: str, first_line: int) -> None:
    """On a wide terminal: each line, its number, and a mark where any of it is the fill's."""
    # what a carriage return means depends on what follows it, and the texts end at most lines with one
    before, fill, after = (text.replace("\r", "") for text in (before, fill, after))
    shown = rows(Preview(before, fill, after, "python", first_line), 2000, colour=False)
    whole = before + fill + after
    lines = whole.removesuffix("\n").split("\n") if whole else []
    expected, at = [], 0
    for number, line in enumerate(lines, first_line):
        start, stop = at, at + len(line)
        at = stop + 1
        inside = range(max(start, len(before)), min(stop, len(before + fill)))
        marked = len(inside) > 0 or (start == stop and len(before) <= start < len(before + fill))
        text = sanitise(whole)[len(sanitise(whole[:start])) : len(sanitise(whole[:stop]))].expandtabs()
        expected.append((marked, number, text))
    marks = [number for number, (marked, _, _) in enumerate(expected) if marked]
    if marks:
        expected = expected[max(marks[0] - NEIGHBOURS, 0) : marks[-1] + 1 + NEIGHBOURS]
        pattern = re.compile(r"([+ ]) +(\d+) │ ?(.*)", re.DOTALL)
        found = [match for row in shown if (match := pattern.fullmatch(row.text))]
        assert [(match[1] == "+", int(match[2]), match[3]) for match in found] == expected
        assert [bool(row.line) for row in shown if pattern.fullmatch(row.text)] == [each[0] for each in expected]


@settings(max_examples=200, deadline=None)
@given(st.text("ab (", max_size=12), st.text("cd 1", min_size=1, max_size=60), st.text("ef )", max_size=12))
def test_carets_stand_below_the_fill(before: str, fill: str, after: str) -> None:
    shown = plain(preview(before, fill, after), 40)
    marked = ""
    for above, below in pairwise(shown):
        if "^" in below:
            marked += "".join(upper for upper, lower in zip(above, below, strict=False) if lower == "^")
    if (before + after).strip():
        assert marked == (fill if before.strip() else fill.lstrip())
    else:
        assert marked == ""


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_f27_f28_in_a_fill_and_around_it(path: Path) -> None:
    hostile, shown = (ast.literal_eval(part) for part in path.read_text("utf-8").split("# output\n"))
    with Terminal(400) as terminal:
        show(terminal.console(), preview(f"{hostile}\nabove {hostile}", f"\nfill {hostile}", f"\nbelow {hostile}\n"))
        screen = terminal.screen()
    for word in ("above", "fill", "below"):
        assert f"{word} {shown}".split("\n")[0].expandtabs()[:150] in screen.text


def test_a_fill_is_shown_whole() -> None:
    with Terminal(80, 10) as terminal:
        show(terminal.console(), preview(BEFORE, "".join(f"    x{number} = 1\n" for number in range(50)), "\n"))
        screen = terminal.screen()
    assert len(screen.lines) == 3 + 50 + 1 + 1
    assert screen.style_of("1") != {"2"}


@pytest.mark.parametrize(("term", "no_colour"), [("xterm", "1"), ("dumb", ""), ("", "")])
def test_without_colours_no_sequence_is_written(term: str, no_colour: str) -> None:
    with Terminal() as terminal:
        show(terminal.console(term=term, no_colour=no_colour), preview("x = ", "1", " + 2\n"))
        assert terminal.close().decode() == "+   1 │ x = 1 + 2\r\n      │     ^\r\n"


def test_it_is_laid_out_for_the_terminal() -> None:
    with Terminal(30) as terminal:
        show(terminal.console(), preview("", "x" * 40, ""))
        assert [len(line) for line in terminal.screen().lines] == [30, 26, 0]
