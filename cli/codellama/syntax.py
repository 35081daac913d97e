"""Whether a text of a programming language parses, its brackets, strings and comments.

Python is parsed by its own parser, other languages by tree-sitter where the grammar is installed (the extra
`languages`). Brackets are counted by a scanner of our own, which, other than a parser, has an answer for half a file
and for a fill that grows. Python's strings follow the language reference, section 2.4 (lexical analysis) of 3.12,
which also reads the f-strings of 3.11; other languages' are known roughly: no heredocs, no Perl quotes.

Pygments' tokens would be an alternative to the scanner. They cannot be taken up in the middle of a text, and cost
eight times as much: 4 MiB of the standard library take 4.0 s of processor, and 0.5 s here.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

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
            with warnings.catch_warnings():
                # of invalid escapes and the like: they would be printed, and under -W error be raised
                warnings.simplefilter("ignore")
                ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            # ValueError: NUL, a lone surrogate; the last two: CPython 3.11 on "x.a.a…" and "- - - …"
            return False
        return True
    parser = _parser(language)
    if parser is None:
        return None
    return not parser.parse(text.encode("utf-8", "replace")).root_node.has_error


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


class _Rule(NamedTuple):
    """What opens a string or comment, and what closes it, as patterns; `closer` may use the opener's groups."""

    opener: str
    closer: str
    escape: str = r"\\(?:\r\n|.)"
    field: str = r"(?!)"
    # what opens code inside of a string; its last character is the bracket
    nests: bool = False
    one_line: bool = False


class _Lexis(NamedTuple):
    comment: tuple[str, str] = ("#", "")
    rules: tuple[_Rule, ...] = ()
    skip: str = r"(?!)"
    # character literals and the like, which are no strings
    brackets: str = r"[()\[\]{}]"


@dataclass(frozen=True, slots=True)
class _Frame:
    """An open string or comment, or the format after the colon in {x:>3}."""

    opener: str
    stop: re.Pattern[str]
    closer: str = ""
    one_line: bool = False
    is_format: bool = False
    is_line_comment: bool = False


_LINE_END = r"[\r\n]"


def _line(opener: str) -> _Rule:
    return _Rule(opener, _LINE_END, escape=r"(?!)")


def _block(opener: str, closer: str, nests: bool = False) -> _Rule:
    return _Rule(opener, closer, escape=r"(?!)", nests=nests)


_DOUBLE = _Rule('"', '"', one_line=True)
_SINGLE = _Rule("'", "'", one_line=True)
_TRIPLE = _Rule("(\"\"\"|''')", r"\1")
_LONG = (_Rule('"', '"'), _Rule("'", "'"))
# strings that may span lines
_CHARACTER = r"'(?:\\.[^'\r\n]{0,10}|[^\\'\r\n])(?:'|\Z)|'\Z"
# not a string: Rust has lifetimes, C++ 1'000, Haskell names such as x'. At the text's end it may be just growing
_PRIMED = _CHARACTER.replace("'", r"'(?<!\w')", 1)
_SLASHES, _STARS = _line("//"), _block(r"/\*", r"\*/")
_PYTHON = _Lexis(rules=(_line("#"), _TRIPLE, _Rule("([\"'])", r"\1", one_line=True)))
_SCRIPT = _Lexis(
    ("//", ""),
    (_SLASHES, _STARS, _DOUBLE, _SINGLE, _Rule("`", "`", field=r"\$\{")),
    # a regular expression: where a value may stand
    r"/(?:(?<=[(=,:\[!&|?{};]/)|(?<=[(=,:\[!&|?{};] /)|(?<=return /))(?![/*])"
    r"(?:\\[^\r\n]|\[(?:\\[^\r\n]|[^\]\\\r\n]){0,200}+\]|[^/\\\[\r\n]){1,200}+(?:/|\Z)",
)


def _c(*rules: _Rule, nests: bool = False) -> _Lexis:
    return _Lexis(("//", ""), (*rules, _SLASHES, _block(r"/\*", r"\*/", nests), _DOUBLE), _CHARACTER)


