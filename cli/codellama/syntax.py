"""Whether a text of a programming language parses: Python by its own parser, others by tree-sitter.

tree-sitter's grammars come with the extra `languages`; without one there is no verdict.
"""

from __future__ import annotations

import ast
import warnings
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from codellama.highlight import lexer_name

if TYPE_CHECKING:
    from tree_sitter import Parser

_SUFFIXES = {".py": "python", ".pl": "perl", ".r": "splus", ".sql": "sql", ".ipynb": "json"}
# .py spares the import of Pygments; the others it takes for Prolog, Rebol, T-SQL and nothing
_GRAMMARS = {
    "bash": ("tree_sitter_bash", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "css": ("tree_sitter_css", "language"),
    "go": ("tree_sitter_go", "language"),
    "html": ("tree_sitter_html", "language"),
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "json": ("tree_sitter_json", "language"),
    "jsx": ("tree_sitter_javascript", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "ruby": ("tree_sitter_ruby", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
}


def language_of(filename: str | None, asked: str | None = None) -> str:
    """Pygments' name of the language that was asked for, else of the file name; "text" for a name that says nothing.

    Without either it is Python. Raises InputError where the one asked for is not known.
    """
    if asked:
        return lexer_name(language=asked)
    if not filename:
        return "python"
    suffix = PurePath(filename).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    from pygments.lexers import find_lexer_class_for_filename  # 60 ms

    found = find_lexer_class_for_filename(PurePath(filename).name)
    return found.aliases[0] if found and found.aliases else "text"


def parses(text: str, language: str) -> bool | None:
    """Whether a whole file has no syntax error; None: no parser for the language is here. Nothing is executed.

    Nesting beyond what the parser takes counts as an error, as it does when Python runs the file.
    4 MiB of the standard library take 1.4 s and 0.3 GB; of nothing but `x=[1,2]`, 10 s and 2.4 GB.
    """
    if language == "python":
        try:
            tree(text)
        except SyntaxError:
            return False
        return True
    parser = _parser(language)
    if parser is None:
        return None
    return not parser.parse(text.encode("utf-8", "replace")).root_node.has_error


def tree(text: str, *, type_comments: bool = False) -> ast.Module:
    """The syntax tree of a Python file. Raises SyntaxError, also for nesting beyond what the parser takes."""
    try:
        with warnings.catch_warnings():
            # of invalid escapes and the like: they would be printed, and under -W error be raised
            warnings.simplefilter("ignore")
            return ast.parse(text, type_comments=type_comments)
    except (ValueError, RecursionError, MemoryError) as error:
        # ValueError: NUL, a lone surrogate; the last two: CPython 3.11 on "x.a.a…" and "- - - …"
        raise SyntaxError(str(error) or "it is nested too deeply") from None


@cache
def _parser(language: str) -> Parser | None:
    if language not in _GRAMMARS:
        return None
    module, function = _GRAMMARS[language]
    from importlib import import_module

    try:
        from tree_sitter import Language, Parser

        return Parser(Language(getattr(import_module(module), function)()))
    except (ImportError, AttributeError, ValueError):
        # not installed, or made for another version of tree-sitter
        return None


def placeholders(language: str, indent: str = "") -> tuple[str, ...]:
    """What a hole may be filled with to see whether the rest of a file parses; `indent` is that of a line to fill."""
    if language == "python":
        return "", f"{indent}pass", f"{indent}_"
    if language == "json":
        return "", "0", '"": 0'
    return "", "x", ";"
