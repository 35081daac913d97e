"""`codellama models pull`: a model is fetched from the Hugging Face hub, checked, and kept for us."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.options import Run
from codellama.commands.reports import reporter, sizes_table
from codellama.errors import InputError

if TYPE_CHECKING:
    from codellama.console import Console
    from codellama.hub import Wait
    from codellama.pull import Pull, Report


def pull(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name as 7b-instruct, or a hub id.")],
    *,
    revision: Annotated[str | None, typer.Option(metavar="REVISION", help="A branch, a tag or a commit; main.")] = None,
    four_bit: Annotated[
        bool, typer.Option("--4bit", help="Keep a copy quantised to 4 bit (nf4) too, as NAME-4bit.")
    ] = False,
    drop_original: Annotated[bool, typer.Option("--drop-original", help="With --4bit: keep that copy alone.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be fetched, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, notes and warnings.")] = False,
) -> None:
    """Fetch a model from the Hugging Face hub.

    What was interrupted goes on where it stopped.
    """
    from codellama import pull as pulls
    from codellama import shelf

    run: Run = ctx.obj
    console = run.console
    console.quiet = console.quiet or quiet
    if drop_original and not four_bit:
        raise InputError("--drop-original goes with --4bit: nothing would be left without it")
    wait = _waiting(console, name)
    with console.progress(name) as line:
        report = reporter(line)
        line.show("asking the hub")
        planned = pulls.plan(name, run.settings, revision, wait)
        copy = planned.place.with_name(f"{planned.place.name}-4bit")
        if dry_run:
            _describe(console, planned, as_json=as_json)
            return
        kept = copy if four_bit else planned.place
        there = pulls.origin(kept) == planned.origin
        if not there:
            _fetch(console, planned, report, wait, planned.four_bit_bytes if four_bit else 0)
            if four_bit:
                _quantise(planned.place, copy, report)
        if drop_original and planned.place.exists():
            shelf.remove(name, run.settings, console.environ)
    if as_json:
        repository = planned.repository
        console.write_line(
            json.dumps({"directory": str(kept), "hub_id": repository.hub_id, "revision": repository.revision})
        )
    called = copy.name if four_bit else planned.name
    state = "was here already" if there else "is complete and checked"
    console.note(f"{kept} {state}: codellama complete -m {called} 'def fibonacci('")


def _fetch(console: Console, planned: Pull, report: Report, wait: Wait, more: int = 0) -> None:
    from codellama import pull as pulls

    if planned.there:
        return
    try:
        pulls.run(planned, console.environ, report, wait, more)
    except KeyboardInterrupt:
        console.note(f"what was fetched of {planned.name} is kept: the same command goes on with it")
        raise


def _quantise(source: Path, output: Path, report: Report) -> None:
    from codellama.convert import conversion, origin

    with origin.opened(source, four_bit=True) as found:
        conversion.plan(found, None, four_bit=True).run(output, force=output.exists(), report=report)


def _waiting(console: Console, name: str) -> Wait:
    def wait(reason: str, seconds: float) -> None:
        console.note(f"{name}: {reason}: trying again in {seconds:.0f} s")
        time.sleep(seconds)

    return wait


def _describe(console: Console, planned: Pull, *, as_json: bool) -> None:
    from codellama.devices import free_disk
    from codellama.memory import gigabytes

    repository, missing = planned.repository, planned.missing(console.environ)
    free = free_disk(planned.place.parent)
    sizes = {file.name: file.size for file in planned.files}
    if as_json:
        content = {
            "directory": str(planned.place), "hub_id": repository.hub_id, "revision": repository.revision,
            "bytes": planned.bytes, "missing": missing, "free": free, "files": sizes,
        }  # fmt: skip
        console.write_line(json.dumps(content))
        return
    title = (
        f"{repository.hub_id} at {repository.revision[:12]} to {planned.place}:\n"
        f"{gigabytes(missing)} to be fetched, {gigabytes(free)} free there"
    )
    console.write_line(sizes_table(title, sizes))
