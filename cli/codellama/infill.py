"""Filling holes: where a fill ends while it is generated, what is done to it afterwards, which candidate is the best.

Pure functions of text. What the rules are and where they come from stands in `rules`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codellama import brackets, indentation, prompts, rules, syntax, window
from codellama.answers import Answer, Collector
from codellama.dialog import Chunk, FinishReason, Prompt
from codellama.errors import ContextError
from codellama.holes import Hole
from codellama.models import Model
from codellama.tokenizer import MID, PRE, SUF, Tokenizer
from codellama.window import Window

JUDGED = 8
# of a beam search's answers, those with the likeliest lines: among them the rules choose, as among fills drawn


@dataclass(frozen=True, slots=True)
class Framed:
    """A hole as a model sees it."""

    prompt: Prompt
    window: Window | None
    # what of the hole's surroundings it holds; None: all, since nothing can be counted without a tokenizer


def frame(
    hole: Hole,
    model: Model,
    tokenizer: Tokenizer | None,
    max_tokens: int,
    context: Sequence[tuple[str, str]] = (),
    suffix_first: bool | None = None,
) -> Framed:
    """The prompt for a hole, cut so that the answer's tokens have room too. `context`: other files, name and text.

    Not told otherwise, the suffix goes first where the hole begins a line. The fill then goes on with the prefix's own
    ids, which is better (Code Llama's paper, table 14), but worse where the prefix ends in mid-token. Raises
    ContextError where there is no room for anything.
    """
    order = hole.starts_line if suffix_first is None else suffix_first
    if tokenizer is None:
        before = "".join(text for _, text in context) + hole.prefix
        return Framed(_prompt(None, before, hole.suffix, order), None)
    controls = len(_prompt(tokenizer, "", "", order).ids)
    room = model.context - max_tokens - controls
    if room < 1:
        raise ContextError(
            f"{max_tokens} tokens to generate leave no room for a prompt in {model.name}'s context of {model.context}: "
            "take fewer --max-tokens"
        )
    seen = window.fit(tokenizer, hole.prefix, hole.suffix, room, context)
    return Framed(_prompt(tokenizer, seen.before, seen.suffix.text, order), seen)


def _prompt(tokenizer: Tokenizer | None, prefix: str, suffix: str, suffix_first: bool) -> Prompt:
    return prompts.render("infill", tokenizer, prefix=prefix, suffix=suffix, suffix_first=suffix_first)


@dataclass(frozen=True, slots=True)
class Fill:
    text: str
    # what goes into the hole; "": nothing usable came
    answer: Answer
    # as it was generated
    rules: tuple[str, ...] = ()
    # the names of those that changed it
    parses: bool | None = None
    # the file with it; None: nobody can tell

    @property
    def usable(self) -> bool:
        return bool(self.text.strip())

    @property
    def logprob(self) -> float:
        """That of its line, where that was computed; else the mean over its tokens."""
        if self.answer.line is not None:
            return self.answer.line
        return self.answer.logprob / max(len(self.answer.ids), 1)

    @property
    def said_twice(self) -> bool:
        return not rules.DUPLICATION.isdisjoint(self.rules)

    @property
    def repaired(self) -> bool:
        return not rules.REPAIRS.isdisjoint(self.rules)


class Draw:
    """Gathers the candidates for a hole from a stream, and ends each where its fill does.

    Hand `ended` to the stream as its `cancelled`.
    """

    def __init__(self, hole: Hole, candidates: int, tokenizer: Tokenizer | None = None, *, raw: bool = False) -> None:
        """With a tokenizer a fill ends before a control piece by its id: nothing of use comes behind one."""
        self._hole = hole
        self._controls = {tokenizer.control(piece) for piece in (PRE, SUF, MID)} if tokenizer else set()
        self._raw = raw
        lacking = brackets.balance(hole.filled(""), hole.language).unclosed
        self._watches = [Watch(hole, lacking) for _ in range(candidates)]
        self._ended = [False] * candidates
        self._collector = Collector()

    def ended(self) -> bool:
        return all(self._ended)

    def add(self, chunk: Chunk) -> None:
        index = chunk.index
        if not self._ended[index]:
            if not self._raw:
                stray = not self._controls.isdisjoint(chunk.ids)
                chunk = replace(chunk, text="") if stray else chunk
                if stray or self._watches[index].push(chunk.text) is not None:
                    chunk = replace(chunk, finish_reason=FinishReason.STOP)
            self._ended[index] = chunk.finish_reason is not None
        self._collector.add(chunk)

    def fills(self) -> list[Fill]:
        """Best first; raw ones as they were drawn."""
        answers = self._collector.answers()
        if self._raw:
            return [Fill(answer.text, answer, (), rules.parses(answer.text, self._hole)) for answer in answers]
        drawn = zip(answers, self._watches, strict=True)
        return rank([finish(answer, self._hole, watch.end) for answer, watch in drawn])


class Watch:
    """Sees a fill grow, and where it ends."""

    def __init__(self, hole: Hole, lacking: int) -> None:
        """`lacking`: closing brackets that the file lacks without the fill."""
        self._hole = hole
        self._text = ""
        self._closer = brackets.UnmatchedCloser(hole.prefix, hole.language, lacking)
        self.end: int | None = None
        # where the fill ends by what is there so far; None: it goes on

    def push(self, piece: str) -> int | None:
        """`end`. In mid-line none is taken after which the file does not parse, while it may yet."""
        self._text += piece
        text, hole = self._text, self._hole
        ends = [self._closer.push(piece)]
        if "\n" in piece:
            end = rules.lines_end(text, hole)
            if end is not None and (hole.lines is not None or rules.fits(text[:end], hole) is not False):
                ends.append(end)
            ends.append(_meets_suffix(text, hole))
        if not piece.isspace():
            ends.append(indentation.scope_end(text, hole))
        self.end = min((end for end in ends if end is not None), default=None)
        return self.end


def _meets_suffix(text: str, hole: Hole) -> int | None:
    """Where the fill begins to say the suffix again: two lines of it, its only one, or three that are much alike.

    One line proves little: `return False` may well be needed twice.
    """
    ahead = [line for line in indentation.following(hole) if line][:3]
    starts, at = [], 0
    for number, line in enumerate(text.split("\n")[:-1]):
        if line.strip() and (number or hole.starts_line):
            starts.append((at, line.rstrip()))
        at += len(line) + 1
    for index, (start, _) in enumerate(starts):
        own = [line for _, line in starts[index : index + 3]]
        count = min(len(ahead), 2)
        if count and own[:count] == ahead[:count] and any(map(rules.tells, own[:count])):
            return start
        if len(ahead) == len(own) == 3 and rules.alike("\n".join(own), "\n".join(ahead)):
            return start
    return None


def clean(fill: str, hole: Hole) -> tuple[str, tuple[str, ...]]:
    """The fill after the rules, and the names of those that changed it.

    None is applied that makes a file that parses into one that does not, but for a number of lines asked for.
    """
    applied = []
    for rule in rules.RULES:
        changed = rule(fill, hole)
        by_hand = rule is rules.one_line and hole.lines is not None
        if changed == fill or (not by_hand and rules.fits(fill, hole) and rules.fits(changed, hole) is False):
            continue
        fill = changed
        applied.append(rule.__name__)
    return fill, tuple(applied)


def finish(answer: Answer, hole: Hole, end: int | None = None) -> Fill:
    """The fill that an answer holds, which was seen to end at `end`."""
    text, applied = answer.text[:end], tuple[str, ...]()
    if end is None and answer.finish_reason == FinishReason.LENGTH:
        complete = rules.complete_lines(text, hole)
        text, applied = complete, applied if complete == text else (rules.complete_lines.__name__,)
    text, more = clean(text, hole)
    return Fill(text, answer, applied + more, rules.parses(text, hole))


def rank(fills: Sequence[Fill]) -> list[Fill]:
    """Best first: usable; the file parses; says nothing twice; parsed as it came; likeliest."""
    return sorted(
        fills,
        key=lambda fill: (
            fill.usable,
            fill.parses is True,
            not fill.said_twice,
            not fill.repaired,
            fill.logprob,
        ),
        reverse=True,
    )


def verifiable(hole: Hole) -> bool:
    """Whether the file parses with the hole closed or filled with something: only then must it with a fill."""
    indent = hole.indent or indentation.expected_indent(hole) if hole.starts_line else ""
    end = "\n" if hole.between_lines else ""
    return any(rules.fits(text and text + end, hole) for text in syntax.placeholders(hole.language, indent))
