"""Code fences as the reference implementation of CommonMark (cmark) finds them, whole and as they stream."""

from __future__ import annotations

import html
import re

import pytest
from cmarkgfm.cmark import Options, markdown_to_html
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codellama.blocks import Block, Lines, Reader, blocks

# no `<` (HTML blocks are text here) and no `[` (link reference definitions change what was displayed before)
PIECES = [
    *("```x", "```x", "````y", "~~~z ", "~~~~`w", "```", "````", "~~~", "~~~~", "``", "`", "a", "b c", "- ", "* "),
    *("+ ", "1. ", "2) ", "10. ", "> ", ">", " ", "  ", "    ", "\t", "\n", "\n", "\n\n", "#", "# ", "---", "==="),
    *("***", " py", "=", "-", "\r\n", "\r"),
]
markdown = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
_PRE = re.compile(
    r'<pre(?: lang="([^"]*)")? data-sourcepos="(\d+):[^"]*"(?: lang="([^"]*)")?>'
    r'<code(?: class="language-([^"]*)")?>(.*?)</code></pre>',
    flags=re.S,
)


def cmark_fences(text: str) -> list[tuple[int, str, str]]:
    """Line from 1, first word of the info string, and text of the fences that have one; the others look in HTML like
    indented code.
    """
    found = _PRE.finditer(markdown_to_html(text, options=Options.CMARK_OPT_SOURCEPOS))
    named = ((int(match[2]), match[1] or match[3] or match[4], match[5]) for match in found)
    return [(line, html.unescape(name), html.unescape(code)) for line, name, code in named if name]


def line_number(text: str, offset: int) -> int:
    return len(re.split(r"\r\n|\r|\n", text[:offset]))


@settings(max_examples=2000, deadline=None)
@given(markdown)
def test_fences_are_those_of_cmark(text: str) -> None:
    # cmark ends the last line where the text does not
    text += "\n"
    ours = [(line_number(text, b.start), b.info.split()[0], b.text) for b in blocks(text) if b.info]
    assert ours == cmark_fences(text)


@settings(max_examples=300, deadline=None)
@given(markdown, st.lists(st.integers(0, 60)))
def test_a_stream_is_at_any_time_what_the_whole_is(text: str, cuts: list[int]) -> None:
    reader = Reader()
    before = settled = 0
    for cut in [*sorted({min(cut, len(text)) for cut in cuts}), len(text)]:
        reader.push(text[before:cut])
        assert reader.blocks == blocks(text[:cut])
        assert settled <= reader.settled <= cut
        before, settled = cut, reader.settled


@settings(max_examples=500, deadline=None)
@given(markdown, st.integers(0, 60))
@example("- a\n- b\n\n- c", 8)
@example("a\n- \n", 6)
@example("a\n===", 3)
def test_what_is_settled_is_displayed_the_same_whatever_comes(text: str, cut: int) -> None:
    reader = Reader()
    reader.push(text[:cut])
    assert markdown_to_html(text).startswith(markdown_to_html(text[: reader.settled]))


@settings(max_examples=500, deadline=None)
@given(markdown)
def test_blocks_lie_apart_and_begin_and_end_with_their_fences(text: str) -> None:
    at = 0
    for block in blocks(text):
        assert at <= block.start < block.end <= len(text)
        lines = text[block.start : block.end].splitlines()
        assert re.search("```|~~~", lines[0])
        if block.closed:
            assert re.search(r"(```|~~~)[ \t]*$", lines[-1])
            assert len(lines) == len(block.text.splitlines()) + 2
        at = block.end


@settings(max_examples=300, deadline=None)
@given(markdown)
def test_lines_say_what_blocks_hold(text: str) -> None:
    text = text.replace("\r", "") + "\n"
    lines, code = Lines(), ""
    kinds = []
    for line in text.split("\n")[:-1]:
        lines.read(line)
        kinds.append(lines.kind)
        code += lines.code + "\n" if lines.kind == "code" else ""
    found = blocks(text)
    assert code == "".join(block.text for block in found)
    assert (kinds.count("opening"), kinds.count("closing")) == (len(found), sum(block.closed for block in found))


@pytest.mark.parametrize(
    ("text", "language", "code", "closed"),
    [
        ("```python\nx\n```\n", "python", "x\n", True),
        ("```python\nx", "python", "x", False),
        ("```\n```", "", "", True),
        ("~~~ c++ title=a\n```\n~~~~ \n", "c++", "```\n", True),
        ("````md\n```\nx\n```\n````", "md", "```\nx\n```\n", True),
        ("``` {.haskell .numbers}\nx\n```", "haskell", "x\n", True),
        ("```python:src/a.py\nx\n```", "python", "x\n", True),
        ("```c#\r\nx\r\n\ty\r\n```", "c#", "x\n\ty\n", True),
        ("  ```\n   x\n y\n```", "", " x\ny\n", True),
        ("1. do\n\n   ```sh\n   ls\n     -l\n   ```\n", "sh", "ls\n  -l\n", True),
        ("- ```sh\n  ls\n\nthen", "sh", "ls\n\n", False),
        ("> ```sh\n> ls\nthen", "sh", "ls\n", False),
        ("<details>\n```sh\nls\n```\n</details>", "sh", "ls\n", True),
        ("```py\nx\n``` no\n   ```", "py", "x\n``` no\n", True),
        ("```py\n    ```", "py", "    ```", False),
    ],
)
def test_a_block(text: str, language: str, code: str, closed: bool) -> None:
    (block,) = blocks(text)
    assert (block.language, block.text, block.closed) == (language, code, closed)


@pytest.mark.parametrize(
    "text", ["", "``\nx\n``", "    ```\n    x\n", "``` a`b\nx", "a `` ``` `` b", "\\```\nx", "-\n\n     ```\n"]
)
def test_no_block(text: str) -> None:
    assert blocks(text) == ()


def test_offsets() -> None:
    text = "see\n\n```py\nx\n```\nand\n"
    assert blocks(text) == (Block("py", "py", "x\n", 5, 17, True),)
    assert text[5:17] == "```py\nx\n```\n"


def test_f24_a_long_answer_is_read_in_bounded_time() -> None:
    """One pass over the text, whatever the pieces: 10,000 lines in pieces of 10 characters."""
    text = "```\n" + "x = 1\n" * 10_000
    reader = Reader()
    for at in range(0, len(text), 10):
        reader.push(text[at : at + 10])
    assert reader.blocks[0].text.count("\n") == 10_000
