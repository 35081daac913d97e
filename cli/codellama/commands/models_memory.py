"""`codellama models memory`: what a model takes in each precision, and what of that fits this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.options import Run
from codellama.commands.reports import machine_json, size, table
from codellama.errors import InputError

if TYPE_CHECKING:
    from codellama.capacity import Fit
    from codellama.checkpoint import Checkpoint
    from codellama.devices import Machine
    from codellama.memory import Plan
    from codellama.models import Model

USUAL = 4096
# tokens of context, where none is said
MOST_BATCH = 1024
NAMES = {"disk": "disk", "cpu": "RAM"}


def memory(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|DIR", help="A name as 7b, a hub id, or a directory.")],
    *,
    context: Annotated[
        int | None, typer.Option("--context", "-c", metavar="N", help=f"Tokens of context; {USUAL}.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", "-b", metavar="N", help="Sequences at once, as candidates; 1.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with bytes.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")] = False,
) -> None:
    """What a model takes in each precision, and what fits.

    Bytes of weights and KV cache, the longest context that fits, and where its layers would go on this machine.
    """
    from codellama import capacity, models
    from codellama.devices import Machine
    from codellama.memory import WORKING, kv_bytes, parameters

    run: Run = ctx.obj
    console = run.console
    console.quiet = console.quiet or quiet
    model = models.find(name, run.settings, console.environ, absent_ok=True)
    checkpoint = _checkpoint(model)
    config = checkpoint.config
    tokens = min(USUAL, model.context) if context is None else context
    if not 1 <= tokens <= capacity.MOST_CONTEXT:
        raise InputError(f"--context {tokens}: 1 to {capacity.MOST_CONTEXT} expected")
    if not 1 <= batch <= MOST_BATCH:
        raise InputError(f"--batch {batch}: 1 to {MOST_BATCH} expected")
    if tokens > model.context:
        console.note(f"a context of {tokens} is beyond the {model.context} tokens that {model.name} was made for")
    machine = Machine.detect()
    found = capacity.fit(checkpoint, machine, tokens, batch)
    dtype = found[-1].need.dtype
    per_token = kv_bytes(config, 1, batch, dtype)
    count = parameters(config)
    if as_json:
        content = {
            "model": model.name,
            "parameters": count.total,
            "layers": config.layers,
            "context": tokens,
            "batch": batch,
            "cache_per_token": per_token,
            "machine": machine_json(machine),
            "precisions": [_fit_json(fit, tokens) for fit in found],
        }
        console.write_line(json.dumps(content))
        return
    rows = [("precision", "weights", "layer", "cache", "in all", "longest", "goes to")]
    rows += [
        (
            fit.need.precision,
            size(fit.need.weights.total),
            size(fit.need.weights.layer),
            size(fit.need.cache),
            size(fit.need.total),
            str(fit.longest) if fit.longest else "-",
            _where(fit.plan, config.layers) if fit.plan else "nowhere",
        )
        for fit in found
    ]
    of = f"{tokens} tokens" if batch == 1 else f"{batch} × {tokens} tokens"
    lines = [
        f"{model.name}: {count.total:,} parameters in {config.layers} layers; a context of {of}",
        f"this machine: {describe(machine)}",
        "",
        *table(rows, {1, 2, 3, 4, 5}),
    ]
    if console.stdout_tty:
        lines += ["", *chart(found, machine, console.width)]
    lines += [
        "",
        f"layer: the largest. cache: {size(per_token)} a token in {dtype}. in all: with {size(WORKING)}",
        f"to work with on each device. longest: context that fits {'on the GPUs' if machine.gpus else 'in RAM'};",
        f"{model.name} was made for {model.trained_context or model.context}.",
    ]
    console.write_line("\n".join(lines))


def _checkpoint(model: Model) -> Checkpoint:
    """With the headers of its weights, where it has any."""
    from codellama import capacity
    from codellama.checkpoint import INDEX, WEIGHTS, Checkpoint

    config = model.read_config()
    here = model.directory and any((model.directory / name).exists() for name in (WEIGHTS, INDEX))
    # what is quantised already can only be told from the headers
    if here or config.quantisation:
        return Checkpoint.read(model.home)
    return capacity.of_shape(config, model.name)


def describe(machine: Machine) -> str:
    """24.0 GB free on cuda:0 (NVIDIA …) and 22.3 GB of RAM free."""
    parts = [f"{size(gpu.free)} free on {gpu.device} ({gpu.name})" for gpu in machine.gpus]
    return ", ".join([*parts, f"{size(machine.ram_free)} free in RAM"])


def chart(found: tuple[Fit, ...], machine: Machine, width: int) -> list[str]:
    """A bar for each precision: what it takes of what is free where the model computes."""
    from codellama import capacity

    free = sum(bytes for _, bytes in capacity.homes(machine))
    names = max(len(fit.need.precision) for fit in found)
    room = max(min(width, 100) - names - 3, 10)
    scale = max(free, *(fit.need.total for fit in found)) / room
    edge = round(free / scale)
    lines = []
    for fit in found:
        ends = [fit.need.weights.total, fit.need.weights.total + fit.need.cache, fit.need.total]
        cells = [round(end / scale) for end in ends]
        bar = "#" * cells[0] + "=" * (cells[1] - cells[0]) + "." * (cells[2] - cells[1])
        bar = bar.ljust(room + 1)
        lines.append(f"{fit.need.precision:{names}}  {bar[:edge]}|{bar[edge + 1 :]}".rstrip())
    where = "on the GPUs" if machine.gpus else "in RAM"
    lines.append(f"{'':{names}}  # weights  = cache  . to work with  | {size(free)} free {where}")
    return lines


def _where(plan: Plan, layers: int) -> str:
    """cuda:0; RAM; 20 layers cuda:0, 12 RAM."""
    homes = _homes(plan, layers)
    if len(homes) == 1:
        return NAMES.get(next(iter(homes)), next(iter(homes)))
    parts = [f"{count} {NAMES.get(home, home)}" for home, count in homes.items()]
    return f"layers: {', '.join(parts)}"


def _homes(plan: Plan, layers: int) -> dict[str, int]:
    """How many layers each device gets."""
    if "" in plan.device_map:
        return {plan.device_map[""]: layers}
    homes = list(plan.device_map.values())
    return {home: plan.layers_on(home) for home in dict.fromkeys(homes) if plan.layers_on(home)}


def _fit_json(fit: Fit, tokens: int) -> dict[str, object]:
    need = fit.need
    return {
        "precision": need.precision,
        "weights": need.weights.total,
        "embedding": need.weights.embedding,
        "layer": need.weights.layer,
        "head": need.weights.head,
        "largest": need.weights.largest,
        "cache": need.cache,
        "in_all": need.total,
        "fits": fit.longest >= tokens,
        "longest_context": fit.longest,
        "layers_on": _homes(fit.plan, need.weights.layers) if fit.plan else {},
        "refusal": fit.refusal,
    }
