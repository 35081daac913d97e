"""`python -m training`: corpus, vocabulary, training, evaluation, export."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from torch.multiprocessing.spawn import spawn

from . import corpus, pieces, train
from .worker import network_for, work


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("cli/codellama/tiny"), help="where the model goes")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="where checkpoints go, to go on from")
    parser.add_argument("--steps", type=int, default=train.Recipe.steps)
    parser.add_argument("--only", choices=("train", "export"), help="stop after training, or export the checkpoint")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    recipe = replace(train.Recipe(), steps=options.steps)
    documents, held_out = corpus.read()
    print(f"{len(documents)} modules to train on, {len(held_out)} held out", flush=True)
    vocabulary = pieces.train(each.text for each in documents)
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "tokenizer.model"
    path.write_bytes(vocabulary)
    if options.only != "export":
        with tempfile.TemporaryDirectory() as directory:
            meeting = str(Path(directory) / "meeting")
            spawn(work, (meeting, options.work, recipe), nprocs=recipe.processes)  # type: ignore[no-untyped-call]
    if options.only != "train":
        from .release import release

        encoder = pieces.Encoder(path)
        network = network_for(encoder, recipe)
        log = train.load_network(network, options.work / "checkpoint.pt")
        release(options.out, network, encoder, documents, held_out, recipe, log)


if __name__ == "__main__":
    main()
