"""`codellama convert` as a person meets it: which model it takes it for, what it asks, says and prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from codellama import catalogue, models
from codellama.catalogue import FAMILY, Entry, Size
from codellama.config import Config
from codellama.convert import describe
from codellama.settings import Settings
from codellama.tokenizer import Tokenizer
from tests import meta as metas
from tests.harness import TINY, Cli, Result
from tests.meta import parameters, random_weights, save
from tests.terminal import run as on_terminal
from tests.test_layers import HEAVY, loaded_after, running


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    params = parameters(n_layers=1)
    return save(tmp_path / "meta", random_weights(params, 4200), params)


def convert(cli: Cli, meta: Path, *options: str, stdin_tty: bool = False) -> Result:
    return cli("convert", str(meta), str(meta.parent / "out"), *options, stdin_tty=stdin_tty)


# which model it is


@pytest.fixture
def tokenizer_of(llama7: Tokenizer, llama32: Tokenizer, llama70: Tokenizer) -> Callable[[Entry], Tokenizer]:
    return lambda entry: llama70 if entry.size.name == "70B" else llama32 if entry.vocab_size == 32000 else llama7


@pytest.mark.parametrize("entry", FAMILY, ids=lambda entry: entry.name)
def test_the_family_is_known_by_its_shapes(entry: Entry, tokenizer_of: Callable[[Entry], Tokenizer]) -> None:
    config = Config.of(entry)
    found = describe.identify(config, tokenizer_of(entry), entry.variant)
    assert (found.name, found.size, found.variant) == (entry.name, entry.size.name, entry.variant)
    assert (found.infill, found.chat_format) == (entry.infill, entry.chat_format)
    assert entry in describe.candidates(config)
    stops = describe.stop_ids(tokenizer_of(entry), found.chat_format)
    assert stops == ([2, 32015] if entry.name == "70b-instruct" else [2])
    assert {each.size for each in describe.candidates(config)} == {entry.size}


def test_what_the_weights_tell_of_their_variant() -> None:
    told = {entry.name: sorted(each.variant for each in describe.candidates(Config.of(entry))) for entry in FAMILY}
    both, any_of = ["base", "instruct"], ["base", "instruct", "python"]
    assert told == {
        "7b": both, "7b-instruct": both, "7b-python": ["python"],
        "13b": both, "13b-instruct": both, "13b-python": ["python"],
        "34b": any_of, "34b-instruct": any_of, "34b-python": any_of,
        "70b": ["base"], "70b-instruct": ["instruct", "python"], "70b-python": ["instruct", "python"],
    }  # fmt: skip


def test_a_shape_outside_the_family_goes_by_its_tokenizer(
    llama7: Tokenizer, llama32: Tokenizer, llama70: Tokenizer, tiny_tokenizer: Tokenizer
) -> None:
    shape = replace(Config.of(FAMILY[0]), layers=1)

    def ability(
        tokenizer: Tokenizer, variant: catalogue.Variant, vocabulary: int = 32016
    ) -> tuple[bool | None, str | None]:
        found = describe.identify(replace(shape, vocab_size=vocabulary), tokenizer, variant)
        assert (found.name, found.size) == (None, "465M")
        return found.infill, found.chat_format

    assert ability(llama7, "base") == (True, None)
    assert ability(llama7, "python") == (False, None)
    assert ability(llama7, "instruct") == (True, "instruct")
    assert ability(llama32, "instruct", 32000) == (False, "instruct")
    # pieces without rows in the embedding
    assert ability(llama7, "base", 32000) == (False, None)
    assert ability(llama70, "instruct") == (True, "instruct-70b")
    # which has a <step> too
    assert ability(tiny_tokenizer, "instruct") == (True, "instruct")


@pytest.fixture
def small_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue whose sizes are so small that they can be made."""
    size = Size("7B", 64, 1, 8, 8, 176, 1)
    monkeypatch.setattr(
        catalogue,
        "FAMILY",
        (
            Entry("small", size, "base", 16384, 4200, 1e6, True, None, "x/small"),
            Entry("small-instruct", size, "instruct", 16384, 4200, 1e6, True, "instruct", "x/small-instruct"),
            Entry("small-python", size, "python", 16384, 4300, 1e6, False, None, "x/small-python"),
        ),
    )


