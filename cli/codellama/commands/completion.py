"""`codellama completion`: TAB in bash, zsh and fish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.options import Run

if TYPE_CHECKING:
    from codellama.completion.tree import Command

app = typer.Typer(no_args_is_help=True, help="Complete commands, options, models and lines with TAB.")

ShellArgument = Annotated[
    str | None, typer.Argument(metavar="bash|zsh|fish", help="The shell; else the one this was started from.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")]


@app.command("install")
def install(
    ctx: typer.Context,
    shell: ShellArgument = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is not codellama's.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Write the script to where the shell looks for it. What is there already and right stays as it is."""
    from codellama.completion import shells

    run: Run = ctx.obj
    run.console.quiet = run.console.quiet or quiet
    found = shells.name(shell, run.console.environ)
    place = shells.place(found, run.console.environ)
    new = shells.install(place, shells.script(found, tree(ctx)), force=force)
    run.console.note(f"{place.path}: {'written' if new else 'is there already'}")
    run.console.note(place.todo or f"a new {found} completes codellama with TAB")


@app.command("show")
def show(ctx: typer.Context, shell: ShellArgument = None) -> None:
    """Print the script."""
    from codellama.completion import shells

    run: Run = ctx.obj
    run.console.write(shells.script(shells.name(shell, run.console.environ), tree(ctx)))


@app.command("uninstall")
def uninstall(ctx: typer.Context, shell: ShellArgument = None, *, quiet: QuietOption = False) -> None:
    """Remove what install wrote."""
    from codellama.completion import shells

    run: Run = ctx.obj
    run.console.quiet = run.console.quiet or quiet
    place = shells.place(shells.name(shell, run.console.environ), run.console.environ)
    run.console.note(f"{place.path}: {'removed' if shells.uninstall(place) else 'is not there'}")


def tree(ctx: typer.Context) -> Command:
    """The command tree of the program that runs."""
    from codellama.completion.tree import read

    return read(ctx.find_root().command)
