"""A model of the hub becomes a directory of ours.

It goes to `models/NAME` in the user's data directory and not into the Hugging Face cache: there it is a plain directory
that other programs load by its path, no other program's cleaning removes it, and codellama.json lies beside the
weights. What the cache already holds is linked, not fetched, and takes no room twice.

All is fetched into `.NAME.codellama-new` beside it, which a run that was interrupted leaves and the next one goes on
with; every file is then read again and compared with the hash the hub gave, and the directory renamed last.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codellama import catalogue, hub, hub_cache, manifest, models, publish
from codellama.card import CARD, Identity, as_text, card_json
from codellama.catalogue import Entry
from codellama.checkpoint import GENERATION_CONFIG, INDEX, WEIGHTS, Checkpoint
from codellama.config import CONFIG, Config
from codellama.devices import free_disk
from codellama.digest import digest
from codellama.errors import CodellamaError, InputError
from codellama.fields import Fields
from codellama.hub import MAIN, RemoteFile, Repository, Wait
from codellama.memory import gigabytes, weight_bytes
from codellama.settings import Settings
from codellama.tokenizer import Tokenizer

TOKENIZERS = ("tokenizer.model", "tokenizer.json")
SMALL = (CONFIG, GENERATION_CONFIG, *TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json")
# what is fetched beside the weights: the last two are for other programs
FETCHING = "fetching"
LONGEST_INDEX = 50_000_000
# bytes
_SHARD = re.compile(r"[A-Za-z0-9][\w.-]*\.safetensors", re.ASCII)

Report = Callable[[str, int, int], None]
# what is being done, bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class Pull:
    """What is to be fetched, and where to."""

    entry: Entry | None
    # in the catalogue; None: it is none of the family
    repository: Repository
    files: tuple[RemoteFile, ...]
    # the small ones first
    place: Path

    @property
    def name(self) -> str:
        """What -m takes once it is there."""
        return self.entry.name if self.entry else self.repository.hub_id

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def origin(self) -> tuple[str, str]:
        """Hub id and commit."""
        return self.repository.hub_id, self.repository.revision

    @property
    def there(self) -> bool:
        """Whether exactly this is in its place."""
        return origin(self.place) == self.origin

    @property
    def four_bit_bytes(self) -> int:
        """What a copy in 4 bit takes, about; 0: not known before config.json is there."""
        return weight_bytes(Config.of(self.entry), "nf4").total if self.entry else 0

    def missing(self, environ: Mapping[str, str]) -> int:
        """Bytes that are neither on this disk already nor left by an earlier run."""
        new = publish.beside(self.place, "new")
        return sum(
            file.size - min(file.size, _bytes(new / file.name))
            for file in self.files
            if not _linkable(self.held(file, environ), self.place.parent)
        )

    def held(self, file: RemoteFile, environ: Mapping[str, str]) -> Path | None:
        """A file that should be the same: in the Hugging Face cache, or in an older revision in its place."""
        found = hub_cache.blob(self.repository.hub_id, file.cached_as, environ)
        if found is None and (self.place / manifest.MANIFEST).is_file():
            if file.sha256 is None or manifest.read(self.place).get(file.name) != file.sha256:
                return None
            found = self.place / file.name
        return found if found and _bytes(found) == file.size else None


def plan(name: str, settings: Settings, revision: str | None = None, wait: Wait = hub.sleep) -> Pull:
    """What to fetch for a name of the family or a hub id.

    Raises InputError for a name that is neither and a repository that holds no Llama in safetensors, and as
    `hub.repository` does.
    """
    if name == models.TINY:
        raise InputError(f"{name}: is built in: there is nothing to fetch")
    entry = catalogue.by_name(name) or catalogue.by_hub_id(name)
    hub_id, place = entry.hub_id if entry else name, models.place(name, settings)
    if place is None or not hub_cache.HUB_ID.fullmatch(hub_id):
        raise models.unknown(name, settings)
    place = publish.place_of(place)
    if os.path.lexists(place) and origin(place) is None:
        raise InputError(f"{place}: is there, and was not fetched from the hub: `codellama models remove {name}` first")
    repository = hub.repository(hub_id, revision or MAIN, wait)
    return Pull(entry, repository, _needed(repository, wait), place)


def run(pull: Pull, environ: Mapping[str, str], report: Report, wait: Wait = hub.sleep, more: int = 0) -> None:
    """Fetch what is missing, check all of it, and only then let the directory appear.

    `more`: bytes that have to be free besides. Raises InputError for what is no model we can load, and where another
    run is at it; CodellamaError where a file is not what the hub said, the disk is full, or the hub fails. What was
    fetched by then stays for the next run.
    """
    publish.recover(pull.place)
    need, free = pull.missing(environ) + more, free_disk(pull.place.parent)
    if need > free:
        raise CodellamaError(
            f"{pull.name} needs {gigabytes(need)} more, {gigabytes(free)} are free in {pull.place.parent}: make room"
        )
    with publish.publishing(pull.place, resume=True) as directory:
        for path in directory.iterdir():
            if path.name not in {file.name for file in pull.files}:
                path.unlink()
        sums: dict[str, str] = {}
        done = 0
        for file in pull.files:
            sums[file.name] = _bring(pull, file, directory, environ, _from(done, pull.bytes, report), wait)
            done += file.size
            if file.name == CONFIG:
                # before gigabytes are fetched for nothing
                Config.read(directory)
        context = Checkpoint.read(directory).config.context
        Tokenizer.load(directory)
        identity = Identity.of(pull.entry) if pull.entry else Identity(None, None, None, None, None)
        card = as_text(card_json(identity, context, hub_id=pull.repository.hub_id, revision=pull.repository.revision))
        _write(directory / CARD, card)
        sums[CARD] = hashlib.sha256(card).hexdigest()
        _write(directory / manifest.MANIFEST, manifest.text(sums))


def origin(place: Path) -> tuple[str, str] | None:
    """Hub id and commit that a directory was fetched from. None: it was not."""
    if not (place / CARD).is_file():
        return None
    card = Fields(place / CARD)
    hub_id, revision = card.get("hub_id", str), card.get("revision", str)
    return (hub_id, revision) if hub_id and revision else None


def _needed(repository: Repository, wait: Wait) -> tuple[RemoteFile, ...]:
    """The files that make the model, small ones first. Raises InputError where they do not."""
    files = {file.name: file for file in repository.files}
    if CONFIG not in files or not any(name in files for name in TOKENIZERS):
        lacks = CONFIG if CONFIG not in files else " and ".join(TOKENIZERS)
        raise InputError(f"{repository.hub_id} has no {lacks}: it is no model in Hugging Face's layout")
    if WEIGHTS in files:
        weights = [WEIGHTS]
    elif INDEX in files:
        weights = [INDEX, *_shards(repository, files, wait)]
    else:
        raise InputError(
            f"{repository.hub_id} has no {WEIGHTS}: only weights in safetensors are read, no pickles or GGUF"
        )
    return tuple(files[name] for name in [name for name in SMALL if name in files] + weights)


def _shards(repository: Repository, files: Mapping[str, RemoteFile], wait: Wait) -> list[str]:
    text = hub.read(repository, files[INDEX], LONGEST_INDEX, wait)
    try:
        names = sorted(set(json.loads(text)["weight_map"].values()))
        if not names or not all(_SHARD.fullmatch(name) for name in names):
            raise ValueError(names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{repository.hub_id}: its {INDEX} is malformed") from error
    for name in names:
        if name not in files:
            raise InputError(f"{repository.hub_id}: its {INDEX} names {name}, which is not there")
    return names


def _bring(
    pull: Pull, file: RemoteFile, directory: Path, environ: Mapping[str, str], report: Report, wait: Wait
) -> str:
    """Have a file whole and sound in the directory; its sha256. Raises CodellamaError where it comes otherwise.

    What an earlier run left, or lies on this disk already, is fetched anew where it is not sound.
    """
    path = directory / file.name
    held = None if path.exists() else pull.held(file, environ)
    if held:
        _link(held, path)
    if path.exists():
        sum = _whole(pull, file, path, report, wait)
        if sum:
            return sum
    sum = _whole(pull, file, path, report, wait)
    if not sum:
        raise CodellamaError(
            f"{pull.repository.hub_id}: {file.name} came with another hash than the hub says and was thrown away: run "
            "it again; if that does not help, the hub or what lies between is at fault"
        )
    return sum


def _whole(pull: Pull, file: RemoteFile, path: Path, report: Report, wait: Wait) -> str | None:
    """Fetch what is missing of a file; its sha256. None: it was not what it should be, and is gone."""
    done = _bytes(path)

    def fetched(size: int) -> None:
        nonlocal done
        done += size
        report(FETCHING, done, file.size)

    def read(size: int) -> None:
        nonlocal done
        done += size
        report("checking", done, file.size)

    if done != file.size:
        hub.fetch(pull.repository, file, path, fetched, wait)
    done = 0
    sum = digest(path, "sha256", advance=read)
    if sum == file.sha256 or (file.sha256 is None and _git_hash(path) == file.blob):
        return sum
    path.unlink()
    return None


def _link(held: Path, path: Path) -> None:
    """The same file under a second name, or on another file system a copy."""
    with suppress(OSError):
        path.hardlink_to(held.resolve())
        return
    shutil.copyfile(held, path)


def _linkable(held: Path | None, directory: Path) -> bool:
    """Whether a file can be there without taking room again."""
    while not directory.exists():
        directory = directory.parent
    return held is not None and held.stat().st_dev == directory.stat().st_dev


def _git_hash(path: Path) -> str:
    """git's name for a file's contents: the SHA-1 of a header and them."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _from(before: int, total: int, report: Report) -> Report:
    """Reports of one file told as those of all of them, but for reading it again."""
    return lambda doing, done, size: (
        report(doing, before + done, total) if doing == FETCHING else report(doing, done, size)
    )


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _write(path: Path, text: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
