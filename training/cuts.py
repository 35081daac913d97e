"""Text encoded in parts, as the text before a hole and what fills it are."""

from __future__ import annotations

import random
import re
from itertools import pairwise

from .holes import BETWEEN_WORDS, WORD
from .pieces import Encoder

RESUMED = 3  # the weight of the first id behind a cut
UNBROKEN = re.compile(r" *[^ \n]+")  # what pieces can span


def cut(encoder: Encoder, text: str, distance: float, draw: random.Random) -> tuple[list[int], list[int]]:
    """The ids of a document's text and how much each counts; cut once in `distance` characters, at the mean.

    Some cuts are between any two characters, the others between words, as those of holes. Text before a cut in a
    word may end in ids that stand nowhere else. These do not count, so that nobody learns to break off: what follows
    them is to be learned.
    """
    ids, weights = [encoder.bos], [1]
    for start, end in _parts(text, distance, draw):
        part = encoder.encode_inside(text[start:end]) if start else encoder.encode(text[:end])
        ids += part
        weights += [RESUMED if start else 1, *[1] * (len(part) - 1)]
        if broken := _broken(encoder, text, start, end):
            weights[-broken:] = [0] * broken
    return [*ids, encoder.eos], [*weights, 1]


def _parts(text: str, distance: float, draw: random.Random) -> list[tuple[int, int]]:
    edges = {0, len(text)}
    at = 0
    while (at := at + 1 + int(draw.expovariate(1 / distance))) < len(text):
        word = WORD.search(text, at) if draw.random() < BETWEEN_WORDS else None
        edges.add(word.end() if word else at)
    return list(pairwise(sorted(edges)))


def _broken(encoder: Encoder, text: str, start: int, end: int) -> int:
    """How many ids at the end of a part are not those of the whole text."""
    first = max(start, text.rfind("\n", 0, end) + 1)
    word = next((each for each in UNBROKEN.finditer(text, first) if each.end() > end), None)
    if word is None or word.start() >= end:
        return 0
    before, behind = encoder.encode_inside(text[word.start() : end]), encoder.encode_inside(text[end : word.end()])
    return 0 if before + behind == encoder.encode_inside(word.group()) else len(before)
