"""OpenAI's HumanEval infilling tasks with any model: exact match, files that parse, and with --execute pass@1.

    python -m benchmarks.infill -m 7b --execute
    python -m benchmarks.infill --reference --execute

For each task and order of the prompt (PSM: prefix, suffix; SPM: suffix, prefix) four fills, all drawn as `codellama
infill` draws them:

    raw             the likeliest tokens until the model ends its fill, as it is: `--raw`
    first line      of that, its first line alone (single-line tasks): what harnesses that cut at a newline see
    post-processed  the same tokens with the stops and rules: `--single-line`; `--task random-span`: no option
    verified        the best of --candidates, the first of them greedy and the others drawn: `-n 8`

The paper's table 14 (7B, single-line: 74.1 PSM, 83.3 SPM) is pass@1 of greedy fills; it speaks of no cut and no rule.
That is the line `raw` of `-m 7b --execute`, and how far `first line` is from it shows whether a cut matters. Of its
other columns "random" is `--task random-span`, and "multi" that with `--data HumanEval-MultiLineInfilling.jsonl.gz`.

A fill matches where it is the reference solution but for white space at its end. It parses where it is not blank and
the file with it parses. It passes where the file and then its test run to the end, within 5 s of the processor's time
and 1 GiB, as in OpenAI's harness even where it is blank; --execute runs what a model wrote, with no sandbox around it.

--reference says the reference solutions instead, three characters at a time, through the stops and rules, and tells
which are changed; with --execute also whether one that passes becomes one that does not (exit 1).

--out keeps each task's fills as JSON lines as they come; given again, it goes on where it stopped. Ctrl-C gives the
table of what there is. A task's number is added to the seed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from benchmarks import humaneval
from benchmarks.fills import ORDERS, Row, Scorer, rows
from benchmarks.humaneval import Task
from codellama import infill, models
from codellama.backends.local import LocalBackend
from codellama.dialog import Chunk, FinishReason, Sampling
from codellama.errors import CodellamaError, InputError
from codellama.memory import LoadOptions
from codellama.settings import Settings

STEP = 3
# characters of a reference solution at a time


def table(done: Sequence[Row], *, executed: bool) -> str:
    """Markdown: shares of the tasks that are there, an order and a way a line."""
    lines = ["| order | fill | exact match | parses | pass@1 |", "|---|---|---|---|---|"]
    for order in ORDERS:
        own = [row for row in done if row.order == order]
        for way in dict.fromkeys(scored.way for row in own for scored in row.scored):
            fills = [scored for row in own for scored in row.scored if scored.way == way]
            counts = [sum(each.matches for each in fills), sum(each.parses for each in fills)]
            counts += [sum(bool(each.passes) for each in fills)] if executed else []
            shares = [f"{count / len(fills):.1%} ({count})" for count in counts] + [""] * (not executed)
            lines.append(f"| {order.upper()} | {way} | {' | '.join(shares)} |")
    return "\n".join(lines)


def said(task: Task, lines: int | None) -> tuple[str, tuple[str, ...]]:
    """A reference solution as the fill that it becomes where a model says it, and the rules that changed it."""
    draw = infill.Draw(task.hole(lines), 1)
    for at in range(0, len(task.solution), STEP):
        if not draw.ended():
            draw.add(Chunk(0, task.solution[at : at + STEP], (0,), 0.0))
    if not draw.ended():
        draw.add(Chunk(0, finish_reason=FinishReason.STOP))
    [fill] = draw.fills()
    return fill.text, fill.rules or ("a stop",) * (fill.text != task.solution)


def reference(tasks: Sequence[Task], name: str, lines: int | None, *, execute: bool) -> bool:
    """Prints what post-processing does to the reference solutions; whether none that passes ceases to."""
    changed: Counter[str] = Counter()
    passed = broken = 0
    progress = Progress(len(tasks))
    for task in tasks:
        fill, applied = said(task, lines)
        if fill != task.solution:
            changed[", ".join(applied)] += 1
        if execute:
            before = humaneval.passes(task.program(task.solution))
            after = before if fill == task.solution else humaneval.passes(task.program(fill))
            passed += before
            if before and not after:
                broken += 1
                print(f"{task.name}: passes no more: {task.solution!r} became {fill!r} by {', '.join(applied)}")
            progress.step()
    by = "; ".join(f"{count} by {names}" for names, count in changed.most_common())
    print(f"{name}: {sum(changed.values())} of {len(tasks)} changed{': ' + by if by else ''}")
    if execute:
        print(f"{name}: {passed} of {len(tasks)} pass, and of these {passed - broken} with post-processing")
    return not broken


class Progress:
    """Says every fifty tasks how many are done, and how long the others will take."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._began = monotonic()

    def step(self) -> None:
        self._done += 1
        if self._done % 50 == 0 or self._done == self._total:
            seconds = monotonic() - self._began
            left = seconds / self._done * (self._total - self._done)
            _say(f"{self._done}/{self._total}, {seconds:.0f} s, {left:.0f} s to go")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def kept(out: Path | None, settings: dict[str, object]) -> list[Row]:
    """The rows of an earlier run with the same settings, whose file is made ready to be appended to.

    Raises InputError where it is another run's.
    """
    if out is None:
        return []
    lines = out.read_text("utf-8").splitlines(keepends=True) if out.exists() else []
    # a line that was being written when it stopped has no end
    lines = [line for line in lines if line.endswith("\n")]
    if lines and json.loads(lines[0]) != settings:
        raise InputError(f"{out}: has the results of other settings ({lines[0].strip()}): name another file")
    out.write_text("".join(lines) or json.dumps(settings) + "\n", "utf-8")
    return [Row.read(line) for line in lines[1:]]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.infill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-m", "--model")
    parser.add_argument("--data", type=Path, metavar="DIR_OR_FILE")
    parser.add_argument("--task", choices=humaneval.FILES, help="single-line; for --reference both")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N tasks alone")
    parser.add_argument("--order", choices=(*ORDERS, "both"), default="both")
    parser.add_argument("--candidates", type=int, default=8, metavar="N", help="for the verified fill; 1: none")
    parser.add_argument("--execute", action="store_true", help="run what was written; there is no sandbox")
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--repetition-penalty", type=float, default=1.0, help="1: none, as in codellama infill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--4bit", dest="four_bit", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl")
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> int:
    if options.reference:
        kinds = [options.task] if options.task else list(humaneval.FILES)
        good = True
        for kind in kinds:
            tasks = humaneval.read(kind, options.data)[: options.limit]
            good &= reference(tasks, kind, None, execute=options.execute)
        return 0 if good else 1
    kind = options.task or "single-line"
    lines = 1 if kind == "single-line" else None
    orders = list(ORDERS) if options.order == "both" else [options.order]
    tasks = humaneval.read(kind, options.data)[: options.limit]
    model = models.choose(options.model, Settings.load(os.environ), os.environ, "infill")
    model.require("infill")
    sampling = Sampling(
        top_p=0.9, seed=options.seed, max_tokens=options.max_tokens, candidates=options.candidates,
        repetition_penalty=options.repetition_penalty, no_repeat_ngram=0, distinct=True,
    )  # fmt: skip
    load = LoadOptions(options.dtype, "4bit" if options.four_bit else None, options.device)
    written = max(path.stat().st_mtime for path in model.home.iterdir())
    settings = {"model": str(model.home), "written": written, "execute": options.execute, "task": kind,
                "data": str(options.data), **asdict(load), **asdict(sampling)}  # fmt: skip
    done = kept(options.out, json.loads(json.dumps(settings)))
    there = {(row.task, row.order) for row in done}
    jobs = [
        (number, task, order)
        for number, task in enumerate(tasks)
        for order in orders
        if (task.name, order) not in there
    ]
    status = 0
    progress = Progress(len(jobs))
    try:
        if jobs:
            for row in rows(jobs, lines, model, sampling, Scorer(options.execute),
                            lambda tokens: LocalBackend(model, load, tokens), _say):  # fmt: skip
                done.append(row)
                progress.step()
                if options.out:
                    with options.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(row)) + "\n")
    except KeyboardInterrupt:
        status = 130
    tokens = sum(row.tokens for row in done)
    print(f"{model.name}, {kind}: {len({row.task for row in done})} tasks, seed {options.seed}, {tokens} tokens\n")
    print(table(done, executed=options.execute))
    return status


def main(argv: Sequence[str] | None = None) -> int:
    try:
        return run(arguments(argv))
    except CodellamaError as error:
        _say(f"benchmarks.infill: {error}")
        return int(error.exit_code)


if __name__ == "__main__":
    raise SystemExit(main())
