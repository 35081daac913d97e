"""The part of a docstring that describes parameters and what is returned, in the styles of Google, NumPy and Sphinx.

Names and annotations come from the syntax tree, descriptions from the model. What the model says nothing usable of has
no description; where it says nothing of anything there is no section.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from codellama import prose
from codellama.definitions import Definition
from codellama.errors import NoCompletionError
from codellama.style import Style

STEP = "    "
_LONGEST = 300
# characters of a description
_OWN = {"self", "cls", "mcs", "mcls"}
_HEADING = re.compile(
    r"[ \t]*(args|arguments|parameters|params|returns?|yields?|raises|examples?|notes?)[ \t]*:?[ \t]*"
)
_FIELD = re.compile(r"[ \t]*[:@](param(?:eter)?|arg(?:ument)?|returns?|yields?|\w+)(?:[ \t]+([^:]*))?:[ \t]*(.*)")
_NAMED = re.compile(r"[ \t]*[`*]*\\?\*{0,2}(\w+)[`*]*[ \t]*(?:\((?:[^()]|\([^()]*\))*\))?[ \t]*(?::|--|–)[ \t]*(.*)")
_TYPE = re.compile(r"[\w.]+(?:\[[^:]*\])?(?: \| [\w.]+)*: ")
_LISTED = re.compile(r"[ \t]*[-*+•][ \t]+")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a section lists."""

    parameters: tuple[tuple[str, str], ...] = ()
    # name, with its stars, and annotation; "": none
    returns: str | None = None
    # the annotation; None: nothing is returned
    yields: bool = False

    @property
    def empty(self) -> bool:
        return not self.parameters and self.returns is None


@dataclass(frozen=True, slots=True)
class Described:
    """What a model says of a signature."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    # by name without stars
    returns: str = ""

    def __bool__(self) -> bool:
        return bool(self.parameters or self.returns)


def signature(definition: Definition) -> Signature:
    """Of a function or method; empty for classes, modules and properties, which are described as what they are."""
    node = definition.node
    if isinstance(node, (ast.Module, ast.ClassDef)):
        return Signature()
    names = {getattr(each, "attr", getattr(each, "id", "")) for each in node.decorator_list}
    if any(name.endswith("property") for name in names):
        return Signature()
    args = node.args
    first = [*args.posonlyargs, *args.args]
    if definition.kind == "method" and first and "staticmethod" not in names and first[0].arg in _OWN:
        first = first[1:]
    listed = [(each, "") for each in first] + ([(args.vararg, "*")] if args.vararg else [])
    listed += [(each, "") for each in args.kwonlyargs] + ([(args.kwarg, "**")] if args.kwarg else [])
    yields, gives = _gives(node)
    return Signature(
        tuple((stars + each.arg, _annotation(each.annotation)) for each, stars in listed),
        _annotation(node.returns) if gives else None,
        yields,
    )


def _annotation(node: ast.expr | None) -> str:
    """As one line of source; a string is the annotation that it holds."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(node.value.split())
    return ast.unparse(node) if node else ""


