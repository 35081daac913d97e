from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama import catalogue
from codellama.checkpoint import Checkpoint, GenerationDefaults, TensorHeader
from codellama.config import Config, Quantisation
from codellama.devices import Gpu, Machine
from codellama.errors import CodellamaError, ExitCode, InputError
from codellama.memory import (
    WORKING,
    LoadOptions,
    Plan,
    gigabytes,
    kv_bytes,
    matrix_bytes,
    parameters,
    plan,
    stored_bytes,
    weight_bytes,
)
from tests.checkpoints import save, save_quantised

GB = 10**9


def shape(name: str) -> Config:
    """The config of a model of the family."""
    entry = catalogue.by_name(name)
    assert entry
    return Config.of(entry)


SIZES = {name: shape(name) for name in ("7b", "13b", "34b", "70b")}


def without_weights(config: Config, stored: str = "BF16") -> Checkpoint:
    """A checkpoint of this shape as its headers would tell it."""
    headers = {}
    for name, tensor_shape in config.shapes():
        size = 2
        for length in tensor_shape:
            size *= length
        headers[name] = TensorHeader(name, stored, tensor_shape, Path("model.safetensors"), 0, size)
    return Checkpoint(Path("CodeLlama-7b"), config, (), headers, GenerationDefaults())


SEVEN = without_weights(SIZES["7b"])
CONTEXT = 256
CACHE = kv_bytes(SIZES["7b"], CONTEXT)
NEEDED = 2 * 6_738_546_688 + CACHE + WORKING
NF4 = weight_bytes(SIZES["7b"], "nf4").total + CACHE + WORKING
LAYER = weight_bytes(SIZES["7b"], "bfloat16").layer


def machine(*gpus: float, ram: float = 64) -> Machine:
    """GPUs and RAM by their free gigabytes."""
    found = tuple(Gpu(at, f"GPU {at}", 80 * GB, int(free * GB)) for at, free in enumerate(gpus))
    return Machine(found, 64 * GB, int(ram * GB))


def planned(here: Machine, device: str = "auto", quantisation: Quantisation | None = None, dtype: str = "auto") -> Plan:
    return plan(SEVEN, LoadOptions(dtype, quantisation, device), here, CONTEXT)


def counts(found: Plan) -> dict[str, int]:
    homes = [home for name, home in found.device_map.items() if name == "" or name.startswith("model.layers.")]
    return {home: homes.count(home) for home in homes}


# arithmetic


@pytest.mark.parametrize(
    ("name", "total"),
    # of Meta's consolidated files, less rope.freqs
    [("7b", 6_738_546_688), ("13b", 13_016_028_160), ("34b", 33_743_970_304), ("70b", 68_976_910_336)],
)
def test_parameters_of_the_family(name: str, total: int) -> None:
    count = parameters(SIZES[name])
    assert count.total == total
    assert count.embedding == count.head == SIZES[name].vocab_size * SIZES[name].hidden_size
    assert count.layers == SIZES[name].layers
    assert count.largest == count.layer > count.embedding
    assert weight_bytes(SIZES[name], "float16").total == 2 * total
    assert weight_bytes(SIZES[name], "float32", "bfloat16").total == 4 * total


def test_a_tied_head_costs_nothing() -> None:
    tied = replace(SIZES["7b"], tie_word_embeddings=True)
    assert parameters(SIZES["7b"]).total - parameters(tied).total == 32016 * 4096
    assert parameters(tied).head == 0


def test_bytes_of_the_cache() -> None:
    # two (keys and values) of 32 layers, 32 heads of 128, 16384 tokens, 2 bytes
    assert kv_bytes(SIZES["7b"], 16384) == 2 * 32 * 32 * 128 * 16384 * 2 == 8_589_934_592
    assert kv_bytes(SIZES["34b"], 1) * 8 == kv_bytes(replace(SIZES["34b"], kv_heads=64), 1)
    assert kv_bytes(SIZES["7b"], 10, batch=3, dtype="float32") == 6 * kv_bytes(SIZES["7b"], 10)


def test_bytes_of_a_quantised_matrix() -> None:
    # 16384 elements in 256 blocks of 64, which have one scale of their own; offset and tables: 1 + 16 + 256 floats
    assert matrix_bytes(128, 128, "nf4") == 8192 + 256 + 4 * (1 + 1 + 16 + 256)
    assert matrix_bytes(128, 256, "nf4") == 16384 + 512 + 4 * (2 + 1 + 16 + 256)
    assert matrix_bytes(128, 256, "int8") == 128 * 256 + 4 * 128


