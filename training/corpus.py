"""The text the built-in model is trained from: the standard library of the Python that runs this."""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
import textwrap
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

SKIPPED_DIRECTORIES = {
    "__pycache__", "dist-packages", "idle_test", "pydoc_data", "site-packages", "test", "tests",
}  # fmt: skip
SKIPPED_FILES = re.compile(r"(_sysconfigdata.*|test_.*|.*_test|__phello__.*|this|antigravity)\.py$")
TABLES = {"html/entities.py", "msilib/schema.py", "msilib/sequence.py", "msilib/text.py", "tkinter/tix.py"}
HELD_OUT_ONE_IN = 25
LONGEST_FUNCTION = 40


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


def held_out(name: str) -> bool:
    """Whether a module is kept for the evaluation; decided by its dotted name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % HELD_OUT_ONE_IN == 0


def library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def read(root: Path | None = None) -> tuple[list[Document], list[Document]]:
    """The documents to train on and the held-out ones, each sorted by name, without duplicates."""
    root = root or library()
    seen: set[str] = set()
    training: list[Document] = []
    kept: list[Document] = []
    for path in sorted(root.rglob("*.py")):
        document = _document(root, path)
        if document is None or document.text in seen:
            continue
        seen.add(document.text)
        (kept if held_out(document.name) else training).append(document)
    return training, kept


def _document(root: Path, path: Path) -> Document | None:
    relative = path.relative_to(root)
    if SKIPPED_DIRECTORIES & set(relative.parts) or SKIPPED_FILES.match(relative.name):
        return None
    if relative.as_posix() in TABLES or not all(part.isidentifier() for part in relative.with_suffix("").parts):
        return None
    try:
        with tokenize.open(path) as file:
            text = file.read().replace("\r\n", "\n")
        tree = ast.parse(text)
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return None
    if len(text) < 64 or "\nencoding_table" in text or "\ndecoding_table" in text or "\nencoding_map" in text:
        return None
    name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    lines = [line + "\n" for line in text.split("\n")]  # splitlines would also split at form feeds
    return Document(name, text, _starts(tree, lines), tuple(_functions(tree, lines)))


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
