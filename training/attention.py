"""Causal attention in blocks of queries, with its gradient.

torch's kernel for CPUs computes the half of the scores that the mask throws away, and is slow in bfloat16: forwards and
backwards it took 94 ms for two rows of 1024 ids (six heads of 64, one core), this takes 45.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

BLOCK = 128  # queries; blocks of 64 and 256 are no faster


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, apart: Tensor | None) -> Tensor:
        """Queries of (kv heads, group, length, size), scaled; keys and values of (kv heads, length, size)."""
        heads, group, length, size = queries.shape
        ahead = queries.new_full((BLOCK, BLOCK), -math.inf).triu_(1)
        output, attended = torch.empty_like(queries), []
        for start in range(0, length, BLOCK):
            end = min(start + BLOCK, length)
            rows = end - start
            scores = torch.bmm(queries[:, :, start:end].reshape(heads, -1, size), keys[:, :end].transpose(1, 2))
            scores.view(heads, group, rows, end)[..., start:] += ahead[:rows, :rows]
            if apart is not None:
                scores.view(len(apart), -1, rows, end).add_(apart[:, None, start:end, :end])
            weights = scores.softmax(-1)
            attended.append(weights)
            output[:, :, start:end] = torch.bmm(weights, values[:, :end]).view(heads, group, rows, size)
        ctx.save_for_backward(queries, keys, values, *attended)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        queries, keys, values, *attended = ctx.saved_tensors
        heads, group, length, size = queries.shape
        gradient = gradients[0].contiguous()
        to_queries = torch.empty_like(queries)
        to_keys, to_values = torch.zeros(keys.shape), torch.zeros(values.shape)  # sums of up to eight parts: float32
        for start, weights in zip(range(0, length, BLOCK), attended, strict=True):
            end = min(start + BLOCK, length)
            part = gradient[:, :, start:end].reshape(heads, -1, size)
            to_values[:, :end] += torch.bmm(weights.transpose(1, 2), part)
            to_weights = torch.bmm(part, values[:, :end].transpose(1, 2))
            to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
            to_queries[:, :, start:end] = torch.bmm(to_scores, keys[:, :end]).view(heads, group, end - start, size)
            to_keys[:, :end] += torch.bmm(to_scores.transpose(1, 2), queries[:, :, start:end].reshape(heads, -1, size))
        return to_queries, to_keys.to(keys.dtype), to_values.to(values.dtype), None


def apart(numbers: Tensor, kind: torch.dtype) -> Tensor:
    """What to add to the scores of (batch, queries, keys), so that no place sees one of another number."""
    differ = numbers[:, :, None] != numbers[:, None, :]
    return torch.zeros(differ.shape, dtype=kind).masked_fill_(differ, -math.inf)


def attend(queries: Tensor, keys: Tensor, values: Tensor, apart: Tensor | None = None) -> Tensor:
    """What each place takes from itself and those before it, but for those that are kept apart from it.

    Queries are of (batch, heads, length, size), keys and values of (batch, kv heads, length, size), and the heads that
    follow each other share one of theirs, as in Llama; the result is shaped as the queries.
    """
    batch, heads, length, size = queries.shape
    shared = batch * keys.shape[1]
    scaled = (queries / math.sqrt(size)).reshape(shared, -1, length, size)
    keys, values = keys.reshape(shared, length, size), values.reshape(shared, length, size)
    output: Tensor = _Attention.apply(scaled, keys, values, apart)  # type: ignore[no-untyped-call]
    return output.view(batch, heads, length, size)
