"""Training samples as ids: completions, infills and answers to requests, drawn anew from the corpus each epoch."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .corpus import Document, Function
from .pieces import Encoder
from .requests import dialog

INFILL = 0.5  # of the documents that are not requests
REQUESTS = 0.15  # of all ids
SPAN = (200, 1900)  # characters of a document that one infill sample holds
DOCSTRING = re.compile(r'(?:def |class )[^\n]*:\n\s+r?"""(?P<inside>.+?)"""', re.DOTALL)


class Samples:
    """Draws samples with one random generator, so that a seed fixes all of them."""

    def __init__(self, encoder: Encoder, documents: list[Document], seed: int) -> None:
        self.encoder = encoder
        self.documents = documents
        self.random = random.Random(seed)
        functions = [function for document in documents for function in document.functions]
        self.functions = [each for each in functions if each.lines >= 4]
        self.answers = [
            each
            for each in functions
            if 3 <= each.lines <= 25 and each.docstring and not each.decorated and not each.name.startswith("__")
        ]

    def stream(self, length: int, sequence: int) -> NDArray[np.uint16]:
        """At least `length` ids as rows of sequence + 1: a row's last id is its last target. Shuffled per epoch."""
        epochs: list[NDArray[np.uint16]] = []
        rows = -(-length // sequence)
        while sum(map(len, epochs)) < rows:
            ids = np.fromiter((each for sample in self.epoch() for each in sample), dtype=np.uint16)
            count = (len(ids) - 1) // sequence
            index = np.arange(count)[:, None] * sequence + np.arange(sequence + 1)[None, :]
            order = list(range(count))
            self.random.shuffle(order)
            epochs.append(ids[index[order]])
        return np.concatenate(epochs)[:rows]

    def epoch(self) -> list[list[int]]:
        """Every document once, as a completion or as infills, and requests in proportion; shuffled."""
        made: list[list[int]] = []
        for document in self.documents:
            infill = self.random.random() < INFILL
            made.extend(self.infills(document) if infill else self.completions(document))
        wanted = sum(map(len, made)) * REQUESTS / (1 - REQUESTS)
        while wanted > 0:
            sample = self.request(self._answer())
            made.append(sample)
            wanted -= len(sample)
        self.random.shuffle(made)
        return made

    def completions(self, document: Document) -> Iterator[list[int]]:
        """The whole module, or its top-level definitions one by one."""
        encoder, text = self.encoder, document.text
        cuts = [0, *document.starts, len(text)] if self.random.random() < 0.5 else [0, len(text)]
        for start, end in pairwise(cuts):
            part = text[start:end]
            if len(cuts) > 2:
                part = part.rstrip() + "\n"
            if part.strip():
                yield [encoder.bos, *encoder.encode(part), encoder.eos]

    def infills(self, document: Document) -> Iterator[list[int]]:
        """The module span by span, each with one hole; every other span is a function that stands alone."""
        lines = document.text.splitlines(keepends=True)
        position = 0
        while position < len(lines):
            size, span = self.random.randint(*SPAN), ""
            while position < len(lines) and len(span) + len(lines[position]) <= max(size, len(lines[position])):
                span += lines[position]
                position += 1
            if self.random.random() < 0.4:
                span = self.random.choice(self.functions).source + "\n"
            if len(span.strip()) > 40 and len(span) < 4 * SPAN[1]:
                yield self.infill(*self.hole(span))

    def hole(self, span: str) -> tuple[str, str, str]:
        """Cuts a span into prefix, middle and suffix."""
        draw = self.random
        kind = draw.random()
        if kind < 0.35:
            found = list(DOCSTRING.finditer(span))
            if found:
                return self._docstring_hole(span, draw.choice(found))
        if kind < 0.70:  # within a line, or from within a line to its end
            line = draw.choice([match for match in re.finditer(r"[^\n]+", span) if match.group().strip()])
            text = line.group()
            indent = len(text) - len(text.lstrip())
            start = line.start() + draw.randint(indent, max(indent, len(text) - 1))
            end = line.end() if draw.random() < 0.7 else draw.randint(start + 1, line.end())
        elif kind < 0.85:  # whole lines, with their last newline or without; the indentation may be the prefix's
            starts = [0, *(match.end() for match in re.finditer("\n", span))]
            first = draw.randrange(len(starts) - 1) if len(starts) > 1 else 0
            last = min(first + draw.choice((1, 1, 1, 2, 3, 4, 6, 8)), len(starts) - 1)
            start, end = starts[first], starts[last] if len(starts) > 1 else len(span)
            if draw.random() < 0.5:
                start += len(span[start:end]) - len(span[start:end].lstrip(" "))
            if draw.random() < 0.5 and span[start:end].rstrip("\n"):
                end = start + len(span[start:end].rstrip("\n"))
        else:
            start = draw.randrange(len(span))
            end = draw.randint(start, min(len(span), start + 240))
        return span[:start], span[start:end], span[end:]

    def _docstring_hole(self, span: str, match: re.Match[str]) -> tuple[str, str, str]:
        start, end = match.span("inside")
        prefix, middle, suffix = span[:start], span[start:end], span[end:]
        if self.random.random() < 0.5 and not middle[:1].isspace():
            prefix += " "
        if self.random.random() < 0.6:  # the closing quotes are the model's to write
            middle, suffix = middle + '"""', suffix[3:]
        return prefix, middle, suffix

    def infill(self, prefix: str, middle: str, suffix: str) -> list[int]:
        encoder = self.encoder
        prompt = encoder.infill(prefix, suffix, suffix_first=self.random.random() < 1 / 3)
        return [*prompt, *encoder.encode_inside(middle), encoder.end]

    def _answer(self) -> Function:
        """A function to ask for; plain functions come three times as often as methods."""
        while True:
            function = self.random.choice(self.answers)
            if not function.method or self.random.random() < 0.33:
                return function

    def request(self, function: Function) -> list[int]:
        encoder = self.encoder
        question, answer = dialog(function, self.random)
        ids: list[int] = []
        if self.random.random() < 0.08:  # an earlier pair, encoded as one text
            past, reply = dialog(self._answer(), self.random)
            ids = [encoder.bos, *encoder.encode(f"[INST] {past} [/INST] {reply} "), encoder.eos]
        ids += [encoder.bos, *encoder.encode(f"[INST] {question} [/INST]")]
        return [*ids, *encoder.encode_inside(f" {answer}"), encoder.eos]
