"""Brackets, strings and comments, seen without a parser."""

from __future__ import annotations

import re
import sysconfig
import tokenize
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codellama import brackets
from codellama.brackets import Balance, UnmatchedCloser, balance, inside_string
from codellama.lexis import comment, lexis_of
from codellama.syntax import parses

CODE = st.text("()[]{}\"'`fr\\#/*:$\n a-", max_size=24)


def test_a_character_that_is_still_growing_ends_nothing() -> None:
    watch = UnmatchedCloser("f(", "c")
    assert [watch.push(piece) for piece in ("'", ")", "'", ", a)")] == [None, None, None, 6]


def faults(text: str, language: str) -> int:
    return balance(text, language).faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f(a[1], {})", Balance(0, 0, None)),
        ("f(a[1", Balance(2, 0, None)),
        ("a)]", Balance(0, 2, None)),
        # the closing bracket finds its own, and what it leaves behind is open
        ("f(a[1)", Balance(1, 0, None)),
        ("(]", Balance(1, 1, None)),
        ("')' # )", Balance(0, 0, "#")),
        ("''')\n'\n''' + \"'\" # (\n", Balance(0, 0, None)),
        ("x = 'abc\ny = ()", Balance(1, 0, None)),
        ("x = '''abc\n(", Balance(1, 0, "'''")),
        ("x = f'{a[0]!r:>{w}}' + f'{{' + f'{(1", Balance(3, 0, "f'")),
        ("x = f'{a:>3'\n(", Balance(3, 0, None)),
        ("x = f'{d[\n'a'] + 'b\n(", Balance(4, 0, None)),
    ],
)
def test_balance(text: str, expected: Balance) -> None:
    assert balance(text, "python") == expected


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("c", "char a = '(', b = '\\'', c = '\"'; /* ( */ // (\n#define A \"(\"\n"),
        ("cpp", 'auto a = R"x()"()x"; int b = 1\'000\'000; f("\\\\");'),
        ("csharp", 'f(@"\\", $"{g("(")}(", $@"{{""(");'),
        ("go", "f(`\\`, '(')"),
        ("rust", 'fn f<\'a>(x: &\'a str) { r#"(""#; b\'(\'; /* /* ( */ ( */ "\n(" }'),
        ("javascript", "f(`(${g(`)${1}`, \"}\")}(`, /[)/]\\//, x / 2, '\\'(') // (\n"),
        ("kotlin", 'f("${g("(")}(", """(""", \'(\') /* /* */ ( */'),
        ("swift", 'f("\\(g("("))(")'),
        ("php", "f('(\n\\'', \"(\") # (\n// (\n#[A(1)]\n"),
        ("ruby", "f(\"(#{g('(')}(\") # (\n"),
        ("perl", "$#x; f('(', \"(\") # (\n"),
        ("bash", "case $x in a) echo \"[$(f ')')\" ;; esac # {\n${#x} $# \\{ '\\'"),
        ("sql", "select ('it''s (', \"(\") -- (\n/* ( */"),
        ("lua", "f([[(]], [==[ ]] ( ]==], '(') --[[ (\n( ]] -- ("),
        ("haskell", "f' x = ('(') {- {- ( -} ( -} -- (\n"),
        ("ocaml", 'let f\' x = ("(") (* (* ( *) ( *)'),
        ("common-lisp", '(f "(" #\\( ) ; (\n#| ( |#'),
        ("erlang", 'f("(", $() % (\n'),
        ("scss", "a { b: url(http://x) } // {\n"),
        ("json", '{"a": ["{"]}'),
        ("markdown", "1) it's {"),
        ("ada", "x'Range (1) -- (\n"),
        ("forth", 'unknown ( "(" )'),
    ],
)
def test_brackets_in_strings_and_comments_do_not_count(language: str, text: str) -> None:
    assert faults(text, language) == 0
    if language != "markdown":
        assert faults(text + "\n[", language) == 1
        assert faults(text + "\n]", language) == 1


