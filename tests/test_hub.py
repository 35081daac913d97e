"""`codellama models pull` against a stand-in for the hub, with the real client, in a process of its own."""

from __future__ import annotations

import json
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
from huggingface_hub import constants

import codellama.hub
import codellama.pull
from codellama import publish
from codellama.hub import ATTEMPTS, PATIENCE
from tests.checkpoints import save
from tests.harness import TINY, Cli, Result
from tests.hub_server import COMMIT, Fault, Hub, cut, misplaced, other, slow, status, whole
from tests.terminal import environment

HUB_ID = "codellama/CodeLlama-7b-hf"
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files as codellama/CodeLlama-7b-hf has them, of a tiny random model with the built-in one's tokenizer."""
    directory = save(tmp_path_factory.mktemp("served"), "bfloat16", "400KB", vocab_size=4113)
    shutil.copyfile(TINY / "tokenizer.model", directory / "tokenizer.model")
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert len(shards(files)) == 3
    # what nobody needs
    return files | {"pytorch_model-00001-of-00002.bin": b"\x80\x02", "README.md": b"# Code Llama", "evil.py": b"1/0"}


@pytest.fixture
def hub(repository: dict[str, bytes]) -> Iterator[Hub]:
    with Hub({HUB_ID: repository}) as hub:
        yield hub


