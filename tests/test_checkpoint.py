from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from codellama.checkpoint import Checkpoint, GenerationDefaults, generation_defaults, read_header
from codellama.config import Config
from codellama.errors import InputError
from tests.checkpoints import save, save_quantised


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("single"), "bfloat16")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("sharded"), "float16", shard="60KB")


@pytest.fixture
def one(single: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(single, tmp_path / "one"))


@pytest.fixture
def several(sharded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sharded, tmp_path / "several"))


def change_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; `...` removes one."""
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


def change_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the header of a safetensors file and leave its tensors' bytes as they are."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def refusal(directory: Path) -> str:
    """The one line that refuses a directory."""
    with pytest.raises(InputError) as caught:
        Checkpoint.read(directory)
    message = str(caught.value)
    assert str(directory) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("directory", "dtype", "files"), [("single", "bfloat16", 1), ("sharded", "float16", 4)])
def test_what_a_checkpoint_holds(directory: str, dtype: str, files: int, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(directory)
    checkpoint = Checkpoint.read(path)
    assert checkpoint.config == Config(
        hidden_size=64,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=16,
        intermediate_size=128,
        vocab_size=160,
        context=512,
        rope_theta=1e6,
        rope_scaling=None,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_id=1,
        eos_ids=(2,),
        dtype=dtype,
        quantisation=None,
    )
    assert checkpoint.dtype == dtype
    assert len(checkpoint.files) == files
    assert checkpoint.files == tuple(sorted(path.glob("*.safetensors")))
    stored: dict[str, tuple[int, ...]] = {}
    for file in checkpoint.files:
        with safe_open(file, framework="np") as opened:
            names = list(opened.keys())
            stored |= {name: tuple(opened.get_slice(name).get_shape()) for name in names}
    assert (
        {name: header.shape for name, header in checkpoint.tensors.items()}
        == stored
        == dict(checkpoint.config.shapes())
    )
    assert checkpoint.weight_bytes == 2 * sum(math.prod(shape) for shape in stored.values())


def test_a_tensors_byte_range_is_where_its_bytes_are(tmp_path: Path) -> None:
    import numpy
    from safetensors.numpy import save_file

    save_file({"a": numpy.arange(6, dtype="f4").reshape(2, 3), "b": numpy.arange(4, dtype="u1")}, tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    headers = {header.name: header for header in read_header(tmp_path / "x")}
    assert data[headers["a"].start : headers["a"].stop] == numpy.arange(6, dtype="f4").tobytes()
    assert data[headers["b"].start : headers["b"].stop] == bytes(range(4))
    assert (headers["a"].dtype, headers["a"].shape, headers["a"].bytes) == ("F32", (2, 3), 24)


@pytest.mark.parametrize(("bits", "dtype"), [(4, "U8"), (8, "I8")])
def test_a_checkpoint_that_bitsandbytes_quantised(single: Path, tmp_path: Path, bits: int, dtype: str) -> None:
    checkpoint = Checkpoint.read(save_quantised(tmp_path / "quantised", single, bits))
    assert checkpoint.config.quantisation == f"{bits}bit"
    assert checkpoint.tensors["model.layers.1.mlp.up_proj.weight"].dtype == dtype
    assert checkpoint.dtype == "bfloat16"
    change_json(checkpoint.directory / "config.json", quantization_config=...)
    assert f"model.layers.0.self_attn.q_proj.weight is {dtype}" in refusal(checkpoint.directory)


def test_a_tied_head_has_no_tensor(tmp_path: Path) -> None:
    checkpoint = Checkpoint.read(save(tmp_path / "tied", tie_word_embeddings=True))
    assert checkpoint.config.tie_word_embeddings
    assert "lm_head.weight" not in checkpoint.tensors


def test_reading_needs_no_torch(single: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from codellama.checkpoint import Checkpoint\n"
        "Checkpoint.read(Path(sys.argv[1]))\n"
        "print([name for name in ('torch', 'transformers', 'numpy', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, single], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# config.json


def test_rope_as_older_files_give_it(one: Path) -> None:
    scaling = {"type": "linear", "factor": 4.0}
    change_json(one / "config.json", rope_parameters=..., rope_theta=1e4, rope_scaling=scaling)
    config = Config.read(one)
    assert (config.rope_theta, config.rope_scaling) == (1e4, {"rope_type": "linear", "factor": 4.0})


def test_rope_without_a_theta_is_metas_default(one: Path) -> None:
    change_json(one / "config.json", rope_parameters=..., rope_scaling=None)
    assert (Config.read(one).rope_theta, Config.read(one).rope_scaling) == (10000.0, None)


def test_defaults_of_keys_older_files_lack(one: Path) -> None:
    change_json(
        one / "config.json",
        num_key_value_heads=...,
        head_dim=...,
        dtype=...,
        torch_dtype="float16",
        eos_token_id=[2, 32015],
    )
    config = Config.read(one)
    assert (config.kv_heads, config.head_dim, config.dtype, config.eos_ids) == (4, 16, "float16", (2, 32015))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "mistral"),
        ("model_type", ...),
        ("architectures", ["LlamaForSequenceClassification"]),
        ("hidden_size", ...),
        ("hidden_size", "64"),
        ("hidden_size", 64.0),
        ("hidden_size", True),
        ("hidden_size", 0),
        ("hidden_size", 10**30),
        ("hidden_size", 66),
        ("num_key_value_heads", 3),
        ("head_dim", 15),
        ("num_hidden_layers", 10**9),
        ("vocab_size", -1),
        ("rms_norm_eps", 0),
        ("rms_norm_eps", float("nan")),
        ("rope_parameters", {"rope_type": "evil", "rope_theta": 1e6}),
        ("rope_parameters", {"rope_type": "linear", "factor": {}, "rope_theta": 1e6}),
        ("rope_parameters", {"rope_theta": float("inf")}),
        ("eos_token_id", "2"),
        ("eos_token_id", [2, None]),
        ("tie_word_embeddings", 1),
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("mlp_bias", True),
        ("quantization_config", {"quant_method": "gptq", "bits": 4}),
        ("quantization_config", {"quant_method": "bitsandbytes"}),
    ],
)
def test_a_config_that_is_no_llamas_is_refused_by_key(one: Path, key: str, value: object) -> None:
    change_json(one / "config.json", **{key: value})
    message = refusal(one)
    assert "config.json" in message
    wanted = {"rope_parameters": "rope", "num_key_value_heads": "key-value heads", "head_dim": "head size"}
    assert wanted.get(
        key, "quantised" if key == "quantization_config" else key.replace("_size", "")
    ) in message.replace("hidden size", "hidden")


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' + b"9" * 5000]
)
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_json_that_is_none(one: Path, text: bytes, name: str) -> None:
    (one / name).write_bytes(text)
    assert f"{name}: not " in refusal(one)


def test_no_config(one: Path) -> None:
    (one / "config.json").unlink()
    assert "no config.json" in refusal(one)
    assert "no config.json" in refusal(one / "nowhere")
    assert "no config.json" in refusal(one / "model.safetensors")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    *("model_type", "architectures", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("head_dim", "vocab_size", "intermediate_size", "max_position_embeddings", "rope_parameters", "rope_theta"),
    *("rope_scaling", "rms_norm_eps", "eos_token_id", "bos_token_id", "tie_word_embeddings", "dtype", "torch_dtype"),
    *("quantization_config", "hidden_act", "attention_bias"),
]


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from(KEYS), value=json_values)
def test_any_value_of_any_key_is_taken_or_refused(
    single: Path, tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    directory = tmp_path_factory.getbasetemp() / "any-value"
    directory.mkdir(exist_ok=True)
    shutil.copy(single / "config.json", directory)
    change_json(directory / "config.json", **{key: value})
    try:
        Config.read(directory)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_f16_what_a_directory_holds_beside_is_ignored(one: Path) -> None:
    before = Checkpoint.read(one)
    change_json(
        one / "config.json",
        auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"},
        _attn_implementation="evil",
        attn_implementation="evil/kernel",
        transformers_weights="../evil.safetensors",
        chat_template="{{ evil }}",
    )
    (one / "adapter_config.json").write_text("{")
    (one / "tokenizer_config.json").write_text("{")
    (one / "chat_template.jinja").write_text("{{ evil }}")
    (one / "modeling_evil.py").write_text("raise SystemExit")
    (one / "adapter_model.safetensors").write_bytes(b"")
    assert Checkpoint.read(one) == before


# generation_config.json


def test_generation_defaults(one: Path) -> None:
    path = one / "generation_config.json"
    change_json(path, eos_token_id=[2, 3], repetition_penalty=1.1, no_repeat_ngram_size=0, do_sample="evil")
    assert Checkpoint.read(one).generation_defaults == GenerationDefaults((2, 3), 1.1, 0)
    change_json(path, eos_token_id=2, repetition_penalty=None, no_repeat_ngram_size=...)
    assert generation_defaults(one) == GenerationDefaults((2,), None, None)
    path.unlink()
    assert generation_defaults(one) == GenerationDefaults()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eos_token_id", "2"),
        ("repetition_penalty", 0),
        ("repetition_penalty", "1"),
        ("no_repeat_ngram_size", -1),
        ("no_repeat_ngram_size", 1.5),
    ],
)
def test_generation_defaults_of_the_wrong_kind(one: Path, key: str, value: object) -> None:
    change_json(one / "generation_config.json", **{key: value})
    assert f"generation_config.json: {key} is " in refusal(one)


# weights


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "no weights"),
        (("pytorch_model.bin",), "only safetensors"),
        (("pytorch_model.pth",), "only safetensors"),
        (("consolidated.00.pth", "params.json"), "OUTPUT` makes them a model"),
        (("model-00001-of-00002.safetensors",), "model.safetensors.index.json is missing"),
        (("adapter_model.safetensors",), "no weights"),
    ],
)
def test_weights_in_another_form(one: Path, names: tuple[str, ...], expected: str) -> None:
    (one / "model.safetensors").unlink()
    for name in names:
        (one / name).touch()
    assert expected in refusal(one)


@pytest.mark.parametrize("kept", [0, 7, 100, -1000, -1])
def test_f17_truncated_shard(several: Path, kept: int) -> None:
    shard = sorted(several.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:kept])
    message = refusal(several)
    assert shard.name in message
    assert "cut short" in message


def test_f17_a_truncated_single_file(one: Path) -> None:
    path = one / "model.safetensors"
    os.truncate(path, path.stat().st_size - 1)
    assert "model.safetensors: cut short" in refusal(one)


def test_f17_a_shard_that_is_too_long(one: Path) -> None:
    with (one / "model.safetensors").open("ab") as stream:
        stream.write(b"\0")
    assert "model.safetensors: too long" in refusal(one)


@pytest.mark.parametrize("length", [2**63, 2**40, 100_000_001])
def test_an_absurd_header_length(one: Path, length: int) -> None:
    path = one / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(length.to_bytes(8, "little") + data[8:])
    assert "model.safetensors: not a safetensors file" in refusal(one)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a": 1}', b'{"a": {"dtype": "F32"}}'])
def test_a_malformed_header(one: Path, text: bytes) -> None:
    (one / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    assert "model.safetensors: its safetensors header is malformed" in refusal(one)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data_offsets": [0, 128]}, "overlap"),
        ({"data_offsets": [2**40, 2**40 + 128]}, "gap"),
        ({"data_offsets": [-128, 0]}, "malformed"),
        ({"data_offsets": [128, 0]}, "malformed"),
        ({"data_offsets": [0]}, "malformed"),
        ({"data_offsets": [0.0, 128.0]}, "malformed"),
        ({"shape": [64, -1]}, "malformed"),
        ({"shape": [2**62, 2**62]}, "malformed"),
        ({"shape": 64}, "malformed"),
        ({"dtype": "F31"}, "malformed"),
        ({"dtype": "F32"}, "malformed"),
        ({"dtype": None}, "malformed"),
    ],
)
def test_a_header_with_wrong_entries(one: Path, changes: dict[str, object], expected: str) -> None:
    # its 64 bfloat16 numbers take 128 bytes
    change_header(one / "model.safetensors", lambda header: header["model.norm.weight"].update(changes))
    message = refusal(one)
    assert "model.safetensors" in message
    assert expected in message


def test_a_tensor_named_twice(one: Path) -> None:
    path = one / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].rstrip().replace(b'"model.norm.weight"', b'"lm_head.weight"')
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    assert "model.safetensors" in refusal(one)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_bytes_of_a_header_are_taken_or_refused(
    single: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray((single / "model.safetensors").read_bytes())
    length = int.from_bytes(whole[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 8 + length))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(bytes(whole))
    try:
        headers = read_header(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert sum(header.bytes for header in headers) + 8 + length == len(whole)


def test_tensors_that_the_config_does_not_ask_for(one: Path) -> None:
    change_json(one / "config.json", num_hidden_layers=1)
    assert "no part of such a model: model.layers.1." in refusal(one)
    assert "and 8 more" in refusal(one)


def test_tensors_that_are_missing(one: Path) -> None:
    change_json(one / "config.json", num_hidden_layers=3)
    assert "lacks model.layers.2.self_attn.q_proj.weight and 8 more" in refusal(one)


def test_tensors_of_another_shape(one: Path) -> None:
    change_json(one / "config.json", intermediate_size=192)
    message = refusal(one)
    assert "model.layers.0.mlp.gate_proj.weight is BF16 [128, 64] where [192, 64] is expected and 5 more" in message


def test_a_vocabulary_the_embedding_does_not_have(one: Path) -> None:
    change_json(one / "config.json", vocab_size=161)
    assert "model.embed_tokens.weight is BF16 [160, 64] where [161, 64] is expected and 1 more" in refusal(one)


def test_weights_in_no_precision_a_llama_runs_in(one: Path) -> None:
    def to_int(header: dict[str, Any]) -> None:
        header["model.norm.weight"]["dtype"] = "I16"

    change_header(one / "model.safetensors", to_int)
    assert "model.norm.weight is I16" in refusal(one)


def test_the_rotary_tensors_older_versions_saved_are_let_pass(one: Path) -> None:
    def add(header: dict[str, Any]) -> None:
        end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
        header["model.layers.0.self_attn.rotary_emb.inv_freq"] = {
            "dtype": "F32",
            "shape": [0],
            "data_offsets": [end, end],
        }

    change_header(one / "model.safetensors", add)
    Checkpoint.read(one)


# the index


def test_an_index_that_names_a_missing_shard(several: Path) -> None:
    shard = sorted(several.glob("*.safetensors"))[2]
    shard.unlink()
    assert f"model.safetensors.index.json names {shard.name}, which is not there" in refusal(several)


@pytest.mark.parametrize(
    "value", [..., None, {}, [], {"a": 1}, {"a": "../x.safetensors"}, {"a": "/x.safetensors"}, {"a": "x.bin"}]
)
def test_a_malformed_index(several: Path, value: object) -> None:
    change_json(several / "model.safetensors.index.json", weight_map=value)
    assert "model.safetensors.index.json: " in refusal(several)


def test_an_index_and_shards_that_disagree(several: Path) -> None:
    index = several / "model.safetensors.index.json"
    placed = json.loads(index.read_text())["weight_map"]
    files = sorted(set(placed.values()))
    change_json(
        index, weight_map={**placed, "model.norm.weight": next(f for f in files if f != placed["model.norm.weight"])}
    )
    assert "model.norm.weight" in refusal(several)
    change_json(index, weight_map={**placed, "more.weight": files[0]})
    assert f"{files[0]}: lacks more.weight" in refusal(several)
    del placed["model.norm.weight"]
    change_json(index, weight_map=placed)
    assert "model.norm.weight" in refusal(several)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "generation_config.json"])
def test_what_is_no_file_is_not_waited_for(one: Path, name: str) -> None:
    (one / name).unlink()
    os.mkfifo(one / name)
    assert f"{name}: not a file" in refusal(one)


@pytest.mark.skipif(sys.platform != "linux", reason="there is /proc on Linux alone")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "generation_config.json"])
def test_a_file_that_cannot_be_read(one: Path, name: str) -> None:
    # reading the memory of no process gives an input/output error, to root too
    (one / name).unlink()
    (one / name).symlink_to("/proc/self/mem")
    assert f"{name}: cannot be read: " in refusal(one)


def test_linked_weights_are_read(one: Path, tmp_path: Path) -> None:
    # as they lie in the cache of huggingface_hub
    (one / "model.safetensors").rename(tmp_path / "blob")
    (one / "model.safetensors").symlink_to(tmp_path / "blob")
    assert Checkpoint.read(one).files == (one / "model.safetensors",)