def _gives(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[bool, bool]:
    """Whether it yields, and whether it returns or yields anything, itself and not by a function within."""
    yields = gives = False
    stack: list[ast.AST] = list(node.body)
    while stack:
        each = stack.pop()
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        yields |= isinstance(each, (ast.Yield, ast.YieldFrom))
        gives |= isinstance(each, ast.Return) and not _is_none(each.value)
        stack += ast.iter_child_nodes(each)
    return yields, yields or gives


def _is_none(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def opening(wanted: Signature, style: Style) -> str:
    """How the section begins, up to where the first description is to come; a model goes on with it."""
    if wanted.parameters:
        name, annotation = wanted.parameters[0]
        match style:
            case Style.GOOGLE:
                return f"Args:\n{STEP}{name}{f' ({annotation})' if annotation else ''}:"
            case Style.NUMPY:
                return f"Parameters\n----------\n{name}{f' : {annotation}' if annotation else ''}\n"
            case _:
                return f":param {name.lstrip('*')}:"
    heading = "Yields" if wanted.yields else "Returns"
    match style:
        case Style.GOOGLE:
            return f"{heading}:\n{STEP}{wanted.returns + ':' if wanted.returns else ''}"
        case Style.NUMPY:
            return f"{heading}\n{'-' * len(heading)}\n{wanted.returns + chr(10) if wanted.returns else ''}"
        case _:
            return ":returns:"


def read(text: str, wanted: Signature, *, complete: bool) -> Described:
    """The descriptions in a text of any of the styles. Of one that was cut short the last is left out."""
    names = {name.lstrip("*") for name, _ in wanted.parameters}
    found: dict[str, list[str]] = {}
    key: str | None = None
    # what the lines at hand describe: a parameter, "" for what is returned; None: nothing that is wanted
    margin = 0
    type_of_return = False
    # True: the only line so far of what is returned is as far out as its heading, which is where NumPy has a type
    for line in textwrap.dedent(text).expandtabs(4).split("\n"):
        if not line.strip() or not line.strip(" -="):
            continue
        indent = len(line) - len(line.lstrip())
        goes_on = key is not None and key in found and indent > margin
        entry = _entry(_LISTED.sub("", line), names if not goes_on else set())
        if entry:
            key, margin = entry[0], indent
            said = entry[1]
        else:
            said = line.strip()
        if key is None:
            continue
        if type_of_return and indent > margin:
            found[""].clear()
        type_of_return = key == "" and not entry and not found.get("") and indent == margin
        found.setdefault(key, []).extend([said] if said else [])
    if found and not complete:
        found.popitem()
    described = {name: usable for name, lines in found.items() if (usable := _usable(" ".join(lines), name, wanted))}
    returns = described.pop("", "")
    return Described(
        {name: said for name, said in described.items() if name in names}, returns if wanted.returns is not None else ""
    )


def _entry(line: str, names: Collection[str]) -> tuple[str | None, str] | None:
    """What a line begins to describe, and what it says of it: a heading, a Sphinx field or a parameter's name begins.

    None: the line begins nothing.
    """
    heading = _HEADING.fullmatch(line.lower())
    if heading:
        return ("" if heading[1].startswith(("return", "yield")) else None), ""
    field_ = _FIELD.match(line)
    if field_:
        if field_[1].startswith(("return", "yield")):
            return "", field_[3]
        name = (field_[2] or "").rpartition(" ")[2].lstrip("*\\")
        return (name, field_[3]) if field_[1].startswith(("param", "arg")) and name else (None, "")
    named = _NAMED.match(line)
    if named and named[1] in names:
        # NumPy has a type there
        return named[1], "" if " : " in line[: named.start(2)] else named[2]
    bare = line.strip().lstrip("*")
    return (bare, "") if bare in names else None


def _usable(text: str, name: str, wanted: Signature) -> str:
    """A description as it may be written; "": none."""
    text = " ".join(text.split())
    if not name:
        # Google has a type there
        text = _TYPE.sub("", text.removeprefix(wanted.returns or "").lstrip(": "))
    try:
        return prose.phrase(text, name) if 0 < len(text) <= _LONGEST else ""
    except NoCompletionError:
        return ""


def lines(wanted: Signature, said: Described, style: Style, room: int) -> Iterator[str]:
    """The section's lines, at most `room` columns wide where their words allow it."""
    match style:
        case Style.GOOGLE:
            yield from _google(wanted, said, room)
        case Style.NUMPY:
            yield from _numpy(wanted, said, room)
        case Style.SPHINX:
            yield from _sphinx(wanted, said, room)


def _google(wanted: Signature, said: Described, room: int) -> Iterator[str]:
    if said.parameters:
        yield "Args:"
        for name, annotation in wanted.parameters:
            title = f"{name} ({annotation}):" if annotation else f"{name}:"
            yield from _wrapped(f"{title} {said.parameters.get(name.lstrip('*'), '')}", room, STEP, STEP * 2)
    if said.returns:
        yield from [""] if said.parameters else []
        yield "Yields:" if wanted.yields else "Returns:"
        yield from _wrapped(f"{wanted.returns + ': ' if wanted.returns else ''}{said.returns}", room, STEP, STEP * 2)


def _numpy(wanted: Signature, said: Described, room: int) -> Iterator[str]:
    if said.parameters:
        yield from ("Parameters", "----------")
        for name, annotation in wanted.parameters:
            yield f"{name} : {annotation}" if annotation else name
            yield from _wrapped(said.parameters.get(name.lstrip("*"), ""), room, STEP, STEP)
    if said.returns:
        heading = "Yields" if wanted.yields else "Returns"
        yield from [""] if said.parameters else []
        yield from (heading, "-" * len(heading))
        if wanted.returns:
            yield wanted.returns
        margin = STEP if wanted.returns else ""
        yield from _wrapped(said.returns, room, margin, margin)


def _sphinx(wanted: Signature, said: Described, room: int) -> Iterator[str]:
    for name, annotation in wanted.parameters if said.parameters else ():
        bare = name.lstrip("*")
        yield from _wrapped(f":param {bare}: {said.parameters.get(bare, '')}", room, "", STEP)
        if annotation:
            yield f":type {bare}: {annotation}"
    if said.returns:
        yield from _wrapped(f":{'yields' if wanted.yields else 'returns'}: {said.returns}", room, "", STEP)
        if wanted.returns:
            yield f":rtype: {wanted.returns}"


def _wrapped(text: str, room: int, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text, room, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
