"""The training loop: a fixed number of steps over a fixed stream of ids, with checkpoints to go on from."""

from __future__ import annotations

import csv
import ctypes
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed
from safetensors.torch import load_file
from torch import Tensor

from .network import Network
from .recipe import Place, Recipe
from .samples import Mix, Samples

LOG = Path(__file__).parent / "log.csv"
LOG_FIELDS = ("step", "ids", "seconds", "loss", "held_out_bits_per_byte")


def keep_memory() -> None:
    """Has the allocator reuse big blocks (Linux): taking them anew from the kernel each step costs a tenth."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        m_mmap_max, m_trim_threshold = -4, -1
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def optimizers(network: Network, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [each for each in network.model.layers.parameters() if each.dim() == 2]
    chosen = {id(each) for each in matrices}
    others = [each for each in network.parameters() if id(each) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=recipe.muon, weight_decay=recipe.muon_decay, momentum=0.95),
        torch.optim.AdamW(others, lr=recipe.adam, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def share(network: Network) -> None:
    """Sums the gradients over the processes."""
    if torch.distributed.is_initialized():
        gradients = [each.grad for each in network.parameters() if each.grad is not None]
        flat = torch.cat([each.flatten() for each in gradients])
        torch.distributed.all_reduce(flat)
        for gradient, part in zip(gradients, torch.split(flat, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


class Run:
    """A training run: network, optimizers and log, which a checkpoint holds together.

    Each process of the run holds one; the first reports and saves.
    """

    def __init__(
        self,
        network: Network,
        vocabulary: int,
        recipe: Recipe,
        checkpoint: Path,
        check: Callable[[], float],
        start: Path | None = None,
    ) -> None:
        """`start`: the directory of an exported model, whose weights stand for all before the last new beginning."""
        self.network, self.vocabulary, self.recipe = network, vocabulary, recipe
        self.checkpoint, self.check = checkpoint, check
        self.optimizers = optimizers(network, recipe)
        self.log: list[dict[str, float]] = []
        self.step, self.seconds = 0, 0.0
        self.rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        self.processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        if checkpoint.exists():
            self._load()
        elif start:
            network.adopt(load_file(start / "model.safetensors"))
            self.step = recipe.anew[-1]
            self.log = [row for row in read_log(LOG) if row["step"] <= self.step]
            self.seconds = self.log[-1]["seconds"]

    def go(self, samples: Callable[[Mix], Samples]) -> list[dict[str, float]]:
        """Trains to the end; `samples` gives those of a mix."""
        recipe = self.recipe
        losses: list[float] = []
        while self.step < recipe.steps:
            started = time.monotonic()
            if self.step in recipe.anew:
                self.network.adopt(self.network.exported(self.vocabulary))
                self.optimizers = optimizers(self.network, recipe)
            place = recipe.place(self.step)
            losses.append(self._step(samples(place.phase.mix), place))
            self.step += 1
            self.seconds += time.monotonic() - started
            if not math.isfinite(losses[-1]):
                raise FloatingPointError(f"the loss is {losses[-1]} at step {self.step}")
            if self.step % recipe.check_every == 0 or self.step == recipe.steps:
                if self.rank == 0:
                    self._report(sum(losses) / len(losses))
                losses.clear()
        return self.log

    def _step(self, samples: Samples, place: Place) -> float:
        sequence, share_of_rows = place.phase.sequence, place.phase.rows // self.processes
        ids, weights, numbers = samples.rows(place.row + self.rank * share_of_rows, share_of_rows, sequence)
        factor, total = self.recipe.rate(self.step), 0.0
        size = self.recipe.ids_at_once // sequence
        parts = range(0, share_of_rows, size)
        for start in parts:
            part = torch.from_numpy(ids[start : start + size].astype(np.int64))
            counted = torch.from_numpy(weights[start : start + size, 1:].astype(np.float32))
            alike = torch.from_numpy(numbers[start : start + size, :-1].astype(np.int64))
            loss = self.network.loss(part[:, :-1], part[:, 1:], counted, alike) / (len(parts) * self.processes)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item() * self.processes
        share(self.network)
        for optimizer, rate in zip(self.optimizers, (self.recipe.muon, self.recipe.adam), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return total

    def _report(self, loss: float) -> None:
        ids = self.recipe.place(self.step).ids
        row = {"step": self.step, "ids": ids, "seconds": round(self.seconds), "loss": round(loss, 4)}
        row["held_out_bits_per_byte"] = round(self.check(), 4)
        self.log.append(row)
        print(*(f"{name} {value}" for name, value in row.items()), f"({ids / self.seconds:.0f} ids/s)", flush=True)
        self._save()

    def _save(self) -> None:
        state = {
            "recipe": repr(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
            "network": self.network.state_dict(),
            "optimizers": [each.state_dict() for each in self.optimizers],
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.checkpoint.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(self.checkpoint)

    def _load(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        if state["recipe"] != repr(self.recipe):
            raise ValueError(f"{self.checkpoint} is of another recipe; remove it to start anew")
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]
        print(f"going on from step {self.step}", flush=True)


def load_network(network: Network, checkpoint: Path) -> list[dict[str, float]]:
    """The network as a checkpoint has it; returns the log so far."""
    state = torch.load(checkpoint, weights_only=True)
    network.load_state_dict(state["network"])
    log: list[dict[str, float]] = state["log"]
    return log


def read_log(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [{**row, **{name: int(row[name]) for name in LOG_FIELDS[:3]}} for row in rows]


def write_log(log: list[dict[str, float]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, LOG_FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)


def bits_per_byte(
    loss: Callable[[Tensor, Tensor], Tensor],
    encoded: list[list[int]],
    size: int,
    context: int,
    most: int | None = None,
    overlap: int = 0,
) -> float:
    """Bits spent on each byte of texts given as ids that begin with bos, read in windows of the context.

    `loss` gives the mean over the targets that are not -100. With `most`, texts after that many ids are left out, and
    count as if they cost the same. Windows begin with `overlap` ids of the one before, which do not count again.
    """
    total, counted = 0.0, 0
    with torch.inference_mode():
        for ids in encoded:
            for start in range(0, max(1, len(ids) - 1 - overlap), context - overlap):
                window = torch.tensor([ids[start : start + context + 1]])
                targets = window[:, 1:].clone()
                if start:
                    targets[:, :overlap] = -100
                number = int((targets != -100).sum())
                total += loss(window[:, :-1], targets).item() * number
                counted += number
            if most is not None and counted > most:
                break
    return total / math.log(2) / size * (sum(len(ids) - 1 for ids in encoded) / counted)
