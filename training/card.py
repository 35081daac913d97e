"""What accompanies the model: its figures, samples of what it writes, the card and the curve."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from .corpus import HELD_OUT_ONE_IN, Document
from .evaluate import Evaluation, Sample, ends_itself, loops, parses
from .network import Network
from .train import Recipe

COMMAND = "python -m training --out cli/codellama/tiny"
PENALTIES = (1.0, 1.1, 1.15)
HEADS = ("def fibonacci(", "import os\n\ndef read_file(path", "class Stack:\n    def __init__(self):\n")
HOLES = (
    ('def remove_non_ascii(s: str) -> str:\n    """ ', "\n    return result\n"),
    ("def largest(values):\n    best = None\n    for value in values:\n", "\n    return best\n"),
)
QUESTIONS = (
    "Write a Python function that returns the number of lines in a file.",
    "Write a function named is_empty that returns true if the list is empty.",
)
TEMPLATE = Path(__file__).with_name("card.md")


@dataclass(frozen=True)
class Figures:
    """What one repetition penalty gives."""

    penalty: float
    within: float
    rest: float
    rest_suffix_first: float
    docstrings: float
    answers: float
    answers_ended: float
    ended: float
    loops: float

    @property
    def worth(self) -> float:
        return self.within + self.rest + self.docstrings + self.answers + self.ended - self.loops


NAMES = {
    "within": "holes within a line filled exactly (of 100, prefix first)",
    "rest": "holes to a line's end filled exactly (of 100, prefix first)",
    "rest_suffix_first": "the same, suffix first",
    "docstrings": "docstring fills that end by themselves within 60 ids (of 60)",
    "answers": "answers with one fenced block that parses (of 40)",
    "answers_ended": "answers that end by themselves within 300 ids",
    "ended": "completions of functions that end by themselves within 128 ids",
    "loops": "completions of functions that repeat themselves (lower is better)",
}


@dataclass(frozen=True)
class Measured:
    """What the evaluation found, and the repetition penalty it speaks for."""

    bits_per_byte: float
    figures: list[Figures]

    @property
    def penalty(self) -> float:
        """None (1.0) unless another one is clearly better."""
        plain = next(each for each in self.figures if each.penalty == 1.0)
        best = max(self.figures, key=lambda each: each.worth)
        return best.penalty if best.worth > plain.worth + 0.05 else plain.penalty


def measure(evaluation: Evaluation) -> Measured:
    found = []
    for penalty in PENALTIES:
        docstrings = evaluation.docstrings(penalty=penalty)
        answers = evaluation.answers(penalty=penalty)
        completions = evaluation.completions(penalty=penalty)
        found.append(
            Figures(
                penalty=penalty,
                within=evaluation.exact(evaluation.holes(within=True), penalty=penalty),
                rest=evaluation.exact(evaluation.holes(within=False), penalty=penalty),
                rest_suffix_first=evaluation.exact(evaluation.holes(within=False), penalty=penalty, suffix_first=True),
                docstrings=ends_itself(docstrings),
                answers=sum(parses(each.text) for each in answers) / len(answers),
                answers_ended=ends_itself(answers),
                ended=ends_itself(completions),
                loops=loops(completions),
            )
        )
        print(found[-1], flush=True)
    return Measured(evaluation.bits_per_byte(), found)


def _rows(measured: Measured) -> str:
    bits = [f"{measured.bits_per_byte:.3f}"] + [""] * (len(measured.figures) - 1)
    rows = [("bits per byte, windows of the context (lower is better)", bits)]
    rows += [(name, [_percent(getattr(each, field)) for each in measured.figures]) for field, name in NAMES.items()]
    return "\n".join(f"| {name} | {' | '.join(values)} |" for name, values in rows)


def _choice(measured: Measured) -> str:
    if measured.penalty == 1.0:
        return "No penalty is clearly better, so `generation_config.json` sets none."
    return f"`generation_config.json` sets a penalty of {measured.penalty}: the sum of these shares is best there."


def samples(evaluation: Evaluation, penalty: float) -> list[Sample]:
    return [
        *evaluation.complete(HEADS, 96, penalty),
        *evaluation.infill(HOLES, 80, penalty),
        *evaluation.ask(QUESTIONS, 200, penalty),
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
    other.set_ylabel("training loss, nats per id", color="tab:orange")
    figure.savefig(path, dpi=90, metadata={"Software": None})
    pyplot.close(figure)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _quote(sample: Sample, number: int) -> str:
    ending = "ended by itself" if sample.ended else "cut at the limit"
    fence = "````"
    return (
        f"{number}. {sample.kind}, {ending}. Prompt:\n\n{fence}text\n{sample.prompt}\n{fence}\n\n"
        f"Answer:\n\n{fence}text\n{sample.text}\n{fence}\n"
    )


def render(
    network: Network,
    parameters: int,
    vocabulary: int,
    recipe: Recipe,
    log: list[dict[str, float]],
    documents: list[Document],
    held_out: list[Document],
    measured: Measured,
    written: list[Sample],
) -> str:
    from .samples import REQUESTS

    shape = network.shape
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
        modules=len(documents),
        megabytes=sum(len(each.text.encode()) for each in documents) / 1e6,
        one_in=HELD_OUT_ONE_IN,
        count=len(held_out),
        kilobytes=sum(len(each.text.encode()) for each in held_out) / 1e3,
        held_out=", ".join(f"`{each.name}`" for each in held_out),
        ids=log[-1]["ids"] / 1e6,
        steps=recipe.steps,
        per_step=recipe.rows * recipe.sequence,
        seed=recipe.seed,
        minutes=log[-1]["seconds"] / 60,
        requests=round(100 * REQUESTS),
        muon=recipe.muon,
        adam=recipe.adam,
        command=COMMAND,
        columns=" | ".join(f"penalty {each}" for each in PENALTIES),
        rule="---|" * len(PENALTIES),
        rows=_rows(measured),
        choice=_choice(measured),
        penalty=measured.penalty,
        samples="\n".join(_quote(sample, number) for number, sample in enumerate(written, start=1)),
    )