@pytest.mark.parametrize("unit", ["(", "([)", '"\n', "f'{", "f'{x:", "/*", "=/[", "'\\", "${", 'R"(', "(\n'"])
def test_balance_takes_linear_time(unit: str) -> None:
    # 0.5 s of processor; where each bracket looks through those before it, or a quote through the rest, minutes
    for language in ["python", "javascript", "rust", "bash"]:
        balance(unit * 20_000 + "]" * 20_000, language)


FILES = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def string_spans(path: Path, text: str) -> list[tuple[int, int, str]]:
    """From, to and what opens it, of the strings and comments that Python's tokenizer finds; f-strings as a whole."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    spans = []
    open_at: list[int] = []
    with path.open("rb") as stream:
        for token in tokenize.tokenize(stream.readline):
            name = tokenize.tok_name[token.type]
            begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
            # 3.12 gives an f-string in pieces, 3.14 a t-string too
            if name in ("FSTRING_START", "TSTRING_START"):
                open_at.append(begin)
            elif name in ("FSTRING_END", "TSTRING_END"):
                begin = open_at.pop()
            if name in ("STRING", "COMMENT", "FSTRING_END", "TSTRING_END") and not open_at:
                opener = re.match("#|\\w*(\"\"\"|'''|\"|')", text[begin:])
                assert opener is not None
                spans.append((begin, end, opener[0]))
    return spans


def test_inside_string_is_what_pythons_tokenizer_says_all_over_the_standard_library() -> None:
    random = Random(4)
    formatted = checked = 0
    for path in random.sample(FILES, 30):
        text = path.read_text(encoding="utf-8")
        if not text or not parses(text, "python"):
            continue
        assert balance(text.rstrip("\n") + "\n", "python") == Balance(0, 0, None), path
        spans = string_spans(path, text)
        # cuts in code, and in and at the edges of strings
        cuts = {random.randrange(len(text)): None for _ in range(10)} | dict.fromkeys(
            random.randint(begin, end) for begin, end, _ in random.sample(spans, min(len(spans), 10))
        )
        for begin, end, opener in spans:
            if "f" in opener:
                formatted += 1
                cuts[random.randint(begin, end)] = None
        for cut in cuts:
            holding = [span for span in spans if span[0] < cut < span[1] or (span[2] == "#" and span[1] == cut)]
            if holding and cut < holding[0][0] + len(holding[0][2]):
                # in the opener itself
                continue
            checked += 1
            expected = holding[0][2] if holding else None
            assert inside_string(text[:cut], "python") == expected, (path, cut, text[cut - 40 : cut])
    assert checked > 300
    assert formatted > 10


@pytest.mark.parametrize(
    "string",
    [
        'f"{x["a"]}"',
        'f"{f"{f"{1}"}"}"',
        "f'''{\n'''a''' # }\n}'''",
        'f"{x!r:>{w}}"',
        'f"{d["a:b"]:x}"',
        'f"{x:\'>3}"',
        'f"{x:=1}"',
        'f"\\{x}"',
        'f"\\N{BULLET}{x}"',
        'rf"\\N{x}"',
        'rf"\\"{x}"',
        'f"{{{x}}}"',
        'f"{ {1: 2}[1] }"',
        'f"{x:{y:{z}}}"',
        'f"{x\n}"',
        't"{x:{"{"}}"',
        'Rb"\\""',
        '"a\\\nb"',
        '"a\\\r\nb"',
    ],
)
def test_a_string_of_python_3_12_is_one_string(string: str) -> None:
    text = "x = " + string
    opener = re.match("\\w*('''|\"|')", string)
    assert opener is not None
    for cut in range(len("x = " + opener[0]), len(text)):
        assert inside_string(text[:cut], "python") == opener[0], text[:cut]
    assert balance(text, "python") == Balance(0, 0, None)


@pytest.mark.parametrize(
    ("prefix", "language", "opener"),
    [
        ('1if"', "python", '"'),
        ('x = "abc\n', "python", None),
        ('f"{x["a\ny = (', "python", None),
        ("# a\n# 'b", "python", "#"),
        ("# a\r", "python", None),
        ("x /* y", "c", "/*"),
        ("`${", "javascript", "`"),
        ('r##"a"#', "rust", 'r##"'),
        ("it's", "text", None),
    ],
)
def test_inside_string(prefix: str, language: str, opener: str | None) -> None:
    assert inside_string(prefix, language) == opener


@pytest.mark.parametrize(
    ("before", "fill", "language", "index"),
    [
        ("f(", "a)", "python", 1),
        ("f(", "g(a), b]) + 1", "python", 7),
        ("f(", "')' # )\n, a)", "python", 11),
        ("f('", ")' + ')')", "python", 8),
        ("# ", ") a\n)", "python", 4),
        ("f'{", "x}' + g()", "python", 1),
        ("f'{x:", ">3}'", "python", 2),
        ("rf'\\N{", "x}", "python", 1),
        ("f'\\N{", "x}", "python", None),
        ("f'", "{x:>3}' + g()", "python", None),
        ("x = (''", "'')' ''' )", "python", 9),
        # the string that was open ends, and brackets open anew below where it was
        ("f'{(", "1)", "python", 1),
        ("f'{(\n'a\n", "(1)", "python", None),
        ("((", "[a)", "python", 2),
        ("", "(]", "python", 1),
        ("if (x) {", "\n  y = '}';\n}", "c", 12),
        ("it's (", "1) a", "text", None),
    ],
)
def test_unmatched_closer(before: str, fill: str, language: str, index: int | None) -> None:
    assert UnmatchedCloser(before, language).push(fill) == index


@given(CODE, st.lists(CODE, max_size=6), st.sampled_from(["python", "javascript", "c", "rust", "lua"]))
def test_a_fill_in_pieces_gives_what_the_whole_gives(before: str, pieces: list[str], language: str) -> None:
    fill = "".join(pieces)
    watch = UnmatchedCloser(before, language)
    last = None
    for piece in pieces:
        last = watch.push(piece)
        if last is not None:
            break
    whole = UnmatchedCloser(before, language).push(fill)
    assert last == whole
    assert whole is None or fill[whole] in ")]}"


@given(CODE, CODE)
def test_lines_one_by_one_give_what_the_text_gives(before: str, after: str) -> None:
    text = before + after
    scanner = brackets._Scanner("python")
    for start, stop in pairwise([0, *(match.end() for match in re.finditer("\n", text)), len(text)]):
        scanner.feed(text[start:stop], len(text))
    whole = balance(text, "python")
    assert (scanner.inside(), scanner.unmatched) == (whole.inside, whole.unmatched)


@given(
    st.recursive(
        st.just("a"),
        lambda inner: st.tuples(st.sampled_from(["()", "[]", "{}"]), inner, inner).map(
            lambda parts: parts[0][0] + parts[1] + parts[0][1] + parts[2]
        ),
    ),
    st.integers(0, 40),
)
def test_what_is_taken_out_of_balanced_brackets_is_counted(text: str, at: int) -> None:
    assert balance(text, "python") == Balance(0, 0, None)
    places = [index for index, character in enumerate(text) if character in "()[]{}"]
    if places:
        place = places[at % len(places)]
        assert faults(text[:place] + text[place + 1 :], "python") > 0


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("a/b.py", "python", "# a/b.py"),
        ("a", "javascript", "// a"),
        ("a */ b", "css", "/* a * / b */"),
        ("a --> b", "html", "<!-- a - - > b -->"),
        ("a *) b", "ocaml", "(* a * ) b *)"),
        ("a", "sql", "-- a"),
        ("a\nb\r\n\u2028c", "python", "# a b c"),
        ("a\\", "c", "// a"),
        ("", "c", "//"),
        ("a", "forth", "# a"),
    ],
)
def test_comment(text: str, language: str, expected: str) -> None:
    assert comment(text, language) == expected


@given(st.text(max_size=20), st.sampled_from(["python", "c", "css", "ocaml", "lua", "haskell", "sql", "rust"]))
def test_a_comment_is_one_comment(text: str, language: str) -> None:
    line = comment(text, language)
    assert len(line.splitlines()) == 1
    begin, end = lexis_of(language).comment
    assert balance(f"({line}\n)", language) == Balance(0, 0, None)
    assert inside_string(line.removesuffix(end), language) is not None
    assert line.startswith(begin)
