"""One process of the training."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.distributed

from . import corpus, pieces, train
from .network import Network, Shape
from .samples import Samples

CHECKED_IDS = 20_000
PADDED = 32  # the head is faster in whole multiples of this; the export drops what is too much


def network_for(encoder: pieces.Encoder, recipe: train.Recipe) -> Network:
    return Network(Shape(-(-len(encoder) // PADDED) * PADDED, context=recipe.sequence))


def work(rank: int, meeting: str, directory: Path, recipe: train.Recipe) -> None:
    """One process of the training. Each draws the same samples, and takes its rows of them."""
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    train.keep_memory()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=recipe.processes
    )
    documents, held_out = corpus.read()
    encoder = pieces.Encoder(directory / "tokenizer.model")
    network = network_for(encoder, recipe)
    encoded = [[encoder.bos, *encoder.encode(each.text)] for each in held_out]
    size = sum(len(each.text.encode()) for each in held_out)
    rows = Samples(encoder, documents, recipe.seed).stream(
        recipe.steps * recipe.rows * recipe.sequence, recipe.sequence
    )
    controls = [encoder.bos, encoder.prefix, encoder.suffix, encoder.middle]
    check = partial(train.bits_per_byte, network.loss, encoded, size, recipe.sequence, CHECKED_IDS)
    train.Run(network, recipe, directory / "checkpoint.pt", controls, check).go(rows)
    torch.distributed.destroy_process_group()
