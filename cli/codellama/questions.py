"""What a model is asked about a definition: to fill the hole between the quotes of its docstring."""

from __future__ import annotations

from dataclasses import dataclass

from codellama import prompts, window
from codellama.dialog import Prompt
from codellama.docstrings import Request
from codellama.errors import ContextError
from codellama.models import Model

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

    The prefix goes first, since it ends in mid-line. Raises ContextError where there is no room.
    """
    tokenizer = model.tokenizer
    controls = len(prompts.render("infill", tokenizer, prefix="", suffix="").ids)
    limit = min(model.context, LARGEST)
    room = limit - max_tokens - controls
    if room < 1:
        raise ContextError(
            f"{max_tokens} tokens to generate leave no room for a prompt in {model.name}'s {limit}: "
            "take fewer --max-tokens"
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
        prompt = prompts.render("infill", tokenizer, prefix=prefix, suffix=suffix)
        # parts that are encoded together may take a token more than apart
        excess = len(prompt.ids) + max_tokens - limit
        if excess <= 0:
            return Question(prompt, outline or own <= most)
        most -= excess
