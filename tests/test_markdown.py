"""Colours for Markdown: light in prose, by language in code, the same for a stream as for the whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama.display import TerminalDisplay
from codellama.highlight import Highlighter, Run
from codellama.markdown import MarkdownHighlighter
from tests.terminal import Screen, Terminal

SAMPLE = """# Head `x`
Use `f` and **bold** or __bold__, not ** this ** nor `` a ` b ``.

1. first

   ```python
   def f(a):
       \"\"\"A text of
       several lines, for `def` and **all**.
       \"\"\"
       return "s"
   ```

~~~~
plain `x` **b**
~~~~
```sh
ls # list
```
``` nolang
def
"""


def styled(text: str) -> list[tuple[str, str]]:
    return [(text[begin:end], style) for begin, end, style in MarkdownHighlighter().runs(text, 0)]


def test_prose_is_styled_lightly() -> None:
    text = SAMPLE[: SAMPLE.index("1. first")]
    assert styled(text) == [
        ("# Head `x`", "1"), ("`f`", "36"), ("**bold**", "1"), ("__bold__", "1"), ("`` a ` b ``", "36"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["a_b_c", "2 ** 3 ** 4", "`open", "#no", "`a``", "a " + "`" * 4000, "**a " * 2000, "x" * 5000 + "`y`"]
)
def test_prose_that_is_not_styled(text: str) -> None:
    assert styled(text) == []


def test_code_is_coloured_by_its_language_and_only_code() -> None:
    runs = styled(SAMPLE)
    assert ("def", "35") in runs
    assert ("return", "35") in runs
    assert ('"s"', "32") in runs or '"s"' in "".join(text for text, style in runs if style == "32")
    assert ("# list\n", "2") in runs
    assert [text for text, style in runs if style == "2" and ("`" in text or "~" in text)] == [
        "   ```python", "   ```", "~~~~", "~~~~", "```sh", "```", "``` nolang",
    ]  # fmt: skip
    assert ("**b**", "1") not in runs
    assert [text for text, _ in runs].count("def") == 1, "the last block's language is not known"


def painted(text: str, cuts: list[int]) -> list[list[tuple[str, str] | None]]:
    """The cells of a screen on which a text was painted in pieces."""
    with Terminal(width=100, height=60) as terminal:
        display = TerminalDisplay(terminal.console(), MarkdownHighlighter(), interval=0, share=1)
        before = 0
        for cut in [*cuts, len(text)]:
            display.push(text[before:cut])
            before = cut
        display.finish()
        return [row.cells for row in Screen(100, 60).feed(terminal.close()).rows]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(SAMPLE)), max_size=30))
def test_a_stream_is_coloured_as_the_whole_is(cuts: list[int]) -> None:
    """Lines that are complete keep their colours, so that cuts after line ends must not show at all."""
    ends = sorted({SAMPLE.find("\n", cut) + 1 for cut in cuts if "\n" in SAMPLE[cut:]})
    assert painted(SAMPLE, ends) == painted(SAMPLE, [])


def test_a_line_that_grows_is_painted_as_what_it_has_become() -> None:
    assert painted(SAMPLE, list(range(len(SAMPLE)))) == painted(SAMPLE, [])


def test_runs_may_be_asked_twice() -> None:
    """Ctrl-C may come between the two, and the same text is painted then."""
    highlighter = MarkdownHighlighter()
    first = highlighter.runs(SAMPLE[:150], 0)
    assert highlighter.runs(SAMPLE[:150], 0) == first
    kept = highlighter.advance(SAMPLE[:150], SAMPLE.rfind("\n", 0, 150) + 1)
    rest = SAMPLE[kept:]
    whole = MarkdownHighlighter().runs(SAMPLE, 0)
    assert highlighter.runs(rest, 0) == [
        (max(begin - kept, 0), end - kept, style) for begin, end, style in whole if end > kept
    ]  # fmt: skip


def test_f24_a_long_block_costs_what_its_end_does() -> None:
    """What a painting lexes stays bounded, however long the block is."""
    lexed: list[int] = []

    class Counting(MarkdownHighlighter):
        def runs(self, text: str, start: int) -> list[Run]:
            lexed.append(len(text))
            return super().runs(text, start)

    highlighter = Counting()
    text, line = "```python\n", 0
    for number in range(80):
        text += f"def f{number}(a, b):\n    return 'text' + a\n\n" * 12
        line = len(text)
        highlighter.runs(text, line)
        kept = highlighter.advance(text, line)
        text, line = text[kept:], line - kept
    assert max(lexed) < 20_000
    assert any(style == "35" for _, _, style in highlighter.runs(text + "def x(): pass\n", line))


def test_a_string_that_never_ends_loses_its_colours_and_nothing_else() -> None:
    highlighter = MarkdownHighlighter()
    text = '```python\nx = """\n' + "words and words\n" * 2000
    at = 0
    kept = ""
    for cut in range(1000, len(text), 1000):
        kept += text[at:cut]
        at = cut
        line = kept.rfind("\n") + 1
        highlighter.runs(kept, line)
        kept = kept[highlighter.advance(kept, line) :]
    assert len(kept) < 20_000
    runs = highlighter.runs(kept + "\n```\n`x`\n", len(kept))
    assert [style for _, _, style in runs[-2:]] == ["2", "36"]


def test_it_is_used_as_a_highlighter_is() -> None:
    assert {name for name in vars(Highlighter) if not name.startswith("_")} <= set(vars(MarkdownHighlighter))
