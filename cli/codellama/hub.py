"""The Hugging Face hub: what a repository holds, and its files byte by byte.

huggingface_hub does the talking: where the hub is (HF_ENDPOINT), proxies, the token (HF_TOKEN, else what `hf auth
login` saved) and who may see it. Its own hf_hub_download is not used: in 2.4 it removes what it has of a file when it
is interrupted (file_download._download_to_tmp_and_move), and one file of a model has up to ten gigabytes.

Names, sizes and hashes come from elsewhere and are checked here; what a file holds is checked by whoever fetches it.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from codellama import __version__
from codellama.errors import CodellamaError, InputError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import RepoSibling

T = TypeVar("T")

MAIN = "main"
TIMEOUT = 30.0
# seconds without a byte
ATTEMPTS = 5
# in a row that bring nothing
FIRST_WAIT = 1.0
# seconds; each time twice as long
PATIENCE = 300
# seconds: who is asked to wait longer is told so instead
PASSING = (408, 425, 429, 500, 502, 503, 504)
# states of the hub that pass
LARGEST = 10**12
# bytes of a file

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,199}", re.ASCII)
# of files in the top directory; others no model needs

Wait = Callable[[str, float], None]
# told why and for how many seconds; it sleeps


@dataclass(frozen=True, slots=True)
class RemoteFile:
    name: str
    size: int
    sha256: str | None
    # of a large file; None: it is a small one
    blob: str
    # git's hash: of a small file's contents

    @property
    def cached_as(self) -> str:
        """What the Hugging Face cache calls it."""
        return self.sha256 or self.blob


@dataclass(frozen=True, slots=True)
class Repository:
    hub_id: str
    revision: str
    # the commit
    files: tuple[RemoteFile, ...]
    # of the top directory


def sleep(reason: str, seconds: float) -> None:
    time.sleep(seconds)


def repository(hub_id: str, revision: str = MAIN, wait: Wait = sleep) -> Repository:
    """What a repository holds at a revision (a branch, a tag or a commit).

    Raises InputError where there is none, CodellamaError where the hub lets nobody in, cannot be reached or answers
    nonsense.
    """
    from huggingface_hub import HfApi  # 0.5 s

    def ask() -> Repository:
        with _translated(hub_id, revision):
            try:
                found = HfApi().model_info(hub_id, revision=revision, files_metadata=True, timeout=TIMEOUT)
                files = tuple(_file(entry) for entry in found.siblings or () if _NAME.fullmatch(entry.rfilename))
                if not isinstance(found.sha, str) or not _COMMIT.fullmatch(found.sha):
                    raise ValueError(found.sha)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise _nonsense(hub_id) from error
            return Repository(hub_id, found.sha, files)

    return _patiently(ask, wait)


def fetch(
    repository: Repository,
    file: RemoteFile,
    path: Path,
    advance: Callable[[int], None] = lambda size: None,
    wait: Wait = sleep,
) -> None:
    """Bring a file to its full size on the disk, from where an earlier run stopped; `advance` is told of new bytes.

    A negative number of them: the hub began again. Raises as `repository` does, and OSError where the disk fails.
    """
    with path.open("ab", buffering=0) as stream:
        _fill(repository, file, stream, advance, wait)
        os.fsync(stream.fileno())


def read(repository: Repository, file: RemoteFile, most: int, wait: Wait = sleep) -> bytes:
    """A small file, without writing it anywhere. Raises CodellamaError for one of more than `most` bytes."""
    if file.size > most:
        raise CodellamaError(f"{repository.hub_id}: its {file.name} has {file.size} bytes: no such file is so long")
    stream = BytesIO()
    _fill(repository, file, stream, lambda size: None, wait)
    return stream.getvalue()


def _file(entry: RepoSibling) -> RemoteFile:
    """Raises ValueError for what no repository can hold."""
    file = RemoteFile(entry.rfilename, entry.size or 0, entry.lfs.sha256 if entry.lfs else None, entry.blob_id or "")
    hashed = _SHA256.fullmatch(file.sha256) if file.sha256 is not None else _COMMIT.fullmatch(file.blob)
    if type(file.size) is not int or not 0 <= file.size < LARGEST or not hashed:
        raise ValueError(entry)
    return file


def _fill(
    repository: Repository, file: RemoteFile, stream: BinaryIO, advance: Callable[[int], None], wait: Wait
) -> None:
    def go_on() -> None:
        with _translated(repository.hub_id, repository.revision, file.name):
            while _size(stream) < file.size:
                _append(repository, file, stream, advance)

    _patiently(go_on, wait, lambda: _size(stream))


def _append(repository: Repository, file: RemoteFile, stream: BinaryIO, advance: Callable[[int], None]) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    have = _size(stream)
    headers = build_hf_headers(library_name="codellama", library_version=__version__)
    # as it is: of a compressed answer neither size nor range would be the file's
    headers["Accept-Encoding"] = "identity"
    if have:
        headers["Range"] = f"bytes={have}-"
    url = hf_hub_url(repository.hub_id, file.name, revision=repository.revision)
    # to another host that it redirects to, the client does not send the token
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
        hf_raise_for_status(response)
        part = response.headers.get("Content-Range", "")
        if have and not (response.status_code == 206 and part.startswith(f"bytes {have}-")):
            stream.seek(0)
            stream.truncate()
            advance(-have)
            have = 0
            if response.status_code == 206:
                raise _Passing("the hub answers with another part", _nonsense(repository.hub_id))
        for piece in response.iter_bytes():
            if have + len(piece) > file.size:
                raise CodellamaError(f"{repository.hub_id}: {file.name} is longer than the hub said: run it again")
            rest = memoryview(piece)
            while rest:
                rest = rest[stream.write(rest) :]
            have += len(piece)
            advance(len(piece))
    if have < file.size:
        raise _Passing(
            f"{file.name} ends too early", CodellamaError(f"{repository.hub_id}: {file.name} ends too early")
        )


def _size(stream: BinaryIO) -> int:
    return stream.seek(0, os.SEEK_END)


class _Passing(Exception):
    """What may go well the next time; `error` is raised where there is none."""

    def __init__(self, reason: str, error: CodellamaError, after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.error, self.after = reason, error, after


def _patiently(action: Callable[[], T], wait: Wait, done: Callable[[], int] = lambda: 0) -> T:
    """Try again after what passes, waiting longer each time; `done` is how far the action came."""
    failures, before = 0, 0
    while True:
        try:
            return action()
        except _Passing as passing:
            failures, before = (1 if done() > before else failures + 1), done()
            if failures == ATTEMPTS or passing.after > PATIENCE:
                raise passing.error from passing
            wait(passing.reason, max(passing.after, FIRST_WAIT * 2 ** (failures - 1)))


@contextmanager
def _translated(hub_id: str, revision: str, name: str = "") -> Iterator[None]:
    """Turns the client's errors into ours."""
    import httpx2
    from huggingface_hub import constants, errors

    # it would print what a server says
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    host = constants.ENDPOINT
    try:
        yield
    except errors.HfHubHTTPError as error:
        raise _refused(error, hub_id, revision, name, host) from error
    except errors.OfflineModeIsEnabled as error:
        raise CodellamaError(f"{hub_id}: HF_HUB_OFFLINE is set: unset it to fetch anything") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        failure = CodellamaError(f"{host} cannot be reached: {reason}: check the connection, HF_ENDPOINT and proxies")
        if isinstance(error, httpx2.TransportError) and name:
            raise _Passing(f"the connection failed ({reason})", failure) from error
        raise failure from error


