"""`codellama docstring`: write the docstrings that Python files lack; also as a git hook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.options import Run, Shared, with_shared
from codellama.errors import CodellamaError, ExitCode, InputError, ReaderGoneError
from codellama.style import Style
from codellama.wording import count

if TYPE_CHECKING:
    import ast

    from codellama.changes import Lines
    from codellama.commands.scribe import Scribe
    from codellama.console import Console
    from codellama.definitions import Definition, Selection
    from codellama.source import Source

EXAMPLE = "codellama docstring src/"
_STDIN = Path("-")


@dataclass
class _Tally:
    """What came of the files."""

    filled: int = 0
    skipped: int = 0
    left: int = 0
    changed: int = 0
    # files
    unread: int = 0
    # files too
    failure: CodellamaError | None = None
    # the first that kept a file from being read or written

    def fail(self, console: Console, error: CodellamaError) -> None:
        console.error(str(error))
        self.failure = self.failure or error

    def skip(self, console: Console, error: InputError, *, fail_open: bool) -> None:
        """A file that cannot be read, or is no Python of this version: no reason to stop where it is to fail open."""
        self.unread += 1
        if fail_open:
            console.warn(str(error))
        else:
            self.fail(console, error)

    def code(self, *, found: bool) -> int:
        """3 where something was found, or changed; else what the first failure says."""
        if found:
            return ExitCode.HOOK_CHANGED
        return self.failure.exit_code if self.failure else ExitCode.DONE


@with_shared
def docstring(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Python files, and directories with them; -: standard input."),
    ] = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Name what is missing; no model is needed.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print a unified diff, and write nothing.")] = False,
    modules: Annotated[bool, typer.Option("--modules", help="Modules too.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Names that begin with an underscore too.")] = False,
    magic: Annotated[bool, typer.Option("--magic", help="__init__ and other such methods too.")] = False,
    tests: Annotated[bool, typer.Option("--tests", help="Tests too.")] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what differs from the last commit, staged or not.")
    ] = False,
    since: Annotated[str | None, typer.Option(metavar="REV", help="Only what differs from a commit.")] = None,
    staged: Annotated[
        bool, typer.Option("--staged", help="As --changed, in the files of the next commit that are staged wholly.")
    ] = False,
    max_functions: Annotated[
        int | None, typer.Option(metavar="N", help="Ask for N docstrings at most, and leave the others.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(metavar="S", help="Leave what is not done in S seconds.")] = None,
    style: Annotated[
        Style, typer.Option(help="plain: a sentence or two; the others describe parameters and what is returned too.")
    ] = Style.PLAIN,
    fail_open: Annotated[
        bool, typer.Option("--fail-open", help="Without a model that works: say so, touch nothing, exit 0.")
    ] = False,
    shared: Shared,
) -> None:
    """Write the docstrings that functions, methods and classes lack, and change nothing else.

    Exits with 3 where a file was changed, or with --check, where something is missing.
    """
    from codellama import changes, project, source, walk
    from codellama.commands import outputs
    from codellama.definitions import Selection

    began = monotonic()
    run: Run = ctx.obj
    console = run.console
    shared.apply_quiet(run)
    if check and diff:
        raise InputError("--check and --diff exclude each other: choose one")
    if max_functions is not None and max_functions < 1:
        raise InputError(f"max-functions must be 1 or more, not {max_functions}")
    if timeout is not None and not timeout > 0:
        raise InputError(f"timeout must be above 0 seconds, not {timeout:g}")
    if staged and paths:
        raise InputError("--staged takes the files from git: leave the paths out")
    if "" in (paths or ()):
        # to a Path it would be the current directory
        raise InputError(f"a path is empty; for example: {EXAMPLE}")
    named = [Path(path) for path in paths or ()]
    if staged:
        index = changes.staged()
        named = [path for path in index.wholly if path.suffix == walk.SUFFIX]
        for path in index.partly:
            if path.suffix == walk.SUFFIX:
                console.warn(f"{path}: has changes that are not staged, so it is left alone")
    elif not named and (changed or since is not None):
        named = [Path()]
    elif not named:
        raise InputError(f"there is nothing to document; for example: {EXAMPLE}")
    if _STDIN in named and len(named) > 1:
        raise InputError("standard input stands alone: leave out - or the files")
    options, tally = shared.load_options(run), _Tally()
    stdin = source.read_stdin(console.stdin) if named == [_STDIN] else None
    given = [_STDIN] if stdin else walk.python_files(named)
    files = given if tests or stdin else [path for path in given if not project.is_test(path)]
    touched, tests_left = None, len(given) - len(files)
    if changed or staged or since is not None:
        if stdin:
            raise InputError("git knows nothing of standard input: leave --changed and --since out")
        touched = changes.touched(files, since)
        files = [path for path in files if touched[path].spans]
    selection = Selection(modules, private, magic)
    found = _find(console, files, stdin, selection, touched or {}, tally, named=check, fail_open=fail_open)
    total, among = sum(each.missing for each in found), f"in {count(len(files) - tally.unread, 'file')}"
    if tally.unread:
        among += f"; {count(tally.unread, 'file')} could not be read"
    if tests_left == len(given) > 0:
        among += f" ({count(tests_left, 'test')} left out; --tests takes tests too)"
    if check or not total:
        if stdin and not check:
            outputs.show(console, stdin.raw.decode("utf-8"), stdin, "python")
        said = count(total, "docstring") if total else "no docstring is"
        console.note(f"{said} missing {among}")
        raise typer.Exit(tally.code(found=total > 0))
    # 0.05 s that a hook with nothing to do goes without
    from codellama import questions
    from codellama.commands.scribe import MAX_TOKENS, Scribe

    try:
        # the demonstration writes into files only where it is asked for: a hook may run where nobody looks
        shown = diff or stdin is not None
        model = shared.find_model(run, "docstring", absent_ok=True, demonstration_ok=shown and not fail_open)
        chats = questions.chats(model, insist=shared.insist)
        sampling = shared.sampling(
            run, temperature=0.0, top_p=0.9, max_tokens=MAX_TOKENS[style], stop=() if chats else ('"""', "'''"),
            repetition_penalty=1.0, no_repeat_ngram=0,
        )  # fmt: skip
        _ = model.home
        backend = run.open_backend(model, options, min(model.context, questions.LARGEST))
        for note in backend.notes:
            console.warn(note)
        with console.progress(model.name) as line:
            deadline = float("inf") if timeout is None else began + timeout
            most = float("inf") if max_functions is None else max_functions
            scribe = Scribe(backend, sampling, deadline, most, line, style, chats)
            for number, each in enumerate(found, 1):
                scribe.where = f"{each.path} ({number} of {len(found)})"
                _fill(console, each, scribe, tally, diff=diff)
    except KeyboardInterrupt:
        console.note(f"interrupted; {count(tally.changed, 'file')} changed, the others are as they were")
        raise
    except CodellamaError as error:
        if not fail_open or isinstance(error, ReaderGoneError):
            raise
        untouched = "nothing was touched" if not tally.changed else f"{count(tally.changed, 'file')} changed before"
        console.warn(f"{error}; {untouched}")
        raise typer.Exit(tally.code(found=tally.changed > 0)) from None
    _sum_up(console, tally, scribe)
    raise typer.Exit(tally.code(found=tally.changed > 0))


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that lacks docstrings. It is read again when its turn comes: that may be minutes later."""

    path: Path
    missing: int
    selection: Selection
    lines: Lines
    # those that count
    stdin: Source | None
    # what was read, where it is standard input

    def read(self) -> tuple[Source, ast.Module, list[Definition]]:
        """Raises InputError."""
        from codellama import definitions, source

        given = self.stdin or source.read_file(self.path)
        tree = definitions.read(given)
        missing = definitions.missing(tree, self.selection)
        return given, tree, [each for each in missing if self.lines.overlaps(*each.own_lines)]


def _find(
    console: Console,
    files: Sequence[Path],
    stdin: Source | None,
    selection: Selection,
    touched: Mapping[Path, Lines],
    tally: _Tally,
    *,
    named: bool,
    fail_open: bool,
) -> list[_Found]:
    """The files that lack docstrings; `named`: print each definition that does.

    `touched`: lines that count alone; of a file that is not there, all.
    """
    from codellama import changes
    from codellama.sanitiser import one_line

    found = []
    for path in files:
        each = _Found(path, 0, selection, touched.get(path, changes.ALL), stdin)
        try:
            given, _, lacking = each.read()
        except InputError as error:
            tally.skip(console, error, fail_open=fail_open)
            continue
        if lacking:
            found.append(replace(each, missing=len(lacking)))
        for definition in lacking if named else ():
            console.write_line(f"{one_line(given.name)}:{definition.line}: {definition.title} has no docstring")
    return found


def _fill(console: Console, found: _Found, scribe: Scribe, tally: _Tally, *, diff: bool) -> None:
    """Fill one file, and write or print it. What keeps it from that is told, and the next one can go on."""
    from codellama import docstrings, edit, project
    from codellama.commands import outputs

    write = found.stdin is None and not diff
    try:
        given, tree, wanted = found.read()
        if write:
            edit.check(given)
        width = project.line_length(found.path.absolute().parent)
    except CodellamaError as error:
        tally.fail(console, error)
        return
    outcome = docstrings.fill(given, tree, wanted, scribe, width, scribe.style)
    tally.skipped += len(outcome.skipped)
    tally.left += len(outcome.left)
    for skip in outcome.skipped:
        console.warn(f"{given.name}:{skip.definition.line}: {skip.definition.title} skipped: {skip.reason}")
    if diff:
        outputs.show(console, edit.unified(given, outcome.new), given, "diff")
    elif not write:
        outputs.show(console, outcome.new.decode("utf-8"), given, "python")
    elif outcome.filled:
        try:
            edit.write(given, outcome.new)
        except CodellamaError as error:
            tally.fail(console, error)
            outputs.show(console, edit.unified(given, outcome.new), given, "diff")
            return
        tally.changed += 1
        console.note(f"{given.name}: {count(len(outcome.filled), 'docstring')} written")
    tally.filled += len(outcome.filled)


def _sum_up(console: Console, tally: _Tally, scribe: Scribe) -> None:
    parts = [count(tally.filled, "docstring") + (f" in {count(tally.changed, 'file')}" if tally.changed else "")]
    parts += [f"{tally.skipped} skipped"] if tally.skipped else []
    parts += [f"{tally.left} left for another run"] if tally.left else []
    parts += [f"of {scribe.cut} the model did not see the end"] if scribe.cut else []
    console.note("; ".join(parts))
