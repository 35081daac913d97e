"""What is trained on in which order, and how fast it is learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .samples import Mix


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
    phases: tuple[Phase, ...] = (
        Phase(360, 512, 16, Mix(2.0, 0.42, (("infill", 0.62), ("request", 0.22), ("function", 0.16)), (100, 1024))),
        Phase(90, 512, 16, Mix(10.0, 0.42, (("infill", 0.62), ("request", 0.22), ("function", 0.16)), (100, 1024))),
        Phase(300, 512, 16, Mix(10.0, 0.36, (("infill", 0.72), ("request", 0.16), ("function", 0.12)), (40, 480))),
        Phase(210, 512, 32, Mix(10.0, 0.50, (("infill", 0.66), ("request", 0.20), ("function", 0.14)), (60, 1200))),
        Phase(110, 1024, 16, Mix(10.0, 0.50, (("infill", 0.66), ("request", 0.20), ("function", 0.14)), (60, 2048))),
        Phase(
            70, 1024, 16, Mix(10.0, 0.46, (("infill", 0.70), ("request", 0.18), ("function", 0.12)), (60, 2048)), 1760
        ),
        Phase(
            150,
            1024,
            16,
            Mix(4.0, 0.34, (("infill", 0.55), ("request", 0.12), ("function", 0.08), ("copy", 0.25)), (40, 600), 0.5),
        ),
        Phase(
            30,
            1024,
            16,
            Mix(4.0, 0.42, (("infill", 0.76), ("request", 0.14), ("function", 0.10)), (40, 2048), 0.5),
            1950,
        ),
        Phase(
            180,
            1024,
            16,
            Mix(4.0, 0.40, (("infill", 0.68), ("request", 0.12), ("function", 0.08), ("copy", 0.12)), (40, 1200), 0.5),
            2530,
        ),
        Phase(
            180,
            1024,
            16,
            Mix(4.0, 0.36, (("infill", 0.60), ("recall", 0.22), ("request", 0.11), ("function", 0.07)), (16, 200), 0.5),
            5960,
        ),
        Phase(
            360,
            1024,
            16,
            Mix(
                4.0, 0.50, (("infill", 0.70), ("recall", 0.06), ("request", 0.14), ("function", 0.10)), (30, 1000), 0.5
            ),
            6370,
        ),
        Phase(
            330,
            1024,
            16,
            Mix(
                4.0,
                0.45,
                (("infill", 0.74), ("recall", 0.04), ("request", 0.14), ("function", 0.08)),
                (30, 1200),
                0.5,
                0.6,
            ),
            13480,
        ),
        Phase(
            560,
            1024,
            16,
            Mix(
                10.0,
                0.45,
                (("infill", 0.70), ("recall", 0.03), ("request", 0.19), ("function", 0.08)),
                (40, 2048),
                0.5,
                0.6,
            ),
            3200,
        ),
    )
    # steps before which the weights are rounded as an exported model has them, and the optimizers begin anew
    anew: tuple[int, ...] = (1070,)
    # the factor of the learning rates by ids, straight between these; it begins with 1 and ends with 0
    rates: tuple[tuple[int, float], ...] = (
        (4_915_200, 1.0),
        (6_144_000, 0.75),
        (7_500_000, 0.75),
        (9_093_120, 0.5664),
        (11_386_879, 0.0),
        (11_386_880, 0.7),
        (14_000_000, 0.7),
        (41_861_120, 0.0),
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
