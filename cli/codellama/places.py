"""Where in a Python file the docstrings go that it lacks.

Pure functions of a text and its syntax tree. Places are found from the tree's own positions, not by looking for lines.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from codellama.definitions import Definition, nested
from codellama.holes import LINE_END

# as Python's tokenizer sees them: a form feed ends no line
_END = r"(?:\r\n?|\n)"
_BLANK = re.compile(rf"[ \t\f]*{_END}")
_NOTHING = re.compile(rf"(?:[ \t\f]*(?:#[^\r\n]*)?{_END})*")
# blank lines and lines of comments
_COLON = re.compile(r"(?:#[^\r\n]*|[^:#])*:")
# behind the last expression of a header there are brackets, commas and comments before its colon
_REST = re.compile(rf"[ \t\f]*(?:#[^\r\n]*)?{_END}")
# what may stand behind the colon where the body begins on another line
_TYPES = re.compile(rf"[ \t\f]*#[ \t]*type:[ \t]*\([^\r\n]*{_END}")
# a signature's types in a comment: it counts directly behind the header alone (PEP 484)
_COMMENTS = re.compile(rf"(?:[ \t\f]*#[^\r\n]*{_END})+")
_PREAMBLE = re.compile(rf"(?:#![^\r\n]*{_END})?(?:[ \t\f]*#[^\r\n]*coding[:=][^\r\n]*{_END})?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a docstring goes: offsets in the text. What lies between, white space, is replaced."""

    start: int
    end: int
    before: str
    # stands before it, "\n" for every line end
    after: str
    # stands behind it, likewise
    indent: str
    # of its lines


class Layout:
    """The text of a file by its lines, for finding places in it."""

    def __init__(self, text: str, tree: ast.Module) -> None:
        self.text = text
        self._tree = tree
        self._starts = [0, *(match.end() for match in LINE_END.finditer(text))]

    def offset(self, line: int, column: int) -> int:
        """Of a position in a syntax tree: a line from 1, and bytes of UTF-8 on it."""
        start = self._starts[line - 1]
        # no character has less than one byte
        return start + len(self.text[start : start + column].encode()[:column].decode(errors="ignore"))

    def line_start(self, line: int) -> int:
        """The offset of a line from 1; of the one behind the last, the text's end."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def span(self, definition: Definition) -> tuple[int, int]:
        """The offsets of a definition's whole lines, with decorators."""
        if isinstance(definition.node, ast.Module):
            return 0, len(self.text)
        first, last = definition.lines
        return self.line_start(first), self.line_start(last + 1)

    def place(self, definition: Definition) -> Place:
        """Where the docstring of a definition goes that has none.

        It goes directly behind the header, before comments of the body. A body on the header's line gets lines of its
        own. A blank line follows the docstring of a module, of a class, and one before an inner definition, as black
        and ruff want it.
        """
        node = definition.node
        if isinstance(node, ast.Module):
            return self._module_place()
        colon = self._colon(node)
        rest = _REST.match(self.text, colon)
        first = node.body[0]
        apart = isinstance(node, ast.ClassDef) or isinstance(
            first, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        )
        if rest is None:
            own = self.line_start(node.lineno)
            margin = self.text[own : self.offset(node.lineno, node.col_offset)]
            indent = margin + ("\t" if "\t" in margin else self._unit())
            start = self.offset(first.lineno, first.col_offset)
            return Place(colon, start, "\n" + indent, ("\n\n" if apart else "\n") + indent, indent)
        at = rest.end()
        types = _TYPES.match(self.text, at)
        at = types.end() if types else at
        blank = _BLANK.match(self.text, at)
        indent = self._margin(at)
        return Place(at, at, indent, "\n\n" if apart and not blank else "\n", indent)

    def _module_place(self) -> Place:
        """Behind the comments at the top, where a blank line parts them from the code, else behind the first lines
        that must be first: `#!` and `coding`.
        """
        comments = _COMMENTS.match(self.text)
        blank = _BLANK.match(self.text, comments.end()) if comments else None
        preamble = _PREAMBLE.match(self.text)
        at = blank.end() if blank else preamble.end() if preamble else 0
        follows = _BLANK.match(self.text, at)
        return Place(at, at, "", "\n" if follows else "\n\n", "")

    def _colon(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        """The offset behind the colon of a header."""
        parts: list[ast.AST | None] = list(getattr(node, "type_params", ()))
        if isinstance(node, ast.ClassDef):
            parts += [*node.bases, *node.keywords]
        else:
            args = node.args
            parts += [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
            parts += [*args.defaults, *args.kw_defaults, node.returns]
        ends = [(part.end_lineno, part.end_col_offset) for part in parts if part is not None]  # type: ignore[attr-defined]
        at = self.offset(*max([(node.lineno, node.col_offset), *ends]))
        colon = _COLON.match(self.text, at)
        assert colon is not None, "a header has a colon"
        return colon.end()

    def _margin(self, at: int) -> str:
        """The indentation of the first line of code at or behind an offset. A form feed sets it back to none."""
        nothing = _NOTHING.match(self.text, at)
        code = nothing.end() if nothing else at
        margin = re.compile(r"[ \t\f]*").match(self.text, code)
        return margin[0].rpartition("\f")[2] if margin else ""

    def _unit(self) -> str:
        """What the file's first indented block is indented by, four spaces where there is none."""
        for statement in self._tree.body:
            body = nested(statement)
            first = body[0] if body else None
            if isinstance(first, ast.stmt) and first.lineno > statement.lineno:
                margin = self._margin(self.line_start(first.lineno))
                if margin:
                    return margin
        return "    "
