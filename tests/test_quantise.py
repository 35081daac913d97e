"""`codellama convert --4bit`: what bitsandbytes would make on loading, on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from codellama import models
from codellama.checkpoint import Checkpoint
from codellama.devices import Machine
from codellama.engine import quantise as quantising
from codellama.engine.load import load
from codellama.engine.quantise import quantise
from codellama.errors import CodellamaError, InputError
from codellama.memory import LoadOptions, fits_4bit, plan, stored_bytes, weight_bytes
from codellama.settings import Settings
from tests.checkpoints import IDS, reference, save, save_quantised
from tests.harness import TINY, Cli
from tests.meta import parameters, random_weights
from tests.meta import save as save_meta
from tests.terminal import environment

HERE = Machine((), 64 * 10**9, 64 * 10**9)


def logits(directory: Path, **options: Any) -> torch.Tensor:
    """What our own loader makes of the prompt."""
    checkpoint = Checkpoint.read(directory)
    model = load(checkpoint, plan(checkpoint, LoadOptions(**options), HERE, 64), lambda progress: None).model
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
    return found


@pytest.fixture(scope="module", params=["bfloat16", "float16"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = save(tmp_path_factory.mktemp("plain") / request.param, request.param, vocab_size=4200)
    (directory / "tokenizer.model").write_bytes((TINY / "tokenizer.model").read_bytes())
    return directory


@pytest.fixture
def made(plain: Path, cli: Cli, tmp_path: Path) -> Path:
    done = cli("convert", "--4bit", str(plain), str(tmp_path / "4bit"), "--variant", "base")
    assert (done.code, "is complete and verified" in done.err) == (0, True), done.err
    return tmp_path / "4bit"


def test_the_tensors_are_those_that_transformers_saves(plain: Path, made: Path, tmp_path: Path) -> None:
    theirs = load_file(save_quantised(tmp_path / "theirs", plain, 4) / "model.safetensors")
    ours = load_file(made / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        if "quant_state" in name:
            # JSON, which ours pads with spaces
            found, given = (json.loads(each.numpy().tobytes()) for each in (ours[name], tensor))
            assert found == given
            assert ours[name].shape == (256,)
        else:
            assert torch.equal(ours[name], tensor), name
            assert ours[name].dtype == tensor.dtype


def test_transformers_and_our_loader_take_it_as_it_is(plain: Path, made: Path) -> None:
    exact = reference(plain, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = reference(made)
    ours = logits(made)
    # what was quantised before is what is quantised on loading
    assert torch.equal(ours, logits(plain, quantisation="4bit"))
    for found in (theirs, ours):
        assert 0 < float((found.float() - exact).norm() / exact.norm()) < 0.25
    assert float((theirs.float() - ours.float()).norm() / ours.float().norm()) < 0.01


def test_nothing_is_quantised_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bitsandbytes import functional

    def again(*arguments: object, **settings: object) -> None:
        raise AssertionError("quantised on loading")

    monkeypatch.setattr(functional, "quantize_4bit", again)
    logits(made)


def test_it_is_planned_for_as_it_is_stored(plain: Path, made: Path) -> None:
    checkpoint = Checkpoint.read(made)
    assert checkpoint.config.quantisation == "4bit"
    where = plan(checkpoint, LoadOptions(), HERE, 64)
    assert where.quantisation == "4bit"
    # and 256 bytes a matrix that say how it was quantised, one number of them figured already
    figured = weight_bytes(checkpoint.config, "nf4", checkpoint.dtype)
    assert stored_bytes(checkpoint).total == figured.total + 2 * 7 * (256 - 4)
    assert figured.layer < 0.4 * weight_bytes(checkpoint.config, checkpoint.dtype).layer
    with pytest.raises(InputError, match="is stored in 4bit already: leave out --8bit"):
        plan(checkpoint, LoadOptions(quantisation="8bit"), HERE, 64)


def test_from_metas_weights_too(cli: Cli, tmp_path: Path) -> None:
    params = parameters(n_layers=1, multiple_of=64, n_kv_heads=4)
    save_meta(tmp_path / "meta", random_weights(params, 4200), params, count=2)
    for name, options in (("plain", ()), ("one", ("--4bit",)), ("several", ("--4bit", "--shard-size", "300KB"))):
        done = cli("convert", str(tmp_path / "meta"), str(tmp_path / name), "--variant", "instruct", *options)
        assert done.code == 0, done.err
    assert len(list((tmp_path / "several").glob("*.safetensors"))) > 2
    expected = logits(tmp_path / "plain", quantisation="4bit")
    assert torch.equal(logits(tmp_path / "one"), expected)
    assert torch.equal(logits(tmp_path / "several"), expected)
    found = models.find(str(tmp_path / "one"), Settings.load({"CODELLAMA_HOME": str(tmp_path)}), {})
    assert (found.variant, found.infill, found.chat_format) == ("instruct", True, "instruct")
    assert cli("convert", "--verify", str(tmp_path / "one")).code == 0


def test_rows_that_are_no_whole_blocks_stay_as_they_are(cli: Cli, tmp_path: Path) -> None:
    """bitsandbytes on CPUs would compute them with the scales of other blocks."""
    assert not fits_4bit(96)
    plain = save(tmp_path / "plain", "bfloat16", vocab_size=4200, intermediate_size=96)
    (plain / "tokenizer.model").write_bytes((TINY / "tokenizer.model").read_bytes())
    assert cli("convert", "--4bit", str(plain), str(tmp_path / "4bit")).code == 0
    tensors, given = (load_file(tmp_path / name / "model.safetensors") for name in ("4bit", "plain"))
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(tensors[name], given[name])
    assert tensors["model.layers.1.mlp.up_proj.weight"].dtype == torch.uint8
    exact = reference(plain, dtype=torch.float32)
    ours = logits(tmp_path / "4bit")
    assert torch.equal(ours, logits(plain, quantisation="4bit"))
    assert float((ours.float() - exact).norm() / exact.norm()) < 0.25
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LlamaForCausalLM.from_pretrained(tmp_path / "4bit")
    assert type(theirs.model.layers[1].mlp.down_proj) is torch.nn.Linear
    assert type(theirs.model.layers[1].mlp.up_proj) is not torch.nn.Linear


def test_the_small_files_come_along_and_nothing_else(plain: Path, cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "source"
    assert os.system(f"cp -r {plain} {source}") == 0
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Evil"}}))
    (source / "modeling.py").write_text("raise SystemExit")
    (source / "codellama.json").write_text(
        '{"format": 1, "name": "mine", "variant": "instruct", "chat_format": "instruct"}'
    )
    (source / "tokenizer_config.json").write_text("{}")
    done = cli("convert", "--4bit", str(source), str(tmp_path / "out"))
    assert (done.code, "variant" in done.err) == (0, False)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "checksums.sha256", "codellama.json", "config.json", "generation_config.json", "model.safetensors",
        "tokenizer.model", "tokenizer_config.json",
    }  # fmt: skip
    for name in ("codellama.json", "tokenizer.model", "tokenizer_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "auto_map" not in written
    assert written["quantization_config"]["bnb_4bit_quant_type"] == "nf4"
    assert written["hidden_size"] == config["hidden_size"]


def test_what_is_quantised_already_is_refused(made: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli("convert", "--4bit", str(made), str(tmp_path / "again"))
    assert (done.code, "is stored in 4bit already: use it as it is" in done.err) == (2, True)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_matrix_with_no_number_is_refused(cli: Cli, tmp_path: Path, number: float) -> None:
    params = parameters(n_layers=1, multiple_of=64)
    weights = random_weights(params, 4200)
    weights["layers.0.attention.wv.weight"][3, 5] = number
    save_meta(tmp_path / "meta", weights, params)
    done = cli("convert", "--4bit", str(tmp_path / "meta"), str(tmp_path / "out"))
    assert done.code == 2
    assert "model.layers.0.self_attn.v_proj.weight has numbers that are infinite or none" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["meta"]


MATRICES = {
    "normal": torch.randn(64, 128, generator=torch.Generator().manual_seed(0)),
    "zeros": torch.zeros(64, 64),
    "tiny": torch.randn(32, 64, generator=torch.Generator().manual_seed(1)) * 1e-6,
    "rows of all sizes": torch.randn(64, 64, generator=torch.Generator().manual_seed(2))
    * torch.logspace(-4, 1, 64).unsqueeze(1),
    "one outlier": torch.cat([torch.full((63, 64), 0.01), torch.full((1, 64), 100.0)]),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("name", MATRICES)
def test_what_is_close_passes(name: str, dtype: str) -> None:
    matrix = MATRICES[name].to(getattr(torch, dtype))
    bits = matrix.view(torch.int32 if dtype == "float32" else torch.int16).numpy()
    made = quantise(bits.view(f"u{bits.itemsize}"), dtype)
    assert made[""].dtype == np.uint8
    assert made[""].shape == (matrix.numel() // 2, 1)


def test_what_bitsandbytes_gets_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scales of the wrong blocks, as its CPU code has them for rows that are no whole blocks."""
    from bitsandbytes import functional

    real = functional.dequantize_4bit

    def shifted(packed: torch.Tensor, state: Any) -> torch.Tensor:
        return real(packed, state).flatten().roll(64).view(tuple(state.shape))

    monkeypatch.setattr(functional, "dequantize_4bit", shifted)
    bits = MATRICES["normal"].bfloat16().view(torch.int16).numpy().view(np.uint16)
    with pytest.raises(CodellamaError, match="bitsandbytes quantised a matrix to something else"):
        quantise(bits, "bfloat16")


def test_out_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\nframe 0: ...")

    monkeypatch.setattr(quantising, "_quantise", fail)
    with pytest.raises(CodellamaError, match=r"^a matrix of 4 × 6 cannot be quantised: .* can't allocate memory$"):
        quantise(np.zeros((4, 6), np.uint16), "bfloat16")


def test_no_library_prints_and_no_code_is_fetched(tmp_path: Path) -> None:
    plain = save(tmp_path / "plain", "bfloat16", vocab_size=4200, num_hidden_layers=1)
    (plain / "tokenizer.model").write_bytes((TINY / "tokenizer.model").read_bytes())
    # a package of this name, were there one, would be asked for code from the Hub
    (tmp_path / "kernels.py").write_text(
        "__version__ = '0.1'\ndef get_kernel(*names, **settings): raise SystemExit(names)\n"
    )
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "codellama", "convert", "-q", "--4bit", plain, tmp_path / "out"],
        capture_output=True, text=True, env={**environment(), "PYTHONPATH": path}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
