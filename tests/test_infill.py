"""Filling holes: rules, stops and ranking, on case files, on HumanEval's reference solutions and on random text."""

from __future__ import annotations

import ast
import gzip
import json
import random
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama import rules
from codellama.answers import Answer
from codellama.dialog import Chunk, FinishReason, Timings
from codellama.errors import ContextError
from codellama.holes import Hole
from codellama.infill import Draw, Fill, clean, frame, rank, verifiable
from codellama.models import read
from codellama.prompts import render
from codellama.tokenizer import MID, Tokenizer
from tests.harness import CASES, TINY
from tests.reference import asset


@dataclass(frozen=True)
class Case:
    hole: Hole
    raw: str
    expected: str
    rules: tuple[str, ...]


def case(path: Path) -> Case:
    fields = tomllib.loads(path.read_text(encoding="utf-8"))
    hole = Hole(
        fields.pop("prefix"),
        fields.pop("suffix"),
        fields.pop("indent", ""),
        fields.pop("language", "python"),
        fields.pop("lines", None),
    )
    made = Case(hole, fields.pop("raw"), fields.pop("expected"), tuple(fields.pop("rules")))
    assert not fields, f"{path}: {fields}"
    return made


PATHS = sorted((CASES / "infill").glob("*.toml"))
every_case = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


@every_case
def test_a_case_comes_out_as_expected_and_by_the_rules_it_names(path: Path) -> None:
    it = case(path)
    assert clean(it.raw, it.hole) == (it.expected, it.rules)


@every_case
def test_what_came_out_is_not_changed_again(path: Path) -> None:
    it = case(path)
    assert clean(it.expected, it.hole)[0] == it.expected


@every_case
def test_no_rule_breaks_what_parses(path: Path) -> None:
    it = case(path)
    if it.hole.lines is None and rules.fits(it.raw, it.hole):
        assert rules.fits(it.expected, it.hole)


def test_every_rule_has_a_case() -> None:
    assert {name for path in PATHS for name in case(path).rules} == {rule.__name__ for rule in rules.RULES}


def stream(hole: Hole, text: str, step: int = 3) -> str:
    """What a fill is when it comes in pieces."""
    draw = Draw(hole, 1)
    for at in range(0, len(text), step):
        if draw.ended():
            break
        draw.add(Chunk(0, text[at : at + step], (at,), -1.0))
    if not draw.ended():
        draw.add(Chunk(0, finish_reason=FinishReason.STOP))
    [fill] = draw.fills()
    return fill.text


@every_case
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_case_comes_out_the_same_when_it_is_streamed(path: Path, step: int) -> None:
    it = case(path)
    assert stream(it.hole, it.raw, step) == it.expected


STOPS = {
    # what the model goes on with after the bar is never asked for
    "in mid-line at its end": (Hole("x = ", " + 1\n"), "y\n|z = 2\n"),
    "asked for two lines": (Hole("x = 1\n", "\n", lines=2), "y = 1\nz = 2\n|a = 3\n"),
    "two lines of the suffix": (
        Hole("def f():\n", "\n    z = 1\n    return z\n\nx = f()\n"),
        "    y = 1\n    z = 1\n\n    return z\n|    y = 2\n",
    ),
    "the suffix's only line": (Hole("def f():\n", "\n    return 1\n"), "    y = 1\n    return 1\n|\n\nx = 1"),
    "three lines much alike": (
        Hole("x = 1\n", "\ndef f(a, b):\n    c = a\n    return c\n"),
        "y = 2\ndef f(a,b):\n    c = a\n    return c\n|d = 3\n",
    ),
    "an unmatched bracket": (Hole("print(", ")\n"), "x)|\ny = 2\n"),
    "a dedent out of the block": (Hole("def f(a):\n    if a:\n", "\n"), "        a = 1\n    elx|"),
    "a dedent out of the function": (Hole("def f():\n", "\n"), "    return 1\n\n\nd|ef g():\n"),
}


@pytest.mark.parametrize(("hole", "text"), STOPS.values(), ids=STOPS)
def test_a_fill_ends_while_it_is_generated(hole: Hole, text: str) -> None:
    draw = Draw(hole, 1)
    asked = ""
    for character in text:
        if character == "|":
            break
        assert not draw.ended(), asked
        draw.add(Chunk(0, character, (1,), -1.0))
        asked += character
    assert draw.ended()
    [fill] = draw.fills()
    assert fill.answer.finish_reason == FinishReason.STOP
    assert rules.fits(fill.text, hole)
    # a chunk that goes beyond the end changes nothing
    assert stream(hole, text.replace("|", ""), 1000) == fill.text


