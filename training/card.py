"""What accompanies the model: its card with figures and samples, and the curve."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from .corpora import Corpora
from .corpus import KEPT_ONE_IN, Document
from .evaluate import BEAMS, LINES, OTHERS, SEARCHED, WITHIN, Decoding, Evaluation, Figures, Sample, Written
from .network import Network
from .recipe import Recipe
from .samples import KINDS
from .tasks import Cut, docstrings, heads, questions, whole_lines, within

COMMAND = "python -m training --out cli/codellama/tiny"
HEADS = ("def fibonacci(", "import os\n\n\ndef read_file(path", "class Stack:\n    def __init__(self):\n")
HOLES = (
    Cut('def remove_non_ascii(s: str) -> str:\n    """', "", '"""\n    return "".join(c for c in s if ord(c) < 128)\n'),
    Cut("def largest(values):\n    best = None\n    for value in values:\n", "", "\n    return best\n"),
)
QUESTIONS = (
    "Write a Python function that returns the number of lines in a file.",
    "Write a function named is_empty that returns true if the list is empty.",
)
TEMPLATE = Path(__file__).with_name("card.md")
SHOWN = 600  # characters of a prompt
NAMES = {
    "bits": "bits per byte, in windows of the context (lower is better)",
    "bits_overlapping": "the same, in windows of which half has been read before and does not count",
    "within": f"holes within a line filled exactly (of {WITHIN}), prefix first",
    "within_finished": "the same after the rules of `codellama infill`",
    "within_suffix_first": "the same, suffix first, before the rules",
    "within_suffix_first_finished": "the same, suffix first, after the rules",
    "within_searched": f"the first {SEARCHED} of these holes, with `codellama infill --beams {BEAMS}`",
    "between_words": f"holes within a line and between words filled exactly (of {LINES}), prefix first",
    "rest": f"holes to a line's end filled exactly (of {OTHERS}), prefix first",
    "lines": f"holes of whole lines after whose filling the file parses (of {LINES}), prefix first",
    "lines_suffix_first": "the same, suffix first",
    "lines_finished": "the same, suffix first, after the rules of `codellama infill`",
    "docstrings": f"docstrings that end by themselves within 60 ids (of {OTHERS})",
    "docstrings_parse": "functions that parse with them",
    "answers": f"answers with exactly one fenced block, which parses (of {OTHERS})",
    "answers_ended": "answers that end by themselves within 256 ids",
    "completions_ended": f"functions completed that end by themselves within 128 ids (of {OTHERS})",
    "completions_loop": "functions completed that repeat themselves (lower is better)",
}


def table(columns: Mapping[str, Written]) -> str:
    """One column a name, one row a figure that was measured."""
    rows = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, meaning in NAMES.items():
        if all(hasattr(each, name) for each in columns.values()):
            form = ".3f" if name.startswith("bits") else ".0%"
            rows.append(f"| {meaning} | {' | '.join(format(getattr(each, name), form) for each in columns.values())} |")
    return "\n".join(rows)


def samples(evaluation: Evaluation, documents: Sequence[Document], decoding: Decoding) -> list[Sample]:
    """Twenty: seven prompts of our own, and the first tasks of each kind."""
    return [
        *evaluation.complete(HEADS, decoding, 96),
        *evaluation.complete(heads(documents, 2), decoding, 96),
        *evaluation.infill(HOLES[:1]),
        *evaluation.infill(HOLES[1:], suffix_first=True),
        *evaluation.infill(within(documents, 4)),
        *evaluation.infill(whole_lines(documents, 2), suffix_first=True),
        *evaluation.infill(docstrings(documents, 3)),
        *evaluation.ask(QUESTIONS, decoding),
        *evaluation.ask(questions(documents, 2), decoding),
    ]


def draw_curve(log: list[dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    millions = [row["ids"] / 1e6 for row in log]
    axes.plot(millions, [row["held_out_bits_per_byte"] for row in log], color="tab:blue")
    axes.set_xlabel("million ids")
    axes.set_ylabel("held-out bits per byte", color="tab:blue")
    axes.set_ylim(bottom=1, top=2.5)
    axes.grid(alpha=0.3)
    other = axes.twinx()
    other.plot(millions, [row["loss"] for row in log], color="tab:orange")
    other.set_ylabel("training loss, weighted, nats per id", color="tab:orange")
    figure.savefig(path, dpi=90, metadata={"Software": None})
    pyplot.close(figure)


def _quote(sample: Sample, number: int) -> str:
    ending = "ended by itself" if sample.ended else "cut at the limit"
    fence = "````"
    prompt = sample.prompt
    if sample.kind == "infill" and len(prompt) > SHOWN:
        before, _, behind = prompt.partition("<FILL_ME>")
        prompt = f"{before[-SHOWN * 2 // 3 :]}<FILL_ME>{behind[: SHOWN // 3]}"
    return (
        f"{number}. {sample.kind}, {ending}. Prompt:\n\n{fence}text\n{prompt}\n{fence}\n\n"
        f"Answer:\n\n{fence}text\n{sample.text}\n{fence}\n"
    )


def _packages(data: Corpora) -> str:
    used = {id(each) for each in data.documents}
    rows = ["| package | version | licence, by its metadata | kB |", "|---|---|---|---|"]
    for package in data.packages:
        size = sum(len(each.text) for each in package.documents if id(each) in used)
        rows.append(f"| {package.name} | {package.version} | {package.licence} | {size // 1000} |")
    return "\n".join(rows)


def _phases(recipe: Recipe) -> str:
    head = ("steps", "ids in each", "library favoured", "text", *KINDS, "characters of an infill", "suffix first")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for phase in recipe.phases:
        mix = phase.mix
        others = [(1 - mix.text) * dict(mix.shares).get(kind, 0) for kind in KINDS]
        text, *shared = (f"{share:.0%}" for share in (mix.text, *others))
        shares = " | ".join((f"{text}, cut every {mix.cuts:.0f}" if mix.cuts else text, *shared))
        size = f"{phase.rows} × {phase.sequence}"
        spans = f"{mix.spans[0]} to {mix.spans[1]}"
        chosen = f"; {mix.ordered:.0%} as the program" if mix.ordered else ""
        rows.append(
            f"| {phase.steps} | {size} | {mix.favour:.0f} times | {shares} | {spans} | {mix.suffix_first:.0%}{chosen} |"
        )
    return "\n".join(rows)


def _listed(documents: Sequence[Document]) -> str:
    return ", ".join(f"`{each.name}`" for each in documents)


def render(
    network: Network,
    parameters: int,
    vocabulary: int,
    recipe: Recipe,
    log: list[dict[str, float]],
    data: Corpora,
    chosen: Decoding,
    tried: Mapping[Decoding, Written],
    measured: Mapping[str, Figures],
    written: Sequence[Sample],
) -> str:
    shape = network.shape
    others = {id(each) for package in data.packages for each in package.documents}
    own = [each for each in data.documents if id(each) not in others]
    holes = within(data.held_out, WITHIN)
    return TEMPLATE.read_text(encoding="utf-8").format(
        parameters=parameters / 1e6,
        vocabulary=vocabulary,
        hidden=shape.hidden,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        intermediate=shape.intermediate,
        context=shape.context,
        python=platform.python_version(),
        modules=len(own),
        megabytes=sum(len(each.text.encode()) for each in own) / 1e6,
        package_modules=len(data.documents) - len(own),
        package_count=len(data.packages),
        packages=_packages(data),
        one_in=KEPT_ONE_IN,
        count=len(data.held_out),
        kilobytes=sum(len(each.text.encode()) for each in data.held_out) / 1e3,
        held_out=_listed(data.held_out),
        validation=_listed(data.validation),
        ids=log[-1]["ids"] / 1e6,
        steps=recipe.steps,
        phases=_phases(recipe),
        anew=" and ".join(map(str, recipe.anew)),
        seed=recipe.seed,
        minutes=log[-1]["seconds"] / 60,
        muon=recipe.muon,
        adam=recipe.adam,
        command=COMMAND,
        hole=sum(len(each.middle) for each in holes) / len(holes),
        measured=table(measured),
        tried=table({f"penalty {d.repetition_penalty}, n-gram {d.no_repeat_ngram_size}": f for d, f in tried.items()}),
        penalty=chosen.repetition_penalty,
        ngram=chosen.no_repeat_ngram_size,
        samples="\n".join(_quote(sample, number) for number, sample in enumerate(written, start=1)),
    )
