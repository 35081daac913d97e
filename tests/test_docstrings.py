"""Docstrings as splices: cases as data, in every line end and encoding; and random files with hostile fills."""

from __future__ import annotations

import ast
import codecs
import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from benchmarks import docstring as benchmark
from benchmarks.docstring import ALL, HOSTILE, faults
from codellama import definitions, docstrings, edit, gate, models, source
from codellama.definitions import Selection
from codellama.docstrings import Outcome, Reply, Request
from codellama.errors import InputError, NoCompletionError
from codellama.places import Layout
from codellama.settings import Settings
from codellama.source import Source
from codellama.style import Style
from tests.harness import CASES

NAMES = sorted(path.stem for path in (CASES / "docstrings").glob("*.txt"))


@dataclass
class Case:
    """A file in `cases/docstrings`: comments that say what a model says and what else is asked for, `# input`, the
    file, `# output`, and what becomes of it; without the last, nothing does.
    """

    input: str
    output: str
    fills: list[str] = field(default_factory=list)
    # one definition after the other; the last one again where there are more
    sections: list[str] = field(default_factory=list)
    # what goes on with a section that was begun
    skipped: list[str] = field(default_factory=list)
    # `name: reason`
    style: Style = Style.PLAIN
    width: int = 88
    complete: bool = True
    selection: Selection = Selection()  # noqa: RUF009  frozen

    @classmethod
    def read(cls, name: str) -> Case:
        text = (CASES / "docstrings" / f"{name}.txt").read_bytes().decode()
        head, _, body = text.partition("# input\n")
        given, _, output = body.partition("# output\n")
        case = cls(given, output or given)
        chosen = set()
        for line in head.splitlines():
            key, _, value = line.removeprefix("# ").partition(":")
            value = value.strip()
            match key:
                case "fill" | "section":
                    spoken = ast.literal_eval(value) if value.startswith("'") else value
                    (case.fills if key == "fill" else case.sections).append(spoken)
                case "skipped":
                    case.skipped.append(value)
                case "style":
                    case.style = Style(value)
                case "width":
                    case.width = int(value)
                case "complete":
                    case.complete = value != "no"
                case _:
                    chosen.add(key)
        assert chosen <= {"modules", "private", "magic"}
        case.selection = Selection(**{key: key in chosen for key in ("modules", "private", "magic")})
        return case

    def run(self, raw: bytes, name: str = "case.py") -> tuple[Source, Outcome]:
        fills, sections = list(self.fills), list(self.sections)

        def ask(request: Request) -> Reply | None:
            if request.begun:
                return Reply(sections.pop(0) if sections else "")
            return Reply(fills.pop(0) if len(fills) > 1 else fills[0], self.complete)

        read = source.decode(raw, name, Path(name))
        tree = definitions.read(read)
        wanted = definitions.missing(tree, self.selection)
        return read, docstrings.fill(read, tree, wanted, ask, self.width, self.style)


def lf(text: str) -> bytes:
    return text.encode()


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def cr(text: str) -> bytes:
    return text.replace("\n", "\r").encode()


def bom(text: str) -> bytes:
    return codecs.BOM_UTF8 + text.encode()


def unended(text: str) -> bytes:
    return text.removesuffix("\n").encode()


def latin(text: str) -> bytes:
    return ("x = 'é'  # coding: latin-1\n" + text).encode("latin-1")


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str) -> None:
    case = Case.read(name)
    _, outcome = case.run(lf(case.input))
    assert outcome.new.decode() == case.output
    assert [f"{skip.definition.name}: {skip.reason}" for skip in outcome.skipped] == case.skipped


@pytest.mark.parametrize("written", [crlf, cr, bom, unended])
@pytest.mark.parametrize("name", NAMES)
def test_f31_line_ends_byte_order_mark_and_end(name: str, written: Callable[[str], bytes]) -> None:
    case = Case.read(name)
    _, outcome = case.run(written(case.input))
    assert outcome.new == written(case.output)


def filled(raw: bytes, *fills: str, name: str = "case.py", private: bool = False) -> Outcome:
    case = Case("", "", list(fills), selection=Selection(modules=True, private=private, magic=True))
    return case.run(raw, name)[1]


def test_f31_latin_1_cookie_keeps_its_bytes() -> None:
    raw = b"# coding: latin-1\nx = '\xe9'\ndef one():\n    return '\xfc'\n"
    outcome = filled(raw, "Look at the caf\xe9.", "Return the \xfcber number.")
    assert outcome.new == (
        b'# coding: latin-1\n"""Look at the caf\xe9."""\n\nx = \'\xe9\'\n'
        b'def one():\n    """Return the \xfcber number."""\n    return \'\xfc\'\n'
    )
    assert ast.get_docstring(ast.parse(outcome.new)) == "Look at the café."


