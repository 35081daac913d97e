"""Which language a file is in, and whether it parses."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings

import pytest

from codellama import syntax
from codellama.errors import InputError
from codellama.highlight import lexer_name
from codellama.lexis import _LEXIS
from codellama.syntax import language_of, parses, placeholders


@pytest.mark.parametrize(
    ("filename", "asked", "language"),
    [
        (None, None, "python"),
        ("a/b.PY", None, "python"),
        ("a.pyi", None, "python"),
        ("a.js", None, "javascript"),
        ("a.tsx", None, "tsx"),
        ("a.h", None, "c"),
        ("a.pl", None, "perl"),
        ("a.R", None, "splus"),
        ("dir.py/Makefile", None, "make"),
        ("LICENSE", None, "text"),
        ("a.unheard-of", None, "text"),
        ("a.js", "c++", "cpp"),
        (None, "c#", "csharp"),
    ],
)
def test_language_of(filename: str | None, asked: str | None, language: str) -> None:
    assert language_of(filename, asked) == language


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="unknown language klingon"):
        language_of("a.py", "klingon")


@pytest.mark.parametrize("language", sorted({*_LEXIS, *syntax._GRAMMARS, *syntax._SUFFIXES.values()}))
def test_the_tables_have_the_names_that_pygments_gives(language: str) -> None:
    assert lexer_name(language=language) == language


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("def f(x):\n    return x\n", True),
        ("", True),
        ("def f(x):\n", False),
        ("x = (1\n", False),
        ("\tx\n        y\n", False),
        ("x = 1\0", False),
        ("x = '\ud800'", False),
        ("raise SystemExit(3)", True),
        ("-" * 100_000 + "1", False),
        ("x" + ".a" * 100_000, False),
    ],
    ids=ascii,
)
def test_python_parses(text: str, good: bool) -> None:
    assert parses(text, "python") is good


@pytest.mark.parametrize("action", ["error", "always"])
def test_a_warning_of_the_parser_is_neither_printed_nor_raised(action: str) -> None:
    # Python 3.11 calls the first a DeprecationWarning, 3.12 a SyntaxWarning
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)  # type: ignore[arg-type]
        assert parses("x = '\\d'\ny = 1if x else 2\n", "python") is True
    assert caught == []


DEEP = """
from codellama.syntax import parses
for head, middle, tail in [
    ("(", "", ""), ("[", "", ""), ("f(a=", "", ""), ("{1:", "", ""), ("(", "", ")"), ("-", "1", ""),
    ("not ", "x", ""),
    ("lambda:", "x", ""), ("x.", "x", ""), ("x+", "x", ""), ("x if x else ", "x", ""), ("f'{", "", ""),
]:
    for count in (50, 99, 190, 3000, 100_000):
        parses(head * count + middle + tail * count, "python")
assert parses("(" * 100_000, "python") is False
print("alive")
"""


def test_deep_nesting_neither_crashes_nor_takes_long() -> None:
    done = subprocess.run([sys.executable, "-c", DEEP], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


@pytest.mark.parametrize(
    ("language", "text", "good"),
    [
        ("javascript", "const f = (x) => `${x}`;\n", True),
        ("javascript", "const f = (x => `${x}`;\n", False),
        ("jsx", "const a = <p>x</p>;\n", True),
        ("c", "int main(void) { return 0; }\n", True),
        # only a missing piece: the tree has no ERROR node
        ("c", "int main(void) { return 0 }\n", False),
        ("c", "int \ud800;", False),
    ],
)
def test_other_languages_parse_by_tree_sitter(language: str, text: str, good: bool) -> None:
    assert parses(text, language) is good


HERE = [name for name, (module, _) in syntax._GRAMMARS.items() if importlib.util.find_spec(module)]


@pytest.mark.parametrize("language", HERE)
def test_every_grammar_that_is_here_can_be_loaded(language: str) -> None:
    assert parses("", language) is True
    assert parses('<p "\0(', language) is False


def test_no_parser_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parses("x", "text") is None
    assert parses("x", "haskell") is None
    syntax._parser.cache_clear()
    monkeypatch.setitem(sys.modules, "tree_sitter_c", None)
    assert parses("int x;", "c") is None
    syntax._parser.cache_clear()


def test_a_grammar_of_another_version_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import tree_sitter

    def refuse(*arguments: object) -> None:
        raise ValueError("Incompatible Language version 15. Must be between 13 and 14")

    syntax._parser.cache_clear()
    monkeypatch.setattr(tree_sitter, "Parser", refuse)
    assert parses("int x;", "c") is None
    syntax._parser.cache_clear()


@pytest.mark.parametrize(
    ("language", "before", "after"),
    [
        ("python", "def f():\n", "\n"),
        ("python", "def f():\n    x = ", "\n    return x\n"),
        ("python", "f(1, ", ")\n"),
        ("javascript", "const x = ", ";\n"),
        ("c", "int f() {\n", "\n}\n"),
        ("c", "int x", "\nint y;\n"),
        ("json", '{"a": ', "}"),
        ("json", '{"a": 1, ', "}"),
    ],
)
def test_a_placeholder_closes_the_hole(language: str, before: str, after: str) -> None:
    assert any(parses(before + text + after, language) for text in placeholders(language, "    "))


def test_pythons_placeholders_are_indented() -> None:
    assert placeholders("python", "  ") == ("", "  pass", "  _")
