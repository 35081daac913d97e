"""The seam between the commands and whatever generates: one verb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from codellama.dialog import Chunk, Prompt, Sampling
from codellama.errors import ContextError, InputError
from codellama.models import Model


def never() -> bool:
    return False


class Backend(Protocol):
    model: Model
    notes: tuple[str, ...]
    # what a user must know before it starts, a line each: what runs from slower memory, say

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool] = never) -> Iterator[Chunk]:
        """Yield the answer as it comes.

        Chunks without text come while a model loads and at least every 512 prompt tokens. `cancelled` is asked
        before each step, since a generator cannot be closed from another thread while it runs. Each candidate's
        last chunk has a finish reason; the last chunk of all has the timings.

        Raises CapabilityError or ContextError before anything heavy is done.
        """
        ...


def room(model: Model, prompt: Prompt, sampling: Sampling) -> int:
    """How many tokens may be generated: at most max_tokens, at most what the context leaves.

    Raises CapabilityError where the model cannot take such a prompt, ContextError where it leaves no room, InputError
    where an id is not the model's.
    """
    model.require(prompt.needs)
    ids = prompt.ids
    if ids and max(ids) >= model.vocab_size:
        raise InputError(
            f"{model.name}: its tokenizer gives id {max(ids)}, but its embedding has {model.vocab_size} rows: "
            "tokenizer and weights do not belong together; fetch both again"
        )
    left = model.context - len(ids)
    if left < 1:
        raise ContextError(
            f"the prompt has {len(ids)} tokens and leaves no room in {model.name}'s context of {model.context}: "
            "shorten it, or take a model with a longer context"
        )
    return left if sampling.max_tokens is None else min(left, sampling.max_tokens)
