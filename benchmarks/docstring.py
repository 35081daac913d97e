"""Docstrings over whole libraries: that nothing but docstrings changes, and what a model's are worth.

    python -m benchmarks.docstring                                   # the proof, with scripted fills
    python -m benchmarks.docstring --sample 100                      # of 100 of the files; Ctrl-C: of those so far
    python -m benchmarks.docstring --model tiny --definitions 200    # what a model writes
    python -m benchmarks.docstring --wall                            # how long the hook takes

The proof goes over every file of the standard library and 2,000 of the packages that are installed. Each file gets, for
every definition that lacks a docstring (modules, private names and magic methods too), a fill of each kind: good,
empty, hostile, enormous. What comes out is compared with what went in by Python's own parser and by lines, not by the
code that made it: the trees are equal once docstrings are removed; with the new docstrings taken out at the positions
that the parser gives, the bytes are the old ones but for white space; and every old line is there, in order, byte for
byte, but for headers whose body stood on the same line. A second run finds what was skipped, and nothing else.

With --model, docstrings are removed from functions that have one, of modules of the standard library that were kept
apart from the built-in model's training, and asked for again.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import os
import random
import re
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pool
from pathlib import Path
from time import perf_counter

from codellama import answers, definitions, docstrings, models, project, prompts, prose, questions, source
from codellama.backends.local import LocalBackend
from codellama.backends.scripted import Endless, ScriptedBackend, Step
from codellama.commands.scribe import MAX_TOKENS
from codellama.definitions import Selection
from codellama.dialog import FinishReason, Sampling
from codellama.docstrings import Outcome, Reply, Request
from codellama.errors import InputError
from codellama.memory import LoadOptions
from codellama.settings import Settings
from codellama.source import Source
from codellama.style import Style
from training import corpus

ALL = Selection(modules=True, private=True, magic=True)
HOSTILE = (
    '"""\nimport os\nos.remove("x")\n"""',
    'Ends early, at @. """ + open("x").read() + """',
    "Ends in backslash @ and \\",
    "Names @ times \\N{nothing} and \\x and \\u12.",
    'Ends in a "quote @"',
    "Ends in @ quotes ''' and goes on.",
    "Has a \x00 NUL.",
    "Turns \u202e around what is read.",
    "Sends \x1b]52;c;eA==\x07 to the terminal.",
    "Names the price @ in € and 漢字 and 🙂.",
    "First line @\r\n\r\nsecond line\rthird.",
    "# -*- coding: latin-1 -*- is a comment that is none.",
    "    return 1\n\n\ndef other():\n    return 2\n",
    "Is a lone surrogate \ud800 here.",
    "\f\v Is indented @ times\tby tabs\f and by form feeds.",
    "{braces} @ times and %s and {0!r:>{width}} in sentence @.",
    "<MID> is a piece </s> and <EOT> another.",
    "pass",
    "of of of of of of of",
    "(((((((((((((((((((((((((((((",
    "Breaks @ times \\\nits line here.",
    "x" * 500 + " is a word that has no end.",
)
ENORMOUS = "Says the same with number {} for ever and ever. "
_SAYS = re.compile(r"(?<=the docstring of ).*(?= says)", re.DOTALL)


@dataclass
class Found:
    """What came of some files."""

    files: int = 0
    unread: int = 0
    # that do not parse, are not text, …
    missing: int = 0
    filled: Counter[str] = field(default_factory=Counter)
    # by kind of fill
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    # by kind and reason
    faults: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        self.files += other.files
        self.unread += other.unread
        self.missing += other.missing
        self.filled += other.filled
        self.skipped += other.skipped
        self.faults += other.faults


def scripts() -> dict[str, Iterator[Sequence[Step]]]:
    """For each kind of fill what a backend says to one request after another."""
    return {
        "good": (["Does what number ", f"{number} is there for. ", "It has a reason."] for number in itertools.count()),
        "empty": itertools.cycle([[], ["  \n  "], ['"""']]),
        "hostile": itertools.cycle([[text] for text in HOSTILE]),
        "enormous": itertools.cycle(
            [[Endless("word and another " * 20)], [ENORMOUS.format(number) for number in range(999)]]
        ),
    }


def scripted(said: Iterator[Sequence[Step]], model: models.Model) -> docstrings.Ask:
    """Asks a scripted backend; the prompt is the same each time, since it is not what is looked at here."""
    prompt = prompts.render("infill", model.tokenizer, prefix='"""', suffix='"""')
    sampling = Sampling(max_tokens=50, stop=('"""', "'''"))

    def ask(request: Request) -> Reply:
        [answer] = answers.collect(ScriptedBackend(model, next(said)).stream(prompt, sampling))
        return Reply(answer.text, answer.finish_reason is FinishReason.STOP)

    return ask


