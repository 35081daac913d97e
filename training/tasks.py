"""What the model is asked for its measurements, made from modules that it never saw: always the same for a seed."""

from __future__ import annotations

import ast
import random
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from . import holes
from .corpus import Document, Function
from .holes import DOCSTRING, LINE, in_line
from .requests import dialog

SIDES = (1200, 500)  # characters of a module that a prompt holds before and behind a hole
SEED = 7
SHORTEST = 8  # characters of a line in which a hole is cut
LARGEST = 6000  # characters of a file, where its statements are no longer
LINES = (1, 1, 1, 2, 3)  # of a hole of whole lines


@dataclass(frozen=True)
class Cut:
    """A file with a hole, and what stood there."""

    prefix: str
    middle: str
    suffix: str

    @property
    def near(self) -> tuple[str, str]:
        """The part of its surroundings that the prompt holds."""
        return self.prefix[-SIDES[0] :], self.suffix[: SIDES[1]]

    def parses(self, fill: str) -> bool:
        """Whether the whole file is Python with a fill."""
        return parses(self.prefix + fill + self.suffix)


def files(documents: Sequence[Document]) -> list[str]:
    """Runs of a module's top-level statements, which parse by themselves and as fast as a file that people edit."""
    found = []
    for document in documents:
        start = 0
        for at, end in pairwise([*document.starts, len(document.text)]):
            if end - start > LARGEST or end == len(document.text):
                cut = at if end - start > LARGEST and at > start else end
                found.append(document.text[start:cut])
                start = cut
        found.append(document.text[start:])
    return [text for text in found if LINE.search(text) and parses(text)]


def _line(texts: Sequence[str], draw: random.Random) -> tuple[str, re.Match[str]]:
    """A line of code: no comment, and not blank."""
    while True:
        text = draw.choices(texts, [len(each) for each in texts])[0]
        line = draw.choice(list(LINE.finditer(text)))
        if len(line.group().strip()) >= SHORTEST and not line.group().lstrip().startswith("#"):
            return text, line


def within(documents: Sequence[Document], count: int, to_end: bool = False) -> list[Cut]:
    """Holes in one line: from any character of its content to any later one before its end, or to its end."""
    draw = random.Random(SEED + to_end)
    texts = files(documents)
    return [Cut(*in_line(*_line(texts, draw), draw, to_end)) for _ in range(count)]


def between_words(documents: Sequence[Document], count: int) -> list[Cut]:
    """Holes in one line, before its end, whose ends stand between words and signs, where a cursor mostly stands."""
    draw = random.Random(SEED + 5)
    texts = files(documents)
    return [Cut(*holes.between_words(in_line(*_line(texts, draw), draw))) for _ in range(count)]


def whole_lines(documents: Sequence[Document], count: int) -> list[Cut]:
    """Whole lines of code, as FILE:LINE cuts them: the prefix ends at a newline, the suffix begins with one."""
    draw = random.Random(SEED + 2)
    cuts, texts = [], files(documents)
    for _ in range(count):
        text, line = _line(texts, draw)
        end = line.end()
        for _ in range(draw.choice(LINES) - 1):
            end = max(text.find("\n", end + 1), end)
        cuts.append(Cut(text[: line.start()], text[line.start() : end], text[end:]))
    return cuts


def documented(documents: Sequence[Document], count: int) -> list[Function]:
    """Functions with a docstring, half of them no methods where there are enough."""
    draw = random.Random(SEED + 3)
    found = [
        each
        for document in documents
        for each in document.functions
        if each.lines <= 25 and not each.decorated and DOCSTRING.match(each.source)
    ]
    draw.shuffle(found)
    plain = [each for each in found if not each.method][: count // 2]
    return [*plain, *[each for each in found if each.method][: count - len(plain)]]


def docstrings(documents: Sequence[Document], count: int) -> list[Cut]:
    """What stands between the quotes of docstrings; both pairs of quotes are there."""
    cuts = []
    for function in documented(documents, count):
        match = DOCSTRING.match(function.source)
        assert match is not None
        start, end = match.span("inside")
        cuts.append(Cut(function.source[:start], match["inside"], function.source[end:] + "\n"))
    return cuts


def heads(documents: Sequence[Document], count: int) -> list[str]:
    """The first lines of functions, to go on from."""
    return [each.source.split('"""')[0].rstrip(" ") for each in documented(documents, count)]


def questions(documents: Sequence[Document], count: int) -> list[str]:
    """Requests for functions, without a system message, in the words of the training's ones."""
    draw = random.Random(SEED + 4)
    asked: list[str] = []
    for function in documented(documents, 4 * count):
        question, answer = dialog(function, draw)
        if "```" in answer and "<<SYS>>" not in question:
            asked.append(question)
    return asked[:count]


def parses(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return bool(ast.parse(code).body)
    except (SyntaxError, ValueError):
        return False


def one_block(text: str) -> bool:
    """Whether an answer holds exactly one fenced block, and that is Python."""
    blocks = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    return len(blocks) == 1 and text.count("```") == 2 and parses(blocks[0])


def loops(text: str) -> bool:
    """Whether a text says one thing again and again: five equal lines, or a short run six times over."""
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 3]
    often = max(map(lines.count, lines), default=0)
    return often >= 5 or re.search(r"(\S.{2,60}?)\1{5,}", text, re.DOTALL) is not None
