"""Conversions from end to end, against Meta's arithmetic and against the libraries that read the output."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from codellama.convert import origin, writer
from codellama.convert.archive import Archive
from codellama.convert.elements import BY_NAME, cast
from tests.harness import Cli, Result
from tests.meta import HUGGING_FACE, Weights, interleaved, parameters, random_weights, save, shapes
from tests.terminal import environment


def meta_logits(weights: Weights, params: dict[str, Any], ids: torch.Tensor) -> torch.Tensor:
    """What Meta's llama/model.py computes, in float32: (tokens,) → (tokens, vocabulary).

    The rotary embedding takes neighbouring elements of a head for a complex number and turns it.
    """
    weights = {name: tensor.float() for name, tensor in weights.items()}
    heads, kv_heads = params["n_heads"], params.get("n_kv_heads") or params["n_heads"]
    size = params["dim"] // heads
    frequencies = params["rope_theta"] ** (-torch.arange(0, size, 2).double() / size)
    angles = torch.outer(torch.arange(len(ids)).double(), frequencies)
    turns = torch.polar(torch.ones_like(angles), angles).to(torch.complex64).unsqueeze(1)

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + params["norm_eps"]) * weight

    def turned(x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], size // 2, 2))
        return torch.view_as_real(pairs * turns).flatten(-2)

    hidden = weights["tok_embeddings.weight"][ids]
    future = torch.full((len(ids), len(ids)), float("-inf")).triu(1)
    for number in range(params["n_layers"]):
        layer = {name.split(".", 2)[2]: w for name, w in weights.items() if name.startswith(f"layers.{number}.")}
        x = norm(hidden, layer["attention_norm.weight"])
        q, k, v = ((x @ layer[f"attention.{name}.weight"].T).view(len(ids), -1, size) for name in ("wq", "wk", "wv"))
        q, k = turned(q), turned(k)
        k, v = (each.repeat_interleave(heads // kv_heads, 1) for each in (k, v))
        scores = torch.einsum("qhs,khs->hqk", q, k) / size**0.5 + future
        seen = torch.einsum("hqk,khs->qhs", scores.softmax(-1), v).flatten(1)
        hidden = hidden + seen @ layer["attention.wo.weight"].T
        x = norm(hidden, layer["ffn_norm.weight"])
        gate = torch.nn.functional.silu(x @ layer["feed_forward.w1.weight"].T)
        hidden = hidden + (gate * (x @ layer["feed_forward.w3.weight"].T)) @ layer["feed_forward.w2.weight"].T
    return norm(hidden, weights["norm.weight"]) @ weights["output.weight"].T


IDS = torch.arange(3, 27)


@pytest.mark.parametrize("vocabulary", [32000, 32016])
@pytest.mark.parametrize(("heads", "kv_heads"), [(8, None), (16, 8)], ids=["mha", "gqa"])
@pytest.mark.parametrize("shards", [1, 2, 4, 8])
def test_logits_are_metas(
    cli: Cli, tmp_path: Path, shards: int, heads: int, kv_heads: int | None, vocabulary: int
) -> None:
    params = parameters(n_heads=heads, n_kv_heads=kv_heads)
    weights = random_weights(params, vocabulary)
    save(tmp_path / "meta", weights, params, count=shards)
    assert cli("convert", str(tmp_path / "meta"), str(tmp_path / "out")).code == 0
    model = LlamaForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.no_grad():
        found = model(IDS.unsqueeze(0)).logits[0]
    expected = meta_logits(weights, params, IDS)
    assert found.shape == (24, vocabulary)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4
    assert float((found - expected).norm() / expected.norm()) < 1e-4


def test_the_libraries_read_every_file(cli: Cli, tmp_path: Path) -> None:
    params = parameters(n_kv_heads=4)
    weights = random_weights(params, 4200)
    meta = save(tmp_path / "meta", weights, params, count=4)
    assert cli("convert", str(meta), str(tmp_path / "out"), "--shard-size", "100KB").code == 0
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(files) == 4
    found: Weights = {}
    for file in files:
        with safe_open(file, "pt") as opened:
            assert opened.metadata() == {"format": "pt"}
            found |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == found.keys()
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in found.values())
    # put together by the definition, not by the converter
    layer, here = "model.layers.1.", "layers.1."
    for name, other in HUGGING_FACE.items():
        tensor = found[f"{layer}{other}.weight"]
        heads = {"attention.wq": 8, "attention.wk": 4}.get(name)
        assert torch.equal(interleaved(tensor, heads) if heads else tensor, weights[f"{here}{name}.weight"])
    assert torch.equal(found["model.embed_tokens.weight"], weights["tok_embeddings.weight"])
    assert torch.equal(found["lm_head.weight"], weights["output.weight"])
    assert torch.equal(found["model.norm.weight"], weights["norm.weight"])
    assert len(found) == 2 * 9 + 3


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_shape_and_cut_gives_back_the_whole(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever the number of shards, of heads and of rows read at a time: what was cut is put together again."""
    count = data.draw(st.sampled_from([1, 2, 3, 4]))
    kv_heads = count * data.draw(st.integers(1, 2))
    heads = kv_heads * data.draw(st.integers(1, 3))
    params = parameters(
        dim=heads * data.draw(st.sampled_from([2, 4, 6])), n_heads=heads, n_kv_heads=kv_heads, n_layers=1,
        multiple_of=count,
    )  # fmt: skip
    vocabulary = 4113 + -4113 % count
    weights = random_weights(params, vocabulary, data.draw(st.sampled_from(["bfloat16", "float16", "float32"])))
    with TemporaryDirectory(dir=tmp_path) as name:
        save(Path(name), weights, params, count=count)
        with pytest.MonkeyPatch.context() as patch, origin.opened(Path(name)) as found:
            patch.setattr(writer, "PIECE", data.draw(st.sampled_from([1, 50, 333, 5000, 10**6])))
            made = {}
            for source in found.sources:
                pieces = b"".join(bytes(piece) for _, piece in writer.Plain(source).pieces())
                made[source.name] = torch.frombuffer(bytearray(pieces), dtype=weights["norm.weight"].dtype)
    for name, tensor in weights.items():
        if name != "rope.freqs":
            other = made[_hugging_face(name)].view(tensor.shape)
            cut = {"wq": heads, "wk": kv_heads}.get(name.split(".")[-2])
            assert torch.equal(interleaved(other, cut) if cut else other, tensor)


