"""What a command works on: an argument, a file, standard input, or some of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codellama import attachments, holes, lexis, rules, source, syntax
from codellama.console import Console
from codellama.errors import InputError
from codellama.source import Source


@dataclass(frozen=True, slots=True)
class Input:
    text: str
    filename: str | None
    # None: no file was named


def gather(console: Console, argument: str | None, file: Path | None, example: str) -> Input:
    """File, standard input and argument, in this order, each on a line of its own.

    Standard input is read where it is no terminal. `-` as the file or the argument is standard input, also on a
    terminal. Raises InputError where there is nothing to read, with the example.
    """
    from_stdin = argument == "-" or str(file) == "-"
    file = None if str(file) == "-" else file
    text = _together(console, argument, source.read_file(file).text if file else "", example, from_stdin, file)
    return Input(text, file.name if file else None)


def question(console: Console, argument: str | None, files: Sequence[str], example: str | None) -> str:
    """What is asked: attached files (`PATH[:A[-B]]`, each a fenced block below its name), standard input and argument,
    as `gather` puts them together; without an example it may be nothing.
    """
    from_stdin = argument == "-" or "-" in files
    attached = [attachments.read(attachments.place(file)).markdown for file in files if file != "-"]
    return _together(console, argument, "".join(attached), example, from_stdin)


def _together(
    console: Console, argument: str | None, before: str, example: str | None, from_stdin: bool, file: Path | None = None
) -> str:
    argument = None if argument == "-" else argument
    piped = source.read_stdin(console.stdin).text if from_stdin or not console.stdin_tty else ""
    said = "" if argument is None else source.check_argument(argument, "the argument")
    text = join([before, piped, said])
    if not text and example is not None:
        asked = "the argument is empty" if argument == "" else "there is nothing to read"
        what = f"{file} is empty" if file else asked if console.stdin_tty else "standard input is empty"
        raise InputError(f"{what}; for example: {example}")
    return text


def read_one(console: Console, file: Path | None, example: str) -> Input:
    """One file; without one, or with `-`, standard input.

    Raises InputError on a terminal where no file is named, with the example.
    """
    if file is None and console.stdin_tty:
        raise InputError(f"there is nothing to read; for example: {example}")
    if file is None or str(file) == "-":
        return Input(source.read_stdin(console.stdin).text, None)
    return Input(source.read_file(file).text, file.name)


def join(parts: list[str]) -> str:
    """The parts joined by a newline, where the part before does not end in one."""
    joined = ""
    for part in filter(None, parts):
        joined += ("\n" if joined and not joined.endswith("\n") else "") + part
    return joined


@dataclass(frozen=True, slots=True)
class Target:
    """A text and the gaps in it that are to be filled."""

    source: Source
    gaps: list[holes.Gap]
    language: str
    line: int | None
    # the one that was asked for; None: markers say where

    def hole(self, fills: Sequence[str] = (), stand_in: str = "") -> holes.Hole:
        """The first gap without a fill, and what stands around it; `stand_in` stands in the gaps behind it."""
        return holes.hole(self.source.text, self.gaps, fills, self.language, stand_in)

    def stand_in(self) -> str:
        """What may stand in all gaps so that the text parses; "": nothing that is known."""

        def parses(filler: str) -> bool | None:
            first = self.hole(stand_in=filler)
            return rules.fits(first.indent + filler, first)

        return next(filter(parses, syntax.placeholders(self.language)), "")

    def where(self, number: int) -> str:
        """What to call a gap in a message."""
        if self.line:
            return f"line {self.line}"
        return f"hole {number + 1} of {len(self.gaps)}" if len(self.gaps) > 1 else "the hole"


def target(console: Console, argument: str | None, example: str, language: str | None = None) -> Target:
    """What FILE[:LINE[:COL]] or standard input asks to fill. `language`: as it was asked for.

    Raises InputError where there is nothing to read (with the example), no such line, or no marker.
    """
    if argument is None and console.stdin_tty:
        raise InputError(f"there is nothing to fill; for example: {example}")
    place = holes.Place(None) if argument is None else holes.place(argument)
    read = source.read_stdin(console.stdin) if place.path is None else source.read_file(place.path)
    if place.line is None:
        gaps = holes.gaps_marked(read.text)
        if not gaps:
            named = "codellama infill -- -:42 < app.py" if place.path is None else example
            raise InputError(f"{read.name}: has no {holes.FILL_ME} in it; put one, or name a line: {named}")
    else:
        gaps = [holes.gap_at(read.text, read.name, place.line, place.column)]
        if holes.FILL_ME in read.text:
            console.note(f"{read.name}: holds {holes.FILL_ME}, which is plain text where a line is named")
    spoken = syntax.language_of(read.path.name if read.path else None, language)
    return Target(read, gaps, spoken, place.line)


def context(files: Sequence[Path], language: str) -> list[tuple[str, str]]:
    """Other files' names, and their texts as a model sees them: each below its name, a comment of the language."""
    return [
        (str(file), f"{lexis.comment(str(file), language)}\n{holes.plain(source.read_file(file).text).rstrip()}\n\n")
        for file in files
    ]