def prove(path: Path, model: models.Model) -> Found:
    """One file through all kinds of fills."""
    try:
        given = source.read_file(path)
        tree = definitions.read(given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # what Python does not run: a mark of UTF-8 and a cookie of another name for it
            ast.parse(given.raw)
    except (InputError, SyntaxError):
        return Found(unread=1)
    wanted = definitions.missing(tree, ALL)
    found = Found(files=1, missing=len(wanted))
    for kind, said in scripts().items():
        outcome = docstrings.fill(given, tree, wanted, scripted(said, model), project.WIDTH)
        found.filled[kind] += len(outcome.filled)
        found.skipped.update((kind, _SAYS.sub("another", skip.reason)) for skip in outcome.skipped)
        found.faults += [f"{path}: {kind}: {fault}" for fault in faults(given, outcome)]
    return found


def faults(given: Source, outcome: Outcome) -> list[str]:
    """What is wrong with a file that got docstrings, told without the code that put them there."""
    if outcome.new == given.raw:
        return ["nothing changed, but something was filled"] if outcome.filled else []
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # bytes: Python looks for the encoding itself
        old, new = ast.parse(given.raw), ast.parse(outcome.new)
        bare = _bare(ast.parse(outcome.new))
    numbers = {filled.definition.number for filled in outcome.filled}
    if _bare(old) != bare:
        found.append("the trees differ in more than docstrings")
    nodes = [each.node for each in definitions.definitions(new) if each.number in numbers]
    without = _without(source.decode(outcome.new, given.name, given.path).text, nodes)
    if "".join(without.split()) != "".join(given.text.split()):
        found.append("bytes outside the docstrings differ")
    broken = {
        filled.definition.node.body[0].lineno
        for filled in outcome.filled
        if _on_header(given.raw, filled.definition.node)
    }
    if not outcome.new.startswith(given.bom):
        found.append("the byte order mark is gone")
    lines = iter(outcome.new.removeprefix(given.bom).splitlines(keepends=True))
    for number, line in enumerate(given.raw.removeprefix(given.bom).splitlines(keepends=True), 1):
        # with `in` the iterator goes on behind the line that it finds
        if number not in broken and line not in lines:
            found.append(f"line {number} is not there any more")
            break
    left = [each.number for each in definitions.missing(new, ALL)]
    if left != sorted(skip.definition.number for skip in outcome.skipped):
        found.append(f"a second run finds other definitions: {left}")
    return found


def _bare(tree: ast.Module) -> str:
    """The tree without any docstring."""
    for node in ast.walk(tree):
        if isinstance(node, definitions.Node) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)


def _without(text: str, nodes: Sequence[definitions.Node]) -> str:
    """The text without these definitions' docstrings."""
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    starts = list(itertools.accumulate(map(len, lines), initial=0))

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    kept, at = [], 0
    for node in nodes:
        docstring = node.body[0]
        kept.append(text[at : offset(docstring.lineno, docstring.col_offset)])
        at = offset(docstring.end_lineno or 0, docstring.end_col_offset or 0)
    return "".join([*kept, text[at:]])


def _on_header(raw: bytes, node: definitions.Node) -> bool:
    """Whether the first statement of a body does not begin its line."""
    first = node.body[0]
    decorators = getattr(first, "decorator_list", [])
    line = raw.splitlines()[min([first.lineno, *(each.lineno for each in decorators)]) - 1]
    return bool(line[: first.col_offset].strip()) and not decorators


def files(sample: int | None, packages: int = 2000) -> list[Path]:
    """Those of the standard library, and so many of the installed packages; or a sample of them all."""
    paths, chance = sysconfig.get_paths(), random.Random(7)
    library = [path for path in sorted(Path(paths["stdlib"]).rglob("*.py")) if "site-packages" not in path.parts]
    others = sorted(Path(paths["purelib"]).rglob("*.py"))
    found = library + chance.sample(others, min(packages, len(others)))
    return chance.sample(found, len(found) if sample is None else sample)


def _prove(path: Path) -> Found:
    return prove(path, models.find(models.TINY, Settings.load({"CODELLAMA_HOME": "/nowhere"}), {}))


@dataclass(frozen=True)
class Removed:
    """A definition that had a docstring, and its file without that one."""

    source: Source
    number: int
    docstring: str


def removed(count: int) -> list[Removed]:
    """As many definitions of modules that the built-in model was not trained on, drawn at random."""
    found = []
    for document in corpus.read()[corpus.Part.HELD_OUT]:
        lines = document.text.splitlines(keepends=True)
        for each in definitions.definitions(ast.parse(document.text)):
            first = each.node.body[0]
            said = ast.get_docstring(each.node) if each.kind != "module" and len(each.node.body) > 1 else None
            if said and not lines[first.lineno - 1][: first.col_offset].strip():
                text = "".join(lines[: first.lineno - 1] + lines[first.end_lineno :])
                found.append(Removed(source.decode(text.encode(), document.name), each.number, said))
    random.Random(7).shuffle(found)
    return found[:count]