def test_embedding_head_and_norms_are_not_quantised() -> None:
    plain, nf4, int8 = (weight_bytes(SIZES["7b"], precision) for precision in ("bfloat16", "nf4", "int8"))
    assert plain.fixed == nf4.fixed == int8.fixed
    assert 3.8 < plain.layer / nf4.layer < 4.0
    assert 1.99 < plain.layer / int8.layer < 2.0
    assert weight_bytes(SIZES["7b"], "nf4", "float32").fixed == 2 * nf4.fixed


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_bytes_are_those_transformers_saves(tmp_path: Path, dtype: str) -> None:
    checkpoint = Checkpoint.read(save(tmp_path, dtype))
    assert weight_bytes(checkpoint.config, dtype) == stored_bytes(checkpoint)
    assert stored_bytes(checkpoint).total == checkpoint.weight_bytes


@pytest.mark.parametrize(("bits", "precision"), [(4, "nf4"), (8, "int8")])
def test_bytes_are_those_bitsandbytes_saves(tmp_path: Path, bits: int, precision: str) -> None:
    checkpoint = Checkpoint.read(save_quantised(tmp_path / "quantised", save(tmp_path / "plain", "bfloat16"), bits))
    figured, stored = weight_bytes(checkpoint.config, precision), stored_bytes(checkpoint)
    assert figured.fixed == stored.fixed
    # a file has the settings of a 4-bit matrix beside it, as JSON, and the offset (4 bytes) in there
    layer = [header for name, header in checkpoint.tensors.items() if name.startswith("model.layers.0.")]
    beside = [header.bytes for header in layer if "quant_state" in header.name or header.name.endswith("_format")]
    in_memory = sum(header.bytes for header in layer) - sum(beside) + (4 * len(beside) if bits == 4 else 0)
    assert figured.layer == in_memory
    assert stored.total == pytest.approx(checkpoint.weight_bytes, rel=0.001)


def test_gigabytes_are_of_ten_to_the_ninth() -> None:
    assert [gigabytes(size) for size in (0, 13_477_093_376, 2**30)] == ["0.0 GB", "13.5 GB", "1.1 GB"]


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys; import codellama.memory, codellama.devices\n"
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# options


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:15", "3"])
def test_devices_that_can_be_asked_for(device: str) -> None:
    assert LoadOptions(device=device).device == device


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:-1", "cuda:a", "-1", "CPU", "mps", "0 ", "0\n", "٣"])
def test_devices_that_are_none(device: str) -> None:
    with pytest.raises(InputError, match="--device"):
        LoadOptions(device=device)


def test_options_that_are_none() -> None:
    with pytest.raises(InputError, match="--dtype float8: auto, float32, float16, bfloat16 expected"):
        LoadOptions(dtype="float8")
    with pytest.raises(InputError, match="4bit or 8bit"):
        LoadOptions(quantisation="3bit")  # type: ignore[arg-type]


# precision


@pytest.mark.parametrize(("stored", "dtype"), [("BF16", "bfloat16"), ("F16", "float16"), ("F32", "float32")])
@pytest.mark.parametrize("here", [machine(), machine(80)])
def test_auto_is_the_precision_of_the_files(stored: str, dtype: str, here: Machine) -> None:
    # config.json says bfloat16 each time: what is stored counts
    assert plan(without_weights(SIZES["7b"], stored), LoadOptions(), here, CONTEXT).dtype == dtype
    assert plan(without_weights(SIZES["7b"], stored), LoadOptions("float16"), here, CONTEXT).dtype == "float16"


@pytest.mark.parametrize(("stored", "asked"), [("4bit", "8bit"), ("8bit", "4bit")])
def test_a_quantised_checkpoint_is_not_quantised_otherwise(stored: Quantisation, asked: Quantisation) -> None:
    checkpoint = without_weights(replace(SIZES["7b"], quantisation=stored))
    with pytest.raises(InputError, match=f"is stored in {stored} already: leave out --{asked}"):
        plan(checkpoint, LoadOptions(quantisation=asked), machine(), CONTEXT)
    for options in (LoadOptions(), LoadOptions(quantisation=stored)):
        assert plan(checkpoint, options, machine(), CONTEXT).quantisation == stored