@pytest.mark.parametrize("cookie", ["ascii", "latin-1", "cp1252"])
def test_f36_what_the_encoding_lacks_is_skipped(cookie: str) -> None:
    raw = f"# coding: {cookie}\n\ndef one():\n    return 1\n".encode()
    outcome = filled(raw, "Look at the 漢字.", "Return the number of them.")
    assert outcome.new == raw.replace(b"():\n", b'():\n    """Return the number of them."""\n')
    assert [skip.reason for skip in outcome.skipped] == [
        f"the fill has characters that {codecs.lookup(cookie).name.upper()}, the file's encoding, lacks"
        if cookie == "cp1252"
        else f"the fill has characters that {source.decode(raw, 'x', Path('x.py')).encoding.upper()}, "
        "the file's encoding, lacks"
    ]


def test_f36_an_encoding_that_shifts_is_refused_whole() -> None:
    raw = b"# coding: utf-7\n\ndef one():\n    return '+AOk-'\n"
    outcome = filled(raw, "Look at the number.", "Return the number of them.")
    assert (outcome.new, len(outcome.skipped)) == (raw, 2)


def test_one_that_fails_the_proof_does_not_take_the_others_along() -> None:
    """A docstring above the second line would move the cookie where Python does not look for it."""
    raw = b"\n# coding: latin-1\n" + b"".join(b"def n%d():\n    return '\xe9'\n" % number for number in range(5))
    outcome = filled(raw, "Look at the accents.", *(f"Return accent {number} of them." for number in range(5)))
    assert [(skip.definition.number, skip.reason[:35]) for skip in outcome.skipped] == [
        (0, "the new text is refused, since with")
    ]
    assert (len(outcome.filled), outcome.new.count(b"Return accent")) == (5, 5)
    assert outcome.new.startswith(b"\n# coding: latin-1\n")


def test_the_model_sees_the_definition_and_what_was_filled_before() -> None:
    seen: list[Request] = []

    def ask(request: Request) -> Reply:
        seen.append(request)
        return Reply(f"Say number {len(seen)} aloud.")

    raw = b"x = 1\r\n@deco\r\nclass A:\r\n    def one(self): return 1\r\n\r\ny = 2\r\n"
    read = source.decode(raw, "a.py", Path("a.py"))
    tree = definitions.read(read)
    docstrings.fill(read, tree, definitions.missing(tree, Selection()), ask)
    one, two = seen
    assert one.before == 'x = 1\n@deco\nclass A:\n    """'
    assert one.after == '"""\n\n    def one(self): return 1\n\ny = 2\n'
    assert one.before[-one.head :] == '@deco\nclass A:\n    """'
    assert one.after[: one.body] == '"""\n\n    def one(self): return 1\n'
    assert two.before == ('x = 1\n@deco\nclass A:\n    """Say number 1 aloud."""\n\n    def one(self):\n        """')
    assert two.before[-two.head :] == '    def one(self):\n        """'
    assert two.after == '"""\n        return 1\n\ny = 2\n'
    assert two.after[: two.body] == '"""\n        return 1\n'


def test_without_time_the_rest_is_left_and_what_was_filled_stays() -> None:
    replies = iter([Reply("Return the first number."), None])
    read = source.decode(b"def one(): pass\ndef two(): pass\ndef three(): pass\n", "a.py")
    tree = definitions.read(read)
    outcome = docstrings.fill(read, tree, definitions.missing(tree, Selection()), lambda request: next(replies))
    assert (
        outcome.new == b'def one():\n    """Return the first number."""\n    pass\ndef two(): pass\ndef three(): pass\n'
    )
    assert [each.name for each in outcome.left] == ["two", "three"]


def test_a_section_that_there_is_no_time_for_leaves_the_definition() -> None:
    read = source.decode(b"def one(x): pass\ndef two(x): pass\n", "a.py")
    tree = definitions.read(read)
    wanted = definitions.missing(tree, Selection())

    def ask(request: Request) -> Reply | None:
        return None if request.begun else Reply("Return the first number.")

    outcome = docstrings.fill(read, tree, wanted, ask, style=Style.GOOGLE)
    assert (outcome.new, [each.name for each in outcome.left]) == (read.raw, ["one", "two"])

    def chat(request: Request) -> Reply | None:
        assert not request.begun
        return Reply(f"Return number {request.definition.line} of them.", final=True)

    outcome = docstrings.fill(read, tree, wanted, chat, style=Style.GOOGLE)
    assert [each.text for each in outcome.filled] == [
        '"""Return number 1 of them."""',
        '"""Return number 2 of them."""',
    ]


