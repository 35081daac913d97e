from __future__ import annotations

import gc
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from codellama.checkpoint import Checkpoint
from codellama.config import Quantisation
from codellama.devices import Gpu, Machine
from codellama.dialog import Progress
from codellama.engine import load as loading
from codellama.engine.load import Loaded, llama_config, load
from codellama.errors import CodellamaError, ExitCode, InputError
from codellama.memory import WORKING, LoadOptions, kv_bytes, plan, weight_bytes
from tests.checkpoints import IDS, allocated, reference, save, save_quantised

PLENTY = Machine((), 64 * 10**9, 64 * 10**9)
CONTEXT = 64


def silent(progress: Progress) -> None:
    pass


def loaded(directory: Path, here: Machine = PLENTY, **options: Any) -> Loaded:
    checkpoint = Checkpoint.read(directory)
    return load(checkpoint, plan(checkpoint, LoadOptions(**options), here, CONTEXT), silent)


def logits(model: LlamaForCausalLM) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
    return found


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint in each precision, the last one in shards."""
    directory = tmp_path_factory.mktemp("stored")
    return {
        "bfloat16": save(directory / "bfloat16", "bfloat16", num_hidden_layers=4),
        "float16": save(directory / "float16", "float16"),
        "float32": save(directory / "float32", "float32", shard="60KB", num_hidden_layers=4),
    }


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, empty at first."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The relative error of logits, by their norm."""
    return float((one.float() - other.float()).norm() / other.float().norm())


# precision


