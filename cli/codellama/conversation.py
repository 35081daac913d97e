"""What chatting is made of: from messages to a prompt that fits, and what an answer becomes in the next one.

For the full-screen chat: everything public here. Messages are plain `Message`s, at most one of the system first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codellama import prompts
from codellama.blocks import blocks
from codellama.dialog import Chunk, Message, Prompt
from codellama.errors import ContextError
from codellama.models import Model

if TYPE_CHECKING:
    from codellama.catalogue import ChatFormat
    from codellama.tokenizer import Tokenizer

TITLE = 60
# characters of a title
WARN_SHARE = 0.8
# of the context: from here on a person should know that it fills up


@dataclass(frozen=True, slots=True)
class Fit:
    """A prompt and the room that it takes."""

    prompt: Prompt
    context: int
    # tokens, prompt and answer together
    dropped: tuple[Message, ...] = ()
    # the oldest messages, which were left out of the prompt

    @property
    def used(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt.ids)

    @property
    def left(self) -> int:
        """Tokens for the answer; below 1 the prompt does not fit."""
        return self.context - self.used

    @property
    def fits(self) -> bool:
        return self.left >= 1

    @property
    def share(self) -> float:
        """Of the context, from 0 to 1 and beyond."""
        return self.used / self.context


def chat_format(model: Model) -> ChatFormat:
    """Raises CapabilityError for a model that does not chat, naming some that do."""
    model.require("chat")
    assert model.chat_format
    return model.chat_format


def render(model: Model, messages: Sequence[Message], tokenizer: Tokenizer | None = None) -> Prompt:
    """The prompt for the answer to the last message, without ids where the model is not on this machine; `tokenizer`:
    another than its own.

    Raises CapabilityError for a model that does not chat, InputError for a message with one of Meta's tags (naming the
    message and the offset) and for a conversation that does not end with a question.
    """
    template = chat_format(model)
    if tokenizer is None and model.directory:
        tokenizer = model.tokenizer
    return prompts.render(template, tokenizer, dialog=alternating(messages))


def fit(model: Model, messages: Sequence[Message]) -> Fit:
    """The prompt of a whole conversation, whether it fits or not. Raises as `render` does."""
    return Fit(render(model, messages), model.context)


def drop_oldest(model: Model, messages: Sequence[Message], room: int = 1) -> Fit:
    """The prompt of a conversation without its oldest questions and their answers; `dropped` names them.

    As few go as leave `room` tokens for the answer, at most all but the last question; the system message stays.
    Raises ContextError where these alone leave no room at all, and as `render` does.
    """
    system = [message for message in messages[:1] if message.role == "system"]
    rest = messages[len(system) :]
    starts = [number for number, message in enumerate(rest) if message.role == "user"]
    # two questions in a row are one
    starts = [start for start in starts if start == 0 or rest[start - 1].role != "user"]
    made = fit(model, messages)
    for start in starts:
        made = replace(fit(model, [*system, *rest[start:]]), dropped=tuple(rest[:start]))
        if made.left >= room:
            break
    if not made.fits:
        raise too_long(model, made)
    return made


def too_long(model: Model, made: Fit, way_out: str = "shorten it, or take another model") -> ContextError:
    return ContextError(
        f"the conversation has {made.used} tokens and leaves no room in {model.name}'s context of {made.context}: "
        + way_out
    )


def alternating(messages: Iterable[Message]) -> list[Message]:
    """Messages as the chat formats want them, user and assistant in turn: an answer without text is left out, and
    questions without an answer between them become one, with an empty line between.
    """
    turns: list[Message] = []
    for message in messages:
        if message.role == "assistant" and not message.content.strip():
            continue
        if turns and message.role == turns[-1].role:
            turns[-1] = replace(turns[-1], content=f"{turns[-1].content}\n\n{message.content}")
        else:
            turns.append(message)
    return turns


def spoken(chunks: Iterable[Chunk], tokenizer: Tokenizer) -> Iterator[Chunk]:
    """The chunks of an answer, without the space that it begins with where the tokenizer puts one before every text:
    joined, what the reference's `decode` gives, as `Tokenizer.decode` does.
    """
    ids: tuple[int, ...] = ()
    begun = not tokenizer.dummy_prefix
    for chunk in chunks:
        if not begun:
            ids += chunk.ids
            if chunk.text:
                begun = True
                if chunk.text.startswith(" ") and tokenizer.opens_with_space(ids):
                    chunk = replace(chunk, text=chunk.text[1:])
        yield chunk


def title(question: str) -> str:
    """A line to know a conversation by: the question's first line in words, cut at a word where it is too long.

    Attached files and their names come last, where there is nothing else.
    """
    words, at = "", 0
    for block in blocks(question):
        before = question[at : block.start]
        # the line above a block names its file
        words += before[: before.rstrip("\n").rfind("\n") + 1] if before.endswith(":\n") else before
        at = block.end
    found = [" ".join(line.split()) for line in [*(words + question[at:]).splitlines(), *question.splitlines()]]
    line = next((line for line in found if line and not re.match(r"(```|~~~)", line)), "")
    if len(line) <= TITLE:
        return line
    cut = line[: TITLE - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[TITLE // 2 :] else cut).rstrip() + "…"


def as_markdown(title: str, messages: Iterable[tuple[Message, str]]) -> str:
    """A conversation for reading elsewhere: a heading for each message, below it the message as it is. A code block
    that it leaves open is closed, since it would swallow the rest.

    Each message comes with what to say beside its role, a model's name or a time; "": nothing.
    """
    parts = [f"# {title}\n"] if title else []
    for message, aside in messages:
        text = message.content if message.content.endswith("\n") else message.content + "\n"
        last = blocks(text + "#\n")[-1:]
        # one in a list or a quote ends with it
        if last and last[0].end > len(text) and (fence := re.search("`{3,}|~{3,}", text[last[0].start :])):
            text += fence[0] + "\n"
        parts.append(f"## {message.role.capitalize()}{f' ({aside})' if aside else ''}\n\n{text}")
    return "\n".join(parts)
