"""The command tree; and the one place that turns errors into a line on stderr and an exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from codellama import __version__
from codellama.commands.attention import attention
from codellama.commands.chat import chat
from codellama.commands.complete import complete
from codellama.commands.completion import app as completion_app
from codellama.commands.convert import convert
from codellama.commands.docstring import docstring
from codellama.commands.doctor import doctor
from codellama.commands.history import app as history_app
from codellama.commands.infill import infill
from codellama.commands.models import app as models_app
from codellama.commands.options import Run
from codellama.commands.prompt import app as prompt_app
from codellama.console import Console
from codellama.errors import CodellamaError, ExitCode

# rich would draw boxes around help, at twice the time; tracebacks are shown as Python shows them
app = typer.Typer(
    name="codellama",
    help="Code Llama in your terminal.",
    no_args_is_help=True,
    # typer's own scripts run the program at each TAB, which takes 160 ms; `completion` has others
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"codellama {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


# the commands by what they are for; without a short help the list would cut the long one off
app.command("complete", short_help="Go on with a text.")(complete)
app.command("infill", short_help="Fill in the middle of a file.")(infill)
app.command("chat", short_help="Ask a question, or chat full-screen.")(chat)
app.command("docstring", short_help="Write the docstrings that are missing.")(docstring)
app.add_typer(models_app, name="models")
app.command("convert", short_help="Turn Meta's weights into a model directory.")(convert)
app.add_typer(history_app, name="history")
app.add_typer(prompt_app, name="prompt")
app.command("attention", short_help="Show which token of a prompt sees which.")(attention)
app.command("doctor", short_help="Find what is wrong on this machine.")(doctor)
app.add_typer(completion_app, name="completion")


def run(arguments: Sequence[str], state: Run) -> int:
    """Run a command line; every error has been told on stderr when this returns the exit code."""
    console = state.console
    try:
        code = app(arguments, prog_name="codellama", standalone_mode=False, obj=state)
        return code if isinstance(code, int) else ExitCode.DONE
    except CodellamaError as error:
        if error.exit_code is not ExitCode.READER_GONE:
            console.error(str(error))
        return error.exit_code
    except TyperException as error:
        _explain(error, console)
        return ExitCode.USAGE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except OSError as error:
        # help or a version that cannot be printed, a disk that fails: whatever no command knows more of
        console.error(" ".join(filter(None, [error.filename and f"{error.filename}:", error.strerror or str(error)])))
        console.abandon_stdout()
        return ExitCode.FAILED


def _explain(error: TyperException, console: Console) -> None:
    """A usage error on one line; a group called without a command gets its help, which is the error's message."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if message.startswith("Usage:"):
        console.stderr.write(message + "\n")
    elif context is None:
        console.error(message)
    elif message.startswith("No such option: -:"):
        console.error(f"a line of standard input goes behind --: {context.command_path} -- -:42")
    else:
        console.error(f"{message.rstrip('.')} (`{context.command_path} --help` tells more)")


def main() -> None:
    console = Console.from_process()
    code = run(sys.argv[1:], Run(console))
    if code == ExitCode.READER_GONE:
        console.abandon_stdout()
    # at exit the collector would go three times through what torch and transformers leave, 370,000 objects: the prompt
    # came back 0.95 s after the answer, and now 0.13 s
    gc.freeze()
    sys.exit(code)