def write(name: str, count: int, samples: int = 10) -> None:
    """Asks a model for docstrings that were removed, and prints how many it got, and some of them as they came."""
    model = models.choose(name, Settings.load(os.environ), os.environ)
    sampling = Sampling(
        top_p=0.9, max_tokens=MAX_TOKENS[Style.PLAIN], stop=('"""', "'''"), repetition_penalty=1.0, no_repeat_ngram=0
    )
    backend = LocalBackend(model, LoadOptions(), min(model.context, questions.LARGEST))
    reasons: Counter[str] = Counter()
    seconds, shown = 0.0, list[str]()
    for each in removed(count):
        tree = definitions.read(each.source)
        wanted = [one for one in definitions.missing(tree, ALL) if one.number == each.number]
        raw: list[str] = []

        def ask(request: Request, raw: list[str] = raw) -> Reply:
            said = answers.Collector()
            prompt = questions.infill(request, model, sampling.max_tokens or 0).prompt
            for chunk in backend.stream(prompt, sampling, lambda: prose.ended("".join(raw))):
                said.add(chunk)
                raw.append(chunk.text)
            [answer] = said.answers()
            ended = prose.ended(answer.text) or answer.finish_reason is FinishReason.STOP
            return Reply(answer.text, ended)

        began = perf_counter()
        outcome = docstrings.fill(each.source, tree, wanted, ask)
        seconds += perf_counter() - began
        reason = _SAYS.sub("another", outcome.skipped[0].reason) if outcome.skipped else "filled"
        reasons[reason] += 1
        if len(shown) < samples:
            verdict = outcome.filled[0].text if outcome.filled else f"skipped: {reason}"
            title = f"{each.source.name}, {wanted[0].title}"
            was = each.docstring.strip().partition("\n")[0]
            shown.append(f"{title}\n    was:     {was}\n    came:    {''.join(raw)!r}\n    {verdict}")
        if sum(reasons.values()) % 50 == 0:
            print(f"{sum(reasons.values())}/{count}, {seconds:.0f} s", file=sys.stderr, flush=True)
    print(f"{model.name}: {seconds / max(sum(reasons.values()), 1):.2f} s each")
    print(*(f"    {number} {reason}" for reason, number in reasons.most_common()), *shown, sep="\n")


def wall(count: int = 300) -> None:
    """How long the program takes to look through files."""
    texts = (path.read_bytes() for path in files(None, 0))
    with tempfile.TemporaryDirectory() as directory:
        for number, text in enumerate(itertools.islice((text for text in texts if 2000 < len(text) < 20000), count)):
            Path(directory, f"a{number}.py").write_bytes(text)
        names = sorted(map(str, Path(directory).glob("*.py")))
        size = sum(Path(name).stat().st_size for name in names)
        command = [sys.executable, "-m", "codellama", "docstring", "--check", *names]
        times = []
        for _ in range(5):
            began, before = perf_counter(), os.times()
            subprocess.run(command, capture_output=True, check=False)
            after = os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            times.append((perf_counter() - began, spent))
    seconds, spent = map(min, zip(*times, strict=True))
    print(f"--check of {len(names)} files, {size / 1e6:.1f} MB: {seconds:.2f} s, {spent:.2f} of a processor")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.docstring", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, metavar="N")
    parser.add_argument("--model", "-m", help="ask this one for docstrings that were removed")
    parser.add_argument("--definitions", type=int, default=200, metavar="N")
    parser.add_argument("--wall", action="store_true", help="time the program over 300 files")
    options = parser.parse_args(argv)
    if options.wall:
        wall()
        return 0
    if options.model:
        write(options.model, options.definitions)
        return 0
    total, began = Found(), perf_counter()
    chosen = files(options.sample)
    with Pool() as pool, suppress(KeyboardInterrupt):
        for number, each in enumerate(pool.imap_unordered(_prove, chosen, chunksize=8), 1):
            total.add(each)
            for fault in each.faults:
                print(fault, flush=True)
            if number % 500 == 0:
                seconds = f"{perf_counter() - began:.0f} s"
                print(f"{number}/{len(chosen)}, {len(total.faults)} faults, {seconds}", file=sys.stderr, flush=True)
    print(f"{total.files} files, {total.unread} not read, {total.missing} definitions without a docstring")
    for kind in scripts():
        print(f"{kind}: {total.filled[kind]} filled")
        for (of, reason), skips in total.skipped.most_common():
            if of == kind:
                print(f"    {skips} skipped: {reason}")
    print(f"{len(total.faults)} faults, {perf_counter() - began:.0f} s")
    return bool(total.faults)


if __name__ == "__main__":
    sys.exit(main())
