"""`codellama models`: what there is, what is here, and what fits this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.models_info import info
from codellama.commands.models_memory import memory
from codellama.commands.models_pull import pull
from codellama.commands.options import Run, confirmed
from codellama.commands.reports import machine_json, size, table

if TYPE_CHECKING:
    from codellama.catalogue import Entry
    from codellama.devices import Machine
    from codellama.shelf import Shelved

app = typer.Typer(no_args_is_help=True, help="See, fetch and remove models, and what fits this machine.")

CONTEXT = 4096
# tokens for which the list tells what fits
BITS = {"bfloat16": "16", "int8": "8", "nf4": "4"}

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name as 7b-instruct, or a hub id.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, notes and warnings.")]


@app.command("list")
def list_models(ctx: typer.Context, *, as_json: JsonOption = False) -> None:
    """The family, what of it fits this machine, and what is here."""
    from codellama import catalogue, shelf
    from codellama.devices import Machine

    run: Run = ctx.obj
    machine = Machine.detect()
    here = list(shelf.shelved(run.settings, run.console.environ))
    if as_json:
        content = {
            "machine": machine_json(machine),
            "family": [_entry_json(entry, machine) for entry in catalogue.FAMILY],
            "here": [_shelved_json(found) for found in here],
        }
        run.console.write_line(json.dumps(content))
        return
    usable = {found.name for found in here if found.model}
    rows = [("", "name", "size", "variant", "context", "infill", "chat", "disk", "fits in")]
    for entry in catalogue.FAMILY:
        rows.append((
            "*" if usable & {entry.name, entry.hub_id} else "",
            entry.name,
            entry.size.name,
            entry.variant,
            str(entry.context),
            "yes" if entry.infill else "no",
            entry.chat_format or "no",
            size(_disk(entry)),
            " ".join(BITS[name] for name in _fitting(entry, machine)) or "-",
        ))  # fmt: skip
    lines = [
        *table(rows, right={4, 7}),
        "",
        "*: is here. fits in: bits a weight (16 as it is, 8 with --8bit, 4 with --4bit)",
        f"with which it goes {_where(machine)}, with {CONTEXT} tokens",
        "",
        "here:",
        *table([_shelved_row(found) for found in here], right={2}, indent="  "),
    ]
    run.console.write_line("\n".join(lines))
    for found in here:
        if found.fault:
            run.console.warn(found.fault)
        if found.partial:
            run.console.note(f"{found.name} was fetched in part: `codellama models pull {found.name}` goes on")


app.command("pull")(pull)
app.command("info")(info)
app.command("memory")(memory)


@app.command("path")
def path(ctx: typer.Context, name: NameArgument) -> None:
    """Print the directory of a model."""
    from codellama import models

    run: Run = ctx.obj
    model = models.find(name, run.settings, run.console.environ, absent_ok=True)
    run.console.write_line(str(model.home))


@app.command("remove")
def remove(
    ctx: typer.Context,
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Remove a model, or what was fetched of it by now."""
    from codellama import shelf

    run: Run = ctx.obj
    console = run.console
    console.quiet = console.quiet or quiet
    place = shelf.removable(name, run.settings, console.environ)
    if not yes and not confirmed(console, f"remove {place}?"):
        console.note("nothing was removed")
        return
    shelf.remove(name, run.settings, console.environ)
    console.note(f"{place} is removed")


def _disk(entry: Entry) -> int:
    from codellama.config import Config
    from codellama.memory import weight_bytes

    return weight_bytes(Config.of(entry), "bfloat16").total


def _fitting(entry: Entry, machine: Machine) -> list[str]:
    """The precisions in which a model of the family fits."""
    from codellama import capacity
    from codellama.config import Config

    places = capacity.homes(machine)
    found = capacity.needs(Config.of(entry), CONTEXT)
    return [
        need.precision for need in found if need.precision in BITS and capacity.holds(places, need.weights, need.cache)
    ]


def _where(machine: Machine) -> str:
    from codellama.memory import gigabytes

    if not machine.gpus:
        return f"into {gigabytes(machine.ram_free)} of free RAM"
    return "onto " + " + ".join(f"{gpu.device} ({gigabytes(gpu.free)} free)" for gpu in machine.gpus)


def _shelved_row(found: Shelved) -> tuple[str, ...]:
    state = "in part" if found.partial else "damaged" if found.fault else found.precision or "?"
    return found.name, state, size(found.bytes), "built in" if found.home == "built in" else str(found.directory)


def _entry_json(entry: Entry, machine: Machine) -> dict[str, object]:
    return {
        "name": entry.name,
        "size": entry.size.name,
        "variant": entry.variant,
        "context": entry.context,
        "infill": entry.infill,
        "chat_format": entry.chat_format,
        "hub_id": entry.hub_id,
        "bytes": _disk(entry),
        "fits": _fitting(entry, machine),
    }


def _shelved_json(found: Shelved) -> dict[str, object]:
    return {
        "name": found.name,
        "directory": str(found.directory),
        "home": found.home,
        "bytes": found.bytes,
        "precision": found.precision,
        "model": found.model.name if found.model else None,
        "hub_id": found.hub_id,
        "revision": found.revision,
        "partial": found.partial,
        "fault": found.fault,
    }