@pytest.mark.parametrize("kept", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float16", "float32"])
def test_logits_are_transformers_own(stored: dict[str, Path], kept: str, dtype: str) -> None:
    found = loaded(stored[kept], dtype=dtype)
    wanted = kept if dtype == "auto" else dtype
    assert found.dtype == wanted
    assert {parameter.dtype for parameter in found.model.parameters()} == {getattr(torch, wanted)}
    assert torch.equal(logits(found.model), reference(stored[kept], dtype=getattr(torch, wanted)))
    assert (found.device, found.model.training) == (torch.device("cpu"), False)
    assert found.model.config._attn_implementation == "sdpa"
    assert 0 < found.seconds < 60


def test_float32_of_bfloat16_is_exact(stored: dict[str, Path]) -> None:
    found = loaded(stored["bfloat16"], dtype="float32").model.state_dict()
    for name, tensor in load_file(stored["bfloat16"] / "model.safetensors").items():
        assert torch.equal(found[name], tensor.float()), name


def test_f13_odd_numbers_come_through_bit_by_bit(stored: dict[str, Path], tmp_path: Path) -> None:
    directory = Path(shutil.copytree(stored["bfloat16"], tmp_path / "odd"))
    weights = load_file(directory / "model.safetensors")
    # every bfloat16 there is, NaNs, infinities and subnormals among them, as far as the embedding goes
    weights["model.embed_tokens.weight"] = (
        torch.arange(0x7F00, 0x7F00 + 160 * 64).to(torch.uint16).view(torch.bfloat16).view(160, 64)
    )
    save_file(weights, directory / "model.safetensors")
    found = loaded(directory).model.state_dict()
    for name, tensor in weights.items():
        assert torch.equal(found[name].view(torch.int16), tensor.view(torch.int16)), name


def test_scaled_rope_and_a_tied_head(tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope["original_max_position_embeddings"] = 16
    variants: dict[str, dict[str, Any]] = {
        "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
        "llama3": {"rope_parameters": rope},
        "tied": {"tie_word_embeddings": True},
        "head": {"head_dim": 32},
    }
    for name, changes in variants.items():
        directory = save(tmp_path / name, **changes)
        assert torch.equal(logits(loaded(directory).model), reference(directory)), name


def test_rope_that_transformers_does_not_take(stored: dict[str, Path]) -> None:
    checkpoint = Checkpoint.read(stored["float16"])
    wrong = replace(checkpoint.config, rope_scaling={"rope_type": "llama3"})
    with pytest.raises(InputError, match=r"config\.json: transformers does not take its rope parameters"):
        load(replace(checkpoint, config=wrong), plan(checkpoint, LoadOptions(), PLENTY, CONTEXT), silent)


@pytest.mark.skipif(sys.platform != "linux", reason="there is /proc on Linux alone")
def test_weights_of_the_stored_precision_are_not_copied(stored: dict[str, Path]) -> None:
    model = loaded(stored["bfloat16"]).model
    maps = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "model.safetensors" in line and str(stored["bfloat16"]) in line:
            start, stop = (int(part, 16) for part in line.split()[0].split("-"))
            maps.append(range(start, stop))
    for name, parameter in model.named_parameters():
        assert any(parameter.data_ptr() in mapped for mapped in maps), name


# what else lies in the directory


def test_f16_a_hostile_directory_is_inert(stored: dict[str, Path], tmp_path: Path) -> None:
    directory = Path(shutil.copytree(stored["float16"], tmp_path / "hostile"))
    trap = tmp_path / "ran"
    code = f"from pathlib import Path\nPath({str(trap)!r}).touch()\nraise SystemExit\n"
    (directory / "modeling_evil.py").write_text(code)
    config = json.loads((directory / "config.json").read_text())
    config |= {
        "auto_map": {"AutoConfig": "modeling_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"},
        "_attn_implementation": "evil/kernel",
        "attn_implementation": "evil/kernel",
        "_experts_implementation": "evil",
        "use_kernels": True,
        "transformers_weights": "../evil.safetensors",
        "output_attentions": True,
        "torchscript": True,
        "use_cache": False,
        "fusion_config": {"evil": True},
        "tie_weights": True,
    }
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "temperature": -3.0, "num_beams": 40})
    )
    (directory / "custom_generate").mkdir()
    (directory / "custom_generate" / "generate.py").write_text(code)
    (directory / "chat_template.jinja").write_text("{{ evil }}")
    (directory / "tokenizer_config.json").write_text('{"chat_template": "{{ evil }}", "auto_map": {"a": "b"}}')
    (directory / "adapter_config.json").write_text('{"base_model_name_or_path": "evil/model", "peft_type": "LORA"}')
    (directory / "adapter_model.safetensors").write_bytes(b"evil")
    (directory / "pytorch_model.bin").write_bytes(b"evil")
    model = loaded(directory).model
    assert torch.equal(logits(model), reference(stored["float16"], dtype=torch.float16))
    assert not trap.exists()
    assert not [name for name in sys.modules if "evil" in name]
    assert "evil" not in str(model.config.to_dict())
    assert model.config._attn_implementation == "sdpa"
    assert model.config.use_cache
    assert not model.config.output_attentions
    # some versions of transformers write None, others 1 for "as usual"
    assert not model.generation_config.do_sample
    assert model.generation_config.num_beams in (None, 1)
    assert model.generation_config.eos_token_id in (2, [2])


def test_f16_nothing_but_weights_is_in_transformers_sight(
    stored: dict[str, Path], temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    real = LlamaForCausalLM.from_pretrained

    def from_pretrained(directory: Path, **settings: Any) -> object:
        seen.append({path.name for path in directory.iterdir()})
        return real(directory, **settings)

    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", from_pretrained)
    loaded(stored["float16"])
    assert seen == [{"0.safetensors", "model.safetensors.index.json"}]
    assert list(temporary.iterdir()) == []


def test_weights_saved_by_other_programs(stored: dict[str, Path], tmp_path: Path) -> None:
    # they leave out the metadata that transformers writes
    directory = Path(shutil.copytree(stored["float16"], tmp_path / "other"))
    save_file(load_file(directory / "model.safetensors"), directory / "model.safetensors")
    (directory / "generation_config.json").unlink()
    assert torch.equal(logits(loaded(directory).model), reference(directory, dtype=torch.float16))


def test_nothing_is_asked_of_the_network(stored: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*arguments: object) -> None:
        raise AssertionError(f"network: {arguments}")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    loaded(stored["float16"])
    loaded(stored["float16"], quantisation="4bit")


# progress and quiet


def test_progress_goes_from_nothing_to_all_bytes(stored: dict[str, Path]) -> None:
    checkpoint = Checkpoint.read(stored["float32"])
    seen: list[Progress] = []
    load(checkpoint, plan(checkpoint, LoadOptions(), PLENTY, CONTEXT), seen.append)
    assert {(progress.stage, progress.total) for progress in seen} == {("load", checkpoint.weight_bytes)}
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, checkpoint.weight_bytes)
    assert len(set(done)) == len(checkpoint.tensors) + 1


