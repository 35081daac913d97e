"""One process of the training."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import torch
import torch.distributed

from . import pieces, train
from .corpora import Corpora
from .network import Network, Shape
from .recipe import Recipe
from .samples import Mix, Samples

CHECKED_IDS = 20_000
CONTEXT = 1024
PADDED = 32  # the head is faster in whole multiples of this; the export drops what is too much


def network_for(encoder: pieces.Encoder) -> Network:
    return Network(Shape(-(-len(encoder) // PADDED) * PADDED, context=CONTEXT))


def work(rank: int, meeting: str, directory: Path, recipe: Recipe, data: Corpora, start: Path | None) -> None:
    """One process of the training. Each draws the same samples, and takes its rows of them."""
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    train.keep_memory()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=recipe.processes
    )
    encoder = pieces.Encoder(directory / "tokenizer.model")
    network = network_for(encoder)
    encoded = [[encoder.bos, *encoder.encode(each.text)] for each in data.held_out]
    size = sum(len(each.text.encode()) for each in data.held_out)
    check = partial(train.bits_per_byte, network.loss, encoded, size, CONTEXT, CHECKED_IDS)

    @cache
    def samples(mix: Mix) -> Samples:
        return Samples(encoder, data.documents, data.weights(mix.favour), mix, recipe.seed)

    train.Run(network, len(encoder), recipe, directory / "checkpoint.pt", check, start).go(samples)
    torch.distributed.destroy_process_group()
