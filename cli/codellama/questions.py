"""What a model is asked about a definition: to fill the hole between the quotes of its docstring, or in a chat."""

from __future__ import annotations

import re
from dataclasses import dataclass

from codellama import prompts, sections, window
from codellama.dialog import Message, Prompt
from codellama.docstrings import Request
from codellama.errors import CapabilityError, ContextError, InputError, NoCompletionError
from codellama.models import Model
from codellama.style import Style

LARGEST = 4096
# tokens of a prompt and its answer. What the cache is planned for: a whole context of 16,384 takes 8 GB with 7B
SURROUNDINGS = 1024
# tokens of the file around a definition: to read them is what takes the time on a CPU
OUTLINE = 2048
# tokens of a class or a module: what it is shows soon


@dataclass(frozen=True, slots=True)
class Question:
    prompt: Prompt
    whole: bool
    # False: the definition itself does not fit, so its end is not seen


def infill(request: Request, model: Model, max_tokens: int) -> Question:
    """The hole in a definition and its body, and as much of the file around them as there is room for.

    The suffix goes first, so that the answer goes on with the prefix's own ids, as at the start of a line: in 1,914 of
    1,915 docstrings of the standard library no token of Code Llama's spans the quotes. Of the built-in model's answers
    78 % are docstrings then, with the prefix first 43 %.

    Raises ContextError where there is no room.
    """
    tokenizer = model.tokenizer
    limit = min(model.context, LARGEST)
    room = _room(
        model, max_tokens, len(prompts.render("infill", tokenizer, prefix="", suffix="", suffix_first=True).ids)
    )
    border = len(request.before) - request.head
    above, head = request.before[:border], request.before[border:]
    body, below = request.after[: request.body], request.after[request.body :]
    own = len(tokenizer.encode(head)) + len(tokenizer.encode_infill(body))
    outline = request.definition.kind in ("class", "module")
    most = min(room, OUTLINE) if outline else room
    while True:
        if own > most:
            seen = window.fit(tokenizer, head, body, most)
            prefix, suffix = seen.before, seen.suffix.text
        else:
            around = window.fit(tokenizer, above, below, min(most - own, SURROUNDINGS))
            prefix, suffix = around.before + head, body + around.suffix.text
        prompt = prompts.render("infill", tokenizer, prefix=prefix, suffix=suffix, suffix_first=True)
        # parts that are encoded together may take a token more than apart
        excess = len(prompt.ids) + max_tokens - limit
        if excess <= 0:
            return Question(prompt, outline or own <= most)
        most -= excess


def chat(request: Request, model: Model, max_tokens: int, style: Style) -> Question:
    """The definition alone, in a question of the model's chat format.

    Raises NoCompletionError for code that the format cannot carry, ContextError where there is no room.
    """
    assert model.chat_format is not None
    head, body = request.before[-request.head :], request.after[: request.body]
    # without the quotes, and the line that they stand on where it is empty then
    code = (head.rpartition("\n")[0] + body[3:]).strip("\n")
    named = request.definition
    # a class, a module or a property has no parameters to describe
    style = Style.PLAIN if sections.signature(named).empty else style
    title = "module" if named.kind == "module" else f"{named.kind} `{named.name}`"
    whole = True
    while True:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
        text = prompts.question("docstring", title=title, code=code, fence=fence, style=style)
        try:
            prompt = prompts.render(model.chat_format, model.tokenizer, dialog=[Message("user", text)])
        except InputError as error:
            raise NoCompletionError(f"the code cannot be sent: {error}") from None
        excess = len(prompt.ids) + max_tokens - min(model.context, LARGEST)
        if excess <= 0:
            return Question(prompt, whole)
        own = len(model.tokenizer.encode(code))
        room = _room(model, max_tokens, len(prompt.ids) - own)
        code, whole = window.fit(model.tokenizer, "", code, min(room, own - excess)).suffix.text, False


def chats(model: Model, insist: str | None) -> bool:
    """Whether a model is asked in a chat: it cannot infill, or is to be taken as one that chats.

    Raises CapabilityError for one that can do neither.
    """
    model.require("docstring")
    try:
        model.require("infill")
    except CapabilityError:
        return True
    return insist is not None and insist == model.chat_format


def _room(model: Model, max_tokens: int, others: int) -> int:
    """Tokens for the code, beside those of the answer and `others`."""
    limit = min(model.context, LARGEST)
    if limit - max_tokens - others < 1:
        raise ContextError(
            f"{max_tokens} tokens to generate leave no room for a prompt in {limit} tokens: take fewer --max-tokens"
        )
    return limit - max_tokens - others
