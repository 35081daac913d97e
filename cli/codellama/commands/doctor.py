"""`codellama doctor`: what is wrong on this machine, and the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.options import Run, Shared
from codellama.errors import CodellamaError, ExitCode, InputError

if TYPE_CHECKING:
    from codellama.checkup import Finding
    from codellama.console import Console
    from codellama.settings import Settings

_NAME = 12
# columns: the longest name
_SIGNS = {"ok": ("✓", "32"), "note": ("·", "33"), "broken": ("✗", "31")}


def doctor(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print what is broken alone.")] = False,
) -> None:
    """Look at Python, PyTorch, GPUs, memory, disk, settings, models and the terminal: what is wrong, what mends it.

    Exit code 1 where something is broken.
    """
    run: Run = ctx.obj
    console = run.console
    console.quiet = console.quiet or quiet
    found: list[Finding] = []
    for finding in _findings(ctx, run):
        found.append(finding)
        if not as_json and (finding.state == "broken" or not quiet):
            _print(console, finding)
    broken, notes = (sum(finding.state == state for finding in found) for state in ("broken", "note"))
    if as_json:
        console.write_line(
            json.dumps(
                {
                    "well": not broken,
                    "findings": [
                        {"name": each.name, "state": each.state, "said": each.said, "mend": each.mend or None}
                        for each in found
                    ],
                }
            )
        )
    elif not quiet:
        console.write_line()
        also = f"; {notes} note{'s' if notes > 1 else ''}" if notes else ""
        console.write_line((f"{broken} broken" if broken else "all is well") + also)
    if broken:
        raise typer.Exit(ExitCode.FAILED)


def _settings(run: Run) -> Settings:
    """The settings, which every command can work with. Raises InputError for others, naming where they stand."""
    settings = run.settings
    try:
        Shared().sampling(run, temperature=0.0, top_p=1.0, max_tokens=None)
        Shared().load_options(run)
    except InputError as error:
        raise InputError(f"{settings.config}: {error}") from None
    return settings


def _findings(ctx: typer.Context, run: Run) -> Iterator[Finding]:
    """One after another, as they are found: the packages take seconds to import."""
    import locale

    from codellama import checkup, probe
    from codellama.devices import Machine

    console = run.console
    yield from checkup.guarded("Python", checkup.python)
    yield from checkup.guarded("packages", checkup.requirements)
    with console.progress("doctor") as line:
        imported = probe.imports(lambda: line.show("importing PyTorch and others"))
    machine = Machine.detect()
    yield from checkup.guarded("PyTorch", partial(checkup.libraries, imported))
    yield from checkup.guarded("CUDA", partial(checkup.gpus, machine, imported["torch"]))
    yield from checkup.guarded("RAM", partial(checkup.ram, machine))
    yield from checkup.guarded(
        "settings", partial(checkup.configuration, partial(_settings, run), console.environ)
    )  # fmt: skip
    try:
        settings = run.settings
    except CodellamaError:
        yield checkup.Finding("models", "note", "not looked for: the settings may say where they are")
    else:
        yield from checkup.guarded("disk", partial(checkup.directories, settings))
        yield from checkup.guarded("models", partial(checkup.models_here, settings, console.environ))
        yield from checkup.guarded("history", partial(checkup.history, settings))
    tty, encoding = console.stdout_tty, locale.getpreferredencoding(False)
    yield from checkup.guarded("terminal", partial(checkup.terminal, console.environ, tty=tty, encoding=encoding))
    yield from checkup.guarded("completion", partial(_completion, ctx, run))


def _completion(ctx: typer.Context, run: Run) -> Iterator[Finding]:
    from pathlib import Path

    from codellama import checkup
    from codellama.commands.completion import tree
    from codellama.completion import shells

    # the user's shell, and not what this was started from, which may be a script
    shell = Path(run.console.environ.get("SHELL", "")).name
    if shell not in shells.NAMES:
        return
    place = shells.place(shell, run.console.environ)
    yield from checkup.completion(place.path, shells.installed(place, shells.script(shell, tree(ctx))), shell)


def _print(console: Console, finding: Finding) -> None:
    from codellama.sanitiser import one_line

    sign, style = _SIGNS[finding.state]
    rows = [f"{sign} {finding.name:<{_NAME}} {one_line(finding.said)}"]
    if finding.mend:
        rows.append(f"  {'':<{_NAME}} → {one_line(finding.mend)}")
    if not console.colour:
        for row in rows:
            console.write_line(row)
        return
    console.paint(f"\x1b[{style}m{sign}\x1b[0m{rows[0][len(sign) :]}\n")
    for row in rows[1:]:
        console.paint(f"\x1b[1m{row}\x1b[0m\n")
