"""What is trained on in which order, and how fast it is learned."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .samples import KINDS, Mix

PHASES = Path(__file__).with_name("phases.csv")


@dataclass(frozen=True)
class Phase:
    """Steps of one size."""

    steps: int
    sequence: int
    rows: int  # sequences in a step
    mix: Mix
    row: int = 0  # its first row; a phase with the rows of an earlier one goes on behind them

    @property
    def ids(self) -> int:
        return self.steps * self.sequence * self.rows


def read_phases(path: Path) -> tuple[Phase, ...]:
    """The phases of a table: one a line, with the fields of its mix; shares of 0 are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(_phase(row) for row in csv.DictReader(file))


def _phase(row: dict[str, str]) -> Phase:
    shares = tuple((kind, float(row[kind])) for kind in KINDS if float(row[kind]))
    spans = int(row["shortest"]), int(row["longest"])
    last = float(row["suffix_first"]), float(row["ordered"]), float(row["cuts"])
    mix = Mix(float(row["favour"]), float(row["text"]), shares, spans, *last)
    return Phase(int(row["steps"]), int(row["ids_in_a_row"]), int(row["rows_in_a_step"]), mix, int(row["first_row"]))


@dataclass(frozen=True)
class Place:
    """Where a step is: its phase, the number of its first row there, and the ids before it."""

    phase: Phase
    row: int
    ids: int


@dataclass(frozen=True)
class Recipe:
    """All that decides what comes out, besides the corpus, the machine's arithmetic and the versions of libraries."""

    seed: int = 20262
    phases: tuple[Phase, ...] = field(default_factory=lambda: read_phases(PHASES))
    # steps before which the weights are rounded as an exported model has them, and the optimizers begin anew
    anew: tuple[int, ...] = (1070, 2930, 4620)
    # the factor of the learning rates by ids, straight between these; it begins with 1 and ends with 0
    rates: tuple[tuple[int, float], ...] = (
        (4_915_200, 1.0),
        (6_144_000, 0.75),
        (7_500_000, 0.75),
        (9_093_120, 0.5664),
        (11_386_879, 0.0),
        (11_386_880, 0.7),
        (14_000_000, 0.7),
        (41_861_119, 0.0),
        (41_861_120, 0.7),
        (46_000_000, 0.7),
        (69_550_079, 0.0),
        (69_550_080, 0.5),
        (80_000_000, 0.5),
        (88_227_840, 0.304),
        (90_685_440, 0.228),
        (94_617_600, 0.0),
    )
    ids_at_once: int = 2048
    muon: float = 0.02
    muon_decay: float = 0.02
    adam: float = 3e-3
    warmup: int = 40  # steps
    check_every: int = 30
    processes: int = 2  # each with one thread: they meet once a step, where threads would meet at every operation

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    @property
    def ids(self) -> int:
        return sum(phase.ids for phase in self.phases)

    def place(self, step: int) -> Place:
        ids = 0
        for phase in self.phases:
            if step < phase.steps:
                break
            step -= phase.steps
            ids += phase.ids
        return Place(phase, phase.row + step * phase.rows, ids + step * phase.rows * phase.sequence)

    def rate(self, step: int) -> float:
        """The factor of the learning rates at a step."""
        ids, factors = zip(*self.rates, strict=True)
        since = max((each for each in self.anew if each <= step), default=0)
        return min((step - since + 1) / self.warmup, float(np.interp(self.place(step).ids, ids, factors)))