def test_a_report_that_raises_stops_the_loading(stored: dict[str, Path], temporary: Path) -> None:
    from transformers.utils import logging

    class StoppedError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.done > progress.total // 2:
            raise StoppedError

    checkpoint = Checkpoint.read(stored["float32"])
    hook = logging.set_tqdm_hook(None)
    with pytest.raises(StoppedError):
        load(checkpoint, plan(checkpoint, LoadOptions(), PLENTY, CONTEXT), stop)
    assert list(temporary.iterdir()) == []
    assert logging.set_tqdm_hook(hook) is None
    assert logging.get_verbosity() != 50


QUIET = """
import sys, warnings
from pathlib import Path
import torch
from codellama.checkpoint import Checkpoint
from codellama.devices import Machine
from codellama.engine.load import load
from codellama.memory import LoadOptions, plan

def go(directory, ram, quantisation=None, dtype="auto"):
    checkpoint = Checkpoint.read(Path(directory))
    where = plan(checkpoint, LoadOptions(dtype, quantisation), Machine((), ram, ram), 64)
    model = load(checkpoint, where, lambda progress: None).model
    with torch.no_grad():
        model(torch.tensor([[5, 6, 7]]))
    return where

plain, four, eight, short = sys.argv[1:]
go(plain, 10**10)
assert "disk" in go(plain, int(short)).device_map.values()
for quantisation in ("4bit", "8bit"):
    go(plain, 10**10, quantisation)
go(four, 10**10)
go(eight, 10**10)
"""


def short_of(directory: Path, dtype: str) -> int:
    """RAM that all but two of four layers fit in."""
    config = Checkpoint.read(directory).config
    weights = weight_bytes(config, dtype)
    return WORKING + weights.fixed + 3 * weights.layer + kv_bytes(config, CONTEXT, dtype=dtype)


