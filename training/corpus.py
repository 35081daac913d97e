"""The text the built-in model is trained from: modules of Python, their functions, and which are kept apart."""

from __future__ import annotations

import ast
import hashlib
import io
import re
import sysconfig
import textwrap
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath

SKIPPED_DIRECTORIES = {
    "__pycache__", "dist-packages", "idle_test", "pydoc_data", "site-packages", "test", "tests",
}  # fmt: skip
SKIPPED_FILES = re.compile(r"(_sysconfigdata.*|test_.*|.*_test|__phello__.*|this|antigravity)\.py$")
TABLES = {"html/entities.py", "msilib/schema.py", "msilib/sequence.py", "msilib/text.py", "tkinter/tix.py"}
KEPT_ONE_IN = 25
LARGEST = 250_000  # characters: what is longer is generated or a table
TABLE = re.compile(r"^(en|de)coding_(table|map) ?=", re.MULTILINE)
COPIED_KEPT = 0.02  # the share of a document's windows that may stand in a kept one: licences, common boilerplate
COPIED = 0.5  # and in an earlier one
LONGEST_FUNCTION = 40


class Part(Enum):
    """What a module of the standard library is for."""

    TRAINING = "training"
    VALIDATION = "validation"  # decoding is chosen on these
    HELD_OUT = "held out"  # and measured on these


@dataclass(frozen=True)
class Function:
    """One function or method, dedented, with what a request for it could say."""

    name: str
    source: str
    arguments: tuple[str, ...]
    docstring: str | None
    method: bool
    decorated: bool

    @property
    def lines(self) -> int:
        return self.source.count("\n") + 1


@dataclass(frozen=True)
class Document:
    """One module: its dotted name, its text, where its top-level statements start, and its functions."""

    name: str
    text: str
    starts: tuple[int, ...]
    functions: tuple[Function, ...] = field(repr=False)


def part(name: str) -> Part:
    """Which part a module of the standard library is in; decided by its dotted name alone."""
    rest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % KEPT_ONE_IN
    return {0: Part.HELD_OUT, 1: Part.VALIDATION}.get(rest, Part.TRAINING)


def library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def read(root: Path | None = None) -> dict[Part, list[Document]]:
    """The standard library's modules by part, each sorted by path."""
    root = root or library()
    found: dict[Part, list[Document]] = {each: [] for each in Part}
    for path in sorted(root.rglob("*.py")):
        document = module(path.relative_to(root).as_posix(), path.read_bytes())
        if document is not None:
            found[part(document.name)].append(document)
    return found


def module(path: str, data: bytes) -> Document | None:
    """The module of a file; None where it is a test, a table, or no Python."""
    relative = PurePosixPath(path)
    if SKIPPED_DIRECTORIES & set(relative.parts) or SKIPPED_FILES.match(relative.name) or path in TABLES:
        return None
    if not all(each.isidentifier() for each in relative.with_suffix("").parts):
        return None
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding).replace("\r\n", "\n")
        tree = ast.parse(text)
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return None
    if not 64 <= len(text) <= LARGEST or TABLE.search(text) or _is_table(tree):
        return None
    name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    lines = [line + "\n" for line in text.split("\n")]  # splitlines would also split at form feeds
    return Document(name, text, _starts(tree, lines), tuple(_functions(tree, lines)))


def _is_table(tree: ast.Module) -> bool:
    """Whether constants are most of a module's nodes: encodings, entities, colours, generated data."""
    nodes = list(ast.walk(tree))
    return sum(isinstance(node, ast.Constant) for node in nodes) > len(nodes) / 2


def without_copies(documents: Iterable[Document], kept: Iterable[Document]) -> list[Document]:
    """The documents that copy neither a kept one nor an earlier one.

    Compared are windows of five lines that are not blank: vendored copies and backports differ in little else.
    """
    hidden = {window for document in kept for window in _windows(document.text)}
    seen: set[int] = set()
    chosen = []
    for document in documents:
        windows = _windows(document.text)
        if len(windows & hidden) > COPIED_KEPT * len(windows) or len(windows & seen) > COPIED * len(windows):
            continue
        seen |= windows
        chosen.append(document)
    return chosen


def _windows(text: str) -> set[int]:
    lines = [line.strip() for line in text.split("\n") if len(line.strip()) > 3]
    return {hash(tuple(lines[at : at + 5])) for at in range(max(1, len(lines) - 4))}


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _starts(tree: ast.Module, lines: list[str]) -> tuple[int, ...]:
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return tuple(offsets[_first_line(node) - 1] for node in tree.body if isinstance(node, definitions))


def _functions(tree: ast.Module, lines: list[str]) -> list[Function]:
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        first = _first_line(node)
        if node.end_lineno is None or not 2 <= node.end_lineno - first + 1 <= LONGEST_FUNCTION:
            continue
        source = textwrap.dedent("".join(lines[first - 1 : node.end_lineno])).rstrip()
        try:
            ast.parse(source)
        except SyntaxError:
            continue
        if source[:1].isspace():
            continue
        arguments = tuple(each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))
        method = arguments[:1] in {("self",), ("cls",)}
        found.append(Function(node.name, source, arguments, ast.get_docstring(node), method, bool(node.decorator_list)))
    return found


def first_sentence(docstring: str) -> str | None:
    """The first sentence of a docstring on one line, ending in a full stop, where it reads as one."""
    paragraph = re.split(r"\n\s*\n", docstring.strip(), maxsplit=1)[0]
    sentence = re.split(r"(?<=[.!?])\s", " ".join(paragraph.split()), maxsplit=1)[0]
    if not 12 <= len(sentence) <= 160 or not re.match(r"[A-Z][a-z]+ ", sentence) or ">>>" in sentence:
        return None
    return sentence if sentence[-1] in ".!?" else sentence.rstrip(":;, ") + "."
