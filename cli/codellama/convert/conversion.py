"""A conversion from a model to a directory: what would be written, and the writing of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from codellama import manifest, publish
from codellama.card import CARD, as_text, card_json
from codellama.catalogue import Variant
from codellama.checkpoint import DTYPES, GENERATION_CONFIG, Checkpoint
from codellama.config import CONFIG
from codellama.convert import checklist, describe, fast_tokenizer, quantised, verify, writer
from codellama.convert.elements import cast
from codellama.convert.origin import TOKENIZER, Origin
from codellama.convert.writer import File, Item
from codellama.devices import free_disk
from codellama.digest import Background
from codellama.errors import CodellamaError
from codellama.memory import gigabytes

Report = Callable[[str, int, int], None]
# what is being done, bytes done, bytes in all; it may raise to stop


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is to be written."""

    origin: Origin
    files: tuple[File, ...]
    texts: Mapping[str, bytes] = field(repr=False)
    # the small files by name

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file, but for the checksums."""
        return {
            **{file.name: file.bytes for file in self.files},
            **{name: len(text) for name, text in self.texts.items()},
        }

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())

    def run(self, output: Path, *, force: bool, report: Report) -> Mapping[str, str]:
        """Write, read everything again, and only then let the output appear; the sha256 of each file.

        Raises InputError for an output that may not be written and an input that is damaged, CodellamaError where the
        disk is too full or fails. Then nothing is left of the output, and what was there before is still there.
        """
        publish.recover(publish.place_of(output))
        place = publish.target(output, self.origin.directory, force)
        check_room(self, place)
        sums = self.origin.sums or {}
        with publish.publishing(place) as directory, Background(self._compare_checklist(sums)) as checking:
            digests = self._write(directory, report, checking)
            found = self._verify(directory, digests, report, checking)
            report("comparing with checklist.chk", 0, 0)
            checking.finish()
            writer.write_text(directory / manifest.MANIFEST, manifest.text(found))
        return found

    def _compare_checklist(self, sums: Mapping[str, str]) -> Callable[[Event], None]:
        return lambda stop: checklist.compare(self.origin.directory, sums, stop)

    def _write(self, directory: Path, report: Report, checking: Background) -> dict[str, str]:
        """Write all files; the sha256 of the tensors that cannot be made again."""
        total, done = sum(file.data_bytes for file in self.files), 0
        hashes: dict[str, hashlib._Hash] = {}

        def advance(item: Item, name: str, piece: memoryview) -> None:
            nonlocal done
            if not item.repeatable:
                hashes.setdefault(name, hashlib.sha256()).update(piece)
            done += len(piece)
            report("writing", done, total)
            checking.poll()

        for name, text in self.texts.items():
            writer.write_text(directory / name, text)
        for file in self.files:
            writer.write(file, directory, advance)
        self.origin.check_rest()
        return {name: found.hexdigest() for name, found in hashes.items()}

    def _verify(
        self, directory: Path, digests: Mapping[str, str], report: Report, checking: Background
    ) -> dict[str, str]:
        """Read all files again; the sha256 of each."""
        total, done = sum(file.data_bytes for file in self.files), 0

        def advance(size: int) -> None:
            nonlocal done
            done += size
            report("verifying", done, total)
            checking.poll()

        sums = {}
        for name, text in self.texts.items():
            sums[name] = verify.compare_text(directory / name, text)
        for file in self.files:
            sums[file.name] = verify.compare(file, directory, digests, advance)
        # our own loader's checks: config, headers and index go together
        Checkpoint.read(directory)
        return sums


def plan(
    origin: Origin,
    variant: Variant | None,
    *,
    dtype: str | None = None,
    shard_size: int = 5 * 10**9,
    four_bit: bool = False,
) -> Conversion:
    """What is to be written of a model.

    variant None: the codellama.json among its files says; dtype as safetensors calls it, None: as stored.
    Raises InputError where the tokenizer cannot be written for others, or there would be too many files.
    """
    sources = [cast(source, dtype) for source in origin.sources]
    items: list[Item] = [
        quantised.Quantised(source) if four_bit and quantised.is_quantised(source) else writer.Plain(source)
        for source in sources
    ]
    files = writer.files(items, shard_size)
    texts = dict(origin.texts)
    stops, chat_format = [2], None
    if variant is not None:
        identity = describe.identify(origin.config, origin.tokenizer, variant)
        chat_format = identity.chat_format
        stops = describe.stop_ids(origin.tokenizer, chat_format)
        texts[CARD] = as_text(card_json(identity, origin.config.context))
    if origin.raw_config:
        config = dict(origin.raw_config)
    else:
        config = describe.config_json(origin.config, stops)
        tokenizer = origin.tokenizer.path
        texts |= {
            GENERATION_CONFIG: as_text(describe.generation_json(stops)),
            TOKENIZER: tokenizer.read_bytes(),
            "tokenizer.json": fast_tokenizer.tokenizer_json(tokenizer).encode(),
            "tokenizer_config.json": as_text(fast_tokenizer.tokenizer_config(origin.config.context, chat_format)),
        }
    # older programs read torch_dtype
    config |= dict.fromkeys(("dtype", "torch_dtype"), DTYPES[dtype or origin.dtype])
    if four_bit:
        config["quantization_config"] = quantised.settings(origin.config)
    texts[CONFIG] = as_text(config)
    return Conversion(origin, files, {**texts, **writer.index(files)})


def check_room(conversion: Conversion, place: Path) -> None:
    """Raises CodellamaError where the disk has too little room."""
    free = free_disk(place.parent)
    if free < conversion.bytes:
        raise CodellamaError(
            f"{place}: needs {gigabytes(conversion.bytes)}, {gigabytes(free)} are free there: "
            "make room, or name a directory on another disk"
        )
