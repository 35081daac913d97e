"""The Hugging Face cache on this machine, read without its client: that takes half a second to import.

Layout (huggingface_hub's guide "Understand caching"): `models--ORG--NAME/` holds `blobs/`, named by their hashes,
`snapshots/COMMIT/` with links into them, and `refs/`, whose files name commits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from codellama import catalogue
from codellama.catalogue import Entry

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
# what a repository may be called: no other path gets out of the directories it is put into


def directory(environ: Mapping[str, str]) -> Path:
    """Where the cache is, by the client's own rules (huggingface_hub.constants)."""
    if environ.get("HF_HUB_CACHE"):
        return Path(environ["HF_HUB_CACHE"])
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]) / "hub"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface" / "hub"


def snapshot(hub_id: str, environ: Mapping[str, str]) -> Path | None:
    """The directory of a hub model in the cache: the revision `main` points to, else the newest there is."""
    repository = _repository(hub_id, environ)
    snapshots = repository / "snapshots"
    main = repository / "refs" / "main"
    if main.is_file() and (snapshots / main.read_text().strip() / "config.json").is_file():
        return snapshots / main.read_text().strip()
    found = [path.parent for path in snapshots.glob("*/config.json")] if snapshots.is_dir() else []
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def blob(hub_id: str, name: str, environ: Mapping[str, str]) -> Path | None:
    """A file of a repository by its hash: sha256 of a large one, git's of a small one. None: it is not there."""
    path = _repository(hub_id, environ) / "blobs" / name
    return path if path.is_file() else None


def models(environ: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Hub id and snapshot of every repository in the cache that holds a Llama's config.json, or another's."""
    cache = directory(environ)
    for repository in sorted(cache.glob("models--*--*")) if cache.is_dir() else ():
        hub_id = _hub_id(repository.name)
        found = snapshot(hub_id, environ) if HUB_ID.fullmatch(hub_id) else None
        if found:
            yield hub_id, found


def entry_of(path: Path) -> Entry | None:
    """The entry of a directory that is a snapshot in the cache (…/models--org--name/snapshots/revision)."""
    parts = path.resolve().parts
    if len(parts) < 3 or parts[-2] != "snapshots" or not parts[-3].startswith("models--"):
        return None
    return catalogue.by_hub_id(_hub_id(parts[-3]))


def _repository(hub_id: str, environ: Mapping[str, str]) -> Path:
    return directory(environ) / f"models--{hub_id.replace('/', '--')}"


def _hub_id(folder: str) -> str:
    return folder.removeprefix("models--").replace("--", "/", 1)
