"""Renders `prompts/*.jinja` into a Prompt: labelled segments and their ids, never a string with controls in it.

A template's output is a stream of Python objects, not text: a control piece (`{{ bos }}`), a boundary
(`{{ segment("prefix") }}`) and a declaration (`{{ stop(eos) }}`, `{{ needs("infill") }}`) are objects of our own,
everything else is a string. What a user wrote enters as a string and therefore stays one: it can become neither a
control piece nor a boundary, whatever it says. Each segment is encoded by itself, as Meta's reference does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from codellama import tokenizer as pieces
from codellama.dialog import Message, Need, Prompt, Segment
from codellama.errors import CapabilityError, InputError

if TYPE_CHECKING:
    from jinja2.nativetypes import NativeEnvironment

    from codellama.tokenizer import Tokenizer

CHAT = ("instruct", "instruct-70b")
TAGS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<step>")
# the reference refuses chat content that holds one of these


@dataclass(frozen=True, slots=True)
class _Control:
    label: str
    piece: str


@dataclass(frozen=True, slots=True)
class _Boundary:
    label: str
    following: bool = False
    # True: the text continues what stands before it, so it is encoded without a dummy prefix


@dataclass(frozen=True, slots=True)
class _Stop:
    control: _Control


@dataclass(frozen=True, slots=True)
class _Needs:
    need: Need


_CONTROLS = {
    "bos": pieces.BOS,
    "eos": pieces.EOS,
    "pre": pieces.PRE,
    "suf": pieces.SUF,
    "mid": pieces.MID,
    "eot": pieces.EOT,
    "step": pieces.STEP,
}


@overload
def render(template: str, tokenizer: Tokenizer | None, *, text: str) -> Prompt: ...
@overload
def render(
    template: str, tokenizer: Tokenizer | None, *, prefix: str, suffix: str, suffix_first: bool = False
) -> Prompt: ...
@overload
def render(template: str, tokenizer: Tokenizer | None, *, dialog: Sequence[Message]) -> Prompt: ...
def render(template: str, tokenizer: Tokenizer | None, **values: Any) -> Prompt:
    """The prompt that a template makes of what the user gave.

    `complete` and `python` take `text`; `infill` takes `prefix`, `suffix` and `suffix_first`; `instruct` and
    `instruct-70b` take `dialog`. Without a tokenizer the segments have no ids.

    Raises InputError for a dialog that the format cannot carry (roles out of order, one of Meta's tags in a message),
    CapabilityError where the tokenizer lacks a control piece.
    """
    if template in CHAT:
        values = _chat_values(values["dialog"])
    elif template == "infill":
        values = {"suffix_first": False, **values}
    jinja = _environment().get_template(f"{template}.jinja")
    stream = jinja.root_render_func(jinja.new_context(values))
    return _assemble(f"{template}.jinja", stream, tokenizer)


def question(template: str, **values: str) -> str:
    """The text that a template makes of values, for a message: a string, so that nothing in it is a control piece."""
    jinja = _environment().get_template(f"{template}.jinja")
    return "".join(map(str, jinja.root_render_func(jinja.new_context(values))))


def directory() -> Path:
    """Where the templates lie: inside the installed package, or beside `cli/` in a checkout."""
    package = Path(__file__).parent
    installed = package / "prompts"
    return installed if installed.is_dir() else package.parents[1] / "prompts"


@cache
def _environment() -> NativeEnvironment:
    from jinja2 import FileSystemLoader, StrictUndefined  # 41 ms
    from jinja2.nativetypes import NativeEnvironment

    # native: an expression's value is yielded as the object that it is, instead of its str()
    environment = NativeEnvironment(loader=FileSystemLoader(directory()), undefined=StrictUndefined, autoescape=False)
    environment.globals = {
        **{label: _Control(label, piece) for label, piece in _CONTROLS.items()},
        "segment": _Boundary,
        "stop": _Stop,
        "needs": _Needs,
    }
    return environment


def _assemble(template: str, stream: Iterable[object], tokenizer: Tokenizer | None) -> Prompt:
    segments: list[Segment] = []
    stops: list[_Control] = []
    needs: Need | None = None
    boundary: _Boundary | None = None
    texts: list[str] = []

    def close() -> None:
        nonlocal boundary
        if boundary is not None:
            segments.append(_text_segment(boundary, "".join(texts), tokenizer))
        elif texts:
            raise ValueError(f"{template}: text before any segment: {''.join(texts)!r}")
        boundary = None
        texts.clear()

    for item in stream:
        match item:
            case _Control():
                close()
                ids = None if tokenizer is None else (_id(item, tokenizer),)
                segments.append(Segment(item.label, item.piece, ids, control=True))
            case _Boundary():
                close()
                boundary = item
            case _Stop():
                stops.append(item.control)
            case _Needs():
                needs = item.need
            case str():
                if item:
                    texts.append(item)
            case _:
                raise TypeError(f"{template}: yields a {type(item).__name__}")
    close()
    return Prompt(
        segments=tuple(segments),
        stop_ids=() if tokenizer is None else tuple(_id(control, tokenizer) for control in stops),
        stop_pieces=tuple(control.piece for control in stops),
        needs=needs,
        template=template,
    )


def _text_segment(boundary: _Boundary, text: str, tokenizer: Tokenizer | None) -> Segment:
    ids: tuple[int, ...] | None = None
    if tokenizer is not None:
        ids = tokenizer.encode_infill(text) if boundary.following else tokenizer.encode(text)
    return Segment(boundary.label, text, ids)


def _id(control: _Control, tokenizer: Tokenizer) -> int:
    id = tokenizer.control(control.piece)
    if id is None:
        raise CapabilityError(
            f"{tokenizer.path}: has no piece {control.piece.lstrip(pieces.SPACE)}, which this prompt needs: "
            "the model was not made for it"
        )
    return id


def _chat_values(dialog: Sequence[Message]) -> dict[str, object]:
    """What both chat templates are given. `turns`: (question, answer) pairs, the last answer None."""
    _refuse_tags(dialog)
    _refuse_disorder(dialog)
    system = dialog[0] if dialog[0].role == "system" else None
    rest = list(dialog if system is None else dialog[1:])
    contents: Iterator[str] = (message.content for message in rest)
    turns = [(question, next(contents, None)) for question in contents]
    return {
        "system": None if system is None else system.content,
        "turns": turns,
        "messages": [system or Message("system", ""), *rest],
    }


def _refuse_tags(dialog: Sequence[Message]) -> None:
    for number, message in enumerate(dialog, 1):
        found = [(message.content.find(tag), tag) for tag in TAGS if tag in message.content]
        if found:
            offset, tag = min(found)
            raise InputError(
                f"message {number} ({message.role}) holds {tag} at character {offset}: the chat formats use it for "
                "their own structure, so it cannot be sent; write it otherwise, or use complete, where it is plain text"
            )


def _refuse_disorder(dialog: Sequence[Message]) -> None:
    if not dialog:
        raise InputError("the conversation is empty: ask something")
    start = 1 if dialog[0].role == "system" else 0
    for number, message in enumerate(dialog[start:], start + 1):
        expected = "user" if (number - start) % 2 else "assistant"
        if message.role != expected:
            raise InputError(f"message {number} is the {message.role}'s, where the {expected}'s is due")
    if dialog[-1].role != "user":
        raise InputError("the conversation ends with the " + dialog[-1].role + "'s message, not with a question")
