"""The modules, classes, functions and methods of a Python file, and which of them want a docstring.

Pure functions of a syntax tree.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from codellama import syntax
from codellama.errors import InputError
from codellama.source import Source

Kind = Literal["module", "class", "function", "method"]
Node = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

_KINDS: list[type[ast.AST]] = [*ast.stmt.__subclasses__(), ast.ExceptHandler, ast.match_case]
_BLOCKS = {
    kind: tuple(name for name in kind._fields if name in ("body", "handlers", "orelse", "finalbody", "cases"))
    for kind in _KINDS
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


def read(source: Source) -> ast.Module:
    """Raises InputError for a file that does not parse."""
    try:
        return syntax.tree(source.text)
    except SyntaxError as error:
        where = f" at line {error.lineno}" if error.lineno else ""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise InputError(f"{source.name}: does not parse as Python {version}{where}: {error.msg}") from None


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
        stack += [(child, owner) for child in reversed(nested(node))]


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


def nested(node: ast.AST) -> list[ast.AST]:
    """The statements within a statement, and what holds some: handlers and cases."""
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
