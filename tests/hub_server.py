"""A stand-in for the Hugging Face hub: a real HTTP server on this machine, for the real client to talk to.

What it answers is modelled on huggingface.co: the list of a repository's files with sizes and hashes, small files
served at once, large ones (LFS) by a redirect to another host, ranges, and the headers by which the client tells errors
apart. `faults` are what goes wrong, a request each.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LFS = (".safetensors", ".model")


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    token: str | None
    host: str
    # hub or cdn


Fault = Callable[["Handler", bytes], None]
# sends the answer; the bytes are what would have been sent


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what some tests are about."""


@dataclass
class Hub:
    """Context manager; `url` is its endpoint."""

    repositories: dict[str, dict[str, bytes]]
    commit: str = COMMIT
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    # what the path ends with, and what happens then; each happens once, in order
    hashes: dict[str, str] = field(default_factory=dict)
    # told instead of the true ones, by file
    names: dict[str, str] = field(default_factory=dict)
    # told instead of the true ones
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._servers = [self._serve("hub"), self._serve("cdn")]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, host: str) -> ThreadingHTTPServer:
        hub = self

        class Bound(Handler):
            pass

        Bound.hub, Bound.host = hub, host
        server = _Server(("127.0.0.1", 0), Bound)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def cdn(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    def listing(self, hub_id: str) -> dict[str, object]:
        siblings = []
        for name, data in self.repositories[hub_id].items():
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry: dict[str, object] = {
                "rfilename": self.names.get(name, name), "size": len(data), "blobId": self.hashes.get(name, blob)
            }  # fmt: skip
            if name.endswith(LFS):
                sha256 = self.hashes.get(name, hashlib.sha256(data).hexdigest())
                entry |= {"blobId": blob, "lfs": {"sha256": sha256, "size": len(data), "pointerSize": 135}}
            siblings.append(entry)
        return {"id": hub_id, "modelId": hub_id, "sha": self.commit, "siblings": siblings, "gated": False}

    def asked(self, ending: str) -> list[Request]:
        return [request for request in self.requests if request.path.endswith(ending)]


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    host: str
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.tags: dict[str, str] = {}
        # the headers that go with a file
        headers = self.headers
        self.hub.requests.append(
            Request(self.command, path, headers.get("Range"), headers.get("Authorization"), self.host)
        )
        parts = path.strip("/").split("/")
        if self.host == "hub" and parts[0] == "api":
            hub_id, revision = "/".join(parts[2:4]), "/".join(parts[5:]) or "main"
        else:
            hub_id, revision = "/".join(parts[0:2]), parts[3]
        known = self.hub.repositories.get(hub_id)
        if known is None:
            # as the hub answers strangers, whether there is such a model or not
            self.answer(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return
        if revision not in ("main", self.hub.commit):
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        data = json.dumps(self.hub.listing(hub_id)).encode() if parts[0] == "api" else known.get(parts[-1])
        if data is None:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        if parts[0] != "api":
            self.tags = {
                "X-Repo-Commit": self.hub.commit,
                "ETag": f'"{hashlib.sha1(b"blob %d" % len(data) + bytes(1) + data).hexdigest()}"',
            }
            if parts[-1].endswith(LFS):
                self.tags |= {
                    "X-Linked-ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Linked-Size": str(len(data))
                }  # fmt: skip
        if self.host == "hub" and parts[0] != "api" and parts[-1].endswith(LFS) and not self._fault_waits(path, "hub:"):
            self.answer(302, b"", {"Location": f"{self.hub.cdn}{self.path}"})
            return
        for number, (ending, fault) in enumerate(self.hub.faults):
            if path.endswith(ending.removeprefix("hub:")):
                del self.hub.faults[number]
                fault(self, data)
                return
        self.serve(data)

    def _fault_waits(self, path: str, kind: str) -> bool:
        return any(
            ending.startswith(kind) and path.endswith(ending.removeprefix(kind)) for ending, _ in self.hub.faults
        )

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**self.tags, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def begin(self, data: bytes) -> bytes:
        """Send the headers for a file, or the rest of it that is asked for; what is to be sent."""
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        for name, value in self.tags.items():
            self.send_header(name, value)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        return data[start:]

    def serve(self, data: bytes) -> None:
        rest = self.begin(data)
        if self.command != "HEAD":
            self.wfile.write(rest)


# what goes wrong


def status(code: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, data: handler.answer(code, b"<html>\x1b]0;evil\x07</html>", named)


def cut(after: int) -> Fault:
    """The connection is lost after so many bytes."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.wfile.write(handler.begin(data)[:after])
        handler.close_connection = True

    return fault


def slow(after: int, stop: threading.Event, pause: float = 0.02) -> Fault:
    """So many bytes at once, and then one each `pause` seconds, until told to stop."""

    def fault(handler: Handler, data: bytes) -> None:
        rest = handler.begin(data)
        handler.wfile.write(rest[:after])
        for at in range(after, len(rest)):
            if stop.wait(pause):
                handler.close_connection = True
                return
            try:
                handler.wfile.write(rest[at : at + 1])
            except OSError:
                return

    return fault


def other(data: bytes) -> Fault:
    """Other bytes than the file's."""
    return lambda handler, _: handler.serve(data)


def whole(handler: Handler, data: bytes) -> None:
    """All of it, whatever range was asked for."""
    handler.answer(200, data)


def misplaced(handler: Handler, data: bytes) -> None:
    """All of it, said to be a part that was not asked for."""
    handler.answer(206, data, {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"})