def _refused(error: HfHubHTTPError, hub_id: str, revision: str, name: str, host: str) -> Exception:
    """What an answer other than the one asked for means."""
    from huggingface_hub import errors, get_token

    state = error.response.status_code
    page, login = f"{host}/{hub_id}", "`hf auth login`, or set HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        if get_token() is None:
            return CodellamaError(f"{hub_id} is gated: open {page}, accept the licence there, then {login}")
        return CodellamaError(
            f"{hub_id} is gated, and your token's account is not let in: accept its licence at {page}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"{hub_id} has no revision {revision}: {page}/commits/main lists them")
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(f"{hub_id}: no such model at {host}; check the name; for a private or gated one {login}")
    if isinstance(error, errors.EntryNotFoundError):
        return CodellamaError(f"{hub_id} has no {name} any more: run it again")
    if state == 401:
        return CodellamaError(f"{host} refuses your token: {login} to another one, from {host}/settings/tokens")
    if state == 403:
        return CodellamaError(f"{hub_id}: {host} lets your token read nothing there: give it that right, or {login}")
    if state in PASSING:
        after = error.response.headers.get("Retry-After", "")
        seconds = float(after) if after.isdecimal() and len(after) < 9 else 0.0
        told = f"; it asks to wait {seconds:.0f} seconds" if seconds else ""
        failure = CodellamaError(f"{host} answers {state}{told}: what was fetched is kept: run it again later")
        return _Passing(f"the hub answers {state}", failure, seconds)
    return CodellamaError(f"{hub_id}: {host} answers {state}{f' for {name}' if name else ''}")


def _nonsense(hub_id: str) -> CodellamaError:
    return CodellamaError(f"{hub_id}: the hub's answer is malformed: check HF_ENDPOINT and proxies, and try again")
