"""`codellama models` as a person meets it, and what it says against what is really there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codellama import capacity, catalogue, publish
from codellama.card import CARD
from codellama.checkpoint import Checkpoint
from codellama.commands.models_memory import chart
from codellama.config import Config
from codellama.devices import Gpu, Machine
from codellama.errors import CodellamaError
from codellama.memory import WORKING, LoadOptions, Plan, plan
from tests.checkpoints import save, save_quantised
from tests.harness import TINY, Cli, Result
from tests.terminal import run as on_terminal
from tests.test_layers import HEAVY, LATE, loaded_after, running

GB = 10**9


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sharded model with a tokenizer."""
    directory = save(tmp_path_factory.mktemp("plain") / "some-llama", "bfloat16", "300KB", vocab_size=4113)
    shutil.copyfile(TINY / "tokenizer.model", directory / "tokenizer.model")
    return directory


@pytest.fixture
def model(plain: Path, tmp_path: Path) -> Path:
    return shutil.copytree(plain, tmp_path / "some-llama")


@pytest.fixture
def ours(home: Path) -> Path:
    return home / "codellama" / "models"


def machine(monkeypatch: pytest.MonkeyPatch, *gpus: float, ram: float = 64) -> Machine:
    """This machine has so many gigabytes free on its GPUs and in RAM."""
    found = Machine(
        tuple(Gpu(at, f"GPU {at}", 80 * GB, int(free * GB)) for at, free in enumerate(gpus)), 64 * GB, int(ram * GB)
    )
    monkeypatch.setattr(Machine, "detect", classmethod(lambda cls: found))
    return found


def told(done: Result) -> Any:
    assert done.code == 0, done.err
    return json.loads(done.out)


# list


def test_the_family_is_listed_as_it_is_in_the_catalogue(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24.0)
    family = told(cli("models", "list", "--json"))["family"]
    assert [(entry["name"], entry["hub_id"]) for entry in family] == [(e.name, e.hub_id) for e in catalogue.FAMILY]
    lines = cli("models", "list").out.splitlines()
    for entry in catalogue.FAMILY:
        (line,) = [line for line in lines if line.split()[:1] == [entry.name]]
        infill, chat = "yes" if entry.infill else "no", entry.chat_format or "no"
        assert line.split()[1:6] == [entry.size.name, entry.variant, str(entry.context), infill, chat]
    # paths may be longer
    assert max(len(line) for line in lines if "/" not in line) <= 80


@pytest.mark.parametrize(
    ("gpus", "ram", "expected"),
    [
        ([24.0], 64, {"7b": "16 8 4", "13b": "8 4", "34b": "4", "70b": "-"}),
        ([6.9], 64, {"7b": "4", "13b": "-"}),
        ([24.0, 24.0], 64, {"13b": "16 8 4", "34b": "8 4", "70b": "4"}),
        ([], 17, {"7b": "16 8 4", "13b": "4"}),
        ([], 3, {"7b": "-"}),
    ],
)
def test_what_fits(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, gpus: list[float], ram: float, expected: dict[str, str]
) -> None:
    """The same as loading would decide."""
    here = machine(monkeypatch, *gpus, ram=ram)
    lines = cli("models", "list").out.splitlines()
    for name, bits in expected.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert " ".join(line.split()[8:]) == bits, line
    free = " + ".join(f"cuda:{at} ({size} GB free)" for at, size in enumerate(gpus)) or f"into {ram}.0 GB of free RAM"
    assert free in cli("models", "list").out
    for entry in catalogue.FAMILY:
        fits = capacity.fit(capacity.of_shape(Config.of(entry), entry.name), here, 4096)
        for fit in fits:
            # a plan that leaves nothing to RAM or disk behind the devices that compute
            whole = fit.plan is not None and not fit.plan.notes
            assert whole == (fit.longest >= 4096), (entry.name, fit.need.precision)