def _hugging_face(name: str) -> str:
    plain = {"tok_embeddings.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}
    if name.startswith("layers."):
        _, number, rest = name.split(".", 2)
        return f"model.layers.{number}.{HUGGING_FACE[rest.removesuffix('.weight')]}.weight"
    return plain.get(name, "lm_head.weight")


# F13: bits, vocabulary, theta


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_f13_nan_infinite_and_subnormal_bits_stay(cli: Cli, tmp_path: Path, dtype: str) -> None:
    params = parameters(n_layers=1)
    weights = random_weights(params, 4200, dtype)
    generator = torch.Generator().manual_seed(3)
    for name, tensor in weights.items():
        bits = torch.randint(-(2**15), 2**15, tensor.shape, generator=generator, dtype=torch.int16)
        weights[name] = bits.view(tensor.dtype)
    assert weights["output.weight"].isnan().any()
    assert weights["output.weight"].isinf().any()
    meta = save(tmp_path / "meta", weights, params, count=2)
    assert cli("convert", str(meta), str(tmp_path / "out"), "--variant", "base").code == 0
    found = load_file(tmp_path / "out" / "model.safetensors")
    for ours, theirs in (("lm_head", "output"), ("model.embed_tokens", "tok_embeddings"), ("model.norm", "norm")):
        assert found[f"{ours}.weight"].view(torch.int16).equal(weights[f"{theirs}.weight"].view(torch.int16))
    layer = found["model.layers.0.self_attn.k_proj.weight"].view(torch.int16)
    assert interleaved(layer, 8).equal(weights["layers.0.attention.wk.weight"].view(torch.int16))


def test_f13_vocabulary_and_theta(cli: Cli, tmp_path: Path) -> None:
    params = parameters(n_layers=1, vocab_size=-1, rope_theta=1000000)
    weights = random_weights(params, 4200)
    absent = {name: value for name, value in params.items() if name not in ("vocab_size", "rope_theta")}
    for name, written, theta, context in (("told", params, 1e6, 16384), ("not", absent, 1e4, 4096)):
        save(tmp_path / f"{name}-meta", weights, written)
        assert cli("convert", str(tmp_path / f"{name}-meta"), str(tmp_path / name), "--variant", "base").code == 0
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config["vocab_size"] == 4200
        assert config["rope_parameters"] == {"rope_type": "default", "rope_theta": theta}
        assert (config["rope_theta"], config["max_position_embeddings"]) == (theta, context)
        theirs: Any = LlamaConfig.from_pretrained(tmp_path / name).rope_parameters
        assert theirs["rope_theta"] == theta
    save(tmp_path / "wrong", weights, {**params, "vocab_size": 4199})
    done = cli("convert", str(tmp_path / "wrong"), str(tmp_path / "out"))
    assert (done.code, "hold a vocabulary of 4200, params.json says 4199" in done.err) == (2, True)


# precision


@pytest.mark.parametrize("stored", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("wanted", ["bfloat16", "float16", "float32"])
def test_conversions_are_torchs(stored: str, wanted: str) -> None:
    """Over every 16-bit number, and over 32-bit ones near each of them, NaN by being one."""
    numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    if stored == "float16":
        numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.float16)
    elif stored == "float32":
        near = torch.tensor(
            [-(2**15) - 1, -(2**15), -(2**15) + 1, -1, 0, 1, 2**12, 2**15 - 1, 2**15], dtype=torch.int32
        )
        numbers = (numbers.float().view(torch.int32).unsqueeze(1) + near).view(torch.float32).flatten()
    expected = numbers.to(getattr(torch, wanted))
    # those that overflow are refused, and tested below
    kept = numbers[~(expected.isinf() & numbers.isfinite())].unsqueeze(0)
    source = Fixed(BY_NAME[stored], kept)
    out = np.empty(kept.shape, f"<u{2 if wanted != 'float32' else 4}")
    cast(source, BY_NAME[wanted]).read(0, out)
    found, expected = torch.from_numpy(out.view(f"i{out.itemsize}")).view(expected.dtype), kept.to(expected.dtype)
    assert torch.equal(found.isnan(), expected.isnan())
    bits = torch.int32 if wanted == "float32" else torch.int16
    assert torch.equal(found.view(bits)[~found.isnan()], expected.view(bits)[~found.isnan()])


@dataclass
class Fixed:
    """A source of one row."""

    dtype: str
    numbers: torch.Tensor
    name: str = "model.norm.weight"
    step: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.numbers.shape[1:])

    def check(self) -> None:
        pass

    def read(self, start: int, out: Any) -> None:
        out[...] = self.numbers.view(torch.int32 if self.dtype == "F32" else torch.int16).numpy().view(out.dtype)


