"""Colours for a growing text, at a cost that stays bounded."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from codellama.errors import InputError

if TYPE_CHECKING:
    from pygments.lexer import Lexer
    from pygments.token import _TokenType

Run = tuple[int, int, str]
# from, to, and the SGR parameters of that part of a text; "": as the terminal has it

# Colours of the terminal's own palette that can be read on a light and on a dark ground: no yellow, blue or grey.
# A style holds for the token's subtypes; pygments.token.STANDARD_TYPES has the short names.
_STYLES = {
    "c": "2",  # Comment: faint
    "cp": "36",  # Comment.Preproc
    "k": "35",  # Keyword: magenta
    "kc": "36",  # Keyword.Constant: cyan
    "ow": "35",  # Operator.Word
    "nb": "36",  # Name.Builtin
    "nc": "1",  # Name.Class: bold
    "nf": "1",  # Name.Function
    "nd": "36",  # Name.Decorator
    "nt": "35",  # Name.Tag
    "s": "32",  # String: green
    "m": "36",  # Number
    "gd": "31",  # Generic.Deleted: red
    "gi": "32",  # Generic.Inserted
    "gh": "1",  # Generic.Heading
    "gu": "1",  # Generic.Subheading
}
RESET = "\x1b[0m"
WINDOW = 4096
# characters that are lexed at each painting; about 5 ms
_TAIL = 2048
# of them, those that must agree before the front is dropped
_LIMIT = 4 * WINDOW
# where no front could be dropped, lexing is given up here


class Highlighter:
    """Colours a growing text by lexing a window of its end, so that the cost of a painting stays bounded."""

    def __init__(self, name: str) -> None:
        from pygments.lexers import get_lexer_by_name
        from pygments.token import STANDARD_TYPES

        self._lexer: Lexer = get_lexer_by_name(name)
        styled = {kind: _STYLES[short] for kind, short in STANDARD_TYPES.items() if short in _STYLES}

        @cache
        def style(kind: _TokenType) -> str:
            return styled.get(kind) or (style(kind.parent) if kind.parent else "")

        self._style = style
        self._limit = WINDOW
        self._tokens: list[tuple[int, _TokenType, str]] = []

    def runs(self, text: str, start: int) -> list[Run]:
        """The styled parts of the text that end after `start`, in order."""
        self._tokens = list(self._lex(text))
        runs = []
        # whatever a lexer does with positions, no part of the text is shown twice
        at = start
        for begin, kind, value in self._tokens:
            end = min(begin + len(value), len(text))
            if end > at:
                if style := self._style(kind):
                    runs.append((max(begin, at), end, style))
                at = end
        return runs

    def advance(self, text: str, line: int) -> int | None:
        """From where on the text just given to `runs` must be kept; None: it is too long to go on with.

        `line` is where its open line begins. A later start will do if lexing from there gives what lexing the whole
        gave, over a good length: the lexer then was in its first state there. Inside a long string it was not, and
        the window grows until the string ends.
        """
        if len(text) < self._limit:
            return 0
        begins = [begin for begin, _, _ in self._tokens]
        lines = [match.end() for match in re.finditer("\n", text[: min(line, len(text) - _TAIL)])]
        lines.reverse()
        # the nearest lines, which a string may hold, and the nearest that are not indented
        for at in lines[:3] + [at for at in lines if not text[at].isspace()][:2]:
            first = bisect_left(begins, at)
            tail = self._tokens[first:]
            again = ((begin + at, kind, value) for begin, kind, value in self._lex(text[at:]))
            if tail and tail[0][0] == at and all(one == other for one, other in zip(again, tail, strict=False)):
                self._limit = WINDOW
                return at
        self._limit = len(text) + _TAIL
        return None if len(text) > _LIMIT else 0

    def _lex(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        # not get_tokens, which alters the text; lexers expect a final newline
        tokens: Iterator[tuple[int, _TokenType, str]] = self._lexer.get_tokens_unprocessed(text + "\n")
        return tokens


def ansi(text: str, runs: list[Run], start: int, stop: int) -> str:
    """A part of a text with escape sequences; every styled piece ends with a reset."""
    pieces = []
    at = start
    for begin, end, style in runs[max(bisect_left(runs, (start,)) - 1, 0) :]:
        begin, end = max(begin, at), min(end, stop)
        if begin >= stop:
            break
        if style and begin < end:
            pieces.append(text[at:begin])
            pieces.append(f"\x1b[{style}m{text[begin:end]}{RESET}")
            at = end
    pieces.append(text[at:stop])
    return "".join(pieces)


def lexer_name(filename: str | None = None, language: str | None = None, text: str = "") -> str:
    """Pygments' name of a language: the one asked for, else the file name's, else python.

    `text` decides where a file name fits several languages. Raises InputError for a language that is not known.
    """
    # 60 ms, most of it for the first look-up
    from pygments.lexers import find_lexer_class_by_name, find_lexer_class_for_filename
    from pygments.util import ClassNotFound

    if language:
        try:
            found = find_lexer_class_by_name(language)
        except ClassNotFound:
            raise InputError(
                f"unknown language {language}: take python, c, cpp, java, javascript, typescript, bash or another "
                "that Pygments knows, or leave it out"
            ) from None
    else:
        found = find_lexer_class_for_filename(filename, text) if filename else None
    return found.aliases[0] if found and found.aliases else "python"


def known(language: str) -> str | None:
    """Pygments' name of a language that a model named; None: it is not known."""
    if not language:
        return None
    with suppress(InputError):
        return lexer_name(language=language)
    return None
