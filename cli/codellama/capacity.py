"""What fits: a model's bytes in each precision against the devices of this machine, and the longest context there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codellama.checkpoint import Checkpoint, GenerationDefaults
from codellama.config import Config, Quantisation
from codellama.devices import Machine
from codellama.errors import CodellamaError
from codellama.memory import (
    WORKING,
    Homes,
    LoadOptions,
    Parts,
    Plan,
    fits,
    kv_bytes,
    plan,
    stored_bytes,
    weight_bytes,
)

PRECISIONS: Mapping[str, tuple[str, Quantisation | None]] = {
    "float32": ("float32", None),
    "bfloat16": ("bfloat16", None),
    "int8": ("bfloat16", "8bit"),
    "nf4": ("bfloat16", "4bit"),
}
# dtype and quantisation of each; float16 takes what bfloat16 takes
MOST_CONTEXT = 2**24
# tokens: far above any model's


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of a model in one precision, for one context and batch."""

    precision: str
    # one of PRECISIONS; of stored quantised weights 4bit or 8bit
    dtype: str
    # of the cache
    weights: Parts
    cache: int
    # keys and values of the whole batch

    @property
    def total(self) -> int:
        """With what a device needs besides (memory.WORKING)."""
        return self.weights.total + self.cache + WORKING


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model goes onto this machine in one precision."""

    need: Need
    longest: int
    # tokens of context with which it goes onto the GPUs, without one into RAM; 0: it does not
    plan: Plan | None
    # where loading would put it; None: nowhere
    refusal: str | None
    # why not


def needs(config: Config, context: int, batch: int = 1) -> tuple[Need, ...]:
    """In every precision it can be loaded in."""
    return tuple(
        Need(name, dtype, weight_bytes(config, name, dtype), kv_bytes(config, context, batch, dtype))
        for name, (dtype, _) in PRECISIONS.items()
    )


def homes(machine: Machine) -> Homes:
    """The devices that compute: the GPUs, else RAM."""
    return [(gpu.device, gpu.free) for gpu in machine.gpus] or [("cpu", machine.ram_free)]


def holds(places: Homes, weights: Parts, cache: int) -> bool:
    """Whether a model goes onto one of the devices, or all of them together."""
    return any(fits(weights, cache, [place]) for place in places) or fits(weights, cache, places)


def longest_context(config: Config, need: Need, places: Homes, batch: int = 1) -> int:
    """The longest context with which the model goes onto the devices; 0: it does not."""
    low, high = 0, MOST_CONTEXT
    while low < high:
        middle = (low + high + 1) // 2
        if holds(places, need.weights, kv_bytes(config, middle, batch, need.dtype)):
            low = middle
        else:
            high = middle - 1
    return low


def fit(checkpoint: Checkpoint, machine: Machine, context: int, batch: int = 1) -> tuple[Fit, ...]:
    """One for each precision; of weights that are quantised already, for that alone."""
    config = checkpoint.config
    if config.quantisation:
        cache = kv_bytes(config, context, batch, checkpoint.dtype)
        stored = Need(config.quantisation, checkpoint.dtype, stored_bytes(checkpoint), cache)
        choices = [(stored, LoadOptions())]
    else:
        options = [LoadOptions(dtype, quantisation) for dtype, quantisation in PRECISIONS.values()]
        choices = list(zip(needs(config, context, batch), options, strict=True))
    found = []
    for need, asked in choices:
        planned, refusal = None, None
        try:
            planned = plan(checkpoint, asked, machine, context * batch)
        except CodellamaError as error:
            refusal = str(error)
        found.append(Fit(need, longest_context(config, need, homes(machine), batch), planned, refusal))
    return tuple(found)


def of_shape(config: Config, name: str) -> Checkpoint:
    """A checkpoint of which nothing but the shape is known: its weights are not on this machine."""
    return Checkpoint(Path(name), config, (), {}, GenerationDefaults())
