"""What is done to a fill after it was generated: each rule by itself, a pure function of the fill and its hole.

The rules are those that editors' plugins have (Tabby, Continue, twinny, llama.vim), made careful: on the reference
solutions of HumanEval's infilling tasks none may break what works. `infill.clean` applies them in order, and takes none
that would turn a file that parses into one that does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from codellama import brackets, indentation, syntax
from codellama.holes import Hole

Rule = Callable[[str, Hole], str]

PIECES = ("<PRE>", "<SUF>", "<MID>", "<EOT>", "</s>", "<s>")
# as text: the ids end a fill before it comes here
SIMILAR = 0.95
# of two texts: difflib's ratio, 1 less about the edit distance's share
REPEATS = 5
# similar lines in a row, the last of which ends the fill
_TAIL = 2000
# characters at the end of a fill in which a repetition is looked for: a regular expression with a backreference takes
# time with the square of them
_RUN = re.compile(r"([^\n]{3,}?)\1{5,}\Z")
_CLOSING = re.compile(r"[\s)\]}>;,]*|\s*end\b[;,]?\s*")
_INDENTED = re.compile(r"  |\t")
# one space may as well go on with a line
_NEAR = 4
# lines around a hole: the one before it and the next three
_LARGEST = 400_000
# characters of a file that is parsed to check a fill: half a second


@lru_cache(maxsize=256)
def parses(fill: str, hole: Hole) -> bool | None:
    """Whether the file parses with the fill; None: there is no parser for it, or the file is too long."""
    if len(hole.prefix) + len(hole.suffix) > _LARGEST:
        return None
    return syntax.parses(hole.filled(fill), hole.language)


def fits(fill: str, hole: Hole) -> bool | None:
    """Whether the file parses with the fill, once before an indented line it ends with a newline (`line_end`).

    Without one `while x:` would take a statement from there.
    """
    ends = not hole.between_lines or fill.endswith("\n") or not _INDENTED.match(hole.suffix)
    return parses(fill if ends else fill + "\n", hole)


def faults(fill: str, hole: Hole) -> int:
    """Brackets and strings of the file that match nothing, with the fill: where there is no parser."""
    return brackets.balance(hole.filled(fill), hole.language).faults


def strip_pieces(fill: str, hole: Hole) -> str:
    """End at the name of a control piece, unless the file itself has that text."""
    names = [name for name in PIECES if name not in hole.prefix and name not in hole.suffix]
    cut = min((at for at in map(fill.find, names) if at >= 0), default=len(fill))
    # SentencePiece's space before the name
    return fill[:cut].removesuffix(" ") if cut < len(fill) else fill


def indent(fill: str, hole: Hole) -> str:
    """Begin with the indentation of the blank line that is filled, where it is missing."""
    wanted = hole.indent or indentation.expected_indent(hole)
    if not hole.starts_line or not wanted or not fill.strip() or fill[0].isspace():
        return fill
    if not hole.indent and fits(fill, hole) is not False:
        return fill
    alone, every = wanted + fill, indentation.shifted(fill, wanted)
    if fits(every, hole) is False or fits(alone, hole) is True:
        return alone
    return alone if all(line.startswith(wanted) for line in alone.split("\n") if line.strip()) else every


def one_line(fill: str, hole: Hole) -> str:
    """In mid-line, or where asked for: one line, or as many as asked for."""
    end = lines_end(fill, hole)
    if hole.starts_line and (hole.one_line or hole.lines):
        return fill[:end].lstrip("\n")
    return fill[:end]


def lines_end(fill: str, hole: Hole) -> int | None:
    """Where a fill has all the lines that it may have; None: not yet, or there is no limit."""
    most = 1 if hole.one_line else hole.lines
    # blank lines before the first are none, unless the fill goes on with a line
    at = len(fill) - len(fill.lstrip("\n")) if hole.starts_line else 0
    for _ in range(most or 0):
        at = fill.find("\n", at) + 1
        if not at:
            return None
    # between two lines the newline belongs to the fill
    return (at if hole.between_lines else at - 1) if most else None


def overlap(fill: str, hole: Hole) -> str:
    """Drop the longest end of the fill with which the rest of the line begins.

    Where the file parses as it is, only what is telling: a bracket may be needed twice.
    """
    right = hole.right.rstrip()
    for size in range(min(len(fill), len(right)), 0, -1):
        if not fill.endswith(right[:size]) or not right[:size].strip():
            continue
        shorter = fill[:-size]
        if fits(fill, hole) is False and fits(shorter, hole) is True:
            return shorter
        border = not (re.match(r"\w", right) and re.search(r"\w\Z", shorter))
        if border and len(re.findall(r"\w", right[:size])) >= 3 and fits(shorter, hole) is not False:
            return shorter
        if fits(fill, hole) is None and faults(shorter, hole) < faults(fill, hole):
            return shorter
    return fill


def trailing_lines(fill: str, hole: Hole) -> str:
    """Drop the last lines where the suffix begins with the same ones."""
    lines, ahead = fill.rstrip().split("\n"), indentation.following(hole)
    own = lines if hole.starts_line else lines[1:]
    for size in range(min(len(own), len(ahead)), 0, -1):
        same = [line.rstrip() for line in own[-size:]] == ahead[:size]
        if same and any(map(tells, ahead[:size])):
            return "\n".join(lines[: len(lines) - size])
    return fill


def repeats_suffix(fill: str, hole: Hole) -> str:
    """Drop a fill whose first three lines are, within five per cent, the suffix's."""
    own, ahead = (
        [line for line in fill.split("\n") if line.strip()][:3],
        [line for line in indentation.following(hole) if line][:3],
    )
    same = len(own) == len(ahead) == 3 and hole.starts_line and alike("\n".join(own), "\n".join(ahead))
    return "" if same else fill