@pytest.fixture(scope="module")
def quantised(stored: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("quantised")
    source = stored["bfloat16"]
    return {f"{bits}bit": save_quantised(directory / f"{bits}bit", source, bits) for bits in (4, 8)}


def test_no_library_prints_or_warns(stored: dict[str, Path], quantised: dict[str, Path], tmp_path: Path) -> None:
    # a package of this name, were there one, would be asked for code from the Hub
    (tmp_path / "kernels.py").write_text(
        "__version__ = '0.1'\ndef get_kernel(*names, **settings): raise SystemExit(names)\n"
    )
    short = str(short_of(stored["bfloat16"], "bfloat16"))
    arguments = [str(stored["bfloat16"]), str(quantised["4bit"]), str(quantised["8bit"]), short]
    path = os.pathsep.join([str(Path(loading.__file__).parents[2]), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIET, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.glob("codellama-*"))


# quantised


@pytest.mark.parametrize(("quantisation", "precision"), [(None, "bfloat16"), ("4bit", "nf4"), ("8bit", "int8")])
def test_memory_is_as_figured(tmp_path: Path, quantisation: Quantisation | None, precision: str) -> None:
    sizes: dict[str, Any] = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 640, "num_attention_heads": 8}
    directory = save(tmp_path / "larger", "bfloat16", **sizes)
    model = loaded(directory, quantisation=quantisation).model
    config = Checkpoint.read(directory).config
    assert allocated(model) == pytest.approx(weight_bytes(config, precision).total, rel=0.02)


@pytest.mark.parametrize(("quantisation", "most"), [("4bit", 0.25), ("8bit", 0.02)])
def test_a_quantised_model_is_close(
    stored: dict[str, Path], quantised: dict[str, Path], quantisation: Quantisation, most: float
) -> None:
    exact = reference(stored["bfloat16"], dtype=torch.float32)
    found = loaded(stored["bfloat16"], quantisation=quantisation)
    module: Any = found.model.model.layers[0].mlp.up_proj
    assert type(module).__name__ == {"4bit": "Linear4bit", "8bit": "Linear8bitLt"}[quantisation]
    assert type(found.model.lm_head) is torch.nn.Linear
    assert found.model.lm_head.weight.dtype == torch.bfloat16
    first = logits(found.model)
    assert 0 < distance(first, exact) < most
    again = loaded(quantised[quantisation])
    assert again.dtype == "bfloat16"
    # what was quantised before it was saved is what is quantised on loading
    assert distance(logits(again.model), first) < 0.005


def test_4bit_is_nf4_with_double_quantisation_computed_in_bfloat16(stored: dict[str, Path]) -> None:
    module: Any = loaded(stored["float16"], quantisation="4bit").model.model.layers[0].mlp.up_proj
    state = module.weight.quant_state
    assert (state.quant_type, state.nested, state.blocksize, module.compute_dtype) == ("nf4", True, 64, torch.bfloat16)


def test_4bit_computes_with_what_it_stores(stored: dict[str, Path]) -> None:
    from bitsandbytes.functional import dequantize_4bit

    model = loaded(stored["bfloat16"], quantisation="4bit").model
    plain = loaded(stored["bfloat16"]).model
    for name, module in model.named_modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            weight: Any = module.weight
            plain.get_submodule(name).weight = torch.nn.Parameter(dequantize_4bit(weight.data, weight.quant_state))
    assert distance(logits(model), logits(plain)) < 0.02


def test_4bit_of_sizes_that_are_no_multiples_of_64(tmp_path: Path) -> None:
    directory = save(tmp_path / "odd", "bfloat16", intermediate_size=88)
    found = loaded(directory, quantisation="4bit").model
    assert distance(logits(found), reference(directory, dtype=torch.float32)) < 0.25


def test_a_layer_that_was_left_unquantised_stays_so(stored: dict[str, Path], tmp_path: Path) -> None:
    from transformers import BitsAndBytesConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["lm_head", "model.layers.1"])  # type: ignore[no-untyped-call]
        model = LlamaForCausalLM.from_pretrained(stored["bfloat16"], quantization_config=kept, device_map={"": "cpu"})
        model.save_pretrained(tmp_path / "mixed")
    found = loaded(tmp_path / "mixed").model
    assert type(found.model.layers[1].mlp.up_proj) is torch.nn.Linear
    assert type(found.model.layers[2].mlp.up_proj) is not torch.nn.Linear
    assert torch.equal(
        found.model.layers[1].mlp.up_proj.weight,
        load_file(stored["bfloat16"] / "model.safetensors")["model.layers.1.mlp.up_proj.weight"],
    )


# offload


@pytest.mark.parametrize(("kept", "dtype"), [("bfloat16", "bfloat16"), ("bfloat16", "float32"), ("float32", "float32")])
def test_layers_on_disk_give_the_same_logits(stored: dict[str, Path], temporary: Path, kept: str, dtype: str) -> None:
    ram = short_of(stored[kept], dtype)
    checkpoint = Checkpoint.read(stored[kept])
    where = plan(checkpoint, LoadOptions(dtype), Machine((), ram, ram), CONTEXT)
    assert (where.layers_on("cpu"), where.layers_on("disk")) == (2, 2)
    found = load(checkpoint, where, silent)
    assert sum(parameter.device.type == "meta" for parameter in found.model.parameters()) == 2 * 9
    assert torch.equal(logits(found.model), reference(stored[kept], dtype=getattr(torch, dtype)))
    assert torch.equal(logits(found.model), reference(stored[kept], dtype=getattr(torch, dtype)))
    # links, and nothing that was written out again
    [staged] = temporary.iterdir()
    written = [path for path in staged.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path.name for path in written] == ["model.safetensors.index.json"]
    del found
    gc.collect()
    assert list(temporary.iterdir()) == []


# failures