_PROSE = _Lexis(brackets=r"(?!)")
_FAMILIES: dict[str, _Lexis] = {
    "python cython": _PYTHON,
    "javascript jsx typescript tsx": _SCRIPT,
    "c cuda glsl objective-c objective-c++ protobuf verilog systemverilog": _c(),
    "java": _c(_Rule('"""', '"""')),
    "cpp": _c(_block(r'R"(\w*)\(', r'\)\1"')),
    "csharp": _c(
        _Rule(r'\$@"|@\$"', '"', r'""|\{\{', r"\{"),
        _Rule('@"', '"', '""'),
        _Rule(r'\$"', '"', r"\\.|\{\{", r"\{", one_line=True),
    ),
    "go zig": _c(_block("`", "`")),
    "rust": _c(_block('r(#*)"', r'"\1'), _LONG[0], nests=True),
    "kotlin scala groovy": _c(_Rule('"""', '"""', field=r"\$\{"), _Rule('"', '"', field=r"\$\{"), nests=True),
    "swift": _c(_Rule('"""', '"""', r"\\[^(]", r"\\\("), _Rule('"', '"', r"\\[^(]", r"\\\("), nests=True),
    "dart solidity d": _Lexis(("//", ""), (_SLASHES, _STARS, _TRIPLE, _DOUBLE, _SINGLE)),
    "php": _Lexis(("//", ""), (_SLASHES, _STARS, _line(r"#(?!\[)"), *_LONG)),
    "css": _Lexis(("/*", " */"), (_STARS, _DOUBLE, _SINGLE)),
    "scss less": _Lexis(("//", ""), (_SLASHES, _STARS, _DOUBLE, _SINGLE), "://"),
    "json json5": _Lexis(("//", ""), (_SLASHES, _STARS, _DOUBLE)),
    "ruby": _Lexis(rules=(_line("#"), _Rule('"', '"', field=r"#\{"), _LONG[1])),
    "perl": _Lexis(rules=(_line("#"), *_LONG), skip=r"\$#|\\."),
    # without round brackets: `case` has them unmatched
    "bash": _Lexis(
        rules=(_line(r"#(?<![^\s;&|(]#)"), _LONG[0], _block("'", "'")),
        skip=r"\\.|\$\{[^}\r\n]{0,200}\}",
        brackets=r"[\[\]{}]",
    ),
    "elixir meson awk powershell graphql splus toml": _Lexis(rules=(_line("#"), _DOUBLE, _SINGLE)),
    # an apostrophe opens no string in these
    "julia terraform nixos cmake make docker tcl nimrod": _Lexis(rules=(_line("#"), _DOUBLE)),
    "ada vhdl": _Lexis(("--", ""), (_line("--"), _DOUBLE)),
    "sql tsql mysql postgresql plpgsql sqlite3": _Lexis(("--", ""), (_line("--"), _STARS, *_LONG)),
    "lua": _Lexis(
        ("--", ""), (_block(r"--\[(=*)\[", r"\]\1\]"), _line("--"), _block(r"\[(=*)\[", r"\]\1\]"), _DOUBLE, _SINGLE)
    ),
    "haskell elm": _Lexis(("--", ""), (_block(r"\{-", r"-\}", True), _line("--"), _DOUBLE), _PRIMED),
    "ocaml fsharp": _Lexis(("(*", " *)"), (_block(r"\(\*", r"\*\)", True), _LONG[0]), _PRIMED),
    "common-lisp emacs-lisp scheme racket clojure": _Lexis(
        (";", ""), (_line(";"), _block(r"#\|", r"\|#"), _LONG[0]), r"#?\\."
    ),
    "erlang prolog matlab octave": _Lexis(("%", ""), (_line("%"), _DOUBLE), r"\$."),
    "html xml markdown vue html+django": _PROSE._replace(comment=("<!--", " -->")),
    "tex": _PROSE._replace(comment=("%", "")),
    "ini nasm": _PROSE._replace(comment=(";", "")),
    "vim": _PROSE._replace(comment=('"', "")),
    "vb.net": _PROSE._replace(comment=("'", "")),
    "batch": _PROSE._replace(comment=("rem", "")),
    "fortran": _PROSE._replace(comment=("!", "")),
    "text restructuredtext yaml diff": _PROSE,
}
_LEXIS = {name: lexis for names, lexis in _FAMILIES.items() for name in names.split()}
_OTHER = _Lexis(rules=(_DOUBLE,))
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_REACH = 64
# brackets up which the opening one is looked for, so that the time stays linear