def test_what_is_here_is_listed(cli: Cli, home: Path, ours: Path, model: Path) -> None:
    ours.mkdir(parents=True)
    shutil.copytree(model, ours / "mine")
    (ours / "mine" / CARD).write_text(
        json.dumps({"format": 1, "variant": "instruct", "hub_id": "a/b", "revision": "c"})
    )
    shutil.copytree(model, ours / "broken")
    (ours / "broken" / CARD).write_text("{")
    publish.beside(ours / "7b", "new").mkdir()
    (publish.beside(ours / "7b", "new") / "part").write_bytes(b"12345")
    (ours / "notes.txt").write_text("no model")
    snapshot = home / "huggingface/hub/models--someone--thing/snapshots/abc"
    shutil.copytree(model, snapshot)
    other = home / "huggingface/hub/models--someone--bert/snapshots/abc"
    other.mkdir(parents=True)
    (other / "config.json").write_text('{"model_type": "bert"}')
    nonsense = home / "huggingface/hub/models--someone--nonsense/snapshots/abc"
    nonsense.mkdir(parents=True)
    (nonsense / "config.json").write_text("{")

    here = {found["name"]: found for found in told(cli("models", "list", "--json"))["here"]}
    assert list(here) == ["tiny", "broken", "mine", "7b", "someone/thing"]
    weights = sum(path.stat().st_size for path in (ours / "mine").iterdir())
    assert here["mine"] | {"directory": ""} == {
        "name": "mine", "directory": "", "home": "ours", "bytes": weights, "precision": "bfloat16", "model": "mine",
        "hub_id": "a/b", "revision": "c", "partial": False, "fault": None,
    }  # fmt: skip
    assert here["someone/thing"]["home"] == "Hugging Face cache"
    assert here["someone/thing"]["directory"] == str(snapshot)
    assert (here["7b"]["partial"], here["7b"]["bytes"], here["7b"]["model"]) == (True, 5, None)
    assert "codellama.json: not JSON" in here["broken"]["fault"]
    done = cli("models", "list")
    assert "7b was fetched in part: `codellama models pull 7b` goes on" in done.err
    assert f"warning: {ours / 'broken' / CARD}: not JSON" in done.err
    assert [line.split()[:2] for line in done.out.split("here:\n")[1].splitlines()] == [
        ["tiny", "bfloat16"], ["broken", "damaged"], ["mine", "bfloat16"], ["7b", "in"], ["someone/thing", "bfloat16"]
    ]  # fmt: skip


def test_f27_names_from_a_directory_are_inert(cli: Cli, ours: Path, model: Path) -> None:
    shutil.copytree(model, ours / "a\x1b]0;x\x07b")
    (ours / "a\x1b]0;x\x07b" / CARD).write_text(json.dumps({"size": "\x1b[2J", "variant": "base"}))
    assert "\x1b" not in cli("models", "list").out
    done = cli("models", "info", str(ours / "a\x1b]0;x\x07b"))
    assert (done.code, "\x1b" in done.out) == (0, False)


def test_a_list_takes_little_and_imports_nothing_heavy(ours: Path, model: Path) -> None:
    loaded = loaded_after(running("models", "list"))
    assert not loaded & (HEAVY | {"huggingface_hub", "httpx2", "sentencepiece", "tokenizers", "numpy"})
    for command in (["models", "memory", "7b"], ["models", "info", "tiny"], ["models", "path", "tiny"]):
        assert not loaded_after(running(*command)) & (HEAVY | {"huggingface_hub", "httpx2"}), command


def test_models_imports_nothing_late_for_help() -> None:
    assert not loaded_after(running("models", "--help")) & (HEAVY | LATE)


def test_what_is_here_has_a_mark(cli: Cli, home: Path, ours: Path, model: Path) -> None:
    shutil.copytree(model, ours / "7b")
    shutil.copytree(model, ours / "34b-4bit")
    (ours / "34b-4bit" / CARD).write_text(json.dumps({"name": "34b"}))
    shutil.copytree(model, home / "huggingface/hub/models--codellama--CodeLlama-13b-hf/snapshots/abc")
    lines = cli("models", "list").out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("* ")] == ["7b", "13b"]


# path and remove


def test_paths(cli: Cli, ours: Path, model: Path) -> None:
    assert cli("models", "path", "tiny").out == f"{TINY}\n"
    done = cli("models", "path", "7b")
    assert (done.code, done.err) == (2, "codellama: 7b is not on this machine: `codellama models pull 7b` fetches it\n")
    shutil.copytree(model, ours / "7b")
    for name in ("7b", "7B", "codellama/CodeLlama-7b-hf"):
        assert cli("models", "path", name).out == f"{ours / '7b'}\n"
    shutil.copytree(model, ours / "mine")
    assert cli("models", "path", "mine").out == f"{ours / 'mine'}\n"


def test_removing(cli: Cli, ours: Path, model: Path) -> None:
    shutil.copytree(model, ours / "7b")
    done = cli("models", "remove", "7b")
    assert (done.code, done.err) == (2, f"codellama: remove {ours / '7b'}? --yes says so where nobody can be asked\n")
    done = cli("models", "remove", "7b", "--yes")
    assert (done.code, done.err, list(ours.iterdir())) == (0, f"{ours / '7b'} is removed\n", [])
    done = cli("models", "remove", "7b", "--yes")
    assert (done.code, done.err) == (2, "codellama: 7b: is not on this machine\n")


