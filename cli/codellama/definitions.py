"""The modules, classes, functions and methods of a Python file: which want a docstring, and where it would go.

Pure functions of a syntax tree and its text. Places are found from the tree's own positions, not by looking for lines.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from codellama import syntax
from codellama.errors import InputError
from codellama.source import Source

Kind = Literal["module", "class", "function", "method"]
Node = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

LINE_END = re.compile(r"\r\n?|\n")
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
_BLOCKS = {
    kind: tuple(name for name in kind._fields if name in ("body", "handlers", "orelse", "finalbody", "cases"))
    for kind in (*ast.stmt.__subclasses__(), ast.ExceptHandler, ast.match_case)
}
# in which fields of a node statements stand, in the order of the text
_SKIPPED = {"overload", "override", "setter", "deleter"}
# by the last name of a decorator: documented by what they belong to. ruff takes `override` so too


@dataclass(frozen=True, slots=True)
class Definition:
    kind: Kind
    name: str
    # qualified within its module, as `Circle.area`; of a module ""
    node: Node = field(repr=False, compare=False)
    number: int = 0
    # among the module's definitions; the module is 0
    private: bool = False
    # it, or what it stands in, has a name that begins with one underscore or two and is no `__name__`

    @property
    def line(self) -> int:
        """That of its `def` or `class`, from 1."""
        return 1 if isinstance(self.node, ast.Module) else self.node.lineno

    @property
    def lines(self) -> tuple[int, int]:
        """The first line, of decorators too, and the last."""
        if isinstance(self.node, ast.Module):
            return 1, max((end_line(statement) for statement in self.node.body), default=1)
        return min([self.node.lineno, *(each.lineno for each in self.node.decorator_list)]), end_line(self.node)

    @property
    def own_lines(self) -> tuple[int, int]:
        """The first line and the last of those that, when they change, may make it another definition.

        Of a class or a module they are what stands before the body: to edit a method is not to edit its class.
        """
        first, last = self.lines
        if isinstance(self.node, (ast.Module, ast.ClassDef)) and self.node.body:
            statement = self.node.body[0]
            decorators = getattr(statement, "decorator_list", ())
            return first, max(first, min([statement.lineno, *(each.lineno for each in decorators)]) - 1)
        return first, last

    @property
    def magic(self) -> bool:
        """Whether its name is one that Python gives a meaning, as `__init__`."""
        name = self.name.rpartition(".")[2]
        return self.kind == "method" and name.startswith("__") and name.endswith("__")

    @property
    def title(self) -> str:
        """`method Circle.area`; of a module, `the module`."""
        return f"{self.kind} {self.name}" if self.name else "the module"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which definitions should have a docstring, beside public classes, functions and methods."""

    modules: bool = False
    private: bool = False
    magic: bool = False

    def takes(self, definition: Definition) -> bool:
        if definition.kind == "module":
            return self.modules
        return (self.private or not definition.private) and (self.magic or not definition.magic)


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


def read(source: Source) -> ast.Module:
    """Raises InputError for a file that does not parse."""
    try:
        return syntax.tree(source.text)
    except SyntaxError as error:
        where = f" at line {error.lineno}" if error.lineno else ""
        raise InputError(f"{source.name}: does not parse{where}: {error.msg}") from None


def end_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def definitions(tree: ast.Module) -> Iterator[Definition]:
    """All of a module, itself first, in the order in which they begin."""
    number = 0
    yield Definition("module", "", tree)
    # without recursion: a chain of `elif` may be thousands long. Expressions, where most nodes are, hold none
    stack: list[tuple[ast.AST, Definition | None]] = [(node, None) for node in reversed(tree.body)]
    while stack:
        node, owner = stack.pop()
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            number += 1
            owner = _definition(node, owner, number)
            yield owner
        stack += [(child, owner) for child in reversed(_statements(node))]


def missing(tree: ast.Module, selection: Selection) -> list[Definition]:
    """The definitions that should have a docstring and have none; one that is empty is one.

    What is skipped always: overloads, overrides, setters and deleters of properties, and a module without statements.
    """
    return [
        each
        for each in definitions(tree)
        if each.node.body and not has_docstring(each.node) and selection.takes(each) and not _documented_elsewhere(each)
    ]


def has_docstring(node: Node) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _definition(
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, owner: Definition | None, number: int
) -> Definition:
    kind: Kind = "class" if isinstance(node, ast.ClassDef) else "function"
    if kind == "function" and owner and owner.kind == "class":
        kind = "method"
    private = node.name.startswith("_") and not (node.name.startswith("__") and node.name.endswith("__"))
    if owner is None:
        return Definition(kind, node.name, node, number, private)
    return Definition(kind, f"{owner.name}.{node.name}", node, number, private or owner.private)


def _statements(node: ast.AST) -> list[ast.AST]:
    found: list[ast.AST] = []
    for name in _BLOCKS.get(type(node), ()):
        found += getattr(node, name)
    return found


def _documented_elsewhere(definition: Definition) -> bool:
    if isinstance(definition.node, (ast.Module, ast.ClassDef)):
        return False
    names = (
        decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", None)
        for decorator in definition.node.decorator_list
    )
    return not _SKIPPED.isdisjoint(names)


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
            body = _statements(statement)
            first = body[0] if body else None
            if isinstance(first, ast.stmt) and first.lineno > statement.lineno:
                margin = self._margin(self.line_start(first.lineno))
                if margin:
                    return margin
        return "    "