@pytest.mark.parametrize(
    ("hole", "text"),
    [
        # `\n\n` ends nothing, least of all in a docstring
        (Hole('def f():\n    """', '"""\n    return 1\n'), "Do it.\n\n    Then do it again.\n\n    "),
        # the bracket is needed
        (Hole("print(max(", ")\n"), "1, 2)"),
        # one line of the suffix, in another branch
        (
            Hole("def f(a, b):\n", "\n        return False\n    return True\n"),
            "    if a:\n        return False\n    if b:",
        ),
        # a dedent within the function, from mid-line
        (Hole("def f(a):\n    if a:\n        return ", "\n"), "1\n    return 2"),
        # what may become a clause of the statement around it, and then is one
        (Hole("def f(a):\n    if a:\n", "\n"), "        a = 1\n    else:\n        a = 2"),
    ],
)
def test_a_fill_goes_on(hole: Hole, text: str) -> None:
    draw = Draw(hole, 1)
    for character in text:
        draw.add(Chunk(0, character, (1,), -1.0))
        assert not draw.ended()


def test_a_raw_fill_ends_where_the_model_ends_it() -> None:
    draw = Draw(Hole("x = ", " + 1\n"), 1, raw=True)
    draw.add(Chunk(0, "y\nz", (1,), -1.0))
    assert not draw.ended()
    draw.add(Chunk(0, "\n", (2,), -1.0, FinishReason.STOP, Timings(1.0)))
    [fill] = draw.fills()
    assert (fill.text, fill.rules, fill.parses, fill.answer.timings) == ("y\nz\n", (), False, Timings(1.0))


def test_a_control_piece_ends_a_fill_by_its_id(tiny_tokenizer: Tokenizer) -> None:
    middle = tiny_tokenizer.control(MID)
    assert middle
    # the file itself speaks of <MID>, so its name alone would say nothing
    hole = Hole("# <MID>\nx = ", "\n")
    for raw, text in ((False, "y"), (True, "y <MID> z")):
        draw = Draw(hole, 1, tiny_tokenizer, raw=raw)
        for chunk in (Chunk(0, "y", (1,)), Chunk(0, " <MID>", (middle,)), Chunk(0, " z", (2,), 0.0, FinishReason.STOP)):
            draw.add(chunk)
        assert draw.fills()[0].text == text


def test_candidates_end_each_by_itself() -> None:
    draw = Draw(Hole("x = ", " + 1\n"), 2)
    draw.add(Chunk(0, "y\n", (1,), -1.0))
    draw.add(Chunk(1, "(", (2,), -0.5))
    assert not draw.ended()
    draw.add(Chunk(0, "never seen", (3,), -9.0))
    draw.add(Chunk(1, "z)\n", (4,), -0.5))
    assert draw.ended()
    draw.add(Chunk(0, finish_reason=FinishReason.CANCELLED))
    draw.add(Chunk(1, finish_reason=FinishReason.CANCELLED, timings=Timings(2.0)))
    first, second = draw.fills()
    assert [(fill.text, fill.answer.ids, fill.logprob) for fill in (first, second)] == [
        ("(z)", (2, 4), -0.5),
        ("y", (1,), -1.0),
    ]
    assert {fill.answer.finish_reason for fill in (first, second)} == {FinishReason.STOP}
    assert first.answer.timings == Timings(2.0)


def fill(text: str, logprob: float = 0.0, parses: bool | None = True, *applied: str) -> Fill:
    return Fill(text, Answer(text, (1, 2), logprob, FinishReason.STOP), applied, parses)


def test_the_best_parses_says_nothing_twice_and_is_likely() -> None:
    likely, unlikely = fill("a", -1.0), fill("b", -4.0)
    twice, broken, nothing = fill("c", 0.0, True, "overlap"), fill("d", 0.0, False), fill(" ", 0.0)
    unknown, repaired = fill("e", 0.0, None), fill("f", 0.0, True, "reindent")
    ranked = rank([nothing, broken, unknown, repaired, twice, unlikely, likely])
    assert ranked == [likely, unlikely, repaired, twice, broken, unknown, nothing]
    assert unlikely.logprob == -2.0


