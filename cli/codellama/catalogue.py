"""The Code Llama family as a table. Everything a name stands for is looked up here, never inferred from the name.

Sources: the paper (arXiv 2308.12950), Meta's model cards and params.json, and the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Variant = Literal["base", "python", "instruct"]
ChatFormat = Literal["instruct", "instruct-70b"]


@dataclass(frozen=True, slots=True)
class Size:
    """The shape that all variants of a size share."""

    name: str
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    intermediate_size: int
    shards: int
    # consolidated.NN.pth files in Meta's download


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    size: Size
    variant: Variant
    context: int
    # tokens it was trained on at a time; with a theta of 1e6 usable to about 100,000
    vocab_size: int
    rope_theta: float
    infill: bool
    chat_format: ChatFormat | None
    hub_id: str


_7B = Size("7B", 4096, 32, 32, 32, 11008, shards=1)
_13B = Size("13B", 5120, 40, 40, 40, 13824, shards=2)
_34B = Size("34B", 8192, 48, 64, 8, 22016, shards=4)
_70B = Size("70B", 8192, 80, 64, 8, 28672, shards=8)

SIZES = (_7B, _13B, _34B, _70B)

FAMILY = (
    Entry("7b", _7B, "base", 16384, 32016, 1e6, True, None, "codellama/CodeLlama-7b-hf"),
    Entry("7b-python", _7B, "python", 16384, 32000, 1e6, False, None, "codellama/CodeLlama-7b-Python-hf"),
    Entry("7b-instruct", _7B, "instruct", 16384, 32016, 1e6, True, "instruct", "codellama/CodeLlama-7b-Instruct-hf"),
    Entry("13b", _13B, "base", 16384, 32016, 1e6, True, None, "codellama/CodeLlama-13b-hf"),
    Entry("13b-python", _13B, "python", 16384, 32000, 1e6, False, None, "codellama/CodeLlama-13b-Python-hf"),
    Entry("13b-instruct", _13B, "instruct", 16384, 32016, 1e6, True, "instruct", "codellama/CodeLlama-13b-Instruct-hf"),
    Entry("34b", _34B, "base", 16384, 32000, 1e6, False, None, "codellama/CodeLlama-34b-hf"),
    Entry("34b-python", _34B, "python", 16384, 32000, 1e6, False, None, "codellama/CodeLlama-34b-Python-hf"),
    Entry(
        "34b-instruct", _34B, "instruct", 16384, 32000, 1e6, False, "instruct", "codellama/CodeLlama-34b-Instruct-hf"
    ),
    # the 70B base model's card says that it infills, its repository's README says that it does not: --as infill insists
    Entry("70b", _70B, "base", 16384, 32016, 1e6, False, None, "codellama/CodeLlama-70b-hf"),
    Entry("70b-python", _70B, "python", 4096, 32016, 1e4, False, None, "codellama/CodeLlama-70b-Python-hf"),
    Entry(
        "70b-instruct", _70B, "instruct", 4096, 32016, 1e4, False, "instruct-70b", "codellama/CodeLlama-70b-Instruct-hf"
    ),
)

_BY_NAME = {entry.name: entry for entry in FAMILY}
_BY_HUB_ID = {entry.hub_id: entry for entry in FAMILY}


def by_name(name: str) -> Entry | None:
    return _BY_NAME.get(name.lower())


def by_hub_id(hub_id: str) -> Entry | None:
    return _BY_HUB_ID.get(hub_id)


def names(*, infill: bool = False, chat_format: str | None = None) -> list[str]:
    """The names of the models that can do what is asked."""
    return [entry.name for entry in FAMILY if (entry.infill or not infill) and chat_format in (None, entry.chat_format)]
