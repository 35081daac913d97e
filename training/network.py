"""A Llama in plain torch whose parameters are named and laid out as in transformers' LlamaForCausalLM."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import apart, attend

EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")


@dataclass(frozen=True)
class Shape:
    """The sizes that config.json names."""

    vocabulary: int
    hidden: int = 384
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    intermediate: int = 960
    context: int = 1024
    theta: float = 10000.0
    epsilon: float = 1e-5


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = shape.heads, shape.kv_heads, shape.hidden // shape.heads
        self.q_proj = nn.Linear(shape.hidden, shape.heads * self.size, bias=False)
        self.k_proj = nn.Linear(shape.hidden, shape.kv_heads * self.size, bias=False)
        self.v_proj = nn.Linear(shape.hidden, shape.kv_heads * self.size, bias=False)
        self.o_proj = nn.Linear(shape.heads * self.size, shape.hidden, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, apart: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        q = rotate(self.q_proj(x).view(batch, length, self.heads, self.size).transpose(1, 2), cosine, sine)
        k = rotate(self.k_proj(x).view(batch, length, self.kv_heads, self.size).transpose(1, 2), cosine, sine)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.size).transpose(1, 2)
        output: Tensor = self.o_proj(attend(q, k, v, apart).transpose(1, 2).reshape(batch, length, -1))
        return output


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cosine - right * sine, right * cosine + left * sine), dim=-1)


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return output


class Norm(nn.RMSNorm):
    """RMSNorm with its weight in the input's type: torch has one fast kernel for that, and none for mixed types."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.hidden, eps=shape.epsilon)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.hidden, eps=shape.epsilon)
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, apart: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine, apart)
        output: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return output


class Body(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden, eps=shape.epsilon)


class Network(nn.Module):
    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        self.lm_head = nn.Linear(shape.hidden, shape.vocabulary, bias=False)
        size = shape.hidden // shape.heads
        angles = torch.outer(torch.arange(shape.context), shape.theta ** (-torch.arange(0, size, 2) / size))
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                embedding = name.endswith(("embed_tokens.weight", "lm_head.weight"))
                nn.init.normal_(parameter, std=0.02 if embedding else 1 / math.sqrt(shape.hidden))

    def exported(self, vocabulary: int) -> dict[str, Tensor]:
        """The parameters as bfloat16, without the rows that only fill the vocabulary up."""
        tensors = {}
        for name, tensor in self.state_dict().items():
            if name in EMBEDDINGS:
                tensor = tensor[:vocabulary]
            tensors[name] = tensor.to(torch.bfloat16).contiguous().clone()
        return tensors

    def adopt(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes parameters as `exported` gives them; the rows that fill the vocabulary up become zero."""
        whole = {
            name: functional.pad(tensor, (0, 0, 0, self.shape.vocabulary - len(tensor)))
            if name in EMBEDDINGS
            else tensor
            for name, tensor in tensors.items()
        }
        self.load_state_dict(whole)

    def hidden(self, ids: Tensor, numbers: Tensor | None = None) -> Tensor:
        """The states before the head, normalised; each place sees those before it that have its number."""
        x = self.model.embed_tokens(ids)
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        x = x.to(kind)
        cosine, sine = self.cosine[: ids.shape[1]].to(kind), self.sine[: ids.shape[1]].to(kind)
        kept_apart = None if numbers is None else apart(numbers, kind)
        for layer in self.model.layers:
            x = layer(x, cosine, sine, kept_apart)
        output: Tensor = self.model.norm(x)
        return output

    def forward(self, ids: Tensor, numbers: Tensor | None = None) -> Tensor:
        logits: Tensor = self.lm_head(self.hidden(ids, numbers))
        return logits

    def loss(
        self, ids: Tensor, targets: Tensor, weights: Tensor | None = None, numbers: Tensor | None = None
    ) -> Tensor:
        """The mean negative log-likelihood of the targets, computed in bfloat16; weighted where weights are given."""
        with torch.autocast("cpu", torch.bfloat16):
            logits = self(ids, numbers).flatten(0, 1)
        if weights is None:
            return functional.cross_entropy(logits.float(), targets.flatten())
        each = functional.cross_entropy(logits.float(), targets.flatten(), reduction="none")
        return (each * weights.flatten()).sum() / weights.sum()