def test_numbers_beyond_a_precision_are_refused(cli: Cli, tmp_path: Path) -> None:
    params = parameters(n_layers=1)
    weights = random_weights(params, 4200)
    weights["output.weight"][7, 3] = 70000.0
    save(tmp_path / "meta", weights, params)
    done = cli("convert", str(tmp_path / "meta"), str(tmp_path / "out"), "--dtype", "float16", "--variant", "base")
    assert (done.code, done.err) == (
        2, "codellama: lm_head.weight has numbers beyond float16: leave out --dtype, or take bfloat16 or float32\n"
    )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["meta"]


def test_another_precision(cli: Cli, tmp_path: Path) -> None:
    params = parameters(n_layers=1)
    weights = random_weights(params, 4200)
    save(tmp_path / "meta", weights, params)
    assert cli("convert", str(tmp_path / "meta"), str(tmp_path / "out"), "--dtype", "float32").code == 0
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(found["lm_head.weight"], weights["output.weight"].float())
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["dtype"], config["torch_dtype"]) == ("float32", "float32")


# F06, F07: checklist and shards


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    params = parameters(n_layers=1)
    return save(tmp_path / "meta", random_weights(params, 4200), params, count=2)


NO_CHECKLIST = "no checklist.chk is compared: the weights are checked by the sums in their files"


@pytest.fixture
def convert(cli: Cli, meta: Path, tmp_path: Path) -> Callable[..., Result]:
    """Converts, and sees that a failure leaves nothing and is told on one line."""

    def run(*options: str, source: Path = meta) -> Result:
        before = sorted(tmp_path.iterdir())
        done = cli("convert", str(source), str(tmp_path / "out"), "--variant", "base", *options)
        if done.code:
            assert sorted(tmp_path.iterdir()) == before
            error = done.err.splitlines(keepends=True)[-1]
            assert error.startswith("codellama: ")
            assert done.err in (error, f"{source}: {NO_CHECKLIST}\n{error}")
        return done

    return run


