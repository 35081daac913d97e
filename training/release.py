"""The last part of the command: measure a trained network, and put it in place with its card, curve and log."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from . import card, export
from .corpus import Document
from .evaluate import Evaluation
from .network import Network
from .pieces import Encoder
from .train import Recipe, write_log

HERE = Path(__file__).parent


def release(
    out: Path,
    network: Network,
    encoder: Encoder,
    documents: list[Document],
    held_out: list[Document],
    recipe: Recipe,
    log: list[dict[str, float]],
) -> None:
    started = time.monotonic()
    torch.set_num_threads(recipe.processes)
    with export.replacing(out) as directory:
        export.write(directory, network, encoder)
        export.verify(directory, network, encoder, documents)
        evaluation = Evaluation(directory, held_out)
        measured = card.measure(evaluation)
        if measured.penalty != 1.0:
            export.write_generation(directory, measured.penalty)
        text = card.render(
            network=network,
            parameters=export.parameters(network, len(encoder)),
            vocabulary=len(encoder),
            recipe=recipe,
            log=log,
            documents=documents,
            held_out=held_out,
            measured=measured,
            written=card.samples(evaluation, measured.penalty),
        )
        (directory / "CARD.md").write_text(text)
    write_log(log, HERE / "log.csv")
    card.draw_curve(log, HERE / "curve.png")
    print(text)
    print(f"measured and written in {time.monotonic() - started:.0f} s", flush=True)