@dataclass(frozen=True, slots=True)
class Balance:
    unclosed: int
    # opening brackets and strings without an end
    unmatched: int
    # closing brackets without a beginning
    inside: str | None
    # what opens the string or comment that the text ends in

    @property
    def faults(self) -> int:
        return self.unclosed + self.unmatched


def balance(text: str, language: str) -> Balance:
    """The faults in a text's brackets and strings; none in a language of prose. In linear time:

    4 MiB of code take 0.5 s of processor, of nothing but quotes and line ends 11 s."""
    scanner = _Scanner(language)
    scanner.feed(text, len(text))
    lasting = [entry for entry in scanner.stack if not (isinstance(entry, _Frame) and entry.is_line_comment)]
    return Balance(scanner.unclosed + len(lasting), scanner.unmatched, scanner.inside())


def inside_string(prefix: str, language: str) -> str | None:
    """What opens the string or comment in which a text ends: `f"`, `'''`, `#`; None: it ends in code.

    Code in an f-string is inside of that string. A beginning that could become longer is taken as it is.
    """
    scanner = _Scanner(language)
    scanner.feed(prefix, len(prefix))
    return scanner.inside()


def comment(text: str, language: str) -> str:
    """A text as a comment of one line; with `#` where the language's comments are not known."""
    begin, end = _LEXIS.get(language, _OTHER).comment
    line = " ".join(text.split())
    if end:
        line = line.replace(end.strip(), " ".join(end.strip()))
    # a backslash would take the next line into C's comment
    return f"{begin} {line}".rstrip("\\ ") + end


class UnmatchedCloser:
    """Watches a growing fill for the first closing bracket that closes nothing the fill has opened."""

    def __init__(self, before: str, language: str, needed: int = 0) -> None:
        """`before` is the whole text before the hole: the fill may begin in a string or comment.

        `needed`: as many such brackets are let pass, since the file lacks them.
        """
        line = before.rfind("\n") + 1
        self._scanner = _Scanner(language, needed)
        self._scanner.feed(before[:line], line)
        self._open_line = before[line:]
        # of the text and the fill, what is still to be gone over for good
        self._start = -len(self._open_line)
        # where that begins, counted from the hole
        self._found: int | None = None

    def push(self, piece: str) -> int | None:
        """The index of that bracket in all of the fill, once there is one.

        Costs the length of the last line: its tokens may be growing, two quotes into three.
        """
        if self._found is not None:
            return self._found
        self._open_line += piece
        line = self._open_line.rfind("\n") + 1
        found = self._scanner.feed(self._open_line[:line], -self._start)
        if found is None:
            self._start, self._open_line = self._start + line, self._open_line[line:]
            found = self._scanner.copy().feed(self._open_line, -self._start)
        if found is not None:
            self._found = self._start + found
        return self._found


