"""What of a hole's surroundings fits into a context."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from codellama.prompts import render
from codellama.tokenizer import Tokenizer
from codellama.window import Part, Window, fit, shares


def kept(window: Window) -> int:
    return sum(part.kept for part in (*window.context, window.prefix, window.suffix))


def lines(name: str, count: int) -> str:
    return "".join(f"{name}{number} = {number}\n" for number in range(count))


def test_what_fits_is_not_touched(tiny_tokenizer: Tokenizer) -> None:
    prefix, suffix = lines("a", 5), lines("b", 5)
    total = len(tiny_tokenizer.encode(prefix)) + len(tiny_tokenizer.encode_infill(suffix))
    window = fit(tiny_tokenizer, prefix, suffix, total)
    assert (window.prefix.text, window.suffix.text, window.cuts) == (prefix, suffix, [])
    assert fit(tiny_tokenizer, prefix, suffix, total - 1).cuts


def test_three_to_one_by_whole_lines_towards_the_hole(tiny_tokenizer: Tokenizer) -> None:
    prefix, suffix = lines("a", 300), "\n" + lines("b", 300)
    window = fit(tiny_tokenizer, prefix, suffix, 400)
    assert prefix.endswith("\n" + window.prefix.text)
    assert suffix.startswith(window.suffix.text)
    assert window.suffix.text.endswith("\n")
    assert 280 <= window.prefix.kept <= 310
    assert 80 <= window.suffix.kept <= 100
    assert window.prefix.total == len(tiny_tokenizer.encode(prefix))
    assert [part.name for part in window.cuts] == ["before the hole", "behind the hole"]


def test_the_side_that_needs_less_leaves_the_rest_to_the_other(tiny_tokenizer: Tokenizer) -> None:
    long, short = lines("a", 300), "x = 1\n"
    window = fit(tiny_tokenizer, long, short, 400)
    assert window.suffix.text == short
    assert window.prefix.kept > 380
    window = fit(tiny_tokenizer, short, long, 400)
    assert window.prefix.text == short
    assert window.suffix.kept > 380


def test_other_files_go_before_the_prefix_and_are_cut_at_their_ends(tiny_tokenizer: Tokenizer) -> None:
    files = [("a.py", "# a.py\n" + lines("a", 200)), ("b.py", "# b.py\nx = 1\n\n")]
    window = fit(tiny_tokenizer, lines("p", 300), lines("s", 300), 800, files)
    first, second = window.context
    assert second.text == files[1][1]
    assert files[0][1].startswith(first.text)
    assert first.text.endswith("\n")
    assert 150 < first.kept + second.kept <= 200
    assert window.before == first.text + second.text + window.prefix.text
    assert 700 < kept(window) <= 800
    # where there is room, they have it
    window = fit(tiny_tokenizer, "p = 1\n", "s = 1\n", 800, files)
    assert window.context[0].kept > 600


def test_a_file_of_which_no_line_fits_is_left_out(tiny_tokenizer: Tokenizer) -> None:
    window = fit(tiny_tokenizer, "x = 1\n", "", 40, [("a.py", "# a very long first line indeed " * 20 + "\n")])
    assert window.context[0] == Part("of a.py", "", 0, window.context[0].total)


def test_f24_a_line_that_is_too_long_is_cut_within(tiny_tokenizer: Tokenizer) -> None:
    text = "x=1;" * 250_000
    # the line before the hole, too
    assert 290 <= fit(tiny_tokenizer, text + "\n", text, 400).prefix.kept <= 300
    window = fit(tiny_tokenizer, text, text, 400)
    assert text.endswith(window.prefix.text)
    assert text.startswith(window.suffix.text)
    assert 290 <= window.prefix.kept <= 300
    assert 90 <= window.suffix.kept <= 100


def test_shares_leave_nothing_over() -> None:
    assert shares([5, 50, 100], 90) == [5, 42, 43]
    assert shares([5, 50, 100], 1000) == [5, 50, 100]
    assert shares([], 10) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="ab =(é\t\n", max_size=30), max_size=30),
    st.lists(st.text(alphabet="ab =(é\t\n", max_size=30), max_size=30),
    st.lists(st.text(alphabet="xy\n", min_size=1, max_size=60), max_size=3),
    st.integers(1, 120),
)
def test_the_prompt_never_takes_more_than_the_room(
    tiny_tokenizer: Tokenizer, before: list[str], behind: list[str], others: list[str], room: int
) -> None:
    prefix, suffix = "\n".join(before), "\n".join(behind)
    window = fit(tiny_tokenizer, prefix, suffix, room, [("c", text + "\n") for text in others])
    assert prefix.endswith(window.prefix.text)
    assert suffix.startswith(window.suffix.text)
    assert kept(window) <= room
    for suffix_first in (False, True):
        controls = len(render("infill", tiny_tokenizer, prefix="", suffix="", suffix_first=suffix_first).ids)
        ids = render(
            "infill", tiny_tokenizer, prefix=window.before, suffix=window.suffix.text, suffix_first=suffix_first
        ).ids
        assert len(ids) <= room + controls
