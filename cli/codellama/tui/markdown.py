"""Markdown as lines of text with styles. Code fences are not its business: they are widgets of their own (code.py).

Whatever a parser makes of a text is sanitised once more: an entity (`&#x202e;`) and an escape in an address (`%1b`)
become characters only there. HTML is text, since a `vector<int>` in prose would vanish otherwise, and an address is
shown beside what links to it, so that no link leads elsewhere unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from codellama.highlight import Run
from codellama.sanitiser import one_line, sanitise
from codellama.tui.lines import Line, cells, wrap_words

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

BULLETS = "•◦▪"
BAR = "▎ "
_STYLED = {"strong_open": "strong", "em_open": "em", "s_open": "struck"}
_LEAST = 4
# cells of a table's column, if there is room at all


@dataclass(frozen=True, slots=True)
class _Inline:
    text: str = ""
    runs: tuple[Run, ...] = ()


def lines(text: str, width: int) -> list[Line]:
    """The lines of a Markdown text: blocks apart by a blank one. `width`: cells, for tables and rules."""
    return _trimmed(_blocks(_parser().parse(sanitise(text)), width))


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # 20 ms

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _trimmed(found: Iterator[Line]) -> list[Line]:
    """Of blank lines in a row only the last, which stands the least deep; none at the end."""
    every: list[Line] = []
    for line in found:
        if every and not line.text and not every[-1].text and not line.words:
            every.pop()
        every.append(line)
    while every and not every[-1].text:
        every.pop()
    return every


@dataclass
class _Item:
    """What a list item puts before its first row, and before what follows."""

    first: str
    rest: str
    used: bool = False


def _blocks(tokens: Sequence[Token], width: int) -> Iterator[Line]:
    # quotations (a bar) and list items that are open
    open_: list[_Item] = []
    counters: list[int | None] = []
    # of the open lists: the next number; None: bullets
    tight: list[bool] = []
    heading = ""
    at = 0

    def prefixes() -> tuple[str, str]:
        first = "".join(item.rest if item.used else item.first for item in open_)
        for item in open_:
            item.used = True
        return first, "".join(item.rest for item in open_)

    def blank() -> Line:
        return Line("", first="".join(item.rest for item in open_).rstrip())

    while at < len(tokens):
        token = tokens[at]
        at += 1
        match token.type:
            case "heading_open":
                heading = "heading" if token.tag in ("h1", "h2") else "subheading"
            case "inline":
                first, rest = prefixes()
                yield from _paragraph(_inline(token.children or []), first, rest, heading)
            case "heading_close":
                heading = ""
                yield blank()
            case "paragraph_close":
                if not token.hidden:
                    yield blank()
            case "blockquote_open":
                open_.append(_Item(BAR, BAR))
            case "blockquote_close":
                open_.pop()
                yield blank()
            case "bullet_list_open" | "ordered_list_open":
                counters.append(int(token.attrs.get("start", 1)) if token.type.startswith("ordered") else None)
                tight.append(_is_tight(tokens, at))
            case "bullet_list_close" | "ordered_list_close":
                counters.pop()
                # a list in an item of a tight list is followed by the next item at once
                if tight.pop() and not (tight and tight[-1]):
                    yield blank()
            case "list_item_open":
                depth, number = len(counters) - 1, counters[-1]
                bullet = f"{BULLETS[depth % len(BULLETS)]} " if number is None else f"{number}. "
                counters[-1] = None if number is None else number + 1
                open_.append(_Item(bullet, " " * len(bullet)))
            case "list_item_close":
                item = open_.pop()
                if not item.used:
                    yield Line("", first="".join(one.rest for one in open_) + item.first)
            case "code_block" | "fence":
                for number, code in enumerate(sanitise(token.content).removesuffix("\n").split("\n")):
                    first, rest = prefixes() if not number else ("", "")
                    before = first or "".join(one.rest for one in open_)
                    code = code.expandtabs(4)
                    yield Line(code, ((0, len(code), "code"),), f"{before}  ", f"{rest or before}  ")
                yield blank()
            case "hr":
                yield Line("─" * max(width, 3), ((0, max(width, 3), "mark"),))
                yield blank()
            case "table_open":
                end = next(n for n in range(at, len(tokens)) if tokens[n].type == "table_close")
                first, rest = prefixes()
                for number, line in enumerate(_table(tokens[at:end], width - cells(first))):
                    yield replace(line, first=rest if number else first, rest=rest)
                yield blank()
                at = end + 1


def _is_tight(tokens: Sequence[Token], at: int) -> bool:
    """Whether the paragraphs of the list that begins there stand without blank lines between them."""
    return next((token.hidden for token in tokens[at:] if token.type == "paragraph_open"), True)


def _paragraph(inline: _Inline, first: str, rest: str, heading: str) -> Iterator[Line]:
    """A paragraph, a line for each hard break in it."""
    start = 0
    for text in inline.text.split("\n"):
        end = start + len(text)
        runs = [
            (max(begin, start) - start, min(stop, end) - start, style)
            for begin, stop, style in inline.runs
            if begin < end and stop > start
        ]
        if heading:
            runs = _under(runs, len(text), heading)
        yield Line(text, tuple(runs), first, rest, words=True)
        first, start = rest, end + 1


def _under(runs: list[Run], length: int, style: str) -> list[Run]:
    """The runs with one more style for the whole of a text."""
    found, at = [], 0
    for begin, end, name in runs:
        if at < begin:
            found.append((at, begin, style))
        found.append((begin, end, f"{style} {name}"))
        at = end
    return [*found, (at, length, style)] if at < length else found


def _inline(tokens: Sequence[Token]) -> _Inline:
    text = ""
    runs: list[Run] = []
    styles: list[str] = []
    targets: list[tuple[str, int]] = []

    def add(more: str, *extra: str) -> None:
        nonlocal text
        style = " ".join((*styles, *extra))
        if style and more:
            runs.append((len(text), len(text) + len(more), style))
        text += more

    def close(target: str, start: int) -> None:
        if target and target not in text[start:]:
            add(f" ({target})", "mark")

    for token in tokens:
        kind = token.type
        if kind in _STYLED:
            styles.append(_STYLED[kind])
        elif kind == "link_open":
            styles.append("link")
            targets.append((one_line(str(token.attrs.get("href", ""))), len(text)))
        elif kind == "link_close":
            styles.pop()
            close(*targets.pop())
        elif kind.endswith("_close"):
            styles.pop()
        elif kind == "code_inline":
            add(_flat(token.content), "inline")
        elif kind == "image":
            start = len(text)
            add(_flat(token.content) or "image", "link")
            close(one_line(str(token.attrs.get("src", ""))), start)
        elif kind == "hardbreak":
            add("\n")
        elif kind == "softbreak":
            add(" ")
        else:
            add(_flat(token.content))
    return _Inline(text, tuple(runs))


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", sanitise(text))


def _table(tokens: Sequence[Token], width: int) -> Iterator[Line]:
    rows: list[list[_Inline]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(_inline(token.children or []))
    count = max(len(row) for row in rows)
    wanted = [max((cells(row[column].text) for row in rows if column < len(row)), default=0) for column in range(count)]
    widths = _columns(wanted, width - 3 * (count - 1))
    for number, row in enumerate(rows):
        yield from _table_row(row, widths, "strong" if number == 0 else "")
        if number == 0:
            rule = "─┼─".join("─" * size for size in widths)
            yield Line(rule, ((0, len(rule), "mark"),))


def _columns(wanted: Sequence[int], room: int) -> list[int]:
    """Widths that fit: what the narrow columns leave is shared by the wide ones."""
    widths = [0] * len(wanted)
    left = list(range(len(wanted)))
    while left:
        share = max(room // len(left), _LEAST)
        narrow = [column for column in left if wanted[column] <= share]
        for column in narrow or left:
            widths[column] = min(wanted[column], share)
            room -= widths[column]
        left = [column for column in left if column not in narrow] if narrow else []
    return [max(size, 1) for size in widths]


def _table_row(row: Sequence[_Inline], widths: Sequence[int], style: str) -> Iterator[Line]:
    """The lines of a row, each cell broken to its column."""
    padded = [*row, *[_Inline()] * (len(widths) - len(row))]
    parts = [wrap_words(cell.text.replace("\n", " "), size) for cell, size in zip(padded, widths, strict=False)]
    for number in range(max(len(part) for part in parts)):
        text, runs = "", []
        for column, (cell, part, size) in enumerate(zip(padded, parts, widths, strict=False)):
            if column:
                runs.append((len(text), len(text) + 3, "mark"))
                text += " │ "
            start, end = part[number] if number < len(part) else (0, 0)
            shift = len(text) - start
            inner = [(max(b, start), min(e, end), name) for b, e, name in cell.runs if b < end and e > start]
            if style:
                inner = [
                    (b + start, e + start, name)
                    for b, e, name in _under([(b - start, e - start, name) for b, e, name in inner], end - start, style)
                ]
            runs += [(b + shift, e + shift, name) for b, e, name in inner]
            piece = cell.text[start:end].replace("\n", " ")
            text += piece + " " * max(size - cells(piece), 0)
        yield Line(
            text.rstrip(), tuple((b, min(e, len(text.rstrip())), n) for b, e, n in runs if b < len(text.rstrip()))
        )
