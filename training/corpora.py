"""All that is trained on and all that is kept apart, put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import corpus, packages
from .corpus import Document, Part
from .packages import Package

TEXTBOOKS = {"algorithms", "pygorithm"}  # what people try first: Fibonacci numbers, a stack, a binary search


@dataclass(frozen=True)
class Corpora:
    """The documents to train on, the packages that some are of, and the documents kept apart."""

    documents: list[Document]
    packages: list[Package]
    validation: list[Document]
    held_out: list[Document]

    def weights(self, favour: float) -> list[float]:
        """How often each document is seen: the library's and the textbooks' so many times as often as the others.

        The held-out modules are of the library, and its style is plain.
        """
        others = [package for package in self.packages if package.name not in TEXTBOOKS]
        plain = {id(document) for package in others for document in package.documents}
        return [1.0 if id(document) in plain else favour for document in self.documents]


def read(directory: Path) -> Corpora:
    library = corpus.read()
    found = packages.read(sorted((directory / "packages").glob("*.whl")))
    documents = list(library[Part.TRAINING])
    documents += [document for package in found for document in package.documents]
    validation = corpus.without_copies(library[Part.VALIDATION], library[Part.HELD_OUT])
    documents = corpus.without_copies(documents, [*validation, *library[Part.HELD_OUT]])
    return Corpora(documents, found, validation, library[Part.HELD_OUT])