@dataclass
class User:
    """Runs command lines: in this process, or in one of its own where that matters."""

    hub: Hub
    home: Path

    def __call__(self, *arguments: str, **more: str) -> Result:
        ours = {"CODELLAMA_HOME": str(self.home / "codellama"), "HF_HOME": str(self.home / "huggingface")}
        return Cli({**ours, **more})(*arguments)

    def environ(self, **more: str) -> dict[str, str]:
        ours = {
            "HF_ENDPOINT": self.hub.url, "HF_HUB_OFFLINE": "0", "CODELLAMA_HOME": str(self.home / "codellama"),
            "HF_HOME": str(self.home / "huggingface"),
            # or the client asks the hub for more than the model, once a day
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        return environment(**{**ours, **more})

    def start(self, *arguments: str, prelude: str = "", **more: str) -> subprocess.Popen[bytes]:
        program = (
            f"import resource, signal; {prelude}\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from codellama.app import main; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=self.environ(**more),
        )  # fmt: skip

    def process(self, *arguments: str, prelude: str = "", **more: str) -> Result:
        with self.start(*arguments, prelude=prelude, **more) as process:
            out, err = process.communicate(timeout=60)
        assert b"Traceback" not in err, err.decode()
        return Result(process.returncode, out.decode(), err.decode())

    @property
    def models(self) -> Path:
        return self.home / "codellama" / "models"

    @property
    def new(self) -> Path:
        return publish.beside(self.models / "7b", "new")


@pytest.fixture
def user(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    # what the client makes of the environment when it is first imported
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(codellama.hub, "FIRST_WAIT", 0.01)
    return User(hub, home)


def shards(repository: dict[str, bytes]) -> list[str]:
    return sorted(name for name in repository if name.endswith(".safetensors"))


SHARD = "model-00002-of-00003.safetensors"
NEEDED = {"config.json", "generation_config.json", "tokenizer.model", INDEX}


def test_a_pulled_model_completes(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    # what a hub would have the client print stays unsaid
    hub.faults = [("main", lambda handler, data: handler.answer(200, data, {"X-HF-Warning": "topic; careful"}))]
    done = user.process("models", "pull", "7b", "--json")
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
    answer = user.process("complete", "--json", "--max-tokens", "3", "--temperature", "0", "x = ")
    assert (answer.code, json.loads(answer.out)["model"]) == (0, "7b"), answer.err
    assert user("convert", "--verify", str(place)).code == 0


def assert_whole(user: User) -> None:
    assert user("convert", "--verify", str(user.models / "7b"), "-q").code == 0
    assert not user.new.exists()


def assert_nothing_there(user: User, name: str = "7b") -> None:
    assert user("models", "path", name).code == 2
    assert not (user.models / name).exists()


# what goes wrong on the way


def test_a_hub_that_falls_silent(user: User, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codellama.hub, "TIMEOUT", 0.3)
    stop = threading.Event()
    hub.faults = [(SHARD, slow(100_000, stop, pause=60))]
    done = user("models", "pull", "7b")
    stop.set()
    assert done.code == 0, done.err
    assert "7b: the connection failed (timed out): trying again" in done.err
    assert "bytes=100000-" in {request.range for request in hub.asked(SHARD)}
    assert_whole(user)


def test_attempts_that_bring_something_are_not_counted(user: User, hub: Hub) -> None:
    hub.faults = [(SHARD, cut(20_000))] * (ATTEMPTS + 1)
    assert user("models", "pull", "7b").code == 0
    assert_whole(user)


def test_a_lost_connection_is_taken_up_where_it_was_lost(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    hub.faults = [(SHARD, cut(100_000)), (SHARD, cut(50_000))]
    done = user("models", "pull", "7b")
    assert done.code == 0, done.err
    assert [request.range for request in hub.asked(SHARD) if request.host == "cdn"] == [
        None, "bytes=100000-", "bytes=150000-"
    ]  # fmt: skip
    assert done.err.count("7b: the connection failed (") == 2
    assert_whole(user)


def test_ctrl_c_ends_with_130_and_the_next_run_goes_on(user: User, hub: Hub) -> None:
    stop = threading.Event()
    hub.faults = [(SHARD, slow(100_000, stop))]
    with user.start("models", "pull", "7b") as process:
        part = user.new / SHARD
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size > 100_000):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    stop.set()
    assert (process.returncode, err) == (130, b"what was fetched of 7b is kept: the same command goes on with it\n")
    assert_nothing_there(user)
    had = part.stat().st_size
    before = len(hub.requests)

    listed = json.loads(user("models", "list", "--json").out)["here"]
    assert [(found["name"], found["partial"]) for found in listed] == [("tiny", False), ("7b", True)]

    assert user("models", "pull", "7b").code == 0
    asked = [(request.path.rsplit("/")[-1], request.range) for request in hub.requests[before:]]
    assert (SHARD, f"bytes={had}-") in asked
    # what was there whole is not asked for again
    assert "model-00001-of-00003.safetensors" not in {name for name, _ in asked}
    assert_whole(user)


def test_sigkill_leaves_no_model_and_the_next_run_goes_on(user: User, hub: Hub) -> None:
    stop = threading.Event()
    hub.faults = [(SHARD, slow(100_000, stop))]
    with user.start("models", "pull", "7b") as process:
        deadline = time.monotonic() + 30
        while not (user.new / SHARD).exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # a second run meanwhile keeps away
        second = user("models", "pull", "7b")
        process.kill()
    stop.set()
    assert (second.code, "another run is writing it" in second.err) == (2, True)
    assert_nothing_there(user)
    assert user("models", "pull", "7b").code == 0
    assert_whole(user)


@pytest.mark.parametrize("answer", [whole, misplaced])
def test_a_hub_that_ignores_ranges(user: User, hub: Hub, answer: Fault) -> None:
    hub.faults = [(SHARD, cut(100_000)), (SHARD, answer)]
    assert user("models", "pull", "7b").code == 0
    assert_whole(user)


def test_a_wrong_hash_throws_the_file_away(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    flipped = bytearray(repository[SHARD])
    flipped[-1] ^= 1
    hub.faults = [(SHARD, other(bytes(flipped)))]
    done = user("models", "pull", "7b")
    assert done.code == 1
    assert f"{HUB_ID}: {SHARD} came with another hash than the hub says and was thrown away" in done.err
    assert_nothing_there(user)
    assert not (user.new / SHARD).exists()
    assert (user.new / "model-00001-of-00003.safetensors").exists()
    assert user("models", "pull", "7b").code == 0
    assert_whole(user)


def test_a_wrong_hash_of_a_small_file(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    text = repository["config.json"]
    hub.faults = [("config.json", other(text.replace(b"512", b"513")))]
    done = user("models", "pull", "7b")
    assert (done.code, f"{HUB_ID}: config.json came with another hash" in done.err) == (1, True)
    assert not hub.asked(SHARD)


def test_what_an_earlier_run_left_is_not_trusted(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    user.new.mkdir(parents=True)
    (user.new / SHARD).write_bytes(b"\0" * len(repository[SHARD]))
    (user.new / "config.json").write_bytes(repository["config.json"] + b"more")
    (user.new / "model-00004-of-00004.safetensors").write_bytes(b"of another revision")
    done = user("models", "pull", "7b")
    assert done.code == 0, done.err
    assert_whole(user)
    assert not (user.models / "7b" / "model-00004-of-00004.safetensors").exists()


def test_a_file_that_goes_on_and_on(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    hub.faults = [(SHARD, other(repository[SHARD] * 9))]
    done = user("models", "pull", "7b")
    assert (done.code, f"{SHARD} is longer than the hub said" in done.err) == (1, True)
    assert (user.new / SHARD).stat().st_size <= len(repository[SHARD])


def test_a_hub_that_always_ends_too_early(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    hub.faults = [(SHARD, other(repository[SHARD][:1000]))] * ATTEMPTS
    done = user("models", "pull", "7b")
    assert (done.code, f"codellama: {HUB_ID}: {SHARD} ends too early\n" in done.err) == (1, True)
    assert done.err.count(f"7b: {SHARD} ends too early: trying again in") == ATTEMPTS - 1
    assert user("models", "pull", "7b").code == 0


def test_too_many_requests_are_waited_for(user: User, hub: Hub) -> None:
    hub.faults = [("main", status(429, Retry_After="1")), (SHARD, status(429, Retry_After="1"))]
    start = time.monotonic()
    done = user("models", "pull", "7b")
    assert done.code == 0, done.err
    assert time.monotonic() - start > 2
    assert done.err.startswith(
        "7b: the hub answers 429: trying again in 1 s\n7b: the hub answers 429: trying again in 1 s\n"
    )


def test_who_is_asked_to_wait_too_long_is_told(user: User, hub: Hub) -> None:
    hub.faults = [(SHARD, status(429, Retry_After=str(PATIENCE + 1)))]
    done = user("models", "pull", "7b")
    assert (done.code, f"answers 429; it asks to wait {PATIENCE + 1} seconds: what was fetched is" in done.err) == (
        1,
        True,
    )


def test_a_hub_that_stays_down(user: User, hub: Hub) -> None:
    hub.faults = [(SHARD, status(503))] * ATTEMPTS
    done = user("models", "pull", "7b")
    assert done.code == 1
    assert done.err.count("trying again") == ATTEMPTS - 1
    assert f"codellama: {hub.url} answers 503: what was fetched is kept: run it again later\n" in done.err
    assert "evil" not in done.err
    assert user("models", "pull", "7b").code == 0


def test_a_hub_that_is_not_there(user: User, hub: Hub) -> None:
    done = user.process("models", "pull", "7b", HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.code, "codellama: http://127.0.0.1:9 cannot be reached: " in done.err) == (1, True)
    assert len(done.err.splitlines()) == 1
    done = user.process("models", "pull", "7b", HF_ENDPOINT="nonsense")
    assert (done.code, "codellama: nonsense cannot be reached: " in done.err) == (1, True)
    done = user.process("models", "pull", "7b", HF_HUB_OFFLINE="1")
    assert (done.code, done.err) == (1, f"codellama: {HUB_ID}: HF_HUB_OFFLINE is set: unset it to fetch anything\n")


# who may


def test_a_gated_model_without_a_token(user: User, hub: Hub) -> None:
    hub.faults = [(f"resolve/{COMMIT}/{INDEX}", status(401, X_Error_Code="GatedRepo"))]
    done = user("models", "pull", "7b")
    assert (done.code, done.err) == (
        1,
        f"codellama: {HUB_ID} is gated: open {hub.url}/{HUB_ID}, accept the licence there, then `hf auth login`, or "
        "set HF_TOKEN\n",
    )


def test_a_gated_model_with_a_token_that_is_not_let_in(user: User, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.faults = [(f"resolve/{COMMIT}/{INDEX}", status(403, X_Error_Code="GatedRepo"))]
    done = user("models", "pull", "7b")
    assert (done.code, "your token's account is not let in: accept its licence at" in done.err) == (1, True)
    assert "hf_secret" not in done.err


def test_a_token_that_is_refused(user: User, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    hub.faults = [("main", status(401, X_Error_Message="Invalid credentials in Authorization header"))]
    done = user("models", "pull", "7b")
    assert (done.code, "refuses your token: `hf auth login`" in done.err) == (1, True)


def test_the_token_stays_with_the_hub(user: User, hub: Hub) -> None:
    saved = user.home / "huggingface" / "token"
    saved.parent.mkdir(parents=True)
    saved.write_text("hf_saved")
    assert user.process("models", "pull", "7b", "-q").err == ""
    assert {(request.host, request.token) for request in hub.requests} == {("hub", "Bearer hf_saved"), ("cdn", None)}


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("someone/nothing", 2, "someone/nothing: no such model at http"),
        ("7b-instuct", 2, "7b-instuct: no such model: did you mean 7b-instruct or"),
        ("codellama:13b", 2, "codellama:13b: no such model: did you mean 13b or"),
        ("CodeLlama-7b-Instruct-hf", 2, "did you mean 7b-instruct or"),
        ("../../etc", 2, "../../etc: no such model"),
        ("a/b/c", 2, "a/b/c: no such model"),
        ("tiny", 2, "tiny: is built in: there is nothing to fetch"),
        ("\x1b]0;x\x07/y", 2, "␛]0;x␇/y: no such model"),
    ],
)
def test_names_that_are_nothing(user: User, name: str, code: int, told: str) -> None:
    done = user("models", "pull", "--", name)
    assert (done.code, told in done.err) == (code, True), done.err
    assert "\x1b" not in done.err


def test_a_revision(user: User, hub: Hub) -> None:
    done = user("models", "pull", "7b", "--revision", "v9")
    assert (done.code, f"{HUB_ID} has no revision v9" in done.err) == (2, True)
    assert user("models", "pull", "7b", "--revision", COMMIT).code == 0
    assert_whole(user)


def test_a_newer_revision_replaces_the_old_and_takes_over_what_is_the_same(
    user: User, hub: Hub, repository: dict[str, bytes]
) -> None:
    assert user("models", "pull", "7b").code == 0
    kept = (user.models / "7b" / SHARD).stat().st_ino
    again = len(hub.requests)
    assert user("models", "pull", "7b").err.startswith(f"{user.models / '7b'} was here already: ")
    assert not [request for request in hub.requests[again:] if "safetensors" in request.path.removesuffix(INDEX)]
    hub.commit = COMMIT[::-1]
    hub.repositories[HUB_ID] = {**repository, "config.json": repository["config.json"] + b"\n"}
    again = len(hub.requests)
    assert user("models", "pull", "7b").code == 0
    assert (user.models / "7b" / SHARD).stat().st_ino == kept
    assert not [request for request in hub.requests[again:] if request.path.endswith(SHARD)]
    assert json.loads((user.models / "7b" / "codellama.json").read_text())["revision"] == hub.commit
    assert_whole(user)


def test_what_the_cache_holds_is_linked(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    program = f"import huggingface_hub; huggingface_hub.hf_hub_download({HUB_ID!r}, {SHARD!r})"
    subprocess.run([sys.executable, "-c", program], env=user.environ(), check=True, capture_output=True)
    again = len(hub.requests)
    assert user("models", "pull", "7b").code == 0
    assert not [request for request in hub.requests[again:] if request.path.endswith(SHARD)]
    assert (user.models / "7b" / SHARD).stat().st_nlink == 2
    # what is damaged in the cache is fetched, and the cache left as it is
    assert user("models", "remove", "7b", "--yes").code == 0
    (blob,) = [path for path in (user.home / "huggingface").rglob("blobs/*") if path.is_file()]
    blob.write_bytes(b"\0" * len(repository[SHARD]))
    assert user("models", "pull", "7b").code == 0
    assert_whole(user)
    assert blob.read_bytes() == b"\0" * len(repository[SHARD])


# what a hub may hold


@pytest.mark.parametrize(
    "name", ["../../../escaped.safetensors", "/tmp/escaped.safetensors", "..", "a\nb", "x/model.safetensors"]
)
def test_names_that_lead_elsewhere_are_no_files(user: User, hub: Hub, name: str) -> None:
    hub.names = {SHARD: name}
    done = user("models", "pull", "7b")
    assert (done.code, f"its {INDEX} names {SHARD}, which is not there" in done.err) == (2, True)
    assert {file.name for file in codellama.hub.repository(HUB_ID).files} == {*hub.repositories[HUB_ID]} - {SHARD}
    assert not user.models.exists()


def changed(repository: dict[str, bytes], **files: bytes | None) -> dict[str, bytes]:
    both = {**repository, **{name.replace("__", "."): data for name, data in files.items()}}
    return {name: data for name, data in both.items() if data is not None}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"config__json": None}, "has no config.json: it is no model in Hugging Face's layout"),
        ({"tokenizer__model": None}, "has no tokenizer.model and tokenizer.json"),
        ({"model__safetensors__index__json": None}, "no pickles or GGUF"),
        ({"model__safetensors__index__json": b"{}"}, "its model.safetensors.index.json is malformed"),
        (
            {"model__safetensors__index__json": b'{"weight_map": {"a": "../../evil.safetensors"}}'},
            "its model.safetensors.index.json is malformed",
        ),
        ({"config__json": b'{"model_type": "gpt2"}'}, 'model_type is "gpt2": only Llama models'),
        ({"tokenizer__model": b"<html>"}, "tokenizer.model: "),
    ],
)
def test_what_is_no_model_of_ours(
    user: User, hub: Hub, repository: dict[str, bytes], files: dict[str, bytes | None], told: str
) -> None:
    hub.repositories[HUB_ID] = changed(repository, **files)
    done = user("models", "pull", "7b")
    assert (done.code, told in done.err) == (2, True), done.err
    assert_nothing_there(user)
    if "config__json" in files:
        assert not hub.asked(SHARD)


def test_of_two_formats_the_single_file_alone_is_fetched(
    user: User, hub: Hub, repository: dict[str, bytes], tmp_path: Path
) -> None:
    single = save(tmp_path / "single", "bfloat16", vocab_size=4113) / "model.safetensors"
    hub.repositories["someone/thing"] = {**repository, "model.safetensors": single.read_bytes()}
    done = user("models", "pull", "someone/thing")
    assert done.code == 0, done.err
    assert not hub.asked(SHARD)
    assert not hub.asked(INDEX)
    # of an unknown model nothing is claimed
    card = json.loads((user.models / "someone--thing" / "codellama.json").read_text())
    assert (card["variant"], card["infill"], card["chat_format"], "name" in card) == (None, None, None, False)
    assert user("models", "path", "someone/thing").out == f"{user.models / 'someone--thing'}\n"
    assert user("complete", "-m", "someone/thing", "--max-tokens", "2", "x").code == 0
    assert [found["name"] for found in json.loads(user("models", "list", "--json").out)["here"]] == [
        "tiny", "someone/thing"
    ]  # fmt: skip
    assert user("models", "remove", "someone/thing", "--yes").code == 0


def test_a_listing_of_nonsense(user: User, hub: Hub) -> None:
    for sent in (b"<html>", b"[]", b"{}", b'{"id": "x", "sha": "../../x", "siblings": []}'):
        hub.faults = [("main", other(sent))]
        done = user("models", "pull", "7b")
        assert (done.code, "the hub's answer is malformed" in done.err) == (1, True), done.err
    hub.hashes = {SHARD: "../../../x"}
    done = user("models", "pull", "7b")
    assert (done.code, "the hub's answer is malformed" in done.err) == (1, True), done.err


# the disk


def test_a_dry_run_says_what_would_come(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    done = user("models", "pull", "7b", "--dry-run", "--json")
    sizes = {name: len(repository[name]) for name in [*NEEDED, *shards(repository)]}
    told = json.loads(done.out)
    assert told["files"] == sizes
    assert told["bytes"] == told["missing"] == sum(sizes.values())
    assert not user.models.exists()
    assert not hub.asked(SHARD)
    lines = user("models", "pull", "7b", "--dry-run").out.splitlines()
    assert lines[0] == f"{HUB_ID} at {COMMIT[:12]} to {user.models / '7b'}:"
    assert lines[-1].split() == ["together", f"{sum(sizes.values()):,}"]


def test_too_little_room_is_told_before(user: User, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codellama.pull, "free_disk", lambda directory: 100_000)
    done = user("models", "pull", "7b")
    assert (done.code, "more, 0.0 GB are free in" in done.err) == (1, True), done.err
    assert not hub.asked(SHARD)
    assert not user.new.exists()


def test_a_disk_that_runs_full(user: User, hub: Hub, repository: dict[str, bytes]) -> None:
    # a limit on the size of a file answers as a full disk does, in the same place
    limit = len(repository[SHARD]) - 1000
    done = user.process(
        "models", "pull", "7b", prelude=f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    )
    assert (done.code, "cannot be written: " in done.err, "is kept: make room" in done.err) == (1, True, True), done.err
    assert_nothing_there(user)
    assert user("models", "pull", "7b").code == 0
    assert_whole(user)


def test_four_bit_beside_what_is_there(user: User, hub: Hub) -> None:
    assert user("models", "pull", "7b").code == 0
    again = len(hub.requests)
    assert user("models", "pull", "7b", "--4bit").code == 0
    assert {path.name for path in user.models.iterdir()} == {"7b", "7b-4bit"}
    # listed, and its index looked at
    assert len(hub.requests) == again + 2


def test_four_bit_alone_is_kept(user: User, hub: Hub) -> None:
    done = user("models", "pull", "7b", "--4bit", "--drop-original")
    assert done.code == 0, done.err
    assert [path.name for path in user.models.iterdir()] == ["7b-4bit"]
    config = json.loads((user.models / "7b-4bit" / "config.json").read_text())
    assert config["quantization_config"]["load_in_4bit"] is True
    answer = user("complete", "--max-tokens", "2", "--json", "-m", "7b-4bit", "x = ")
    assert answer.code == 0, answer.err
    # once more: it is there
    again = len(hub.requests)
    assert user("models", "pull", "7b", "--4bit", "--drop-original").code == 0
    assert not [request for request in hub.requests[again:] if request.path.endswith(SHARD)]
    assert user("models", "pull", "7b", "--drop-original").code == 2
