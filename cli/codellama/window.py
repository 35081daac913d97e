"""What of a hole's surroundings fits into a model's context: the part of it that is nearest to the hole."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codellama.tokenizer import Tokenizer

SUFFIX_SHARE = 4
# the suffix may take a fourth of the room, as in llama.cpp's server, and so may other files together


@dataclass(frozen=True, slots=True)
class Part:
    """A text cut down to what fits."""

    name: str
    # "before the hole", "behind the hole", or "of" a file
    text: str
    kept: int
    total: int
    # tokens


@dataclass(frozen=True, slots=True)
class Window:
    prefix: Part
    suffix: Part
    context: tuple[Part, ...] = ()
    # other files' texts, which go before the prefix

    @property
    def cuts(self) -> list[Part]:
        """The parts that lost something."""
        return [part for part in (*self.context, self.prefix, self.suffix) if part.kept < part.total]

    @property
    def before(self) -> str:
        """All that goes before the hole."""
        return "".join(part.text for part in self.context) + self.prefix.text


def fit(tokenizer: Tokenizer, prefix: str, suffix: str, room: int, context: Sequence[tuple[str, str]] = ()) -> Window:
    """The parts of prefix, suffix and other files (name and text) that take at most `room` tokens together.

    Prefix and suffix are cut by whole lines, away from the hole, at about 3 : 1 of the room; other files at their
    ends. The side that needs less leaves its rest to the other. A line that is itself too long is cut within.
    """
    before, behind = len(tokenizer.encode(prefix)), len(tokenizer.encode_infill(suffix))
    needs = [len(tokenizer.encode(text)) for _, text in context]
    others = min(sum(needs), max(room // SUFFIX_SHARE, room - before - behind))
    files = tuple(
        _head(f"of {name}", text, need, share, lambda part: len(tokenizer.encode(part)), whole_lines=True)
        for (name, text), need, share in zip(context, needs, shares(needs, others), strict=True)
    )
    rest = room - sum(file.kept for file in files)
    suffix_room = min(behind, max(rest // SUFFIX_SHARE, rest - before))
    return Window(
        _tail("before the hole", prefix, before, rest - suffix_room, lambda part: len(tokenizer.encode(part))),
        _head("behind the hole", suffix, behind, suffix_room, lambda part: len(tokenizer.encode_infill(part))),
        files,
    )


def shares(needs: Sequence[int], room: int) -> list[int]:
    """The room shared out evenly; who needs less leaves the rest to the others."""
    given = [0] * len(needs)
    for number, index in enumerate(sorted(range(len(needs)), key=lambda index: needs[index])):
        given[index] = min(needs[index], room // (len(needs) - number))
        room -= given[index]
    return given


def _head(
    name: str, text: str, total: int, room: int, count: Callable[[str], int], *, whole_lines: bool = False
) -> Part:
    if total <= room:
        return Part(name, text, total, total)
    ends = [match.end() for match in re.finditer("\n", text)]
    cut = _furthest(ends, room, lambda end: count(text[:end]))
    if cut is None and not whole_lines:
        first = ends[0] if ends else len(text)
        cut = _furthest(range(1, first), room, lambda end: count(text[:end])) or 0
    return Part(name, text[: cut or 0], count(text[:cut]) if cut else 0, total)


def _tail(name: str, text: str, total: int, room: int, count: Callable[[str], int]) -> Part:
    if total <= room:
        return Part(name, text, total, total)
    starts = [match.end() for match in re.finditer("\n", text)][::-1]
    # a prefix that ends in a newline: the start of the line to fill is no line
    starts = starts[1:] if starts[:1] == [len(text)] else starts
    cut = _furthest(starts, room, lambda start: count(text[start:]))
    if cut is None:
        last = starts[0] if starts else 0
        cut = _furthest(range(len(text) - 1, last, -1), room, lambda start: count(text[start:])) or len(text)
    return Part(name, text[cut:], count(text[cut:]) if cut < len(text) else 0, total)


def _furthest(cuts: Sequence[int], room: int, count: Callable[[int], int]) -> int | None:
    """The last of the cuts, which keep more and more, that keeps at most `room` tokens; None: not even the first.

    Looks at twice as many each time and then between, so that what is counted stays near the size of the room.
    """
    good, step = -1, 1
    while good + step < len(cuts) and count(cuts[good + step]) <= room:
        good, step = good + step, step * 2
    bad = min(good + step, len(cuts))
    while bad - good > 1:
        middle = (good + bad) // 2
        if count(cuts[middle]) <= room:
            good = middle
        else:
            bad = middle
    return cuts[good] if good >= 0 else None