# places


def test_auto_takes_the_first_gpu_that_holds_the_model() -> None:
    assert planned(machine(80, 80)).device_map == {"": "cuda:0"}
    assert planned(machine(8, 80)).device_map == {"": "cuda:1"}
    assert planned(machine(8, 80)).input_device == "cuda:1"
    assert planned(machine(8, 80)).notes == ()
    assert (planned(machine(8, 80)).needed, planned(machine(8, 80)).free) == (NEEDED, 80 * GB)


def test_it_fits_to_the_byte() -> None:
    assert planned(machine(NEEDED / GB)).device_map == {"": "cuda:0"}
    assert planned(machine((NEEDED - 1) / GB)).device_map != {"": "cuda:0"}


def test_auto_takes_several_gpus_where_one_is_not_enough() -> None:
    found = planned(machine(8, 8, 8))
    assert counts(found) == {"cuda:0": 16, "cuda:1": 16}
    assert found.notes == ()
    assert [found.layers_on(device) for device in ("cuda:0", "cuda:1", "cpu")] == [16, 16, 0]
    assert found.input_device == found.device_map["model.embed_tokens"] == found.device_map["lm_head"] == "cuda:0"
    assert found.needed == NEEDED + WORKING
    assert counts(planned(machine(6, 5, 8))) == {"cuda:0": 11, "cuda:1": 10, "cuda:2": 11}


def test_auto_offloads_to_ram_and_says_so() -> None:
    found = planned(machine(8))
    # 8 GB less work, embedding, head, cache of the offloaded and one layer to compute them in
    assert counts(found) == {"cuda:0": 15, "cpu": 17}
    assert found.notes == ("needs 14.2 GB, 8.0 GB free on cuda:0: 17 of 32 layers run from RAM; --4bit needs 4.6 GB",)
    assert found.input_device == "cuda:0"


def test_auto_offloads_to_disk_what_ram_does_not_hold() -> None:
    found = planned(machine(8, ram=0.6 + 5.5 * LAYER / GB))
    assert counts(found) == {"cuda:0": 15, "cpu": 5, "disk": 12}
    assert "5 of 32 layers run from RAM and 12 from disk" in found.notes[0]


def test_without_a_gpu_it_is_the_cpu() -> None:
    found = planned(machine())
    assert (found.device_map, found.notes, found.input_device) == ({"": "cpu"}, (), "cpu")


def test_a_gpu_that_is_no_use_is_said() -> None:
    found = planned(machine(1))
    assert found.device_map == {"": "cpu"}
    assert found.notes == ("needs 14.2 GB, 1.0 GB free on cuda:0: runs on the CPU",)


def test_without_a_gpu_and_with_little_ram_it_is_the_disk() -> None:
    found = planned(machine(ram=8))
    assert counts(found) == {"cpu": 15, "disk": 17}
    assert found.input_device == "cpu"
    assert found.notes == (
        "needs 14.2 GB, 8.0 GB free in RAM: 17 of 32 layers are read from disk for every token; --4bit needs 4.6 GB",
    )


def test_quantised_weights_stay_in_one_kind_of_memory() -> None:
    assert planned(machine(8), quantisation="4bit").device_map == {"": "cuda:0"}
    assert counts(planned(machine(3, 3), quantisation="4bit")) == {"cuda:0": 17, "cuda:1": 15}
    found = planned(machine(3), quantisation="4bit")
    assert found.device_map == {"": "cpu"}
    assert found.notes == ("needs 4.6 GB, 3.0 GB free on cuda:0: runs on the CPU",)
    with pytest.raises(
        CodellamaError, match=r"needs 4\.6 GB, 3\.0 GB free in RAM: without --4bit layers can stay on disk"
    ):
        planned(machine(ram=3), quantisation="4bit")
    stored = without_weights(replace(SIZES["7b"], quantisation="8bit"))
    with pytest.raises(CodellamaError, match=r"needs 14\.2 GB, 8\.0 GB free in RAM: take a smaller model"):
        plan(stored, LoadOptions(), machine(ram=8), CONTEXT)