def test_ruff_finds_nothing_to_format_or_to_say_of_the_form() -> None:
    """A file that ruff, which formats as black does, had formatted stays so; pydocstyle's rules of form hold."""
    text = "\n\n".join(Case.read(name).input for name in ("inner", "decorated", "headers", "one-liners"))
    ruff = [sys.executable, "-m", "ruff"]
    rules = "D200,D201,D202,D204,D207,D208,D209,D210,D300,D301,D400,D403,D415"

    def run(command: list[str], text: bytes) -> bytes:
        arguments = [*ruff, *command, "--isolated", "--stdin-filename", "a.py", "-"]
        return subprocess.run(arguments, input=text, capture_output=True, check=True).stdout

    formatted = run(["format"], text.encode())
    fills = itertools.chain.from_iterable(
        (
            f"Return the number {number} of them.",
            f"return what is the number {number} here, \\d+, and whatever else may be there, as long as it is seen",
            f"Look at the {number}th thing. It takes a while, and longer where there are as many as one can think of.",
        )
        for number in itertools.count()
    )
    read = source.decode(formatted, "a.py", Path("a.py"))
    tree = definitions.read(read)
    outcome = docstrings.fill(read, tree, definitions.missing(tree, Selection()), lambda request: Reply(next(fills)))
    assert len(outcome.filled) > 10
    assert run(["format"], outcome.new) == outcome.new
    assert run(["check", "--exit-zero", "--select", rules], outcome.new) == b"All checks passed!\n"


def splice_of(read: Source, outcome: Outcome) -> tuple[list[edit.Splice], list[int]]:
    layout = Layout(read.text, definitions.read(read))
    splices, numbers = [], []
    for each in outcome.filled:
        place = layout.place(each.definition)
        splices.append(edit.Splice(place.start, place.end, place.before + each.text + place.after))
        numbers.append(each.definition.number)
    return splices, numbers


GATED = b'import os\n\n\ndef one(a):  # a comment\n    # another\n    return a\n\n\nclass Two:\n    x = "y"\n'


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"return a", b"return b", "a byte outside the docstring would change"),
        (b"# another", b"# anothe", "a byte outside the docstring would change"),
        (b"\n\n\nclass", b"\n\nclass", "a byte outside the docstring would change"),
        (b'"y"\n', b'"y"\n\n', "a byte outside the docstring would change"),
        (b'"y"\n', b'"y"', "a byte outside the docstring would change"),
    ],
)
def test_the_gate_lets_no_other_byte_through(old: bytes, new: bytes, reason: str) -> None:
    read = source.decode(GATED, "a.py", Path("a.py"))
    outcome = filled(GATED, "Look at the system.", "Return what came in.", "Hold one text.")
    splices, numbers = splice_of(read, outcome)
    gate.check(read, outcome.new, splices, numbers)
    assert outcome.new.count(old) == 1
    with pytest.raises(NoCompletionError, match=reason):
        gate.check(read, outcome.new.replace(old, new), splices, numbers)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"""Good."""', None),
        ('"""Bad.', "would not parse"),
        ('"""Bad."""; x = 1', "the code would change"),
        ('"""Bad.""" + "x"', "it would be no docstring there"),
        ('"""Bad."""  # hidden', "the file's tokens would change"),
        ('"""Bad."""\n    # hidden', "the file's tokens would change"),
        ('("""Bad.""")', "the file's tokens would change"),
        ('f"""Bad."""', "it would be no docstring there"),
        ('b"""Bad."""', "it would be no docstring there"),
        ("pass", "it would be no docstring there"),
        ('"""Bad."""\n    def two(): pass', "the file would define something else"),
        ('"""Bad."""\n    """Worse."""', "the code would change"),
        ("", "it would be no docstring there"),
    ],
)
def test_the_gate_lets_nothing_but_docstrings_through(text: str, reason: str | None) -> None:
    read = source.decode(b"def one():\n    # a comment\n    return 1\n", "a.py", Path("a.py"))
    at = read.text.index("    return")
    splices = [edit.Splice(at, at, f"    {text}\n")]
    new = edit.apply(read, splices)
    if reason is None:
        gate.check(read, new, splices, [1])
        return
    with pytest.raises(NoCompletionError, match=reason):
        gate.check(read, new, splices, [1])


def test_the_gate_knows_type_comments() -> None:
    read = source.decode(b"def one():\n    # type: () -> int\n    return 1\n", "a.py", Path("a.py"))
    splices = [edit.Splice(11, 11, '    """Good."""\n')]
    with pytest.raises(NoCompletionError, match="would not parse"):
        gate.check(read, edit.apply(read, splices), splices, [1])


def test_the_gate_refuses_to_replace_code() -> None:
    read = source.decode(b"def one():\n    'x' + y\n    return 1\n", "a.py", Path("a.py"))
    splices = [edit.Splice(15, 22, '"""Bad."""')]
    with pytest.raises(NoCompletionError, match="a byte outside the docstring would change"):
        gate.check(read, edit.apply(read, splices), splices, [1])