def test_f06_a_missing_checklist_is_said(convert: Callable[..., Result], meta: Path) -> None:
    (meta / "checklist.chk").unlink()
    done = convert()
    assert done.code == 0
    assert f"{meta}: {NO_CHECKLIST}\n" in done.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!DOCTYPE html><html>403</html>", "is no list of MD5 sums but a web page"),
        ("hello\n", "is no list of MD5 sums"),
        ("0123456789abcdef  params.json\n", "is no list of MD5 sums"),
        ("\n\n", "is empty"),
        (f"{'0' * 32}  consolidated.07.pth\n", "lists consolidated.07.pth, which is not there"),
        (f"{'0' * 32}  params.json\n{'1' * 32}  params.json\n", "has two sums for params.json"),
    ],
    ids=range(6),
)
def test_f06_a_malformed_checklist(convert: Callable[..., Result], meta: Path, text: str, message: str) -> None:
    (meta / "checklist.chk").write_text(text)
    done = convert()
    assert done.code == 2
    assert message in done.err
    assert convert("--skip-checksum", "checklist.chk").code == 0


@pytest.mark.parametrize("name", ["consolidated.01.pth", "params.json", "tokenizer.model"])
def test_f06_a_wrong_sum_is_overridden_by_file(convert: Callable[..., Result], meta: Path, name: str) -> None:
    lines = (meta / "checklist.chk").read_text().splitlines()
    (meta / "checklist.chk").write_text("\n".join(f"{'5' * 32} *{name}" if name in line else line for line in lines))
    done = convert()
    assert done.code == 2
    assert f"{name}: is damaged: its MD5 is" in done.err
    assert f"--skip-checksum {name}" in done.err
    assert convert("--skip-checksum", "other").code == 2
    assert convert("--skip-checksum", "other", "--skip-checksum", name).code == 0


@pytest.mark.parametrize("name", ["/etc/passwd", "../params.json", "..", "a/b", "..\\params.json"])
def test_f08_a_checklist_that_points_elsewhere(convert: Callable[..., Result], meta: Path, name: str) -> None:
    with (meta / "checklist.chk").open("a") as stream:
        stream.write(f"{'0' * 32}  {name}\n")
    done = convert()
    assert done.code == 2
    assert "a file elsewhere" in done.err


def test_f05_a_flipped_bit_names_tensor_and_shard(convert: Callable[..., Result], meta: Path) -> None:
    """In every tensor, the dropped ones too; nothing but the CRC is there to notice."""
    (meta / "checklist.chk").unlink()
    path = meta / "consolidated.01.pth"
    whole = path.read_bytes()
    with Archive(path) as archive:
        entries = {name: tensor.entry for name, tensor in archive.tensors.items()}
    for name, entry in entries.items():
        data = bytearray(whole)
        data[entry.start + entry.size // 2] ^= 4
        path.write_bytes(data)
        done = convert()
        assert done.code == 2
        assert f"{path}: " in done.err
        assert "damaged" in done.err or name == "rope.freqs"
        # the frequencies are dropped: their entry is named, or that they are not the other shard's
        assert name in done.err or f"{entry.name} is damaged" in done.err


def test_f07_shards_that_do_not_go_together(convert: Callable[..., Result], meta: Path, tmp_path: Path) -> None:
    (meta / "checklist.chk").unlink()
    first, second = meta / "consolidated.00.pth", meta / "consolidated.01.pth"
    second.rename(tmp_path / "aside")
    assert "a shard is missing" in convert().err
    first.rename(second)
    assert "consolidated.00.pth is missing: fetch it" in convert().err
    (tmp_path / "aside").rename(first)
    assert "was saved as consolidated.01.pth: shards were swapped" in convert().err
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    shutil.copy(second, meta / "consolidated.02.pth")
    shutil.copy(second, meta / "consolidated.03.pth")
    assert "was saved as consolidated.01.pth" in convert().err
    (meta / "consolidated.02.pth").unlink()
    (meta / "consolidated.03.pth").unlink()
    assert convert().code == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 128}, "consolidated.01.pth: tok_embeddings.weight is [4200, 64] where [4200, 32] is expected"),
        ({"n_layers": 2}, "consolidated.01.pth: holds, beyond what params.json tells of, 'layers.1"),
        ({"seed": 1}, "consolidated.01.pth: layers.0.attention_norm.weight is not the one in consolidated.00.pth"),
        ({"vocabulary": 4400}, "consolidated.01.pth: tok_embeddings.weight is [4400, 32] where [4200, 32]"),
        ({"dtype": "float16"}, "consolidated.01.pth: tok_embeddings.weight is F16, in consolidated.00.pth it is BF16"),
    ],
    ids=str,
)
def test_f07_a_foreign_shard(
    convert: Callable[..., Result], meta: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    params = parameters(n_layers=1) | {name: value for name, value in changes.items() if name in ("dim", "n_layers")}
    other = {name: value for name, value in changes.items() if name not in params}
    weights = random_weights(params, other.pop("vocabulary", 4200), **other)
    save(tmp_path / "foreign", weights, params, count=2)
    (tmp_path / "foreign" / "consolidated.01.pth").replace(meta / "consolidated.01.pth")
    shutil.rmtree(tmp_path / "foreign")
    (meta / "checklist.chk").unlink()
    assert message in convert().err


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_layers": 2}, "lacks 'layers.1"),
        ({"n_heads": 16, "n_kv_heads": 3}, "do not go together"),
        ({"n_heads": 1, "n_kv_heads": 1}, "1 heads and 1 key-value heads cannot lie in 2 shards"),
        ({"n_kv_heads": 4}, "layers.0.attention.wk.weight is [32, 64] where [16, 64] is expected with 2 shards"),
        ({"multiple_of": 4096}, "hold feed-forward layers of 176, params.json asks for 4096"),
        ({"dim": "64"}, 'dim is "64": int expected'),
        ({"dim": None}, "lacks dim"),
        ({"n_layers": 10**9}, "n_layers is 1000000000"),
        ({"norm_eps": -1}, "norm_eps is -1"),
    ],
    ids=str,
)
def test_f07_other_parameters(convert: Callable[..., Result], meta: Path, params: dict[str, Any], message: str) -> None:
    (meta / "params.json").write_text(json.dumps(parameters(n_layers=1) | params))
    (meta / "checklist.chk").unlink()
    done = convert()
    assert (done.code, message in done.err) == (2, True), done.err


