"""The last part of the command: measure a trained network, and put it in place with its card, curve and log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from . import card, export
from .corpora import Corpora
from .corpus import Document
from .evaluate import PRECISIONS, Decoding, Evaluation, Figures, Written
from .network import Network
from .pieces import Encoder
from .recipe import Recipe
from .train import LOG, write_log

HERE = Path(__file__).parent
DECODINGS = (Decoding(), Decoding(1.1), Decoding(1.2), Decoding(1.1, no_repeat_ngram_size=12))
CLEARLY = 0.05  # what another way of decoding must be better by, in the sum of its shares


def release(
    out: Path, network: Network, encoder: Encoder, data: Corpora, recipe: Recipe, log: list[dict[str, float]]
) -> None:
    started = time.monotonic()
    torch.set_num_threads(1)
    context = get_context("spawn")
    with export.replacing(out) as directory:
        export.write(directory, network, encoder)
        export.verify(directory, network, encoder, data.documents)
        with ProcessPoolExecutor(recipe.processes, context, torch.set_num_threads, (1,)) as pool:
            on_validation = partial(write, directory, data.validation)
            tried = dict(zip(DECODINGS, pool.map(on_validation, DECODINGS), strict=True))
            chosen = choose(tried)
            export.write_generation(directory, chosen)
            on_held_out = partial(measure, directory, documents=data.held_out, decoding=chosen)
            measured = dict(zip(PRECISIONS, pool.map(on_held_out, PRECISIONS), strict=True))
        text = card.render(
            network=network,
            parameters=export.parameters(network, len(encoder)),
            vocabulary=len(encoder),
            recipe=recipe,
            log=log,
            data=data,
            chosen=chosen,
            tried=tried,
            measured=measured,
            written=card.samples(Evaluation(directory, PRECISIONS["fp32"]), data.held_out, chosen),
        )
        (directory / "CARD.md").write_text(text)
    write_log(log, LOG)
    card.draw_curve(log, HERE / "curve.png")
    print(f"measured and written in {time.monotonic() - started:.0f} s", flush=True)


def measure(directory: Path, precision: str, documents: list[Document], decoding: Decoding) -> Figures:
    """In a process of its own: several threads wait for each other at every operation."""
    figures = Evaluation(directory, PRECISIONS[precision]).measure(documents, decoding)
    print(precision, decoding, figures, flush=True)
    return figures


def write(directory: Path, documents: list[Document], decoding: Decoding) -> Written:
    written = Evaluation(directory, PRECISIONS["fp32"]).write(documents, decoding)
    print(decoding, written, flush=True)
    return written


def choose(tried: Mapping[Decoding, Written]) -> Decoding:
    """No guard against repetition unless one is clearly better."""
    best = max(tried, key=lambda each: tried[each].worth)
    plain = Decoding()
    return best if tried[best].worth > tried[plain].worth + CLEARLY else plain
