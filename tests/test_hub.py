"""`codellama models pull` against a stand-in for the hub, with the real client, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from codellama import publish
from codellama.hub import ATTEMPTS, PATIENCE
from tests.checkpoints import save
from tests.harness import TINY
from tests.hub_server import COMMIT, Hub, cut, other, slow, status, whole
from tests.terminal import environment

HUB_ID = "codellama/CodeLlama-7b-hf"
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files as codellama/CodeLlama-7b-hf has them, of a tiny random model with the built-in one's tokenizer."""
    directory = save(tmp_path_factory.mktemp("served"), "bfloat16", "400KB", vocab_size=4113)
    shutil.copyfile(TINY / "tokenizer.model", directory / "tokenizer.model")
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert sum(name.endswith(".safetensors") for name in files) > 1
    # what nobody needs
    return files | {"pytorch_model-00001-of-00002.bin": b"\x80\x02", "README.md": b"# Code Llama", "evil.py": b"1/0"}


@pytest.fixture
def hub(repository: dict[str, bytes]) -> Iterator[Hub]:
    with Hub({HUB_ID: repository}) as hub:
        yield hub


@dataclass
class Done:
    code: int
    out: str
    err: str


@dataclass
class User:
    """Runs command lines in processes of their own, which talk to the stand-in."""

    hub: Hub
    home: Path

    def environ(self, **more: str) -> dict[str, str]:
        return environment(
            HF_ENDPOINT=self.hub.url, HF_HUB_OFFLINE="0", CODELLAMA_HOME=str(self.home / "codellama"),
            HF_HOME=str(self.home / "huggingface"), **more,
        )  # fmt: skip

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        program = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from codellama.app import main; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=self.environ(**more),
        )  # fmt: skip

    def __call__(self, *arguments: str, **more: str) -> Done:
        with self.start(*arguments, **more) as process:
            out, err = process.communicate(timeout=60)
        assert b"Traceback" not in err, err.decode()
        return Done(process.returncode, out.decode(), err.decode())

    @property
    def models(self) -> Path:
        return self.home / "codellama" / "models"

    @property
    def new(self) -> Path:
        return publish.beside(self.models / "7b", "new")


@pytest.fixture
def user(hub: Hub, home: Path) -> User:
    return User(hub, home)


def shards(repository: dict[str, bytes]) -> list[str]:
    return sorted(name for name in repository if name.endswith(".safetensors"))


NEEDED = {"config.json", "generation_config.json", "tokenizer.model", INDEX}


def test_a_pulled_model_completes(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    done = user("models", "pull", "7b", "--json")
    place = user.models / "7b"
    assert (done.code, done.err) == (
        0, f"{place} is complete and checked: codellama complete -m 7b 'def fibonacci('\n"
    )  # fmt: skip
    assert json.loads(done.out) == {"directory": str(place), "hub_id": HUB_ID, "revision": COMMIT}
    assert {path.name for path in place.iterdir()} == {
        *NEEDED, *shards(repository), "codellama.json", "checksums.sha256"
    }  # fmt: skip
    for name in [*NEEDED, *shards(repository)]:
        assert (place / name).read_bytes() == repository[name], name
    assert json.loads((place / "codellama.json").read_text()) == {
        "format": 1, "name": "7b", "size": "7B", "variant": "base", "context": 512, "infill": True,
        "chat_format": None, "hub_id": HUB_ID, "revision": COMMIT,
    }  # fmt: skip
    assert subprocess.run(["sha256sum", "-c", "checksums.sha256"], cwd=place, capture_output=True).returncode == 0
    assert [path.name for path in user.models.iterdir()] == ["7b"]
    assert {request.path.rsplit("/")[-1] for request in hub.requests} == {"main", *NEEDED, *shards(repository)}
    # what is fetched is of the commit that was listed
    assert all(f"/resolve/{COMMIT}/" in request.path for request in hub.requests[1:])

    # without -m: the last pulled one
    answer = user("complete", "--json", "--max-tokens", "3", "--temperature", "0", "x = ")
    assert (answer.code, json.loads(answer.out)["model"]) == (0, "7b"), answer.err
    assert user("convert", "--verify", str(place)).code == 0
