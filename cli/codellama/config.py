"""The shape of a Llama, from the config.json of a Hugging Face model directory.

Only the keys listed here are looked at; `auto_map`, remote code and every other key have no effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codellama.catalogue import Entry
from codellama.errors import InputError
from codellama.fields import Fields, is_number, reading, short

Quantisation = Literal["4bit", "8bit"]

CONFIG = "config.json"
ROPE_TYPES = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")
MOST_LAYERS = 1000
# far above any Llama: keeps a config of nonsense from costing memory


@dataclass(frozen=True, slots=True)
class Config:
    """The shape of a Llama, from config.json."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    context: int
    # max_position_embeddings
    rope_theta: float
    rope_scaling: Mapping[str, object] | None
    # the parameters as given, `rope_type` among them; None: plain rotary embeddings
    rms_norm_eps: float
    tie_word_embeddings: bool
    bos_id: int | None
    eos_ids: tuple[int, ...]
    dtype: str | None
    # what config.json says; Checkpoint.dtype is what the files hold; None: it says nothing
    quantisation: Quantisation | None
    # the weights were quantised by bitsandbytes before they were saved; None: they were not

    @classmethod
    def read(cls, directory: Path) -> Config:
        """The config in a model directory. Raises InputError where there is none, or it is not a Llama's."""
        path = directory / CONFIG
        with reading(path):
            if not path.exists():
                refuse_metas(directory)
                raise InputError(f"{directory}: no {CONFIG} there: name a directory with a Hugging Face model")
        fields = Fields(path)
        fields.require("model_type", "llama")
        fields.require("hidden_act", "silu", "silu")
        fields.require("attention_bias", False, False)
        fields.require("mlp_bias", False, False)
        architectures = fields.get("architectures", list) or ["LlamaForCausalLM"]
        if "LlamaForCausalLM" not in architectures:
            raise fields.error(f"architectures is {architectures}: only LlamaForCausalLM is supported")
        hidden_size, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
        kv_heads = fields.integer("num_key_value_heads", heads)
        head_dim = fields.integer("head_dim", hidden_size // heads)
        if hidden_size % heads or heads % kv_heads or head_dim < 2 or head_dim % 2:
            raise fields.error(
                f"a hidden size of {hidden_size}, {heads} heads, {kv_heads} key-value heads and a head size of "
                f"{head_dim} do not go together: take the config.json that came with the weights"
            )
        rope_theta, rope_scaling = _rope(fields)
        dtype = fields.get("dtype", str) or fields.get("torch_dtype", str)
        return cls(
            hidden_size=hidden_size,
            layers=fields.integer("num_hidden_layers", most=MOST_LAYERS),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            intermediate_size=fields.integer("intermediate_size"),
            vocab_size=fields.integer("vocab_size"),
            context=fields.integer("max_position_embeddings"),
            rope_theta=rope_theta,
            rope_scaling=rope_scaling,
            rms_norm_eps=fields.number("rms_norm_eps", 1e-6),
            tie_word_embeddings=fields.get("tie_word_embeddings", bool) or False,
            bos_id=fields.get("bos_token_id", int),
            eos_ids=fields.ids("eos_token_id"),
            dtype=dtype.removeprefix("torch.") if dtype else None,
            quantisation=_quantisation(fields),
        )

    @classmethod
    def of(cls, entry: Entry) -> Config:
        """The config of a model of the family, as it is published: in bfloat16."""
        size = entry.size
        return cls(
            hidden_size=size.hidden_size,
            layers=size.layers,
            heads=size.heads,
            kv_heads=size.kv_heads,
            head_dim=size.hidden_size // size.heads,
            intermediate_size=size.intermediate_size,
            vocab_size=entry.vocab_size,
            context=entry.context,
            rope_theta=entry.rope_theta,
            rope_scaling=None,
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
            bos_id=1,
            eos_ids=(2,),
            dtype="bfloat16",
            quantisation=None,
        )

    def layer_linears(self) -> dict[str, tuple[int, int]]:
        """The matrices of one layer, (rows, columns) by name."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "self_attn.q_proj": (query, self.hidden_size),
            "self_attn.k_proj": (key, self.hidden_size),
            "self_attn.v_proj": (key, self.hidden_size),
            "self_attn.o_proj": (self.hidden_size, query),
            "mlp.gate_proj": (self.intermediate_size, self.hidden_size),
            "mlp.up_proj": (self.intermediate_size, self.hidden_size),
            "mlp.down_proj": (self.hidden_size, self.intermediate_size),
        }

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of every tensor the model has, in its order. A tied head has none of its own."""
        yield "model.embed_tokens.weight", (self.vocab_size, self.hidden_size)
        for layer in range(self.layers):
            for name, shape in self.layer_linears().items():
                yield f"model.layers.{layer}.{name}.weight", shape
            for name in ("input_layernorm", "post_attention_layernorm"):
                yield f"model.layers.{layer}.{name}.weight", (self.hidden_size,)
        yield "model.norm.weight", (self.hidden_size,)
        if not self.tie_word_embeddings:
            yield "lm_head.weight", (self.vocab_size, self.hidden_size)


def refuse_metas(directory: Path) -> None:
    """Raises InputError where a directory holds weights as Meta ships them, which have to be converted first."""
    if any(directory.glob("consolidated.*.pth")):
        raise InputError(
            f"{directory}: holds Meta's weights: `codellama convert {directory} OUTPUT` makes them a model"
        )


def _rope(fields: Fields) -> tuple[float, Mapping[str, object] | None]:
    """Theta and scaling: `rope_parameters` holds both since transformers 5, two keys held them before."""
    parameters = fields.get("rope_parameters", dict) or {}
    theta = parameters.get("rope_theta", fields.values.get("rope_theta", 10000.0))
    # 10000 where the key is absent, as in Meta's code
    if not is_number(theta) or theta <= 0:
        raise fields.error(f"rope_theta is {short(theta)}: a number above 0 expected")
    scaling = {key: value for key, value in parameters.items() if key != "rope_theta"}
    scaling = scaling or dict(fields.get("rope_scaling", dict) or {})
    kind = scaling["rope_type"] = scaling.pop("type", None) or scaling.get("rope_type", "default")
    if kind not in ROPE_TYPES:
        raise fields.error(f"rope_type is {short(kind)}: one of {', '.join(ROPE_TYPES)} expected")
    for key, value in scaling.items():
        items = value if isinstance(value, list) else [value]
        if not all(item is None or isinstance(item, str | bool) or is_number(item) for item in items):
            raise fields.error(f"{key} of the rope parameters is {short(value)}: a number expected")
    return float(theta), None if kind == "default" else scaling


def _quantisation(fields: Fields) -> Quantisation | None:
    settings = fields.get("quantization_config", dict)
    if settings is None:
        return None
    method = settings.get("quant_method", "bitsandbytes")
    four, eight = settings.get("load_in_4bit") is True, settings.get("load_in_8bit") is True
    if method != "bitsandbytes" or four == eight:
        raise fields.error(
            f"the weights are quantised by {short(method)}: only bitsandbytes in 4 or 8 bit is supported; "
            "take the model as it was before and use --4bit or --8bit"
        )
    return "4bit" if four else "8bit"
