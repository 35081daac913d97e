"""Training rows: ids, and how much each counts as a target. Drawn from the corpus by a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from codellama.holes import Hole

from .corpus import Document, Function, first_sentence
from .cuts import cut
from .holes import DOCSTRING, Holes
from .pieces import Encoder
from .requests import dialog

KINDS = ("infill", "recall", "request", "function", "copy")
MIDDLE, EDGE, ANSWER = 4, 8, 2  # the weights of what fills a hole, of its first id and its end, and of an answer
EARLIER_TURN = 0.08
LONGEST_ANSWER = 15  # lines
LONGEST_PARAGRAPH = 110
COPIED = (16, 256)  # ids
APART = 64  # ids between a passage and its copy, at most

Rows = tuple[NDArray[np.uint16], NDArray[np.uint8]]
Numbers = NDArray[np.uint16]


@dataclass(frozen=True)
class Mix:
    """What rows are made of."""

    favour: float  # how often the standard library is seen, and the packages once
    text: float  # the share of the rows that are running text
    shares: tuple[tuple[str, float], ...]  # of the ids of the other rows, by kind
    spans: tuple[int, int]  # characters that an infill sample is made of
    suffix_first: float = 0.3  # of the infills that are ordered by chance
    ordered: float = 0.0  # of the infills in the program's own order: suffix first where the hole begins a line
    cuts: float = 0.0  # characters from one cut in the running text to the next, at the mean; 0 for none


@dataclass(frozen=True)
class Sample:
    ids: list[int]
    weights: list[int]

    def __len__(self) -> int:
        return len(self.ids)


class Samples:
    """Draws rows; the same ones for the same seed, sequence and place."""

    def __init__(self, encoder: Encoder, documents: list[Document], weights: list[float], mix: Mix, seed: int) -> None:
        self.encoder, self.mix, self.seed = encoder, mix, seed
        self.holes = Holes(documents, weights)
        functions = [function for document in documents for function in document.functions]
        self.functions = [each for each in functions if each.lines >= 4]
        shortened = [brief(each) for each in functions if each.docstring and not each.name.startswith("__")]
        self.answers = [each for each in shortened if 3 <= each.lines <= LONGEST_ANSWER and not each.decorated]
        self.text, self.counted = self._text(documents, weights)

    def _text(self, documents: list[Document], weights: list[float]) -> Rows:
        """Every document as often as its weight says, in a random order, one behind the other."""
        draw = random.Random(self.seed)
        copies = [int(weight + draw.random()) for weight in weights]
        order = [index for index, count in enumerate(copies) for _ in range(count)]
        draw.shuffle(order)

        @cache
        def whole(index: int) -> Rows:
            ids = [self.encoder.bos, *self.encoder.encode(documents[index].text), self.encoder.eos]
            return _arrays(ids, [1] * len(ids))

        def in_parts(index: int) -> Rows:
            return _arrays(*cut(self.encoder, documents[index].text, self.mix.cuts, draw))

        ids, counted = zip(*map(in_parts if self.mix.cuts else whole, order), strict=True)
        return np.concatenate(ids), np.concatenate(counted)

    def rows(self, first: int, count: int, sequence: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8], Numbers]:
        """Rows `first` to `first + count` of those with this sequence: a row's last id is its last target.

        The last of the three says which of its row's samples, or documents, an id is of.
        """
        mixed = self._mixed(random.Random(f"{self.seed} {sequence} {first}"), sequence)
        ids = np.zeros((count, sequence + 1), dtype=np.uint16)
        weights = np.ones((count, sequence + 1), dtype=np.uint8)
        numbers = np.zeros((count, sequence + 1), dtype=np.uint16)
        for index in range(count):
            before = int((first + index) * self.mix.text)
            if int((first + index + 1) * self.mix.text) > before:
                ids[index], weights[index] = self._running(before, sequence)
                numbers[index] = np.cumsum(ids[index] == self.encoder.bos)
            else:
                samples = next(mixed)
                ids[index] = [id for each in samples for id in each.ids][: sequence + 1]
                weights[index] = [weight for each in samples for weight in each.weights][: sequence + 1]
                numbers[index] = np.repeat(np.arange(len(samples)), [*map(len, samples)])[: sequence + 1]
        encoder = self.encoder  # ids that only prompts hold are never a target
        weights[np.isin(ids, [encoder.bos, encoder.prefix, encoder.suffix, encoder.middle])] = 0
        return ids, weights, numbers

    def _running(self, index: int, sequence: int) -> Rows:
        """A window of the text. Each pass over it takes all windows once, and cuts them elsewhere."""
        count = (len(self.text) - 1) // sequence - 1
        turn, place = divmod(index, count)
        draw = np.random.default_rng((self.seed, sequence, turn))
        offset = int(draw.integers(sequence))
        start = offset + int(draw.permutation(count)[place]) * sequence
        return self.text[start : start + sequence + 1], self.counted[start : start + sequence + 1]

    def _mixed(self, draw: random.Random, sequence: int) -> Iterator[list[Sample]]:
        """Rows of whole samples; what is left at a row's end is the beginning of a function."""
        shares = dict(self.mix.shares)
        spent = dict.fromkeys(shares, 0)
        row: list[Sample] = []
        while True:
            kind = min(shares, key=lambda each: spent[each] / shares[each])
            sample = self.sample(kind, draw)
            if len(sample) > sequence + 1:
                continue
            spent[kind] += len(sample)
            if sum(map(len, row)) + len(sample) > sequence + 1:
                while sum(map(len, row)) <= sequence:
                    row.append(self.function(draw))
                yield row
                row = []
            row.append(sample)

    def sample(self, kind: str, draw: random.Random) -> Sample:
        if kind in ("infill", "recall"):
            prefix, middle, suffix = self.holes.draw(draw, self.mix.spans)
            made = self.infill if kind == "infill" else self.recall
            by_chance = draw.random() >= self.mix.ordered
            order = draw.random() < self.mix.suffix_first if by_chance else Hole(prefix, suffix).starts_line
            return made(prefix, middle, suffix, order)
        if kind == "copy":
            return self.copy(draw)
        return self.request(draw) if kind == "request" else self.function(draw)

    def infill(self, prefix: str, middle: str, suffix: str, suffix_first: bool) -> Sample:
        encoder = self.encoder
        prompt = encoder.infill(prefix, suffix, suffix_first)
        answer = [*encoder.encode_inside(middle), encoder.end]
        weights = [EDGE, *[MIDDLE] * (len(answer) - 2), EDGE][-len(answer) :]
        return Sample([*prompt, *answer], [1] * len(prompt) + weights)

    def recall(self, prefix: str, middle: str, suffix: str, suffix_first: bool) -> Sample:
        """A text, and then a hole in it. Its filling stands above: to be learned is where it begins and ends."""
        whole = [self.encoder.bos, *self.encoder.encode(prefix + middle + suffix), self.encoder.eos]
        hole = self.infill(prefix, middle, suffix, suffix_first)
        counted = [weight if weight > 1 else 0 for weight in hole.weights]
        return Sample(whole + hole.ids, [1] * len(whole) + counted)

    def function(self, draw: random.Random) -> Sample:
        ids = [self.encoder.bos, *self.encoder.encode(draw.choice(self.functions).source + "\n"), self.encoder.eos]
        return Sample(ids, [1] * len(ids))

    def request(self, draw: random.Random) -> Sample:
        encoder = self.encoder
        question, answer = dialog(self._answer(draw), draw)
        ids: list[int] = []
        if draw.random() < EARLIER_TURN:  # an earlier pair, encoded as one text
            past, reply = dialog(self._answer(draw), draw)
            ids = [encoder.bos, *encoder.encode(f"[INST] {past} [/INST] {reply} "), encoder.eos]
        ids += [encoder.bos, *encoder.encode(f"[INST] {question} [/INST]")]
        said = [*encoder.encode_inside(f" {answer}"), encoder.eos]
        return Sample(ids + said, [1] * len(ids) + [ANSWER] * len(said))

    def copy(self, draw: random.Random) -> Sample:
        """A passage twice, half of them with their ids shuffled: only by looking back can the second be told.

        What counts is the second. It is how a network learns early to repeat the names of its context (induction).
        """
        low, high = COPIED
        passage = self._passage(draw, round(math.exp(draw.uniform(math.log(low), math.log(high)))))
        if draw.random() < 0.5:
            draw.shuffle(passage)
        between = self._passage(draw, draw.randrange(APART))
        before = [self.encoder.bos, *passage, *between]
        return Sample(before + passage, [0] * (len(before) + 1) + [1] * (len(passage) - 1))

    def _passage(self, draw: random.Random, size: int) -> list[int]:
        start = draw.randrange(len(self.text) - size)
        ids: list[int] = self.text[start : start + size].tolist()
        return ids

    def _answer(self, draw: random.Random) -> Function:
        """A function to ask for; plain functions come three times as often as methods."""
        while True:
            function = draw.choice(self.answers)
            if not function.method or draw.random() < 0.33:
                return function


def _arrays(ids: list[int], weights: list[int]) -> Rows:
    return np.array(ids, dtype=np.uint16), np.array(weights, dtype=np.uint8)


def brief(function: Function) -> Function:
    """The function with a docstring of one paragraph: a longer one would be most of an answer."""
    match = DOCSTRING.search(function.source)
    if match is None:
        return function
    start, end = match.span("inside")
    paragraph = " ".join(match["inside"].strip().split("\n\n")[0].split())
    if len(paragraph) > LONGEST_PARAGRAPH:
        paragraph = first_sentence(paragraph) or paragraph
    return Function(
        function.name,
        function.source[:start] + paragraph + function.source[end:],
        function.arguments,
        function.docstring,
        function.method,
        function.decorated,
    )