INDENTS = ("    ", "  ", "\t", " ")
HEADERS = (
    "def {0}():", "def {0}(a, b=1, *c, d: int = 2, **e) -> x:  # c: d", "async def {0}(\n    a,  # a: b\n):",
    "@deco\ndef {0}(a=lambda: 1): # c", "class {0}:", "class {0}(A, m=B):", "@a.b(1)\n@c\nclass {0}(\n): # d: e",
    "def {0}(a='):', /): ", "if x:", "for y in z:", "while x: # y", "with a as b:", "try:",
)  # fmt: skip
BODIES = (
    "pass", "return", "# c\n{1}x = 1", "\n{1}x = 1  # y", "x = '''\n# no: c\n'''", "f'a'", "b'a'; x = 1", "x = \\\n  1",
    "'a' 'b'", "'doc'", "r'''d\n\noc'''  # x", "# type: () -> int\n{1}x", "\f\n{1}x = [\n1]",  "if y: pass",
    "lambda: 'x'", "...",
)  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A Python file in an encoding, most of which parse."""
    unit = draw(st.sampled_from(INDENTS))
    names = itertools.count()

    def block(depth: int) -> list[str]:
        indent = unit * depth
        lines: list[str] = []
        for _ in range(draw(st.integers(1, 3))):
            if depth < 4 and draw(st.booleans()):
                header = draw(st.sampled_from(HEADERS))
                lines += [indent + line for line in header.format(f"n{next(names)}").split("\n")]
                if draw(st.integers(0, 3)) == 0 and not lines[-1].partition("#")[1]:
                    lines[-1] += " " + draw(st.sampled_from(["pass", "return", "x = 1; y", "'doc'", "f''", "[\n1]"]))
                else:
                    lines += block(depth + 1)
                if header == "try:":
                    lines.append(indent + "finally: pass")
            else:
                body = draw(st.sampled_from(BODIES)).replace("{1}", indent)
                lines.append(indent + body)
        return lines

    text = "\n".join(draw(st.sampled_from([[], ["#!/x"], ["# l", ""], ["", "# c"]])) + block(0))
    text += draw(st.sampled_from(["\n", "", "\n\n# end", "\\\n"]))
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"])))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1"]))
    if encoding == "latin-1":
        return b"# coding: latin-1\n" + (text + "# é\n").encode("latin-1")
    return (text.replace("y", "ü") if draw(st.booleans()) else text).encode(encoding)


SAID = ("Return", "the", "number", "of", "éa", "things:", "x.", "It's", "'so'", '"y"', "\\d", "(z)", "`w`")
WORDS = st.lists(st.sampled_from(SAID), max_size=40)
FILLS = st.one_of(st.text(), st.sampled_from(HOSTILE), WORDS.map(" ".join), WORDS.map("\n".join))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(files(), st.lists(FILLS, min_size=1, max_size=6), st.sampled_from(Style), st.integers(20, 100), st.booleans())
def test_f36_f37_whatever_is_filled_only_docstrings_come(
    raw: bytes, fills: list[str], style: Style, width: int, complete: bool
) -> None:
    read = source.decode(raw, "a.py", Path("a.py"))
    try:
        tree = definitions.read(read)
        ast.parse(raw)
    except (InputError, SyntaxError):
        assume(False)
    answers = itertools.cycle(fills)
    wanted = definitions.missing(tree, ALL)
    outcome = docstrings.fill(read, tree, wanted, lambda request: Reply(next(answers), complete), width, style)
    assert len(wanted) == len(outcome.filled) + len(outcome.skipped)
    assert faults(read, outcome) == []


@settings(max_examples=200, deadline=None)
@given(files())
def test_f37_a_good_docstring_is_had_everywhere(raw: bytes) -> None:
    read = source.decode(raw, "a.py", Path("a.py"))
    try:
        tree = definitions.read(read)
        ast.parse(raw)
    except (InputError, SyntaxError):
        assume(False)
    numbers = (f"Return the number {number} of them." for number in itertools.count())
    wanted = definitions.missing(tree, ALL)
    outcome = docstrings.fill(read, tree, wanted, lambda request: Reply(next(numbers)))
    assert outcome.skipped == ()
    assert faults(read, outcome) == []


def test_a_sample_of_the_installed_libraries() -> None:
    """All of them: `python -m benchmarks.docstring`."""
    for path in benchmark.files(15):
        found = benchmark.prove(path, models.find(models.TINY, Settings.load({"CODELLAMA_HOME": "/nowhere"}), {}))
        assert found.faults == []
        assert found.filled["good"] == found.missing
