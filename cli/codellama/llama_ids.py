"""Whether a tokenizer gives Meta's ids.

All of Code Llama's tokenizers share Llama 2's 32000 pieces. In a `tokenizer.model` those and their scores decide all
ids, so a digest of them is proof. A `tokenizer.json` holds merges instead of scores, which programs have got wrong
(whitespace runs that win over words); there the pieces are compared, and texts in which such errors show.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from codellama.tokenizer import ADDED, STEP, Tokenizer

SHARED = 32000
# pieces of every Code Llama
PIECES = "0f97b4337921e6e7e9b4620fc73338ee570aecd3c16038bc23870a887e995045"
# sha256 of them in order, joined by newlines
SCORED = "56cb92e110a88b5051f63ea1271feb0f963ffb2fafa52eeb1fab7c3110d3c95c"
# the same with each piece's score behind a tab, as Python writes the number

TEXTS = (
    # a text, and the ids Meta's code gives it where it follows other text (`encode_infilling`)
    (
        "def fibonacci(n: int) -> int:\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)\n",
        "1753 18755 265 21566 29898 29876 29901 938 29897 1599 938 29901 13 1678 736 302 565 302 529 29871 "
        "29906 1683 18755 265 21566 29898 29876 448 29871 29896 29897 718 18755 265 21566 29898 29876 448 "
        "29871 29906 29897 13",
    ),
    (
        "        return 0x1F, 1_000.5e-3\n",
        "4706 736 29871 29900 29916 29896 29943 29892 29871 29896 29918 29900 29900 29900 29889 29945 29872 "
        "29899 29941 13",
    ),
    (
        "\tif (a[i] != NULL && !done) {\n\t\t\tbreak;\n\t}\r\n",
        "12 361 313 29874 29961 29875 29962 2804 4265 2607 1738 15091 29897 426 13 12 12 12 8690 29936 13 12 8117 13",
    ),
    (
        " leading",
        "8236",
    ),
    (
        "trailing  ",
        "3018 6504 259",
    ),
    (
        "\n\n\n",
        "13 13 13",
    ),
    (
        "naïve café Δx 你好 Привет שלום 👩\u200d💻",
        "1056 30085 345 274 28059 29871 30293 29916 29871 30919 31076 7203 7616 29871 30294 30249 30205 30404 "
        "29871 243 162 148 172 30722 243 162 149 190",
    ),
    (
        "<s> </s> <unk> <0x0A>",
        "29966 29879 29958 1533 29879 29958 529 2960 29958 529 29900 29916 29900 29909 29958",
    ),
    (
        'self.assertEqual(__name__, "__main__")  # noqa: E501',
        "1311 29889 9294 9843 22168 978 1649 29892 376 1649 3396 1649 1159 29871 396 694 25621 29901 382 "
        "29945 29900 29896",
    ),
    (
        "SELECT * FROM users WHERE id = 12345;",
        "6404 334 3895 4160 5754 1178 353 29871 29896 29906 29941 29946 29945 29936",
    ),
)


@dataclass(frozen=True, slots=True)
class Agreement:
    metas: bool
    reason: str
    # what shows it, or what speaks against it


def agreement(tokenizer: Tokenizer, vocab_size: int) -> Agreement:
    """Whether the tokenizer gives Meta's ids, for an embedding of so many rows: pieces beyond it do not count."""
    if tokenizer.size < SHARED or _digest(tokenizer, scored=False) != PIECES:
        return Agreement(False, f"it has {tokenizer.size} pieces of its own")
    scored = tokenizer.score(SHARED - 1) is not None
    if scored and _digest(tokenizer, scored=True) != SCORED:
        return Agreement(False, "it has Llama's pieces with other scores")
    for text, ids in TEXTS:
        found = " ".join(map(str, tokenizer.encode_infill(text)))
        if found != ids:
            return Agreement(False, f"{text!r} becomes {found}, which is {ids} with Meta's")
    added = tuple(tokenizer.piece(id) for id in range(SHARED, min(tokenizer.size, vocab_size)))
    if added not in ((), ADDED[:-1], (*ADDED[:-2], STEP)):
        return Agreement(False, f"its pieces from {SHARED} on are not Meta's: {' '.join(added[:4])} …")
    if (STEP in added) == tokenizer.dummy_prefix:
        has = "puts a space before every text" if tokenizer.dummy_prefix else "puts no space before a text"
        return Agreement(False, f"it {has}, unlike the one of Meta's with its pieces")
    shown = "the pieces and their scores" if scored else f"the pieces, and the ids of {len(TEXTS)} texts"
    return Agreement(True, f"{shown} are Meta's")


def _digest(tokenizer: Tokenizer, *, scored: bool) -> str:
    lines = (
        f"{tokenizer.piece(id)}\t{tokenizer.score(id)!r}" if scored else tokenizer.piece(id) for id in range(SHARED)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
