"""What of a model's words is the prose of a docstring: whole sentences that say something; anything else is refused."""

from __future__ import annotations

import re

from codellama import edit, rules, syntax
from codellama.definitions import Definition
from codellama.errors import NoCompletionError
from codellama.holes import Hole

LONGEST = 800
# characters of a paragraph: ten lines
_QUOTES = re.compile(r"\"\"\"|'''")
_FENCE = re.compile(r"```[^\n]*\n(.*?)(\n[ \t]*```|\Z)", re.DOTALL)
_BLANK = re.compile(r"\n[ \t]*\n")
_END = re.compile(r"[.!?][\"')\]`]*\Z")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]`]*\s+(?=[\"'(\[`]*[A-Z])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|cf|vs|etc|al|No|Fig|Eq|Dr|Mr|Mrs|St|approx|resp)\.\Z", re.IGNORECASE)
# whose full stop ends no sentence
_LISTED = re.compile(
    r"""[ \t]*(?:
        :\w[^:\n]*: | @\w+ | >>> | ``` | [-=~*^]{3,}[ \t]*$ | [-*+•][ \t] | \d+[.)][ \t]
        | (?:args|arguments|parameters?|params?|returns?|yields?|raises|examples?|notes?|attributes|usage|see[ ]also
            |todo|warnings?|keyword[ ]arg(?:ument)?s)[ \t]*(?::.*)?$
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# a line that begins a section, a list, an example: prose ends there
_CODE = re.compile(
    r"(?:async )?def \w+ ?\(|class \w+ ?[:(]|return (?:self|None|True|False|not|\w+[\[(.])|import \w+$"
    r"|from [\w.]+ import |if .*:$|for \w+ in .*:$|(?:self|cls)\.\w+ ?=|@\w+|#!|print\("
)
_DANGLING = {
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "if", "in", "into", "is", "of", "on", "or",
    "that", "the", "to", "was", "when", "where", "which", "whose", "with", "without",
}  # fmt: skip
# no sentence without a full stop ends with one of these
_NEVER_LAST = {"a", "an", "and", "of", "or", "the", "whose"}
# and with one of these none at all
_TELLS_NOTHING = {
    "a", "an", "class", "for", "from", "function", "in", "instance", "is", "it", "its", "method", "module", "object",
    "of", "the", "this", "to", "and",
}  # fmt: skip
_PLACEHOLDER = re.compile(r"(?:todo|fixme|xxx|tbd|docstring|documentation|description|summary)\b", re.IGNORECASE)
_NOWHERE = Hole("", "")
_WORD = re.compile(r"[^\W_]+")
_NAME = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")


def ended(raw: str) -> bool:
    """Whether the first paragraph of an answer is complete: nothing that comes later belongs to it."""
    body = raw.lstrip()
    return bool(_QUOTES.search(body) or _BLANK.search(body) or _listed(body.rpartition("\n")[0]) is not None)


def sentences(raw: str, definition: Definition, *, complete: bool) -> list[str]:
    """The sentences of the first paragraph of an answer, of which at least the first is whole.

    `complete`: whether the model ended it itself. Raises NoCompletionError, saying why it is no docstring.
    """
    text = cut(raw).strip()
    paragraph = _BLANK.split(text, maxsplit=1)[0]
    listed = _listed(paragraph)
    if listed is not None:
        paragraph = paragraph[:listed]
    complete = complete or len(paragraph) < len(text)
    if not paragraph.strip():
        raise NoCompletionError("the fill has no prose in it" if text else "the model gave nothing")
    if len(paragraph) > LONGEST:
        raise NoCompletionError("the fill is absurdly long")
    hidden = edit.hidden(paragraph)
    if hidden:
        raise NoCompletionError(f"the fill holds the hidden character {hidden[0][1]}")
    if is_code(paragraph):
        raise NoCompletionError("the fill is code")
    found = _whole(split(" ".join(paragraph.split())), complete=complete)
    check(" ".join(found), definition)
    return found


def phrase(text: str, name: str) -> str:
    """A description on one line, with a full stop. Raises NoCompletionError where it is none."""
    if edit.hidden(text) or not text:
        raise NoCompletionError("the fill holds hidden characters")
    if _PLACEHOLDER.match(text) or is_code(text):
        raise NoCompletionError("the fill is code")
    words = [word.lower() for word in _WORD.findall(text)]
    if not set(words) - _TELLS_NOTHING - {name.lower()} or repeats(words) or not _matched(text):
        raise NoCompletionError("the fill says nothing")
    return " ".join(_whole(split(text), complete=True))


def unfenced(answer: str) -> tuple[str, bool]:
    """What stands between the quotes in a chat's answer, or in its fence, or all of it; and whether that has ended."""
    fenced = _FENCE.search(answer)
    body = fenced[1] if fenced else answer
    opening = _QUOTES.search(body)
    if not opening:
        return body, bool(fenced and fenced[2])
    inner, closing, _ = body[opening.end() :].partition(opening[0])
    return inner, bool(closing)


def cut(raw: str, *, stripped: bool = True) -> str:
    """The answer up to quotes that close it, or a control piece's name; `stripped`: of white space at its beginning."""
    text = raw.replace("\r\n", "\n")
    text = text.lstrip() if stripped else text
    ends = [match.start() for match in _QUOTES.finditer(text)] + [text.find(piece) for piece in rules.PIECES]
    return text[: min((end for end in ends if end >= 0), default=len(text))]


def split(text: str) -> list[str]:
    """The sentences of a text on one line."""
    found, at = [], 0
    for match in _SENTENCE.finditer(text):
        if not _ABBREVIATION.search(text, at, match.start()):
            found.append(text[at : match.end()].rstrip())
            at = match.end()
    return [*found, text[at:].rstrip()]


def is_code(text: str) -> bool:
    """Whether a text is Python or looks much like it, or has hardly a word in it."""
    stripped = text.strip().rstrip(".")
    if _CODE.match(stripped) or sum(character.isalpha() or character.isspace() for character in text) < len(text) * 0.7:
        return True
    # `not found` and `a in b` are Python too
    plain = re.fullmatch(r"[\w ,']+", stripped)
    return not plain and syntax.parses(stripped, "python") is True


def check(text: str, definition: Definition) -> None:
    """Raises NoCompletionError for whole sentences that are no docstring all the same."""
    words = [word.lower() for word in _WORD.findall(text)]
    if len(words) < 2:
        raise NoCompletionError("the fill says nothing" if words else "the fill has no words in it")
    if _PLACEHOLDER.match(text):
        raise NoCompletionError("the fill is a placeholder")
    if not _matched(text):
        raise NoCompletionError("the fill has brackets or quotes without their match")
    own = {_stem(word.lower()) for word in _NAME.findall(definition.name.rpartition(".")[2])}
    said = {_stem(word.lower()) for word in _NAME.findall(text)} - _TELLS_NOTHING
    if said <= own:
        raise NoCompletionError("the fill only repeats the name")
    if repeats(words) or rules.repetition(text, _NOWHERE) != text:
        raise NoCompletionError("the fill repeats itself")


def repeats(words: list[str]) -> bool:
    """Whether one to twelve words come twice in a row, or four in three places."""
    for size in range(1, min(12, len(words) // 2) + 1):
        run = 0
        for at in range(size, len(words)):
            run = run + 1 if words[at] == words[at - size] else 0
            # English has "that that" and "had had"
            if run == size and words[at] not in ("that", "had"):
                return True
    fours = [tuple(words[at : at + 4]) for at in range(len(words) - 3)]
    return any(fours.count(four) >= 3 for four in set(fours))


def _matched(text: str) -> bool:
    return text.count("(") == text.count(")") and text.count("`") % 2 == 0 and text.count("[") == text.count("]")


def _whole(found: list[str], *, complete: bool) -> list[str]:
    """The sentences without a last one that was cut short; a full stop where only that is missing."""
    last = found[-1].rstrip()
    words = _WORD.findall(last.lower()) or [""]
    if not _END.search(last):
        ends = complete and re.search(r"[\w)\]`'\"]\Z", last) and words[-1] not in _DANGLING
        found = [*found[:-1], last + "."] if ends else found[:-1]
    elif last.endswith("...") or words[-1] in _NEVER_LAST:
        found = found[:-1]
    if not found:
        raise NoCompletionError("the fill is cut in mid-sentence")
    return [_capital(found[0]), *found[1:]]


def _capital(sentence: str) -> str:
    """With a capital where it begins with a plain word: an identifier has an underscore, a dot or a bracket."""
    word = sentence.partition(" ")[0]
    return sentence[0].upper() + sentence[1:] if re.fullmatch(r"[a-z]+", word) else sentence


def _listed(text: str) -> int | None:
    """The offset of the first line that begins a section, a list or an example."""
    at = 0
    for line in text.split("\n"):
        if _LISTED.match(line):
            return at
        at += len(line) + 1
    return None


def _stem(word: str) -> str:
    """Roughly: `returns`, `returned` and `returning` are `return`."""
    for ending in ("ing", "ies", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word.removesuffix(ending)
    return word
