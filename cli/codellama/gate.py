"""The proof that docstrings were put into a file and nothing else happened to it."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Collection, Iterator, Sequence
from io import StringIO

from codellama import holes, source, syntax
from codellama.definitions import definitions, has_docstring
from codellama.edit import Splice
from codellama.errors import InputError, NoCompletionError
from codellama.source import Source

_LAYOUT = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
# tokens that say how code is laid out: a body that got lines of its own has other ones


def check(old: Source, new: bytes, splices: Sequence[Splice], filled: Collection[int]) -> None:
    """Raises NoCompletionError, saying why, unless `new` is the old file with docstrings where there were none.

    `filled`: the numbers of the definitions that got one. Then the new file parses; without those docstrings its
    syntax tree is the old one, type comments too; every byte outside the splices is the old one; and so are all its
    tokens, comments among them. So a second run finds nothing more to do there.
    """
    try:
        text = source.decode(new, old.name, old.path).text
    except InputError as error:
        raise NoCompletionError(str(error)) from None
    _check_bytes(old, new, splices)
    try:
        _check_tree(syntax.tree(old.text), syntax.tree(text), filled)
        if "type:" in old.text:
            _check_types(old.text, text, filled)
        _check_tokens(old.text, text, len(filled))
    except SyntaxError as error:
        raise NoCompletionError(f"the file would not parse: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise NoCompletionError("the file is nested too deeply to be compared") from None


def _check_bytes(old: Source, new: bytes, splices: Sequence[Splice]) -> None:
    """What stands outside the splices is there, in order, with nothing but the splices between."""
    if old.bom + old.text.encode(old.encoding) != old.raw or not new.startswith(old.bom):
        raise NoCompletionError("the file's bytes are not those of its text")
    at, cursor = len(old.bom), 0
    for splice in (*splices, Splice(len(old.text), len(old.text), "")):
        outside = old.text[cursor : splice.start].encode(old.encoding)
        inserted = [splice.text.replace("\n", end).encode(old.encoding) for end in ("\n", "\r\n", "\r")]
        length = next((len(each) for each in inserted if new.startswith(each, at + len(outside))), None)
        if (
            not new.startswith(outside, at)
            or length is None
            or old.text[splice.start : splice.end].strip(" \t\f\\\r\n")
        ):
            raise NoCompletionError("a byte outside the docstring would change")
        at += len(outside) + length
        cursor = splice.end
    if at != len(new):
        raise NoCompletionError("a byte outside the docstring would change")


def _check_tree(old: ast.Module, new: ast.Module, filled: Collection[int]) -> None:
    before, after = list(definitions(old)), list(definitions(new))
    if len(before) != len(after):
        raise NoCompletionError("the file would define something else")
    for number in filled:
        if has_docstring(before[number].node) or not has_docstring(after[number].node):
            raise NoCompletionError("it would be no docstring there")
        del after[number].node.body[0]
    if ast.dump(old) != ast.dump(new):
        raise NoCompletionError("the code would change")


def _check_types(old: str, new: str, filled: Collection[int]) -> None:
    """With type comments, where the old file's can be read."""
    try:
        before = syntax.tree(old, type_comments=True)
    except SyntaxError:
        return
    after = syntax.tree(new, type_comments=True)
    for ignore in (*before.type_ignores, *after.type_ignores):
        # the number of its line is no part of the code
        ignore.lineno = 0
    _check_tree(before, after, filled)


def _check_tokens(old: str, new: str, added: int) -> None:
    before, after = list(_tokens(old)), list(_tokens(new))
    if len(after) - len(before) != added:
        raise NoCompletionError("the file's tokens would change")
    at = 0
    for token in after:
        if at < len(before) and token == before[at]:
            at += 1
        elif token[0] != tokenize.STRING:
            raise NoCompletionError("the file's tokens would change")
    if at != len(before):
        raise NoCompletionError("the file's tokens would change")


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    try:
        for token in tokenize.generate_tokens(StringIO(holes.plain(text)).readline):
            if token.type not in _LAYOUT:
                yield token.type, token.string
    except tokenize.TokenError:
        # a file may end in a backslash: the parser takes that, this tokenizer says so at the end
        yield tokenize.ERRORTOKEN, ""