def test_params_that_are_no_json(convert: Callable[..., Result], meta: Path) -> None:
    (meta / "params.json").write_text("<html>")
    assert "params.json: not JSON" in convert("--skip-checksum", "params.json").err
    (meta / "params.json").unlink()
    assert "checklist.chk lists params.json, which is not there" in convert().err
    assert convert("--skip-checksum", "params.json").code == 2


# F11, F15


@pytest.mark.skipif(sys.platform != "linux", reason="data segments can be limited on Linux alone")
def test_f11_a_memory_cap_far_below_the_models_size(tmp_path: Path) -> None:
    params = parameters(dim=2048, n_heads=16, n_kv_heads=16, n_layers=3, multiple_of=256)
    weights = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes(params, 4200).items()}
    save(tmp_path / "meta", weights, params)
    size = (tmp_path / "meta" / "consolidated.00.pth").stat().st_size
    limit = 130_000_000
    assert size > 2.5 * limit
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({limit}, {limit}))\n"
        "from codellama.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "convert", "-q", str(tmp_path / "meta"), str(tmp_path / "out")],
        capture_output=True, text=True, env=environment(OPENBLAS_NUM_THREADS="1"), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a SentencePiece model"),
        (b"<html>403</html>", "is not a SentencePiece model"),
        (bytes(1000), "is not a SentencePiece model"),
        (None, "is missing: fetch it"),
    ],
    ids=["empty", "page", "zeros", "missing"],
)
def test_f15_a_malformed_tokenizer(
    convert: Callable[..., Result], meta: Path, data: bytes | None, message: str
) -> None:
    (meta / "checklist.chk").unlink()
    if data is None:
        (meta / "tokenizer.model").unlink()
    else:
        (meta / "tokenizer.model").write_bytes(data)
    done = convert()
    assert done.code == 2
    assert f"{meta / 'tokenizer.model'}: {message}" in done.err


def test_f15_a_cut_or_damaged_tokenizer(convert: Callable[..., Result], meta: Path) -> None:
    (meta / "checklist.chk").unlink()
    whole = (meta / "tokenizer.model").read_bytes()
    chance = random.Random(2)
    for _ in range(6):
        (meta / "tokenizer.model").write_bytes(whole[: chance.randrange(len(whole))])
        done = convert("--dry-run")
        assert done.code == 0 or "tokenizer.model: " in done.err


def test_f15_a_tokenizer_of_another_model(convert: Callable[..., Result], tmp_path: Path) -> None:
    params = parameters(n_layers=1)
    save(tmp_path / "small", random_weights(params, 4000), params)
    done = convert(source=tmp_path / "small")
    assert "tokenizer.model: has 4113 pieces, the embedding 4000 rows" in done.err