def test_removing_what_was_fetched_in_part(cli: Cli, ours: Path) -> None:
    new = publish.beside(ours / "7b", "new")
    new.mkdir(parents=True)
    with publish.publishing(ours / "7b", resume=True):
        done = cli("models", "remove", "7b", "--yes")
        assert (done.code, "another run is at work there" in done.err) == (2, True)
    assert cli("models", "remove", "7b", "--yes").code == 0
    assert list(ours.iterdir()) == []


def test_a_removal_that_fails_half_way_leaves_no_half_model(
    cli: Cli, ours: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model, ours / "7b")

    def half(directory: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            (directory / "config.json").unlink()
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        done = cli("models", "remove", "7b", "--yes")
    assert (done.code, "cannot be removed: Input/output error" in done.err) == (1, True)
    publish.recover(ours / "7b")
    assert not (ours / "7b").exists()
    assert cli("models", "remove", "7b", "--yes").code == 0
    assert list(ours.iterdir()) == []


def test_what_is_not_ours_is_not_removed(cli: Cli, home: Path, ours: Path, model: Path) -> None:
    snapshot = home / "huggingface/hub/models--codellama--CodeLlama-7b-hf/snapshots/abc"
    shutil.copytree(model, snapshot)
    for name, complaint in {
        "tiny": "tiny: is built in",
        str(model): "remove the directory yourself",
        "7b": "`hf cache rm model/codellama/CodeLlama-7b-hf`",
        "../some-llama": "no such directory, and no hub id",
        "..": "is no model that codellama keeps",
        ".": "is no model that codellama keeps",
        "13c": "13c: no such model: did you mean 13b?",
        "": "the model's name is empty",
    }.items():
        done = cli("models", "remove", name, "--yes")
        assert (done.code, complaint in done.err) == (2, True), done.err
    assert model.is_dir()
    assert snapshot.is_dir()
    # of a link, the link
    ours.mkdir(parents=True)
    (ours / "linked").symlink_to(model)
    assert cli("models", "path", "linked").code == 0
    assert cli("models", "remove", "linked", "--yes").code == 0
    assert model.is_dir()
    assert list(ours.iterdir()) == []


@pytest.mark.parametrize(("answer", "left"), [(b"y\r", False), (b"n\r", True), (b"\r", True), (b"\x04", True)])
def test_a_terminal_is_asked(ours: Path, model: Path, answer: bytes, left: bool) -> None:
    shutil.copytree(model, ours / "7b")
    program = "import sys; from codellama.app import main; sys.argv[1:] = ['models', 'remove', '7b']; main()"
    done = on_terminal(program, keys=(b"(y/n) ", answer))
    assert (done.code, (ours / "7b").exists()) == (0, left), done.output


# info


def test_what_a_model_is(cli: Cli, model: Path) -> None:
    found = told(cli("models", "info", str(model), "--json"))
    checkpoint = Checkpoint.read(model)
    assert found["parameters"] == sum(header.bytes for header in checkpoint.tensors.values()) // 2
    assert found["precision"] == "bfloat16"
    assert found["abilities"] == ["complete", "infill"]
    assert found["tokenizer"] == {"metas_ids": False, "reason": "it has 4113 pieces of its own"}
    assert {file["name"]: file["bytes"] for file in found["files"]} == {
        path.name: path.stat().st_size for path in model.iterdir()
    }
    assert found["faults"] == []
    lines = cli("models", "info", str(model)).out.splitlines()
    assert lines[-1] == "sound, as far as sizes and headers tell"
    assert told(cli("models", "info", "70b-instruct", "--json"))["templates"] == ["complete", "instruct-70b"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def shard(model: Path, number: int = 0) -> Path:
    return sorted(model.glob("*.safetensors"))[number]


def test_f17_files_that_are_damaged(cli: Cli, plain: Path, tmp_path: Path) -> None:
    index = "model.safetensors.index.json"

    def misplace(model: Path) -> None:
        content = json.loads((model / index).read_text())
        content["weight_map"]["lm_head.weight"], content["weight_map"]["model.norm.weight"] = (
            content["weight_map"]["model.norm.weight"], content["weight_map"]["lm_head.weight"]
        )  # fmt: skip
        (model / index).write_text(json.dumps(content))

    damages: dict[str, Any] = {
        "cut short": lambda model: cut(shard(model)),
        "its safetensors header is malformed": lambda model: shard(model).write_bytes(
            (8).to_bytes(8, "little") + b"12345678"
        ),
        "which is not there": lambda model: shard(model).unlink(),
        "puts elsewhere": misplace,
        f"{index}: not JSON": lambda model: (model / index).write_text("{"),
        "wrong shape or type": lambda model: (model / "config.json").write_text(
            (model / "config.json").read_text().replace('"intermediate_size": 128', '"intermediate_size": 256')
        ),
        "tokenizer.model: is not a SentencePiece model": lambda model: cut(model / "tokenizer.model"),
        "holds neither tokenizer.model nor": lambda model: (model / "tokenizer.model").unlink(),
        "generation_config.json: not JSON": lambda model: (model / "generation_config.json").write_text("x"),
        "cannot be read: No such file": lambda model: (model / "extra.json").symlink_to("nowhere"),
    }
    for at, (complaint, damage) in enumerate(damages.items()):
        model = shutil.copytree(plain, tmp_path / str(at))
        damage(model)
        done = cli("models", "info", str(model), "--json")
        faults = json.loads(done.out)["faults"]
        assert done.code == 1, complaint
        assert any(complaint in fault for fault in faults), (complaint, faults)
        assert len(done.err.splitlines()) == len(faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        assert cli("models", "info", str(model)).out.splitlines()[-1] == f"damaged: {count}"


def test_every_damaged_file_is_named(cli: Cli, model: Path) -> None:
    cut(shard(model, 0))
    cut(shard(model, 1))
    files = json.loads(cli("models", "info", str(model), "--json").out)["files"]
    assert [file["name"] for file in files if file["fault"]] == [shard(model, 0).name, shard(model, 1).name]


def test_a_sound_model_without_checksums_is_not_called_damaged(cli: Cli) -> None:
    done = cli("models", "info", "tiny", "--verify")
    assert (done.code, done.err) == (0, "tiny has no checksums.sha256 to compare its files with\n")
    assert done.out.endswith("sound, as far as sizes and headers tell\n")


def test_checksums_are_compared_on_request(cli: Cli, tmp_path: Path, model: Path) -> None:
    made = tmp_path / "made"
    assert cli("convert", "--4bit", str(model), str(made), "--variant", "base").code == 0
    assert told(cli("models", "info", str(made), "--verify", "--json"))["checksums"] is True
    data = bytearray((made / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (made / "model.safetensors").write_bytes(data)
    assert cli("models", "info", str(made)).code == 0
    done = cli("models", "info", str(made), "--verify", "--json")
    assert (done.code, json.loads(done.out)["checksums"], "has changed" in done.err) == (1, False, True)


# memory


def test_the_figures_of_7b(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24.0)
    found = told(cli("models", "memory", "7b", "--context", "4096", "--json"))
    assert found["parameters"] == 6_738_546_688
    weights = {entry["precision"]: entry["weights"] for entry in found["precisions"]}
    assert (weights["float32"], weights["bfloat16"]) == (4 * 6_738_546_688, 2 * 6_738_546_688)
    assert weights["int8"] == 7_006_527_488
    assert len({entry["cache"] for entry in found["precisions"][1:]}) == 1
    half = found["precisions"][1]
    assert half["cache"] == 2 * 32 * 32 * 128 * 4096 * 2 == 4096 * found["cache_per_token"]
    assert half["in_all"] == half["weights"] + half["cache"] + WORKING
    assert (half["fits"], half["layers_on"]) == (True, {"cuda:0": 32})
    double = told(cli("models", "memory", "7b", "--context", "4096", "--batch", "2", "--json"))["precisions"][1]
    assert double["cache"] == 2 * half["cache"]
    assert told(cli("models", "memory", "7b", "--json"))["context"] == 4096
    assert told(cli("models", "memory", "tiny", "--json"))["context"] == 1024


@pytest.mark.parametrize("gpus", [[], [15.0], [9.0, 9.0], [6.0]])
def test_the_longest_context_is_the_longest(cli: Cli, monkeypatch: pytest.MonkeyPatch, gpus: list[float]) -> None:
    """One token more, and loading would leave layers elsewhere, or refuse."""
    here = machine(monkeypatch, *gpus, ram=15)
    checkpoint = capacity.of_shape(Config.of(catalogue.FAMILY[0]), "7b")

    def planned(precision: str, context: int) -> Plan | None:
        dtype, quantisation = capacity.PRECISIONS[precision]
        try:
            found = plan(checkpoint, LoadOptions(dtype, quantisation), here, context)
        except CodellamaError:
            return None
        return None if found.notes else found

    for entry in told(cli("models", "memory", "7b", "--json"))["precisions"]:
        longest = entry["longest_context"]
        assert (planned(entry["precision"], longest) is not None) == (longest > 0), entry
        assert planned(entry["precision"], longest + 1) is None, entry


def test_a_map_over_gpu_ram_and_disk(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 6.0, ram=6)
    half = told(cli("models", "memory", "7b", "--json"))["precisions"][1]
    assert list(half["layers_on"]) == ["cuda:0", "cpu", "disk"]
    assert sum(half["layers_on"].values()) == 32
    line = next(line for line in cli("models", "memory", "7b").out.splitlines() if line.startswith("bfloat16"))
    counts = half["layers_on"]
    assert line.endswith(f"layers: {counts['cuda:0']} cuda:0, {counts['cpu']} RAM, {counts['disk']} disk")


def test_the_batch_counts_where_layers_go(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 17.0)
    alone, many = (
        told(cli("models", "memory", "7b", "--batch", batch, "--json"))["precisions"][1]["layers_on"]
        for batch in ("1", "2")
    )
    assert (alone, list(many)) == ({"cuda:0": 32}, ["cuda:0", "cpu"])


def test_a_config_alone_will_do(cli: Cli, model: Path) -> None:
    whole = told(cli("models", "memory", str(model), "--json"))
    for path in model.glob("model*"):
        path.unlink()
    assert (
        told(cli("models", "memory", str(model), "--json"))["precisions"][1]["in_all"]
        == whole["precisions"][1]["in_all"]
    )
    (model / "model.safetensors").write_bytes(b"")
    done = cli("models", "memory", str(model))
    assert (done.code, "not a safetensors file" in done.err) == (2, True)


def test_bad_numbers(cli: Cli) -> None:
    for option in (["--context", "0"], ["--context", "99999999"], ["--batch", "0"], ["--batch", "-1"]):
        done = cli("models", "memory", "7b", *option)
        assert (done.code, f"{option[0]} {option[1]}: " in done.err) == (2, True)
    assert "beyond the 16384 tokens" in cli("models", "memory", "7b", "-c", "20000").err


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8", "nf4"])
def test_what_is_told_is_what_is_allocated(cli: Cli, tmp_path: Path, precision: str) -> None:
    """Weights and cache of a model loaded as it would be, in bytes of torch's own storages."""
    from benchmarks.memory import measured

    directory = save(
        tmp_path / "larger", "bfloat16", hidden_size=512, intermediate_size=1024, vocab_size=640, num_attention_heads=8
    )
    found = told(cli("models", "memory", str(directory), "--context", "300", "--batch", "2", "--json"))
    (entry,) = [entry for entry in found["precisions"] if entry["precision"] == precision]
    weights, cache = measured(directory, precision, 300, 2)
    assert entry["weights"] == pytest.approx(weights, rel=0.02)
    assert entry["cache"] == cache


@pytest.mark.parametrize("bits", [4, 8])
def test_stored_in_fewer_bits(cli: Cli, plain: Path, tmp_path: Path, bits: int) -> None:
    directory = save_quantised(tmp_path / "quantised", plain, bits)
    (entry,) = told(cli("models", "memory", str(directory), "--json"))["precisions"]
    assert entry["precision"] == f"{bits}bit"
    # what is written of how each matrix was quantised differs by bytes, and the longest layer counts
    assert entry["weights"] == pytest.approx(Checkpoint.read(directory).weight_bytes, rel=1e-4)


def test_the_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(monkeypatch, 20.0)
    found = capacity.fit(capacity.of_shape(Config.of(catalogue.FAMILY[0]), "7b"), here, 4096)
    lines = chart(found, here, 80)
    assert max(map(len, lines)) <= 80
    free = lines[1].index("|")
    for fit, line in zip(found, lines, strict=False):
        bar = line.rstrip().rindex(".") + 1 - 10
        scale = (free - 10) / 20e9
        assert bar == pytest.approx(fit.need.total * scale, abs=1)
        assert line.count("#") == pytest.approx(fit.need.weights.total * scale, abs=2)


def test_a_terminal_gets_a_chart_and_a_pipe_does_not(cli: Cli) -> None:
    program = "import sys; from codellama.app import main; sys.argv[1:] = ['models', 'memory', '7b']; main()"
    done = on_terminal(program, width=80)
    lines = done.output.decode().split("\r\n")
    assert any(line.startswith("bfloat16  ####") for line in lines)
    assert max(map(len, lines)) <= 80
    assert "####" not in cli("models", "memory", "7b").out
