"""The lines around a hole and their indentation: which a fill has, should have, and where it leaves its block."""

from __future__ import annotations

import re
from functools import lru_cache

from codellama import brackets
from codellama.holes import Hole

_SCOPE = re.compile(r"(async\s+def|def|class)\b")
_CLAUSES = ("else", "elif", "except", "finally", "case")
_CLAUSE = re.compile(rf"(?:{'|'.join(_CLAUSES)})\b")
_OPENS_BLOCK = re.compile(r":\s*(#.*)?\Z")


@lru_cache(maxsize=8)
def following(hole: Hole) -> list[str]:
    """The lines behind the hole's own, from the first that is not blank; in whole-line holes all of the suffix's."""
    behind = hole.suffix if hole.starts_line else hole.suffix.partition("\n")[2]
    return [line.rstrip() for line in re.sub(r"\A(?:[ \t]*\n)+", "", behind).split("\n")]


def last_line(hole: Hole) -> str:
    """The last line before the hole that is not blank."""
    return next((line for line in reversed(hole.prefix.split("\n")) if line.strip()), "")


def margin(line: str) -> str:
    """The white space that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def shifted(fill: str, wanted: str) -> str:
    """The fill with its first line's indentation replaced, in all lines that have it."""
    lines = fill.split("\n")
    own = margin(next(filter(str.strip, lines)))
    return "\n".join(wanted + line[len(own) :] if line.strip() and line.startswith(own) else line for line in lines)


def expected_indent(hole: Hole) -> str:
    """The indentation that a Python block has at an empty line, as far as the lines around it tell."""
    if hole.language != "python":
        return ""
    above = last_line(hole)
    own, ahead = margin(above), margin(next(filter(None, following(hole)), ""))
    if _OPENS_BLOCK.search(above):
        return ahead if len(ahead) > len(own) else own + ("\t" if own.startswith("\t") else "    ")
    return own


def scope_end(fill: str, hole: Hole) -> int | None:
    """Where the line starts that leaves what the hole is in; None: none does, or it is not Python.

    A hole that is a line of its own is in a block, whose level the fill's first line chooses; `else` and the like may
    go on with the statement around it. Any other hole is in a function or class: of HumanEval's solutions for random
    spans four leave their block, and go on in the function.
    """
    if hole.language != "python":
        return None
    alone = hole.starts_line and not hole.between_lines
    lines = fill.split("\n")
    level = _width(next(filter(str.strip, lines), "")) if alone else _floor(fill, hole)
    at = 0
    for number, line in enumerate(lines):
        word = line.strip()
        outside = word and _width(line) < level and (number or hole.starts_line) and not word.startswith("#")
        if outside and not brackets.inside_string(hole.prefix + fill[:at], "python"):
            clause = alone and _width(line) >= _floor(fill, hole) and _CLAUSE.match(word)
            growing = number == len(lines) - 1 and any(name.startswith(word) for name in _CLAUSES)
            if not clause and not growing:
                return at
            level = min(level, _width(line) + 1)
        at += len(line) + 1
    return None


def _floor(fill: str, hole: Hole) -> int:
    """The least indentation that a line of the fill may have; 0: any.

    The fill's first line chooses the block that it goes on with; a missing indentation has been added before.
    """
    lines = hole.prefix.split("\n")
    first = next((line for line in fill.split("\n") if line.strip()), "")
    level = _width(first if hole.starts_line else lines[-1])
    floor = 0
    if not hole.starts_line and _SCOPE.match(lines[-1].lstrip()) and _OPENS_BLOCK.search(lines[-1]):
        floor = level + 1
    for line in reversed(lines[:-1]):
        if floor or level == 0:
            break
        if line.strip() and not line.lstrip().startswith("#") and _width(line) < level:
            level = _width(line)
            floor = level + 1 if _SCOPE.match(line.lstrip()) else 0
    ahead = next((line for line in following(hole) if line), "")
    # the suffix goes on in an outer function: so may the fill
    if 0 < _width(ahead) < floor and not _SCOPE.match(ahead.lstrip()) and not ahead.lstrip().startswith("@"):
        floor = _width(ahead)
    return floor


def _width(line: str) -> int:
    line = line.expandtabs(8)
    return len(line) - len(line.lstrip())