def closing_line(fill: str, hole: Hole) -> str:
    """Drop a last line that only closes a block where the suffix begins with the same line."""
    body, _, last = fill.rstrip().rpartition("\n")
    ahead = next(iter(indentation.following(hole)), "")
    duplicate = last.strip() and _CLOSING.fullmatch(last) and last.rstrip() == ahead
    return body if duplicate and fits(fill, hole) is not True else fill


def scope(fill: str, hole: Hole) -> str:
    """Python: end at the first line that is dedented out of the hole's block, or its function or class."""
    cut = indentation.scope_end(fill, hole)
    return fill if cut is None else fill[:cut].rstrip()


def repetition(fill: str, hole: Hole) -> str:
    """Cut what the fill says again and again at its end: the same few characters, blocks of lines, similar lines."""
    return _run(_equal_blocks(_similar_lines(fill)))


def first_line(fill: str, hole: Hole) -> str:
    """Drop a first line that equals the line above the hole."""
    above = hole.prefix.rstrip("\n").rpartition("\n")[2].rstrip()
    first, newline, rest = fill.lstrip("\n").partition("\n")
    same = hole.starts_line and newline and tells(above) and first.rstrip() == above
    return rest if same else fill


def spaces(fill: str, hole: Hole) -> str:
    """Collapse a doubled space where fill and file meet in mid-line."""
    if hole.left.strip() and hole.left.endswith(" ") and fill.startswith(" "):
        fill = fill.lstrip(" ")
    if hole.right.strip() and hole.right.startswith(" ") and fill.endswith(" "):
        fill = fill.rstrip(" ")
    return fill


def line_end(fill: str, hole: Hole) -> str:
    """End where the file goes on: without a newline before one, with one between two lines."""
    if not fill.strip():
        return ""
    if hole.suffix.startswith("\n"):
        return fill.rstrip()
    if not hole.starts_line or (hole.suffix and not fits(fill.rstrip("\n") + "\n", hole)):
        return fill
    return fill.rstrip("\n") + "\n"


