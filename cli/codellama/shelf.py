"""The models on this machine: those fetched or converted for us, the Hugging Face cache's, and the built-in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codellama import hub_cache, models, publish
from codellama.card import CARD
from codellama.config import CONFIG, Config
from codellama.errors import CodellamaError, InputError
from codellama.fields import Fields
from codellama.models import TINY, Model
from codellama.settings import Settings

Home = Literal["built in", "ours", "Hugging Face cache"]


@dataclass(frozen=True, slots=True)
class Shelved:
    name: str
    # what -m takes
    directory: Path
    home: Home
    bytes: int
    # of its files, those in subdirectories left out
    precision: str | None
    # of its weights, as config.json says: bfloat16, 4bit; None: it does not say
    model: Model | None
    fault: str | None = None
    # why it cannot be used; None: it can, as far as its small files tell
    hub_id: str | None = None
    revision: str | None = None
    # where it was fetched from; None: not known
    partial: bool = False
    # True: not all of it was fetched yet


def shelved(settings: Settings, environ: Mapping[str, str]) -> Iterator[Shelved]:
    """All of them; one that is damaged comes with its fault. Weights are not looked at."""
    yield _of(TINY, Path(models.__file__).parent / TINY, "built in")
    folders = sorted(settings.models.iterdir()) if settings.models.is_dir() else []
    for folder in folders:
        if not folder.name.startswith(".") and (folder / CONFIG).is_file():
            yield _of(_name(folder.name), folder, "ours")
    for folder in folders:
        name = publish.unfinished(folder.name)
        if name is not None and folder.is_dir():
            yield Shelved(_name(name), folder, "ours", _size(folder), None, None, partial=True)
    for hub_id, snapshot in hub_cache.models(environ):
        # the cache holds all kinds of models
        if _is_llama(snapshot):
            yield _of(hub_id, snapshot, "Hugging Face cache", hub_id, snapshot.name)


def remove(name: str, settings: Settings, environ: Mapping[str, str]) -> Path:
    """Remove a model of ours, or what was fetched of it by now; its directory.

    Raises InputError for a name that is no such model's, or while it is being fetched; CodellamaError where the disk
    refuses.
    """
    place = removable(name, settings, environ)
    try:
        if place.is_symlink():
            # what it points to is not ours
            place.unlink()
        else:
            publish.discard(place)
    except OSError as error:
        raise CodellamaError(f"{place}: cannot be removed: {error.strerror}") from None
    return place


def removable(name: str, settings: Settings, environ: Mapping[str, str]) -> Path:
    """The directory of a model of ours. Raises InputError where it is another's, or there is none."""
    place = models.place(name, settings)
    if place and (place.is_symlink() or publish.traces(place)):
        return place
    if name == TINY:
        raise InputError(f"{TINY}: is built in: it cannot be removed")
    if name and Path(name).expanduser().is_dir():
        raise InputError(f"{name}: is no model that codellama keeps: remove the directory yourself")
    entry = models.find(name, settings, environ, absent_ok=True)
    for hub_id, snapshot in hub_cache.models(environ):
        if snapshot == entry.directory:
            raise InputError(
                f"{name}: lies in the Hugging Face cache, which other programs use too: `hf cache rm model/{hub_id}`"
            )
    raise InputError(f"{name}: is not on this machine")


def _of(name: str, directory: Path, home: Home, hub_id: str | None = None, revision: str | None = None) -> Shelved:
    try:
        model = models.read(directory, name, hub_cache.entry_of(directory))
        config = Config.read(directory)
        if (directory / CARD).is_file():
            card = Fields(directory / CARD)
            hub_id, revision = card.get("hub_id", str) or hub_id, card.get("revision", str) or revision
    except InputError as error:
        return Shelved(name, directory, home, _size(directory), None, None, str(error), hub_id, revision)
    precision = config.quantisation or config.dtype
    return Shelved(name, directory, home, _size(directory), precision, model, None, hub_id, revision)


def _name(folder: str) -> str:
    """What a model of ours is called: by its hub id where `models.place` made its folder's name of one."""
    hub_id = folder.replace("--", "/", 1)
    return hub_id if hub_cache.HUB_ID.fullmatch(hub_id) else folder


def _is_llama(directory: Path) -> bool:
    try:
        return bool(Fields(directory / CONFIG).values.get("model_type") == "llama")
    except InputError:
        return False


def _size(directory: Path) -> int:
    try:
        return sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
    except OSError:
        return 0
