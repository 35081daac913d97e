"""What is converted: a model in a directory as Meta ships it or, for 4 bit, in Hugging Face's layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from codellama import hub_cache
from codellama.card import CARD
from codellama.catalogue import Entry, Variant
from codellama.checkpoint import GENERATION_CONFIG, SIZES, Checkpoint
from codellama.config import CONFIG, Config
from codellama.convert import checklist, describe, shards, stored
from codellama.convert.elements import Source
from codellama.errors import InputError
from codellama.fields import Fields, reading
from codellama.tokenizer import Tokenizer

TOKENIZER = "tokenizer.model"
KEPT = (
    *(CARD, GENERATION_CONFIG, TOKENIZER),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
)
# files of a Hugging Face directory that are copied; whatever else is in it is left behind
LONGEST = 100_000_000
# bytes of such a file


@dataclass(frozen=True, slots=True)
class Origin:
    """A model found in a directory, open for reading."""

    directory: Path
    config: Config
    sources: tuple[Source, ...]
    tokenizer: Tokenizer
    shards: int = 0
    # of Meta's layout; 0: it is in Hugging Face's
    check_rest: Callable[[], None] = lambda: None
    # raises InputError where anything is damaged that belongs to no source
    sums: Mapping[str, str] | None = None
    # MD5 by file name; None: there is no list
    texts: Mapping[str, bytes] = field(default_factory=dict)
    # small files to be copied
    raw_config: Mapping[str, object] = field(default_factory=dict)
    # config.json of Hugging Face's layout; empty: there is none
    entry: Entry | None = None
    # in the catalogue, for a directory of the hub's cache; None: the shape has to tell

    @property
    def dtype(self) -> str:
        """What most of its bytes are stored in, as safetensors calls it."""
        counted: Counter[str] = Counter()
        for source in self.sources:
            counted[source.dtype] += prod(source.shape) * SIZES[source.dtype]
        return counted.most_common(1)[0][0]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants it may be, by its place or its shape; empty: it is none of the family and may be any."""
        if self.entry:
            return (self.entry.variant,)
        return tuple(entry.variant for entry in describe.candidates(self.config))

    @property
    def described(self) -> bool:
        """Whether a codellama.json says which variant it is."""
        return CARD in self.texts


@contextmanager
def opened(directory: Path, skipped: Collection[str] = (), *, four_bit: bool = False) -> Iterator[Origin]:
    """Open a model's directory. `skipped`: files whose checksums are not compared; `four_bit`: what it is opened for.

    Raises InputError where it is none, or anything in it is damaged that can be known before all of it is read.
    """
    if not directory.is_dir():
        raise InputError(
            f"{directory}: {'is a file: name its directory' if directory.exists() else 'no such directory'}"
        )
    if shards.shard_paths(directory):
        sums = checklist.read(directory, skipped)
        with shards.opened(directory) as found:
            yield Origin(
                directory, found.config, found.tensors, _tokenizer(directory / TOKENIZER, found.config),
                shards=len(found.archives), check_rest=found.check_rest, sums=sums,
            )  # fmt: skip
    elif not (directory / CONFIG).is_file():
        raise InputError(f"{directory}: no consolidated.00.pth there: name a directory as Meta ships it")
    elif not four_bit:
        raise InputError(f"{directory}: is in Hugging Face's layout already: use it as it is; --4bit makes it smaller")
    else:
        with stored.opened(directory) as (checkpoint, tensors):
            yield _stored(checkpoint, tensors)


def _stored(checkpoint: Checkpoint, tensors: tuple[Source, ...]) -> Origin:
    directory = checkpoint.directory
    texts = {}
    with reading(directory):
        for name in KEPT:
            path = directory / name
            if path.is_file():
                if path.stat().st_size > LONGEST:
                    raise InputError(f"{path}: is far too long")
                texts[name] = path.read_bytes()
    raw = dict(Fields(directory / CONFIG).values)
    # code of the model's own, which no copy of ours asks anybody to run
    raw.pop("auto_map", None)
    return Origin(
        directory,
        checkpoint.config,
        tensors,
        Tokenizer.load(directory),
        texts=texts,
        raw_config=raw,
        entry=hub_cache.entry_of(directory),
    )


def _tokenizer(path: Path, config: Config) -> Tokenizer:
    if not path.is_file():
        raise InputError(f"{path}: is missing: fetch it, it comes with the weights")
    tokenizer = Tokenizer.load(path)
    if tokenizer.size > config.vocab_size:
        raise InputError(
            f"{path}: has {tokenizer.size} pieces, the embedding {config.vocab_size} rows: take the one that came with "
            "the weights"
        )
    return tokenizer
