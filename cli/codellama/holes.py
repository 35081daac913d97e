"""Where a fill goes, and what stands around it: FILE:LINE[:COL], or a marker in a text."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codellama.errors import InputError
from codellama.wording import count

FILL_ME = "<FILL_ME>"
# Meta's marker (example_infilling.py of the reference repository)
LINE_END = re.compile(r"\r\n?|\n")
# as Python and editors see them; a form feed ends no line
_CLOSERS = ")]}\"'`;, \t"
# right of the cursor they leave room for several lines: INFILL's "anything but closers"


@dataclass(frozen=True, slots=True)
class Place:
    """What FILE, FILE:LINE or FILE:LINE:COL says."""

    path: Path | None
    # None: standard input
    line: int | None = None
    # from 1; None: the markers in the text say where
    column: int | None = None
    # from 1, in characters: the fill goes before it; None: the end of the line


@dataclass(frozen=True, slots=True)
class Gap:
    """The part of a text that a fill replaces: offsets in characters, line ends as they are."""

    start: int
    end: int
    indent: str = ""
    # what a blank line had before the hole; the fill begins with it


@dataclass(frozen=True, slots=True)
class Hole:
    """What stands around a gap, with line ends as "\\n", which is how a model sees them."""

    prefix: str
    suffix: str
    indent: str = ""
    language: str = "python"
    # by Pygments' name
    lines: int | None = None
    # most lines that a fill may have; None: the place says whether it is one

    @property
    def left(self) -> str:
        """What stands before the hole on its line."""
        return self.prefix[self.prefix.rfind("\n") + 1 :]

    @property
    def right(self) -> str:
        """What stands behind the hole on its line."""
        return self.suffix.partition("\n")[0]

    @property
    def starts_line(self) -> bool:
        """Whether the fill begins a line of its own."""
        return not self.left

    @property
    def between_lines(self) -> bool:
        """Whether a line begins right behind it, so that the fill ends with a newline of its own."""
        return self.starts_line and bool(self.suffix) and not self.suffix.startswith("\n")

    @property
    def one_line(self) -> bool:
        """Whether a fill of one line is called for: by hand, or since something other than closers stands behind it.

        Before what closes a string of one line there is no room for more either; between two lines there is.
        """
        if self.lines is not None:
            return self.lines == 1
        if self.between_lines:
            return False
        closes_string = self.right[:1] in ("'", '"') and self.right[:1] * 3 != self.right[:3]
        return bool(self.right.strip(_CLOSERS)) or closes_string

    def filled(self, fill: str) -> str:
        return self.prefix + fill + self.suffix


def line_at(text: str, offset: int) -> int:
    """The number of the line, from 1, that a character of a text stands on."""
    return 1 + len(LINE_END.findall(text[:offset]))


def place(argument: str) -> Place:
    """FILE, FILE:LINE or FILE:LINE:COL. FILE is the longest path that exists; `-` is standard input.

    Raises InputError for a line or a column 0.
    """
    numbers: list[int] = []
    name = argument
    while name != "-" and not os.path.lexists(name) and len(numbers) < 2:
        match = re.fullmatch(r"(.+):(\d{1,15})", name, re.DOTALL | re.ASCII)
        if not match:
            break
        name = match[1]
        numbers.insert(0, int(match[2]))
    if 0 in numbers:
        raise InputError(f"{argument}: lines and columns count from 1")
    return Place(None if name == "-" else Path(name), *numbers)


def gap_at(text: str, name: str, line: int, column: int | None = None) -> Gap:
    """The gap at a line: a blank one is replaced, one with content is filled at its end, or before the column.

    A text that ends in a line end has one more line, an empty one, as editors show it. Raises InputError for a line
    or a column that is not there; `name` is the file's, for the message.
    """
    ends = [(match.start(), match.end()) for match in LINE_END.finditer(text)]
    ends.append((len(text), len(text)))
    if line > len(ends):
        # the last one may be the empty one behind the last line end
        raise InputError(f"{name}: there is no line {line}: the line is 1 to {len(ends)}")
    start, end = ends[line - 2][1] if line > 1 else 0, ends[line - 1][0]
    content = text[start:end]
    if column is not None and column > len(content) + 1:
        raise InputError(
            f"{name}: line {line} has {count(len(content), 'character')}, so the column is 1 to {len(content) + 1}"
        )
    before = content if column is None else content[: column - 1]
    if not content.strip():
        return Gap(start, end, before)
    return Gap(start + len(before), start + len(before))


def gaps_marked(text: str) -> list[Gap]:
    """The gaps at the markers. One that is alone on its line takes the line's indentation too.

    For a prefix that ends in spaces is always in mid-token: `    return` is `▁▁▁`, `▁return`.
    """
    gaps = []
    for match in re.finditer(re.escape(FILL_ME), text):
        start, end = match.span()
        line = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
        after = LINE_END.search(text, end)
        rest = after.start() if after else len(text)
        if text[line:start].strip() or text[end:rest].strip():
            gaps.append(Gap(start, end))
        else:
            gaps.append(Gap(line, rest, text[line:start]))
    return gaps


def hole(
    text: str, gaps: Sequence[Gap], fills: Sequence[str] = (), language: str = "python", stand_in: str = ""
) -> Hole:
    """What stands around the first gap that has no fill yet. Gaps that come later hold `stand_in`."""
    current = gaps[len(fills)]
    prefix, at = "", 0
    for gap, fill in zip(gaps, fills, strict=False):
        prefix += plain(text[at : gap.start]) + fill
        at = gap.end
    prefix += plain(text[at : current.start])
    at, suffix = current.end, ""
    for gap in gaps[len(fills) + 1 :]:
        suffix += text[at : gap.start] + (gap.indent + stand_in if stand_in else "")
        at = gap.end
    return Hole(prefix, plain(suffix + text[at:]), current.indent, language)


def plain(text: str) -> str:
    """The text with "\\n" for every line end: a `\\r` after a control piece is none that a model has seen."""
    return LINE_END.sub("\n", text) if "\r" in text else text
