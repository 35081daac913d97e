"""What a head of a loaded model attends to.

A forward pass in portions, up to the layer asked for, gives its queries and keys; the weights follow from them row by
row, as transformers' eager attention computes them. So nothing of n × n numbers is ever kept, where a pass that gives
all weights would hold them for all heads of all layers (34 GB for one 7B layer and 16,384 tokens). The layers before
run eagerly too: behind sdpa a weight in bfloat16 differs by as much as 0.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from transformers import DynamicCache
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from codellama.dialog import Progress
from codellama.engine.generate import OUT_OF_MEMORY
from codellama.engine.load import Loaded, release
from codellama.errors import CodellamaError

if TYPE_CHECKING:
    import numpy

SCORES = 2**29
# bytes that eager attention may take for the scores of one layer: decides how many tokens a forward pass takes
PORTION = 512
# tokens that it takes at most


class _Reached(Exception):
    """No error: ends a forward pass whose rest nobody needs."""


class HeadWeights:
    """The attention weights of one head over a prompt."""

    def __init__(self, query: torch.Tensor, key: torch.Tensor, scaling: float, layer: int, head: int) -> None:
        """`query`, `key`: (tokens, head size), rotated."""
        self._query, self._key, self._scaling = query, key, scaling
        self.layer, self.head = layer, head
        self.size = query.shape[0]

    @torch.inference_mode()
    def rows(self, start: int, stop: int) -> numpy.ndarray[Any, Any]:
        """(stop - start, size) float32, as `eager_attention_forward` of transformers' Llama computes them."""
        scores = torch.matmul(self._query[start:stop], self._key.T) * self._scaling
        columns = torch.arange(self.size, device=scores.device)
        unseen = columns > torch.arange(start, stop, device=scores.device)[:, None]
        scores = scores.masked_fill(unseen, torch.finfo(scores.dtype).min)
        weights = torch.nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)
        array: numpy.ndarray[Any, Any] = weights.float().cpu().numpy()
        return array


def attention(
    loaded: Loaded, ids: Sequence[int], layer: int, head: int, report: Callable[[Progress], None]
) -> HeadWeights:
    """The weights of a head, both counted from 0 and in range. `report` is told tokens done of all, and may raise.

    Raises CodellamaError where memory runs out.
    """
    torch.set_num_threads(loaded.threads)
    # recovered outside: the traceback holds the tensors
    with suppress(*OUT_OF_MEMORY):
        return _attention(loaded, ids, layer, head, report)
    release()
    raise CodellamaError("out of memory while reading the prompt: take a shorter one, --4bit, or a smaller model")


@torch.inference_mode()
def _attention(
    loaded: Loaded, ids: Sequence[int], layer: int, head: int, report: Callable[[Progress], None]
) -> HeadWeights:
    attention: Any = loaded.model.model.layers[layer].self_attn
    queries: list[torch.Tensor] = []
    keys: list[torch.Tensor] = []
    rotary: list[tuple[torch.Tensor, torch.Tensor]] = []

    def projected(kept: list[torch.Tensor], at: int) -> Callable[..., None]:
        def keep(module: object, given: object, output: torch.Tensor) -> None:
            kept.append(output.view(*output.shape[:-1], -1, attention.head_dim)[0, :, at])

        return keep

    def positions(module: object, given: object, named: dict[str, Any]) -> None:
        rotary.append(named["position_embeddings"])

    def reached(*of_no_interest: object) -> NoReturn:
        raise _Reached

    cache = DynamicCache(config=loaded.model.config)
    before: str = loaded.model.config._attn_implementation
    hooks = [
        attention.register_forward_pre_hook(positions, with_kwargs=True),
        attention.q_proj.register_forward_hook(projected(queries, head)),
        attention.k_proj.register_forward_hook(projected(keys, head // attention.num_key_value_groups)),
        attention.register_forward_hook(reached),
    ]
    # in the model's precision, in float32 for the softmax, and back
    token_bytes = loaded.model.config.num_attention_heads * len(ids) * 8
    portion = min(max(SCORES // token_bytes, 1), PORTION)
    try:
        loaded.model.set_attn_implementation("eager")
        for start in range(0, len(ids), portion):
            report(Progress("prompt", start, len(ids)))
            batch = torch.tensor([list(ids[start : start + portion])], device=loaded.device)
            with suppress(_Reached):
                loaded.model(input_ids=batch, past_key_values=cache, use_cache=True, logits_to_keep=1)
    finally:
        loaded.model.set_attn_implementation(before)
        for hook in hooks:
            hook.remove()
    home = queries[0].device
    cos, sin = (torch.cat([each[part][0].to(home) for each in rotary]) for part in (0, 1))
    query, key = apply_rotary_pos_emb(
        torch.cat(queries)[None, None], torch.cat([each.to(home) for each in keys])[None, None], cos[None], sin[None]
    )
    return HeadWeights(query[0, 0], key[0, 0], attention.scaling, layer, head)