def test_a_machine_with_room_for_nothing() -> None:
    with pytest.raises(
        CodellamaError, match=r"CodeLlama-7b: needs 14\.2 GB, 1\.0 GB free in RAM: take a smaller"
    ) as caught:
        planned(machine(ram=1))
    assert caught.value.exit_code == ExitCode.FAILED


@pytest.mark.parametrize(
    ("device", "expected"), [("cuda", "cuda:0"), ("0", "cuda:0"), ("cuda:1", "cuda:1"), ("1", "cuda:1"), ("cpu", "cpu")]
)
def test_a_device_that_is_asked_for_is_taken(device: str, expected: str) -> None:
    assert planned(machine(80, 80), device).device_map == {"": expected}


@pytest.mark.parametrize(
    ("device", "where", "free"), [("cuda", "on cuda:0", 8), ("0", "on cuda:0", 8), ("cpu", "in RAM", 9)]
)
def test_what_does_not_fit_where_it_was_asked_for_is_refused(device: str, where: str, free: int) -> None:
    with pytest.raises(CodellamaError) as caught:
        planned(machine(8, ram=9), device)
    assert caught.value.exit_code == ExitCode.FAILED
    assert str(caught.value) == (
        f"CodeLlama-7b: needs 14.2 GB, {free}.0 GB free {where}: "
        "--4bit needs 4.6 GB, or --device auto takes what there is, or take a smaller model"
    )


def test_one_gpu_asked_for_stays_one() -> None:
    with pytest.raises(CodellamaError, match=r"8\.0 GB free on cuda:1"):
        planned(machine(80, 8), "cuda:1")
    assert counts(planned(machine(8, 8, 8), "cuda")) == {"cuda:0": 16, "cuda:1": 16}
    with pytest.raises(CodellamaError, match=r"needs 14\.8 GB, 8\.0 GB free on cuda:0 \+ cuda:1"):
        planned(machine(4, 4), "cuda")


@pytest.mark.parametrize("device", ["cuda", "0", "cuda:7"])
def test_a_gpu_that_is_not_there(device: str) -> None:
    with pytest.raises(InputError, match="no such GPU; found: none"):
        planned(machine(), device)
    with pytest.raises(InputError, match=r"no such GPU; found: cuda:0 \(GPU 0\), cuda:1 \(GPU 1\)"):
        planned(machine(80, 80), "cuda:7")


def test_the_context_counts() -> None:
    here = machine((NEEDED + GB) / GB)
    assert plan(SEVEN, LoadOptions(), here, CONTEXT).device_map == {"": "cuda:0"}
    assert plan(SEVEN, LoadOptions(), here, 16384).device_map != {"": "cuda:0"}


@settings(max_examples=200, deadline=None)
@given(
    gpus=st.lists(st.floats(0, 40), max_size=4),
    ram=st.floats(0, 64),
    context=st.integers(1, 20_000),
    size=st.sampled_from(sorted(SIZES)),
)
def test_no_device_is_given_more_than_it_has(gpus: list[float], ram: float, context: int, size: str) -> None:
    here, config = machine(*gpus, ram=ram), SIZES[size]
    try:
        found = plan(without_weights(config), LoadOptions(), here, context)
    except CodellamaError:
        return
    weights, cache = weight_bytes(config, "bfloat16"), kv_bytes(config, context) // config.layers
    homes = counts(found)
    if "" in found.device_map:
        homes = {found.input_device: config.layers}
    assert sum(homes.values()) == config.layers
    room = {gpu.device: gpu.free for gpu in here.gpus} | {"cpu": here.ram_free}
    computed = {home for home in homes if home.startswith("cuda")} | {found.input_device}
    offloaded = sum(count for home, count in homes.items() if home not in computed)
    for home in computed:
        taken = homes.get(home, 0) * (weights.layer + cache) + WORKING
        if home == found.input_device:
            taken += weights.fixed + offloaded * cache + (weights.layer if offloaded else 0)
        assert taken <= room[home]
    if "cpu" not in computed and "cpu" in homes:
        assert homes["cpu"] * weights.layer + WORKING <= room["cpu"]
    layers = [found.device_map.get(f"model.layers.{at}", found.input_device) for at in range(config.layers)]
    order = [*(gpu.device for gpu in here.gpus), "cpu", "disk"]
    assert all(order.index(one) <= order.index(next_one) for one, next_one in pairwise(layers))
    assert bool(found.notes) == bool(offloaded or (found.input_device == "cpu" and here.gpus))
