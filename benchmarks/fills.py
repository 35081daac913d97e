"""A HumanEval infilling task's fills in all the ways that `benchmarks.infill` compares, and what they are worth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from benchmarks import humaneval
from benchmarks.humaneval import Task
from codellama import infill, models, rules, syntax
from codellama.backends.base import Backend
from codellama.dialog import Chunk, Prompt, Sampling

ORDERS = {"psm": False, "spm": True}


@dataclass(frozen=True, slots=True)
class Scored:
    """One of a task's fills."""

    way: str
    fill: str
    matches: bool
    parses: bool
    passes: bool | None
    # None: not run
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a task in one order."""

    task: str
    order: str
    scored: tuple[Scored, ...]
    drawn: tuple[str, ...]
    # the candidates as the model said them
    tokens: int

    @classmethod
    def read(cls, line: str) -> Row:
        fields = json.loads(line)
        scored = tuple(Scored(**{**each, "rules": tuple(each["rules"])}) for each in fields.pop("scored"))
        return cls(scored=scored, drawn=tuple(fields.pop("drawn")), **fields)


@dataclass(frozen=True, slots=True)
class Scorer:
    execute: bool

    def __call__(self, task: Task, way: str, fill: str, applied: tuple[str, ...] = ()) -> Scored:
        parses = syntax.parses(task.hole().filled(fill), "python") is True
        passes = parses and _passes(task.program(fill)) if self.execute else None
        return Scored(way, fill, task.matches(fill), parses and bool(fill.strip()), passes, applied)


_passes = lru_cache(maxsize=64)(humaneval.passes)
# the ways often give the same fill


def fill_ways(
    task: Task, lines: int | None, order: str, prompt: Prompt, backend: Backend, sampling: Sampling, score: Scorer
) -> Row:
    """The fills of a task in all ways: two requests, one of them greedy and to the model's own end."""
    hole = task.hole(lines)
    raw, ruled = infill.Draw(hole, 1, raw=True), infill.Draw(hole, 1)
    tokens = _feed(backend.stream(prompt, replace(sampling, candidates=1), raw.ended), raw, ruled)
    [as_said], [processed] = raw.fills(), ruled.fills()
    scored = [score(task, "raw", as_said.text)]
    if lines == 1:
        scored.append(score(task, "first line", as_said.text[: rules.lines_end(as_said.text, hole)]))
    scored.append(score(task, "post-processed", processed.text, processed.rules))
    drawn = [as_said]
    if sampling.candidates > 1:
        several = infill.Draw(hole, sampling.candidates)
        tokens += _feed(backend.stream(prompt, sampling, several.ended), several)
        drawn = several.fills()
        scored.append(score(task, f"{sampling.candidates} verified", drawn[0].text, drawn[0].rules))
    return Row(task.name, order, tuple(scored), tuple(fill.answer.text for fill in drawn), tokens)


def _feed(chunks: Iterable[Chunk], *draws: infill.Draw) -> int:
    tokens = 0
    for chunk in chunks:
        if not chunk.progress:
            tokens += len(chunk.ids)
            for draw in draws:
                draw.add(chunk)
    return tokens


def rows(
    jobs: Sequence[tuple[int, Task, str]],
    lines: int | None,
    model: models.Model,
    sampling: Sampling,
    score: Scorer,
    open_backend: Callable[[int], Backend],
    say: Callable[[str], None],
) -> Iterator[Row]:
    """Each task's row as it is there. The model is loaded once, with room for the longest.

    A job's number is added to the seed, so that no two draw alike.
    """
    most = sampling.max_tokens or 0
    framed = [
        infill.frame(task.hole(lines), model, model.tokenizer, most, suffix_first=ORDERS[order])
        for _, task, order in jobs
    ]
    cut = sum(bool(each.window and each.window.cuts) for each in framed)
    if cut:
        say(f"{cut} of {len(framed)} prompts were cut to {model.name}'s context of {model.context}")
    longest = max(len(each.prompt.ids) for each in framed)
    backend = open_backend((longest + most) * sampling.candidates)
    for note in backend.notes:
        say(note)
    for (number, task, order), each in zip(jobs, framed, strict=True):
        own = replace(sampling, seed=sampling.seed + number)
        yield fill_ways(task, lines, order, each.prompt, backend, own, score)