def close_brackets(fill: str, hole: Hole) -> str:
    """Where the file does not parse: with the brackets that it lacks, at the fill's end or before its last colon."""
    lacking = 0 if fits(fill, hole) is not False else brackets.balance(hole.filled(fill), hole.language).unclosed
    if not lacking or not fill.strip():
        return fill
    body = fill.rstrip()
    closers = brackets.closers(hole.prefix + body, hole.language)[:lacking]
    for at in (len(body), len(body) - body.endswith(":")):
        closed = body[:at] + closers + body[at:] + fill[len(body) :]
        if fits(closed, hole):
            return closed
    return fill


def reindent(fill: str, hole: Hole) -> str:
    """Where the file does not parse: another indentation that the lines around the hole have, if it parses then."""
    if not hole.starts_line or not fill.strip() or fits(fill, hole) is not False:
        return fill
    expected = hole.indent or indentation.expected_indent(hole)
    near = [indentation.last_line(hole), *filter(None, indentation.following(hole))][:_NEAR]
    above, *ahead = map(indentation.margin, near)
    # of a line that opens the block behind the hole
    header = ahead[0][:-4] if ahead else ""
    for wanted in dict.fromkeys((expected, above, *ahead[:1], header, *ahead)):
        shifted = line_end(indentation.shifted(fill, wanted), hole)
        if fits(shifted, hole):
            return shifted
    return fill


def complete_lines(fill: str, hole: Hole) -> str:
    """Of a fill that was cut short in mid-line, its complete lines; one that has none stays."""
    shorter = fill[: fill.rfind("\n") + 1]
    return shorter if shorter.strip() else fill


def whole_lines(fill: str, hole: Hole) -> str:
    """Where the file does not parse: as many of the first lines as it parses with; it was cut short, or went astray."""
    if fits(fill, hole) is not False:
        return fill
    lines = fill.split("\n")
    for size in range(len(lines) - 1, 0, -1):
        # between two lines whole ones end in a newline: without it the next would be theirs
        shorter = line_end("\n".join(lines[:size]) + ("\n" if hole.between_lines else ""), hole)
        if shorter.strip() and fits(shorter, hole):
            return shorter
    return fill


def alike(one: str, other: str) -> bool:
    """Whether two texts are the same within five per cent. Another name or number is another text: `i` is not `j`."""
    from difflib import SequenceMatcher

    if re.findall(r"\w+", one) != re.findall(r"\w+", other):
        return False
    return one == other or SequenceMatcher(None, one, other, autojunk=False).ratio() >= SIMILAR


def _run(fill: str) -> str:
    start = max(len(fill) - _TAIL, 0)
    match = _RUN.search(fill.rstrip("\n"), start)
    # a ruler (----) and an indentation are no such thing
    return fill[: match.end(1)] if match and re.search(r"\w", match[1]) else fill


def _equal_blocks(fill: str) -> str:
    lines = fill.rstrip().split("\n")
    count = len(lines)
    for size in range(2, len(lines) // 2 + 1):
        block = lines[count - size : count]
        while any(map(tells, block)) and lines[count - 2 * size : count - size] == block and count >= 2 * size:
            count -= size
    return fill if count == len(lines) else "\n".join(lines[:count])


def _similar_lines(fill: str) -> str:
    lines = fill.rstrip().split("\n")
    first = len(lines) - 1
    while first > 0 and tells(lines[first]) and alike(lines[first - 1].strip(), lines[first].strip()):
        first -= 1
    return fill if len(lines) - first < REPEATS else "\n".join(lines[: first + 1])


def tells(line: str) -> bool:
    """Whether a line says something: a lone bracket may well stand twice."""
    return bool(re.search(r"\w", line))


# in the order in which they are applied
RULES: tuple[Rule, ...] = (
    strip_pieces,
    indent,
    one_line,
    overlap,
    trailing_lines,
    repeats_suffix,
    closing_line,
    scope,
    repetition,
    first_line,
    spaces,
    line_end,
    close_brackets,
    reindent,
    whole_lines,
)
DUPLICATION = frozenset({"overlap", "trailing_lines", "repeats_suffix", "closing_line", "repetition", "first_line"})
# a fill to which one of these was done said something twice
REPAIRS = frozenset({"close_brackets", "reindent", "whole_lines"})
# a fill to which one of these was done would have broken the file