@pytest.mark.parametrize(
    ("hole", "can"),
    [
        (Hole("def f():\n", "\n\nx = 1\n"), True),
        (Hole("def f():\n    ", "\n\nx = 1\n"), True),
        (Hole("x = ", "\n"), True),
        (Hole("x = [1, ", "]\n"), True),
        (Hole("", ""), True),
        (Hole("if x:\n    pass\n", "else:\n    y = 1\n"), True),
        (Hole("def f(:\n", "\n"), False),
        (Hole("print 'two'\n", "\n"), False),
        (Hole("any text", "", language="text"), False),
    ],
)
def test_a_fill_is_verified_where_the_file_parses_with_something(hole: Hole, can: bool) -> None:
    assert verifiable(hole) is can


HUMANEVAL = {"SingleLineInfilling": 1033, "RandomSpanInfillingLight": 164}


@pytest.mark.parametrize("name", HUMANEVAL)
def test_reference_solutions_come_through(name: str) -> None:
    """All of them: streamed, with no limit of lines. Only line ends at the edge of the hole may change."""
    tasks = [
        json.loads(line) for line in gzip.decompress(asset(f"HumanEval-{name}.jsonl.gz").read_bytes()).splitlines()
    ]
    assert len(tasks) == HUMANEVAL[name]
    for task in tasks:
        hole, solution = Hole(task["prompt"], task["suffix"]), task["canonical_solution"]
        got = stream(hole, solution)
        assert got.strip("\n") == solution.strip("\n"), task["task_id"]
        assert ast.dump(ast.parse(hole.filled(got))) == ast.dump(ast.parse(hole.filled(solution))), task["task_id"]


LINES = [
    "x = 1",
    "    y = (x",
    "        return y)",
    "    else:",
    "if x:",
    "",
    "    '''",
    "# c",
    "def f():",
    "    pass",
    ")",
]
texts = st.lists(st.sampled_from(LINES), max_size=8).map("\n".join)


@settings(max_examples=150, deadline=None)
@given(texts, texts, texts, st.sampled_from(["python", "text"]), st.sampled_from(["", "\n"]))
def test_no_rule_breaks_a_file_or_adds_but_space(prefix: str, raw: str, suffix: str, language: str, join: str) -> None:
    hole = Hole(prefix + join, join + suffix, language=language)
    got, applied = clean(raw, hole)
    if rules.fits(raw, hole):
        assert rules.fits(got, hole)
    # what is left was there: the rules cut, and put spaces, newlines and closing brackets
    left = iter("".join(raw.split()))
    assert all(character in left for character in "".join(got.split()) if character not in ")]}")
    assert bool(applied) == (got != raw) or not applied


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab\n ()'\"#:=", max_size=60), st.integers(1, 7))
def test_f24_any_text_is_cleaned_in_bounded_time(text: str, times: int) -> None:
    clean(text * times, Hole("def f():\n", "\n    return 1\n"))


@pytest.mark.parametrize("text", ["a" * 20_000, "ab\n" * 5_000, " " * 20_000 + "x", "(" * 20_000, "abc " * 5_000])
def test_f24_long_repetitions(text: str) -> None:
    clean(text, Hole("x = 1\n", "\n", language="text"))


def test_the_suffix_goes_first_where_the_hole_begins_a_line() -> None:
    tiny = read(TINY, "tiny")
    for hole, order in ((Hole("x = 1\n", "\ny"), True), (Hole("", "\ny"), True), (Hole("x = ", "\ny"), False)):
        for told in (None, True, False):
            wanted = order if told is None else told
            made = frame(hole, tiny, tiny.tokenizer, 256, suffix_first=told).prompt
            same = render("infill", tiny.tokenizer, prefix=hole.prefix, suffix=hole.suffix, suffix_first=wanted)
            assert made.ids == same.ids


def test_f23_prompt_and_answer_share_the_context() -> None:
    tiny = read(TINY, "tiny")
    draw = random.Random(1)
    for _ in range(8):
        prefix = "".join(f"name{draw.randrange(99)} = {draw.random()}\n" for _ in range(draw.randrange(400)))
        most = draw.choice([1, 256, tiny.context - 6])
        framed = frame(Hole(prefix, "\n" + prefix[:900]), tiny, tiny.tokenizer, most)
        assert len(framed.prompt.ids) + most <= tiny.context
    with pytest.raises(ContextError, match=r"1024 tokens to generate leave no room .* context of 1024"):
        frame(Hole("x", "y"), tiny, tiny.tokenizer, tiny.context)


def test_without_a_tokenizer_the_whole_text_is_shown() -> None:
    tiny = read(TINY, "tiny")
    framed = frame(Hole("x = ", "\n"), tiny, None, 256, [("a.py", "# a.py\ny = 1\n")])
    assert framed.window is None
    assert [s.text for s in framed.prompt.segments if not s.control] == ["# a.py\ny = 1\nx = ", "\n"]