class _Scanner:
    """Goes over a text line by line, or over the last one, and keeps what is open.

    The stack holds for an open bracket the closing one, twice where it is code inside of a string (always right
    above that string), and a frame for an open string or comment.
    """

    def __init__(self, language: str, needed: int = 0) -> None:
        self._language = language
        self._needed = needed
        # closing brackets behind the hole that may still be without an opening one there
        self.stack: list[str | _Frame] = []
        self.unclosed = 0
        self.unmatched = 0
        self._floor = 0
        # entries below it were opened before the hole

    def copy(self) -> _Scanner:
        other = _Scanner(self._language, self._needed)
        other.stack, other._floor = self.stack.copy(), self._floor
        return other

    def inside(self) -> str | None:
        return next((entry.opener for entry in self.stack if isinstance(entry, _Frame)), None)

    def feed(self, text: str, hole: int = 0) -> int | None:
        """Where the first closing bracket from `hole` on is that matches none opened there; the text ends with it."""
        stack = self.stack
        code, in_field = _patterns(self._language)
        at = 0
        while True:
            top = stack[-1] if stack else ""
            pattern = top.stop if isinstance(top, _Frame) else in_field if len(top) == 2 else code
            match = pattern.search(text, at)
            if match is None:
                return None
            at, kind, found = match.end(), match.lastgroup or "", match[0]
            if kind == "close":
                # the brace that ends a format ends the code before it
                stack.pop()
                kind = "bracket"
            if kind == "bracket":
                if found in _CLOSING:
                    stack.append(_CLOSING[found])
                elif not self._close(found) and at > hole:
                    if not self._needed:
                        return match.start()
                    self._needed -= 1
            elif kind == "field":
                stack.append(_CLOSING[found[-1]] * 2)
            elif kind == "nested":
                stack.append(top)
            elif kind == "end":
                self._end()
            elif kind == "cut":
                self._cut()
            elif kind == "format":
                string = stack[-2]
                assert isinstance(string, _Frame)
                stack.append(_format(string.closer, string.one_line))
            elif kind != "skip":
                begin = match.start()
                prefix = _STRING_PREFIX.search(text, max(begin - 3, 0), begin) if self._language == "python" else None
                stack.append(_frame(self._language, int(kind[1:]), prefix[0] if prefix else "", found))
            if at <= hole:
                self._floor = len(stack)

    def _close(self, bracket: str) -> bool:
        """Whether it closes what was opened after the hole. Openers that it leaves behind are unclosed."""
        stack = self.stack
        for index in range(len(stack) - 1, max(len(stack) - 1 - _REACH, -1), -1):
            entry = stack[index]
            if isinstance(entry, _Frame):
                break
            if entry[0] == bracket:
                after_hole = index >= self._floor
                self.unclosed += len(stack) - index - 1
                self._truncate(index)
                return after_hole
        self.unmatched += 1
        return False

    def _end(self) -> None:
        """A string ends: with it the formats in it that do not, as in f"{x:>3"."""
        index = len(self.stack) - 1
        while not isinstance(frame := self.stack[index], _Frame) or frame.is_format:
            index -= 1
        self.unclosed += len(self.stack) - index - 1
        self._truncate(index)

    def _cut(self) -> None:
        """A line ends in a string that cannot go on there: no more can the strings around it."""
        base = max(len(self.stack) - _REACH, 0)
        index = next(
            i for i, entry in enumerate(self.stack[base:], base) if isinstance(entry, _Frame) and entry.one_line
        )
        self.unclosed += len(self.stack) - index
        self._truncate(index)

    def _truncate(self, index: int) -> None:
        del self.stack[index:]
        self._floor = min(self._floor, index)


_FLAGS = re.DOTALL | re.MULTILINE
_STRING_PREFIX = re.compile(r"(?<!\w)[rRbBfFuUtT]{1,2}\Z")
# not the end of a keyword, as in `1if"x"`


@cache
def _patterns(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What to look for in code, and in the code of a Python f-string, where a colon begins the format."""
    lexis = _LEXIS.get(language, _OTHER)
    rules = "|".join(f"(?P<r{number}>{rule.opener})" for number, rule in enumerate(lexis.rules))
    code = f"(?P<skip>{lexis.skip})|{rules or '(?!)'}|(?P<bracket>{lexis.brackets})"
    return re.compile(code, _FLAGS), re.compile(code + ("|(?P<format>:)" if lexis is _PYTHON else ""), _FLAGS)


@lru_cache(1024)
def _frame(language: str, number: int, prefix: str, opener: str) -> _Frame:
    rule = _LEXIS.get(language, _OTHER).rules[number]
    opening = re.fullmatch(rule.opener, opener, _FLAGS)
    assert opening is not None
    closer = opening.expand(rule.closer)
    skip, field = rule.escape, rule.field
    if "f" in prefix.lower() or "t" in prefix.lower():
        # a backslash does not escape a brace
        name = "" if "r" in prefix.lower() else r"\\N\{[^}\r\n]*\}|"
        skip, field = rf"{name}\\(?:\r\n|[^{{}}])|\{{\{{", r"\{"
    nested = rule.opener if rule.nests else "(?!)"
    cut = r"[\r\n]" if rule.one_line else "(?!)"
    stop = f"(?P<skip>{skip})|(?P<nested>{nested})|(?P<field>{field})|(?P<end>{closer})|(?P<cut>{cut})"
    return _Frame(prefix + opener, re.compile(stop, _FLAGS), closer, rule.one_line, False, rule.closer == _LINE_END)


@lru_cache(64)
def _format(closer: str, one_line: bool) -> _Frame:
    """The format in a field of the string that `closer` ends."""
    cut = r"[\r\n]" if one_line else "(?!)"
    stop = rf"(?P<field>\{{)|(?P<close>\}})|(?P<end>{closer})|(?P<cut>{cut})"
    return _Frame("", re.compile(stop, _FLAGS), closer, one_line, is_format=True)
