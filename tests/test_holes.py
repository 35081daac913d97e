"""FILE:LINE[:COL], markers, and what stands around a hole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codellama.errors import InputError
from codellama.holes import FILL_ME, Gap, Hole, Place, gap_at, gaps_marked, hole, place, plain


def test_f35_file_is_the_longest_path_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.py", "b:1", "c:2:3", "-x"):
        Path(name).touch()
    assert place("a.py") == Place(Path("a.py"))
    assert place("a.py:12") == Place(Path("a.py"), 12)
    assert place("a.py:12:3") == Place(Path("a.py"), 12, 3)
    assert place("b:1") == Place(Path("b:1"))
    assert place("b:1:7") == Place(Path("b:1"), 7)
    assert place("c:2:3") == Place(Path("c:2:3"))
    assert place("c:2:3:4:5") == Place(Path("c:2:3"), 4, 5)
    assert place("./-x:2") == Place(Path("./-x"), 2)
    # what is not there is named without its line
    assert place("absent.py:3") == Place(Path("absent.py"), 3)
    assert place("absent.py:x") == Place(Path("absent.py:x"))
    assert place("1:2:3:4") == Place(Path("1:2"), 3, 4)


def test_standard_input_has_lines_too() -> None:
    assert place("-") == Place(None)
    assert place("-:12:3") == Place(None, 12, 3)


@pytest.mark.parametrize("argument", ["a.py:0", "a.py:0:1", "a.py:1:0", "-:0"])
def test_f35_line_0_is_refused(argument: str) -> None:
    with pytest.raises(InputError, match="count from 1"):
        place(argument)


TEXT = "def f():\n    \n    return 1\n"


@pytest.mark.parametrize(
    ("line", "column", "gap"),
    [
        # content: at its end, or before the column
        (1, None, Gap(8, 8)),
        (1, 1, Gap(0, 0)),
        (1, 7, Gap(6, 6)),
        (1, 9, Gap(8, 8)),
        # blank: replaced, its indentation kept up to the column
        (2, None, Gap(9, 13, "    ")),
        (2, 3, Gap(9, 13, "  ")),
        (2, 5, Gap(9, 13, "    ")),
        (3, None, Gap(26, 26)),
        # the empty line that editors show behind the last newline
        (4, None, Gap(27, 27)),
    ],
)
def test_a_line_or_a_column_makes_a_gap(line: int, column: int | None, gap: Gap) -> None:
    assert gap_at(TEXT, "a.py", line, column) == gap
    windows = TEXT.replace("\n", "\r\n")
    moved = gap_at(windows, "a.py", line, column)
    assert (moved.start, moved.end) == (gap.start + line - 1, gap.end + line - 1)
    assert hole(windows, [moved]) == hole(TEXT, [gap])


def test_a_file_without_a_final_newline_has_no_line_more() -> None:
    assert gap_at("x = 1", "a.py", 1) == Gap(5, 5)
    assert gap_at("", "a.py", 1) == Gap(0, 0)
    with pytest.raises(InputError, match=r"a\.py: there is no line 2: the line is 1 to 1"):
        gap_at("x = 1", "a.py", 2)


def test_f35_past_the_end_is_refused() -> None:
    with pytest.raises(InputError, match=r"a\.py: there is no line 5: the line is 1 to 4"):
        gap_at(TEXT, "a.py", 5)
    with pytest.raises(InputError, match="line 1 has 8 characters, so the column is 1 to 9"):
        gap_at(TEXT, "a.py", 1, 10)


def test_columns_count_characters() -> None:
    assert hole("é😀x\n", [gap_at("é😀x\n", "a", 1, 3)]) == Hole("é😀", "x\n")


def test_a_form_feed_ends_no_line() -> None:
    assert gap_at("a\n\x0cb\nc", "a", 3) == Gap(6, 6)


def test_a_marker_is_a_gap() -> None:
    text = f"total = sum({FILL_ME}) / {FILL_ME}\n"
    gaps = gaps_marked(text)
    assert [text[gap.start : gap.end] for gap in gaps] == [FILL_ME, FILL_ME]
    assert hole(text, gaps) == Hole("total = sum(", ") / \n")
    assert hole(text, gaps, ["values"]) == Hole("total = sum(values) / ", "\n")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_marker_alone_on_its_line_takes_the_indentation(end: str) -> None:
    text = f"def f():{end}    {FILL_ME}  {end}    return 1"
    assert hole(text, gaps_marked(text)) == Hole("def f():\n", "\n    return 1", "    ")


def test_line_ends_are_plain_and_a_marker_elsewhere_is_text() -> None:
    assert plain("a\r\nb\rc\nd") == "a\nb\nc\nd"
    text = f"x\r\ny = '{FILL_ME}'\r\n"
    assert hole(text, [gap_at(text, "a", 1)]) == Hole("x", f"\ny = '{FILL_ME}'\n")


@given(st.lists(st.sampled_from(["a", "\n", "\r\n", " ", FILL_ME, "é", "\x0c"]), max_size=30))
def test_gaps_lie_in_order_and_holes_lose_nothing(parts: list[str]) -> None:
    text = "".join(parts)
    gaps = gaps_marked(text)
    assert len(gaps) == text.count(FILL_ME)
    ends = [0, *(at for gap in gaps for at in (gap.start, gap.end)), len(text)]
    assert ends == sorted(ends)
    fills = [f"<{number}>" for number in range(len(gaps))]
    pieces = [text[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True)]
    for number in range(len(gaps)):
        found = hole(text, gaps, fills[:number])
        assert found.prefix == "".join(
            plain(piece) + fill for piece, fill in zip(pieces[:number], fills, strict=False)
        ) + plain(pieces[number])
        assert found.suffix == plain("".join(pieces[number + 1 :]))


@given(st.text(alphabet="ab \n\r\t", max_size=40), st.integers(1, 12), st.none() | st.integers(1, 8))
def test_a_gap_is_where_its_line_is(text: str, line: int, column: int | None) -> None:
    lines = plain(text).split("\n")
    try:
        gap = gap_at(text, "a", line, column)
    except InputError:
        assert line > len(lines) or (column is not None and column > len(lines[line - 1]) + 1)
        return
    found = hole(text, [gap])
    assert found.prefix.count("\n") == line - 1
    content = lines[line - 1]
    if content.strip():
        assert found.left + found.right == content
        assert gap.start == gap.end
    else:
        assert (found.left, found.right) == ("", "")
        assert found.indent == (content if column is None else content[: column - 1])


@pytest.mark.parametrize(
    ("prefix", "suffix", "one_line"),
    [
        ("x = ", " + 1\n", True),
        ("f(", "):\n", True),
        ("f(", ")\n", False),
        ("f([", "]), \n", False),
        ("x = ", "", False),
        ("x = '", "'\n", True),
        ('"""', '"""\n', False),
        ("a\n", "b\n", False),
        ("a\n", "\nb", False),
    ],
)
def test_one_line_where_something_other_than_closers_stands_behind(prefix: str, suffix: str, one_line: bool) -> None:
    assert Hole(prefix, suffix).one_line is one_line
    assert Hole(prefix, suffix, lines=1).one_line
    assert not Hole(prefix, suffix, lines=2).one_line
