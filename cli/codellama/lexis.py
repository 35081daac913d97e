"""What opens and closes strings and comments in each language, and which brackets it has.

Python's strings follow the language reference, section 2.4 (lexical analysis) of 3.12, which also reads the f-strings
of 3.11; other languages' are known roughly: no heredocs, no Perl quotes.
"""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """What opens a string or comment, and what closes it, as patterns; `closer` may use the opener's groups."""

    opener: str
    closer: str
    escape: str = r"\\(?:\r\n|.)"
    field: str = r"(?!)"
    # what opens code inside of a string; its last character is the bracket
    nests: bool = False
    one_line: bool = False


class Lexis(NamedTuple):
    comment: tuple[str, str] = ("#", "")
    rules: tuple[Rule, ...] = ()
    skip: str = r"(?!)"
    # character literals and the like, which are no strings
    brackets: str = r"[()\[\]{}]"


LINE_END = r"[\r\n]"


def _line(opener: str) -> Rule:
    return Rule(opener, LINE_END, escape=r"(?!)")


def _block(opener: str, closer: str, nests: bool = False) -> Rule:
    return Rule(opener, closer, escape=r"(?!)", nests=nests)


_DOUBLE = Rule('"', '"', one_line=True)
_SINGLE = Rule("'", "'", one_line=True)
_TRIPLE = Rule("(\"\"\"|''')", r"\1")
_LONG = (Rule('"', '"'), Rule("'", "'"))
# strings that may span lines
_CHARACTER = r"'(?:\\.[^'\r\n]{0,10}|[^\\'\r\n])(?:'|\Z)|'\Z"
# not a string: Rust has lifetimes, C++ 1'000, Haskell names such as x'. At the text's end it may be just growing
_PRIMED = _CHARACTER.replace("'", r"'(?<!\w')", 1)
_SLASHES, _STARS = _line("//"), _block(r"/\*", r"\*/")
PYTHON = Lexis(rules=(_line("#"), _TRIPLE, Rule("([\"'])", r"\1", one_line=True)))
_SCRIPT = Lexis(
    ("//", ""),
    (_SLASHES, _STARS, _DOUBLE, _SINGLE, Rule("`", "`", field=r"\$\{")),
    # a regular expression: where a value may stand
    r"/(?:(?<=[(=,:\[!&|?{};]/)|(?<=[(=,:\[!&|?{};] /)|(?<=return /))(?![/*])"
    r"(?:\\[^\r\n]|\[(?:\\[^\r\n]|[^\]\\\r\n]){0,200}+\]|[^/\\\[\r\n]){1,200}+(?:/|\Z)",
)


def _c(*rules: Rule, nests: bool = False) -> Lexis:
    return Lexis(("//", ""), (*rules, _SLASHES, _block(r"/\*", r"\*/", nests), _DOUBLE), _CHARACTER)


_PROSE = Lexis(brackets=r"(?!)")
_FAMILIES: dict[str, Lexis] = {
    "python cython": PYTHON,
    "javascript jsx typescript tsx": _SCRIPT,
    "c cuda glsl objective-c objective-c++ protobuf verilog systemverilog": _c(),
    "java": _c(Rule('"""', '"""')),
    "cpp": _c(_block(r'R"(\w*)\(', r'\)\1"')),
    "csharp": _c(
        Rule(r'\$@"|@\$"', '"', r'""|\{\{', r"\{"),
        Rule('@"', '"', '""'),
        Rule(r'\$"', '"', r"\\.|\{\{", r"\{", one_line=True),
    ),
    "go zig": _c(_block("`", "`")),
    "rust": _c(_block('r(#*)"', r'"\1'), _LONG[0], nests=True),
    "kotlin scala groovy": _c(Rule('"""', '"""', field=r"\$\{"), Rule('"', '"', field=r"\$\{"), nests=True),
    "swift": _c(Rule('"""', '"""', r"\\[^(]", r"\\\("), Rule('"', '"', r"\\[^(]", r"\\\("), nests=True),
    "dart solidity d": Lexis(("//", ""), (_SLASHES, _STARS, _TRIPLE, _DOUBLE, _SINGLE)),
    "php": Lexis(("//", ""), (_SLASHES, _STARS, _line(r"#(?!\[)"), *_LONG)),
    "css": Lexis(("/*", " */"), (_STARS, _DOUBLE, _SINGLE)),
    "scss less": Lexis(("//", ""), (_SLASHES, _STARS, _DOUBLE, _SINGLE), "://"),
    "json json5": Lexis(("//", ""), (_SLASHES, _STARS, _DOUBLE)),
    "ruby": Lexis(rules=(_line("#"), Rule('"', '"', field=r"#\{"), _LONG[1])),
    "perl": Lexis(rules=(_line("#"), *_LONG), skip=r"\$#|\\."),
    # without round brackets: `case` has them unmatched
    "bash": Lexis(
        rules=(_line(r"#(?<![^\s;&|(]#)"), _LONG[0], _block("'", "'")),
        skip=r"\\.|\$\{[^}\r\n]{0,200}\}",
        brackets=r"[\[\]{}]",
    ),
    "elixir meson awk powershell graphql splus toml": Lexis(rules=(_line("#"), _DOUBLE, _SINGLE)),
    # an apostrophe opens no string in these
    "julia terraform nixos cmake make docker tcl nimrod": Lexis(rules=(_line("#"), _DOUBLE)),
    "ada vhdl": Lexis(("--", ""), (_line("--"), _DOUBLE)),
    "sql tsql mysql postgresql plpgsql sqlite3": Lexis(("--", ""), (_line("--"), _STARS, *_LONG)),
    "lua": Lexis(
        ("--", ""), (_block(r"--\[(=*)\[", r"\]\1\]"), _line("--"), _block(r"\[(=*)\[", r"\]\1\]"), _DOUBLE, _SINGLE)
    ),
    "haskell elm": Lexis(("--", ""), (_block(r"\{-", r"-\}", True), _line("--"), _DOUBLE), _PRIMED),
    "ocaml fsharp": Lexis(("(*", " *)"), (_block(r"\(\*", r"\*\)", True), _LONG[0]), _PRIMED),
    "common-lisp emacs-lisp scheme racket clojure": Lexis(
        (";", ""), (_line(";"), _block(r"#\|", r"\|#"), _LONG[0]), r"#?\\."
    ),
    "erlang prolog matlab octave": Lexis(("%", ""), (_line("%"), _DOUBLE), r"\$."),
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
_OTHER = Lexis(rules=(_DOUBLE,))


def lexis_of(language: str) -> Lexis:
    """By Pygments' name; an unknown language has brackets and strings in double quotes."""
    return _LEXIS.get(language, _OTHER)


def comment(text: str, language: str) -> str:
    """A text as a comment of one line; with `#` where the language's comments are not known."""
    begin, end = lexis_of(language).comment
    line = " ".join(text.split())
    if end:
        line = line.replace(end.strip(), " ".join(end.strip()))
    # a backslash would take the next line into C's comment
    return f"{begin} {line}".rstrip("\\ ") + end
