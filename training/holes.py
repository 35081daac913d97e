"""Holes in code, as people make them: the prefix, what stood there, and the suffix."""

from __future__ import annotations

import math
import random
import re
from bisect import bisect
from itertools import accumulate

from .corpus import Document

Hole = tuple[str, str, str]
DOCSTRING = re.compile(r'(?:def |class )[^\n]*:\n\s+r?"""(?P<inside>(?:[^"\\]|"(?!""))+?)"""')
LINE = re.compile(r"[^\n]*\S[^\n]*")
SHARES = {"within": 0.5, "rest": 0.08, "lines": 0.32, "docstring": 0.07, "anywhere": 0.03}
WORD = re.compile(r"\w+|\W")
BETWEEN_WORDS = 0.4  # of the holes in a line: where a cursor mostly stands
LINE_ENDS = 0.95  # of the holes of whole lines leave their last newline, as FILE:LINE does
LONG_DOCSTRING = 180  # characters: what is longer is mostly cut to its first paragraph
ANYWHERE = 240


class Holes:
    """Draws spans of modules, each with one hole."""

    def __init__(self, documents: list[Document], weights: list[float]) -> None:
        self.texts = [document.text for document in documents]
        self.functions = [function.source for document in documents for function in document.functions]
        self.documented = [source for source in self.functions if DOCSTRING.search(source)]
        self.ends = list(accumulate(len(text) * weight for text, weight in zip(self.texts, weights, strict=True)))

    def draw(self, draw: random.Random, sizes: tuple[int, int]) -> Hole:
        """A hole in a span of about a size between the two, short ones as often as long ones."""
        kind = draw.choices(list(SHARES), list(SHARES.values()))[0]
        size = round(math.exp(draw.uniform(math.log(sizes[0]), math.log(sizes[1]))))
        while True:
            if kind == "docstring":
                return self._docstring(draw, size)
            span = self._span(draw, size)
            if lines := [match for match in LINE.finditer(span) if len(match.group().strip()) > 1]:
                break
        if kind == "lines":
            return whole_lines(span, draw)
        if kind == "anywhere":
            start = draw.randrange(len(span))
            end = draw.randint(start, min(len(span), start + ANYWHERE))
            return span[:start], span[start:end], span[end:]
        hole = in_line(span, draw.choice(lines), draw, to_end=kind == "rest")
        return between_words(hole) if draw.random() < BETWEEN_WORDS else hole

    def _text(self, draw: random.Random) -> str:
        return self.texts[bisect(self.ends, draw.random() * self.ends[-1], hi=len(self.texts) - 1)]

    def _span(self, draw: random.Random, size: int) -> str:
        """Lines of a module from anywhere in it, or a function that stands alone, where it is short enough."""
        function = draw.choice(self.functions) + "\n"
        if draw.random() < 0.3 and len(function) < 2 * size:
            return function
        text = self._text(draw)
        start = text.rfind("\n", 0, max(0, draw.randrange(-size // 2, len(text)))) + 1
        end = text.find("\n", start + size)
        return text[start : end + 1 or len(text)]

    def _docstring(self, draw: random.Random, size: int) -> Hole:
        """The text between a docstring's quotes; sometimes the closing quotes are the model's to write."""
        text = draw.choice(self.documented) + "\n"
        match = DOCSTRING.search(text)
        if draw.random() < 0.4:
            whole = self._text(draw)
            found = list(DOCSTRING.finditer(whole))
            if found:
                match, text = draw.choice(found), whole
        assert match is not None
        start, end = match.span("inside")
        first = text.rfind("\n", 0, max(0, match.start() - draw.randrange(size))) + 1
        last = text.find("\n", min(len(text) - 1, end + draw.randint(size // 4, size)))
        middle = match["inside"]
        if len(middle) > LONG_DOCSTRING and draw.random() < 0.85:
            middle = re.split(r"\n\s*\n", middle.lstrip())[0].rstrip()
        prefix, suffix = text[first:start], text[end : last + 1 or len(text)]
        if draw.random() < 0.3:
            return prefix, middle + '"""', suffix[3:]
        return prefix, middle, suffix


def in_line(text: str, line: re.Match[str], draw: random.Random, to_end: bool = False) -> Hole:
    """From a character of a line's content, each as likely, to one after it before the line's end; or to its end."""
    indent = len(line.group()) - len(line.group().lstrip())
    first, last = line.start() + indent, line.start() + len(line.group().rstrip())
    start = draw.randrange(first, last - 1)
    end = last if to_end else draw.randrange(start + 1, last)
    return text[:start], text[start:end], text[end:]


def between_words(hole: Hole) -> Hole:
    """The hole with its ends moved back to where a word or a sign begins; as it is where nothing would be left."""
    prefix, middle, suffix = hole
    text = prefix + middle + suffix
    line = text.rfind("\n", 0, len(prefix)) + 1
    edges = [line + match.start() for match in WORD.finditer(text[line : len(prefix + middle) + 1])]
    start = max(each for each in edges if each <= len(prefix))
    end = max(each for each in edges if each <= len(prefix + middle))
    return (text[:start], text[start:end], text[end:]) if start < end else hole


def whole_lines(text: str, draw: random.Random) -> Hole:
    """Whole lines: the prefix ends at a newline, the suffix begins with the lines' last newline or behind it."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    first = draw.randrange(max(1, len(starts) - 1))
    last = min(first + draw.choice((1, 1, 1, 1, 1, 1, 1, 2, 2, 3)), len(starts) - 1)
    start, end = starts[first], starts[last] if last > first else len(text)
    if draw.random() < LINE_ENDS and text[start:end].rstrip("\n"):
        end = start + len(text[start:end].rstrip("\n"))
    return text[:start], text[start:end], text[end:]