@pytest.fixture
def little_memory(tmp_path: Path) -> Iterator[Path]:
    """A checkpoint of 50 MB whose float32 takes 100, and 40 MB of address space left."""
    directory = save(tmp_path / "large", "bfloat16", vocab_size=96_000, hidden_size=128, num_hidden_layers=1)
    gc.collect()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 90 * 10**6, hard))
    try:
        yield directory
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="address space can be limited on Linux alone")
def test_out_of_memory_gives_figures_and_holds_nothing(little_memory: Path, temporary: Path) -> None:
    checkpoint = Checkpoint.read(little_memory)
    where = plan(checkpoint, LoadOptions("float32"), PLENTY, CONTEXT)
    with pytest.raises(CodellamaError) as caught:
        load(checkpoint, where, silent)
    assert re.fullmatch(
        r"out of memory while loading large: it needs 0\.7 GB, 64\.0 GB were free: .* --4bit, --8bit or a smaller .*",
        str(caught.value),
    )
    assert caught.value.exit_code == ExitCode.FAILED
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    assert list(temporary.iterdir()) == []
    tensors = [item for item in gc.get_objects() if type(item) in (torch.Tensor, torch.nn.Parameter)]
    large = [tensor for tensor in tensors if tensor.numel() >= 96_000 * 128]
    assert [tensor for tensor in large if tensor.device.type != "meta"] == []


def test_a_gpu_that_torch_cannot_use(stored: dict[str, Path]) -> None:
    if torch.cuda.is_available():
        pytest.skip("it can")
    checkpoint = Checkpoint.read(stored["float16"])
    here = Machine((Gpu(0, "GPU", 80 * 10**9, 80 * 10**9),), 64 * 10**9, 64 * 10**9)
    with pytest.raises(CodellamaError, match=r"cuda:0 cannot be used: PyTorch .* finds no CUDA: .* --device cpu"):
        load(checkpoint, plan(checkpoint, LoadOptions(), here, CONTEXT), silent)


def test_f17_a_shard_cut_after_it_was_checked(stored: dict[str, Path], tmp_path: Path, temporary: Path) -> None:
    directory = Path(shutil.copytree(stored["float16"], tmp_path / "cut"))
    checkpoint = Checkpoint.read(directory)
    os.truncate(directory / "model.safetensors", 5000)
    with pytest.raises(CodellamaError, match="cut: cannot be loaded: ") as caught:
        load(checkpoint, plan(checkpoint, LoadOptions(), PLENTY, CONTEXT), silent)
    assert caught.value.__context__ is None
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_no_weight_is_left_at_random(stored: dict[str, Path], tmp_path: Path, change: str) -> None:
    directory = Path(shutil.copytree(stored["float16"], tmp_path / "changed"))
    checkpoint = Checkpoint.read(directory)
    weights = load_file(directory / "model.safetensors")
    if change == "missing":
        del weights["model.layers.1.mlp.up_proj.weight"]
    elif change == "unexpected":
        weights["model.layers.1.mlp.up_proj.bias"] = torch.zeros(128, dtype=torch.float16)
    else:
        weights["model.norm.weight"] = torch.zeros(65, dtype=torch.float16)
    save_file(weights, directory / "model.safetensors")
    with pytest.raises(CodellamaError, match=r"up_proj|norm\.weight|mismatch|size"):
        load(checkpoint, plan(checkpoint, LoadOptions(), PLENTY, CONTEXT), silent)


def test_the_config_is_made_of_ours_alone(stored: dict[str, Path]) -> None:
    checkpoint = Checkpoint.read(stored["float16"])
    config = llama_config(checkpoint)
    assert (config.hidden_size, config.num_key_value_heads, config.head_dim) == (64, 2, 16)
    assert config.rope_parameters == {"rope_type": "default", "rope_theta": 1e6}
    assert (config.rms_norm_eps, config.max_position_embeddings, config.eos_token_id) == (1e-5, 512, [2])


def test_a_small_model_computes_on_one_core_and_a_large_one_on_all(
    stored: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads of small products wait for each other longer than they work."""
    from codellama.engine import load as module

    assert loaded(stored["float32"]).threads == 1
    monkeypatch.setattr(module, "SMALL", 1000)
    assert loaded(stored["float32"]).threads == module.THREADS
