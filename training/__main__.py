"""`python -m training`: corpus, vocabulary, training, evaluation, export."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from torch.multiprocessing.spawn import spawn

from . import corpora, packages, pieces, train
from .recipe import Recipe
from .worker import network_for, work


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("cli/codellama/tiny"), help="where the model goes")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="where checkpoints go, to go on from")
    parser.add_argument("--only", choices=("train", "export"), help="stop after training, or export the checkpoint")
    parser.add_argument(
        "--start",
        type=Path,
        help="an exported model, whose weights stand for all before the last new beginning",
    )
    return parser.parse_args()


def main() -> None:
    options = arguments()
    recipe = Recipe()
    packages.fetch(options.work / "packages")
    data = corpora.read(options.work)
    print(f"{len(data.documents)} modules to train on, {len(data.held_out)} held out", flush=True)
    path = options.work / "tokenizer.model"
    if not path.exists():
        if options.start:
            shutil.copy(options.start / "tokenizer.model", path)
        else:
            path.write_bytes(pieces.train(each.text for each in data.documents))
    if options.only != "export":
        with tempfile.TemporaryDirectory() as directory:
            meeting = str(Path(directory) / "meeting")
            spawn(work, (meeting, options.work, recipe, data, options.start), nprocs=recipe.processes)  # type: ignore[no-untyped-call]
    if options.only != "train":
        from .release import release

        encoder = pieces.Encoder(path)
        network = network_for(encoder)
        log = train.load_network(network, options.work / "checkpoint.pt")
        release(options.out, network, encoder, data, recipe, log)


if __name__ == "__main__":
    main()
