"""Puts docstrings into a Python file: as splices at places that its syntax tree gives, proved before they are written.

Pure but for the question to whoever writes the text. A docstring that cannot be had, or fails the proof, is skipped and
named; the others go on.
"""

from __future__ import annotations

import ast
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from codellama import definitions, edit, gate, holes, project, prose, sections
from codellama.definitions import Definition
from codellama.edit import Splice
from codellama.errors import InputError, NoCompletionError
from codellama.places import Layout, Place
from codellama.source import Source
from codellama.style import Style

QUOTES = '"""'
NARROWEST = 32
# columns that text gets, however deep it is indented


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: the text between quotes."""

    definition: Definition
    before: str
    # the file up to the quotes that open, with what was filled so far, "\\n" for every line end
    after: str
    # from the quotes that close
    head: int
    # characters of `before` that are the definition's own: from its first decorator on
    body: int
    # and of `after`, to its last line
    begun: str = ""
    # what stands behind the quotes that open, at the end of `before`: the answer goes on with it


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    # as it came
    complete: bool = True
    # False: it was cut by a limit
    final: bool = False
    # True: no section is to be asked for: what there is of one is in it


Ask = Callable[[Request], Reply | None]
# None: no time is left for this one and those behind it. Raises NoCompletionError for what cannot be asked


@dataclass(frozen=True, slots=True)
class Filled:
    definition: Definition
    text: str


@dataclass(frozen=True, slots=True)
class Skipped:
    definition: Definition
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    new: bytes
    # the file with its docstrings; the old bytes where none was filled
    filled: tuple[Filled, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    left: tuple[Definition, ...] = ()
    # not asked for: no time was left


@dataclass(frozen=True, slots=True)
class _Draft:
    definition: Definition
    text: str
    splice: Splice


def fill(
    source: Source,
    tree: ast.Module,
    wanted: Sequence[Definition],
    ask: Ask,
    width: int = project.WIDTH,
    style: Style = Style.PLAIN,
) -> Outcome:
    """The file with docstrings for the definitions wanted; `width`: of its lines, at most."""
    layout = Layout(source.text, tree)
    quotes = quotes_of(layout, tree)
    said = {
        _normal(ast.get_docstring(each.node) or ""): each
        for each in definitions.definitions(tree)
        if definitions.has_docstring(each.node)
    }
    drafts: list[_Draft] = []
    skipped: list[Skipped] = []
    left: list[Definition] = []
    places = sorted(((layout.place(each), each) for each in wanted), key=lambda pair: pair[0].start)
    for place, definition in places:
        if left:
            left.append(definition)
            continue
        try:
            request = _request(layout, definition, place, drafts, quotes)
            reply = ask(request)
            if reply is None:
                left.append(definition)
                continue
            sentences = prose.sentences(reply.text, definition, complete=reply.complete)
            twin = said.setdefault(_normal(" ".join(sentences)), definition)
            if twin.name.rpartition(".")[2] != definition.name.rpartition(".")[2]:
                raise NoCompletionError(f"the fill says what the docstring of {twin.title} says")
            section = [] if style is Style.PLAIN else _section(request, reply, sentences, place, ask, width, style)
            if section is None:
                left.append(definition)
                continue
            text = literal(sentences, place, quotes, width, section)
            _encodable(text, source)
            drafts.append(_Draft(definition, text, _splice(place, text)))
        except NoCompletionError as error:
            skipped.append(Skipped(definition, str(error)))
    new, drafts = _proved(source, drafts, skipped)
    return Outcome(new, tuple(Filled(each.definition, each.text) for each in drafts), tuple(skipped), tuple(left))


def _section(
    request: Request, reply: Reply, sentences: Sequence[str], place: Place, ask: Ask, width: int, style: Style
) -> list[str] | None:
    """The lines that describe parameters and what is returned, by what the reply says of them or, where it says
    nothing, by what comes when a section is begun. None: no time was left for that.
    """
    signature = sections.signature(request.definition)
    if signature.empty:
        return []
    said = sections.read(reply.text, signature, complete=reply.complete)
    if not said and not reply.final:
        opening = sections.opening(signature, style)
        begun = textwrap.indent(f"{' '.join(sentences)}\n\n{opening}", place.indent)[len(place.indent) :]
        more = ask(replace(request, before=request.before + begun, head=request.head + len(begun), begun=begun))
        if more is None:
            return None
        text = textwrap.indent(opening, place.indent) + prose.cut(more.text, stripped=False)
        said = sections.read(text, signature, complete=more.complete)
    return list(sections.lines(signature, said, style, _room(place, width)))


def literal(sentences: Sequence[str], place: Place, quotes: str, width: int, section: Sequence[str] = ()) -> str:
    """The docstring as it stands in the file, "\n" for line ends: on one line where there is room, else a summary,
    a paragraph of the rest, and a section's lines.

    Raises NoCompletionError for what no literal of these quotes holds.
    """
    # a backslash would begin an escape; a docstring with one is a raw string (pydocstyle's D301)
    raw = "r" if any("\\" in each for each in (*sentences, *section)) else ""
    room = _room(place, width)
    line = " ".join(sentences)
    closing = " " if line.endswith(quotes[0]) else ""
    text = f"{raw}{quotes}{line}{closing}{quotes}"
    if len(text) > room or section:
        summary = _wrapped(raw + quotes + sentences[0], room)
        rest = _wrapped(" ".join(sentences[1:]), room)
        lines = [*summary, *([""] if rest else []), *rest, *(["", *section] if section else []), quotes]
        text = "\n".join([lines[0], *(place.indent + each if each else "" for each in lines[1:])])
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = None
    if not isinstance(value, str) or value.split() != " ".join([line, *section]).split():
        raise NoCompletionError("the fill cannot be written as a literal")
    return text


def _room(place: Place, width: int) -> int:
    return max(width - len(place.indent.expandtabs()), NARROWEST)


def quotes_of(layout: Layout, tree: ast.Module) -> str:
    """The quotes that most docstrings of a file have."""
    counted = Counter({QUOTES: 0})
    for each in definitions.definitions(tree):
        if definitions.has_docstring(each.node):
            first = each.node.body[0]
            at = layout.offset(first.lineno, first.col_offset)
            opening = layout.text[at : at + 5].lstrip("rRuU")[:3]
            if opening in (QUOTES, "'''"):
                counted[opening] += 1
    return counted.most_common(1)[0][0]


def _request(layout: Layout, definition: Definition, place: Place, drafts: Sequence[_Draft], quotes: str) -> Request:
    """The hole between the quotes; behind those that close the body begins on a line of its own."""
    start, end = layout.span(definition)
    at, before = 0, ""
    for draft in drafts:
        before += holes.plain(layout.text[at : draft.splice.start]) + draft.splice.text
        at = draft.splice.end
    outside = len(before) + len(holes.plain(layout.text[at:start]))
    before += holes.plain(layout.text[at : place.start]) + place.before + quotes
    at = place.end
    after = quotes + place.after + holes.plain(layout.text[at:end])
    return Request(definition, before, after + holes.plain(layout.text[end:]), len(before) - outside, len(after))


def _splice(place: Place, text: str) -> Splice:
    return Splice(place.start, place.end, place.before + text + place.after)


def _encodable(text: str, source: Source) -> None:
    try:
        text.encode(source.encoding)
    except UnicodeError:
        raise NoCompletionError(
            f"the fill has characters that {source.encoding.upper()}, the file's encoding, lacks"
        ) from None


def _proved(source: Source, drafts: list[_Draft], skipped: list[Skipped]) -> tuple[bytes, list[_Draft]]:
    """The file with those drafts that stand the proof; the others join the skipped."""
    good: list[_Draft] = []
    new = source.raw
    # all together; where that fails, which is rare, by halves
    batches = [drafts] if drafts else []
    while batches:
        batch = batches.pop()
        try:
            new = _prove(source, [*good, *batch])
            good += batch
        except (InputError, NoCompletionError) as error:
            half = len(batch) // 2
            if half:
                batches += [batch[half:], batch[:half]]
            else:
                skipped += [Skipped(draft.definition, str(error)) for draft in batch]
    return new, good


def _prove(source: Source, drafts: Sequence[_Draft]) -> bytes:
    splices = [draft.splice for draft in drafts]
    new = edit.apply(source, splices)
    gate.check(source, new, splices, [draft.definition.number for draft in drafts])
    return new


def _wrapped(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)


def _normal(text: str) -> str:
    return " ".join(text.lower().split())
