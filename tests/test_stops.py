from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codellama.stops import StopStrings

SHORT = st.text("ab\n", max_size=12)


def cut(text: str, stops: list[str]) -> str:
    """What should come of a whole text: everything before the first stop string that is complete."""
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop and stop in text]
    if not ends:
        return text
    first_complete = min(end for end, _ in ends)
    return text[: min(start for end, start in ends if end == first_complete)]


@given(st.lists(SHORT, max_size=8), st.lists(st.text("ab\n", max_size=4), max_size=3))
def test_chunk_by_character_equals_the_whole(chunks: list[str], strings: list[str]) -> None:
    text = "".join(chunks)
    stops = StopStrings(strings)
    shown = "".join(stops.push(character) for character in text)
    assert shown + stops.finish() == cut(text, strings)


@given(st.lists(SHORT, max_size=8), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3))
def test_no_part_of_a_stop_string_gets_through(chunks: list[str], strings: list[str]) -> None:
    stops = StopStrings(strings)
    shown = ""
    for chunk in chunks:
        shown += stops.push(chunk)
        assert not any(string in shown for string in strings)
    shown += stops.finish()
    if not stops.hit:
        assert shown == "".join(chunks)


def test_what_may_become_a_stop_is_held_back_and_given_at_the_end() -> None:
    stops = StopStrings(["\n\nclass"])
    assert stops.push("x = 1\n\ncl") == "x = 1"
    assert not stops.hit
    assert stops.finish() == "\n\ncl"


def test_nothing_comes_after_a_hit() -> None:
    stops = StopStrings(["END"])
    assert stops.push("a EN") == "a "
    assert stops.push("D b") == ""
    assert stops.hit
    assert stops.push("more") == stops.finish() == ""