UNTOLD = "the weights do not tell their variant: base is taken; --variant says another"


def card(directory: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((directory / "codellama.json").read_text())
    return found


@pytest.mark.usefixtures("small_family")
def test_an_untold_variant_is_base_without_a_terminal(cli: Cli, meta: Path, tmp_path: Path) -> None:
    done = convert(cli, meta, stdin_tty=False)
    assert (done.code, f"{meta}: {UNTOLD}\n" in done.err) == (0, True)
    assert card(tmp_path / "out") == {
        "format": 1, "name": "small", "size": "7B", "variant": "base", "context": 16384, "infill": True,
        "chat_format": None,
    }  # fmt: skip


@pytest.mark.usefixtures("small_family")
def test_a_variant_that_is_told(cli: Cli, meta: Path, tmp_path: Path) -> None:
    done = convert(cli, meta, "--variant", "instruct")
    assert (
        done.err == f"{tmp_path}/out is complete and verified: codellama complete -m {tmp_path}/out 'def fibonacci('\n"
    )
    assert card(tmp_path / "out")["name"] == "small-instruct"
    assert card(tmp_path / "out")["chat_format"] == "instruct"
    done = convert(cli, meta, "--variant", "python", "--force")
    assert "warning: by their shape these weights are base or instruct, not python" in done.err
    assert card(tmp_path / "out")["variant"] == "python"
    assert "name" not in card(tmp_path / "out")
    assert card(tmp_path / "out")["infill"] is False


@pytest.mark.usefixtures("small_family")
def test_a_variant_that_the_weights_tell(cli: Cli, tmp_path: Path) -> None:
    params = parameters(n_layers=1)
    meta = save(tmp_path / "meta", random_weights(params, 4300), params)
    done = convert(cli, meta, stdin_tty=True)
    assert (done.code, UNTOLD in done.err) == (0, False)
    assert card(tmp_path / "out")["name"] == "small-python"


ASKING = (
    "import sys; from codellama.app import main\n"
    "sys.argv = ['codellama', 'convert', {source!r}, {output!r}{options}]; main()"
)


@pytest.mark.parametrize(
    ("typed", "code", "variant"),
    [(b"instruct\n", 0, "instruct"), (b"llama\npython\n", 0, "python"), (b"\x03", 130, None)],
    ids=["answer", "wrong-then-right", "ctrl-c"],
)
def test_the_variant_is_asked_for_on_a_terminal(
    meta: Path, tmp_path: Path, typed: bytes, code: int, variant: str | None
) -> None:
    output = tmp_path / "out"
    program = ASKING.format(source=str(meta), output=str(output), options="")
    done = on_terminal(program, keys=(b"which variant is it? (base, python, instruct) ", typed), width=200, timeout=60)
    assert done.code == code, done.output
    assert UNTOLD.encode() not in done.output
    if variant:
        assert card(output)["variant"] == variant
        assert b"is complete and verified: codellama complete -m " in done.output
        assert (b"one of base, python, instruct: " in done.output) == (b"llama" in typed)
    else:
        assert [path.name for path in tmp_path.iterdir()] == ["meta"]


def test_a_dry_run_asks_nothing_on_a_terminal(meta: Path, tmp_path: Path) -> None:
    program = ASKING.format(source=str(meta), output=str(tmp_path / "out"), options=", '--dry-run'")
    done = on_terminal(program, width=200, timeout=60)
    assert (done.code, b"which variant" in done.output) == (0, False)


def test_progress_has_rate_and_time_left(meta: Path, tmp_path: Path) -> None:
    # slow enough to be seen: each piece takes a hundredth of a second
    program = (
        "import os, time; real = os.pwrite\n"
        "def slow(*arguments):\n    time.sleep(0.01)\n    return real(*arguments)\n"
        "os.pwrite = slow\nfrom codellama.convert import writer; writer.PIECE = 10_000\n"
    ) + ASKING.format(source=str(meta), output=str(tmp_path / "out"), options=", '--variant', 'base'")
    done = on_terminal(program, width=200, timeout=60)
    assert done.code == 0
    screen = done.output.decode()
    assert "out: writing, " in screen
    assert " MB/s, 0:0" in screen
    assert " left  " in screen
    assert " of 1.2 MB" in screen


# options


def test_a_dry_run_prints_files_and_room_and_writes_nothing(cli: Cli, meta: Path, tmp_path: Path) -> None:
    done = convert(cli, meta, "--dry-run", "--shard-size", "600KB")
    assert done.code == 0
    first, *rows = done.out.splitlines()
    assert first.startswith(f"{tmp_path}/out, with ")
    assert first.endswith(" GB free there:")
    sizes = {row.split()[0]: int(row.split()[1].replace(",", "")) for row in rows}
    assert [path.name for path in tmp_path.iterdir()] == ["meta"]
    as_json = json.loads(convert(cli, meta, "--dry-run", "--shard-size", "600KB", "--json").out)
    assert convert(cli, meta, "--shard-size", "600KB").code == 0
    written = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    checksums = written.pop("checksums.sha256")
    assert checksums < 2000
    assert as_json["files"] == written
    assert sizes == {**written, "together": sum(written.values())}
    assert as_json["bytes"] == sizes["together"]
    assert as_json["free"] > 0
    # and says what would keep it from being written
    done = convert(cli, meta, "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert "out: exists" in done.err


def test_json_and_quiet(cli: Cli, meta: Path, tmp_path: Path) -> None:
    done = convert(cli, meta, "--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    assert answer["output"] == f"{tmp_path}/out"
    sums = {file["name"]: file["sha256"] for file in answer["files"]}
    lines = (tmp_path / "out" / "checksums.sha256").read_text().splitlines()
    assert {line[66:]: line[:64] for line in lines} == sums
    assert convert(cli, meta, "--force", "-q").out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name an input and an output directory; for example: codellama convert"),
        (["{meta}"], "name an input and an output directory"),
        (["{meta}", "{out}", "--variant", "chat"], "--variant chat: base, python, instruct expected"),
        (["{meta}", "{out}", "--dtype", "int8"], "--dtype int8: auto, float32, float16, bfloat16 expected"),
        (["{meta}", "{out}", "--shard-size", "0"], "--shard-size 0: a size as 5GB or 500MB expected"),
        (["{meta}", "{out}", "--shard-size", "-1GB"], "--shard-size -1GB: a size"),
        (["{meta}", "{out}", "--shard-size", "5 bananas"], "--shard-size 5 bananas: a size"),
        (["{meta}/nowhere", "{out}"], "nowhere: no such directory"),
        (["{meta}/params.json", "{out}"], "params.json: is a file: name its directory"),
        (["{meta}/..", "{out}"], "no consolidated.00.pth there: name a directory as Meta ships it"),
        ([str(TINY), "{out}"], "is in Hugging Face's layout already: use it as it is; --4bit makes it smaller"),
        (["--verify", "{meta}", "{meta}"], "--verify takes one directory and nothing else"),
        (["--verify", "{meta}"], "has no checksums.sha256: only what codellama convert wrote can be verified"),
        (["--verify", "{out}"], "out: no such directory"),
    ],
    ids=range(14),
)
def test_bad_input_is_one_line(cli: Cli, meta: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    done = cli("convert", *[each.format(meta=meta, out=tmp_path / "empty" / "out") for each in arguments])
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize(
    ("size", "files"), [("5GB", 1), ("1.2 MB", 1), ("600KB", 2), ("600000", 2), ("1kib", 10), ("0.3MiB", 3)]
)
def test_shard_sizes(cli: Cli, meta: Path, tmp_path: Path, size: str, files: int) -> None:
    assert convert(cli, meta, "--shard-size", size, "-q").code == 0
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == files


# verifying later


def test_verify(cli: Cli, meta: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert convert(cli, meta, "-q").code == 0

    def verify(*options: str) -> Result:
        return cli("convert", "--verify", str(output), *options)

    done = verify()
    assert (done.code, done.out, done.err) == (0, "", f"{output}: 7 files are as they were converted\n")
    assert set(json.loads(verify("--json", "-q").out)["files"]) == {path.name for path in output.iterdir()} - {
        "checksums.sha256"
    }
    weights = output / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(data)
    (output / "config.json").unlink()
    done = verify()
    assert done.code == 2
    assert "config.json is missing, model.safetensors has changed since it was converted: convert it again" in done.err
    for text in ("", "no sums\n", f"{'0' * 64}  ../meta/params.json\n", f"{'0' * 64}  a\n{'0' * 64}  a\n"):
        (output / "checksums.sha256").write_text(text)
        assert "checksums.sha256: is " in verify().err


def test_sha256sum_reads_the_manifest(cli: Cli, meta: Path, tmp_path: Path) -> None:
    import subprocess

    assert convert(cli, meta, "-q").code == 0
    command = ["sha256sum", "--check", "--strict", "checksums.sha256"]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.count(": OK\n") == 7


# what comes out is a model


def test_the_builtin_model_there_and_back(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["meta", str(tmp_path / "meta")])
    metas.main()
    assert convert(cli, tmp_path / "meta", "--variant", "instruct").code == 0
    output = tmp_path / "out"
    ours, given = load_file(output / "model.safetensors"), load_file(TINY / "model.safetensors")
    assert ours.keys() == given.keys()
    assert all(torch.equal(ours[name], given[name]) for name in given)
    assert json.loads((output / "tokenizer.json").read_text()) == json.loads((TINY / "tokenizer.json").read_text())
    assert (output / "tokenizer.model").read_bytes() == (TINY / "tokenizer.model").read_bytes()
    options = ("--temperature", "0", "--repetition-penalty", "1", "--max-tokens", "24", "-q", "def read_file(path")
    texts = [cli("complete", "-m", model, *options, stdin_tty=True) for model in (str(output), "tiny")]
    assert texts[0].code == 0
    assert len(texts[0].out) > 20
    assert texts[0].out == texts[1].out


def test_the_card_is_what_models_reads(cli: Cli, tmp_path: Path) -> None:
    params = parameters(n_layers=1)
    meta = save(tmp_path / "meta", random_weights(params, 4200), params)
    expected = {"base": (True, None), "python": (False, None), "instruct": (True, "instruct")}
    for variant, (infill, chat_format) in expected.items():
        assert convert(cli, meta, "--variant", variant, "--force", "-q").code == 0
        model = models.find(str(tmp_path / "out"), Settings.load({"CODELLAMA_HOME": str(tmp_path)}), {})
        assert (model.variant, model.infill, model.chat_format) == (variant, infill, chat_format)
        assert (model.name, model.size, model.context, model.vocab_size) == ("out", "588K", 16384, 4200)
        assert model.demonstration is False
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert config["eos_token_id"] == generation["eos_token_id"] == [2]
    assert (config["dtype"], config["torch_dtype"]) == ("bfloat16", "bfloat16")


@pytest.mark.parametrize("options", [["--dry-run"], ["--variant", "base"]], ids=["dry-run", "convert"])
def test_converting_imports_nothing_heavy(meta: Path, options: list[str]) -> None:
    loaded = loaded_after(running("convert", str(meta), str(meta.parent / "out"), *options))
    assert "codellama" in loaded
    assert not loaded & HEAVY
