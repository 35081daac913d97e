"""`params.json` of a checkpoint as Meta ships it: the shape of the model, but for what only the tensors tell.

The keys and their defaults are those of `ModelArgs` in Meta's llama/model.py; every other key has no effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codellama.config import MOST_LAYERS
from codellama.fields import Fields

PARAMS = "params.json"


@dataclass(frozen=True, slots=True)
class Params:
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    vocab_size: int | None
    # None: the embedding tells (the file says -1 or nothing)
    rms_norm_eps: float
    rope_theta: float
    intermediate_size: int | None
    # None: the tensors tell

    @classmethod
    def read(cls, directory: Path) -> Params:
        """Raises InputError where there is no such file or it is malformed."""
        fields = Fields(directory / PARAMS)
        hidden_size, heads = fields.integer("dim"), fields.integer("n_heads")
        kv_heads = fields.integer("n_kv_heads", heads)
        if hidden_size % heads or heads % kv_heads or hidden_size // heads % 2:
            raise fields.error(
                f"a dim of {hidden_size}, {heads} heads and {kv_heads} key-value heads do not go together: "
                "take the params.json that came with the weights"
            )
        vocab_size = fields.integer("vocab_size", -1, least=-1)
        return cls(
            hidden_size=hidden_size,
            layers=fields.integer("n_layers", most=MOST_LAYERS),
            heads=heads,
            kv_heads=kv_heads,
            vocab_size=vocab_size if vocab_size > 0 else None,
            rms_norm_eps=fields.number("norm_eps", 1e-5),
            rope_theta=fields.number("rope_theta", 10000.0),
            intermediate_size=_intermediate_size(fields, hidden_size),
        )


def _intermediate_size(fields: Fields, hidden_size: int) -> int | None:
    """Rows of w1, by the arithmetic of FeedForward in Meta's llama/model.py."""
    if fields.values.get("multiple_of") is None:
        return None
    multiple = fields.integer("multiple_of")
    size = int(2 * (4 * hidden_size) / 3)
    if fields.values.get("ffn_dim_multiplier") is not None:
        size = int(fields.number("ffn_dim_multiplier") * size)
    return multiple * -(-size // multiple)
