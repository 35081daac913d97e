"""A .pth file is read as torch.save wrote it, or refused; nothing in it is ever run."""

from __future__ import annotations

import io
import os
import pickle
import random
import shutil
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codellama.convert.archive import Archive
from codellama.convert.unpickle import LONGEST, UnpicklingError, state_dict
from codellama.errors import InputError
from tests.mutations import KINDS, mutated

BITS: dict[torch.dtype, torch.dtype] = {
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float32: torch.int32,
}


def content(path: Path) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Shape and bytes of every tensor in an archive, all checks made."""
    with Archive(path) as archive:
        found = {}
        for name, tensor in archive.tensors.items():
            bits = np.empty(tensor.matrix, f"<u{tensor.element_bytes}")
            archive.check(tensor.entry, name)
            tensor.read(0, bits)
            found[name] = (tensor.shape, bits.tobytes())
        archive.check_rest()
        return found


def bits_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {
        name: (tuple(tensor.shape), tensor.contiguous().view(BITS[tensor.dtype]).numpy().tobytes())
        for name, tensor in tensors.items()
    }


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        content(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "matrix": torch.randn(24, 40, generator=generator).bfloat16(),
        "half": torch.randn(7, 3, generator=generator).half(),
        "vector": torch.randn(33, generator=generator),
    }


@pytest.fixture
def saved(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    torch.save(tensors, tmp_path / "consolidated.00.pth")
    return tmp_path / "consolidated.00.pth"


def rewritten(path: Path, change: Callable[[dict[str, bytes]], Mapping[str, bytes]]) -> Path:
    """The archive with other entries, a sound zip still."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in change(entries).items():
            archive.writestr(name, data)
    return path


def with_pickle(path: Path, data: bytes) -> Path:
    return rewritten(path, lambda entries: {**entries, "consolidated.00/data.pkl": data})


# what torch.save writes


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_are_read_bit_for_bit(tmp_path: Path, tensors: dict[str, torch.Tensor], protocol: int) -> None:
    torch.save(tensors, tmp_path / "a.pth", pickle_protocol=protocol)
    assert content(tmp_path / "a.pth") == bits_of(tensors)


def test_views_of_larger_storages(tmp_path: Path) -> None:
    whole = torch.arange(600, dtype=torch.float32).view(20, 30)
    views = {
        "rows": whole[3:9],
        "columns": whole[:, 5:12],
        "block": whole[2:4, 28:],
        "one": whole[7:8, 1:2],
        "all": whole,
    }
    torch.save(views, tmp_path / "a.pth")
    assert content(tmp_path / "a.pth") == bits_of(views)


def test_what_a_module_saves(tmp_path: Path) -> None:
    layer = torch.nn.Linear(4, 3)
    torch.save(layer.state_dict(), tmp_path / "a.pth")
    assert content(tmp_path / "a.pth") == bits_of(dict(layer.state_dict()))
    torch.save(OrderedDict(), tmp_path / "empty.pth")
    assert content(tmp_path / "empty.pth") == {}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_rows_of_any_view(tmp_path: Path, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    whole = torch.arange(height * width, dtype=torch.int16).view(height, width).view(torch.bfloat16)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    view = whole[top:, left : data.draw(st.integers(left + 1, width))]
    torch.save({"view": view}, tmp_path / "a.pth")
    start = data.draw(st.integers(0, len(view) - 1))
    count = data.draw(st.integers(1, len(view) - start))
    with Archive(tmp_path / "a.pth") as archive:
        bits = np.empty((count, view.shape[1]), "<u2")
        archive.tensors["view"].read(start, bits)
    assert bits.tolist() == view[start : start + count].contiguous().view(torch.int16).numpy().view("u2").tolist()


@pytest.mark.parametrize("tensor", [torch.ones(3, 5).T, torch.ones(1).expand(4, 4), torch.ones(9)[::2]], ids=str)
def test_what_is_not_stored_by_rows_is_refused(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"a": tensor}, tmp_path / "a.pth")
    assert "'a' is not stored row by row: save it with contiguous()" in refusal(tmp_path / "a.pth")


def test_other_than_tensors_is_refused(tmp_path: Path) -> None:
    for number, value in enumerate(({"a": 1}, {"a": {"b": torch.ones(1)}}, {1: torch.ones(1)}, torch.ones(2), [], "x")):
        torch.save(value, tmp_path / f"{number}.pth")
        assert "holds" in refusal(tmp_path / f"{number}.pth") or "EMPTY_LIST" in refusal(tmp_path / f"{number}.pth")


# F01: pickles that attack


class Payload:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], tuple(self.call[1:])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["system", "eval", "import", "load", "nested", "disguised"])
def test_f01_a_pickle_that_runs_something(saved: Path, tmp_path: Path, name: str, protocol: int) -> None:
    trap = tmp_path / "trap"
    payload = {
        "system": Payload(os.system, f"touch {trap}"),
        "eval": Payload(eval, f"open({str(trap)!r}, 'w')"),
        "import": Payload(__import__, "antigravity"),
        "load": Payload(torch.load, str(saved)),
        "nested": OrderedDict([("a", (1, [Payload(os.mkdir, str(trap))]))]),
        "disguised": {"tok_embeddings.weight": Payload(os.mkdir, str(trap))},
    }[name]
    message = refusal(with_pickle(saved, pickle.dumps(payload, protocol)))
    assert not trap.exists()
    # protocol 0 and 1 write lists and globals in operations that are not even known
    assert "which no model needs: this may be an attack" in message or "which no dictionary of tensors needs" in message


def test_f01_the_payload_is_a_payload(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    pickle.loads(pickle.dumps(Payload(os.mkdir, str(trap))))
    assert trap.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00ls\xc2\x85R.",
        b"\x80\x02(X\x02\x00\x00\x00lsios\nsystem\n.",
        b"\x80\x02(cos\nsystem\nX\x02\x00\x00\x00lso.",
        b"\x80\x02cbuiltins\nobject\n)\x81.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsNsb.",
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x04)}\x93.",
    ],
    ids=["reduce", "inst", "obj", "newobj", "extension", "build", "allowed-newobj", "stack-global", "odd-global"],
)
def test_f01_operations_that_make_objects(program: bytes) -> None:
    if b"items" in program:
        # what is hung on a dictionary is dropped
        assert state_dict(program) == {}
    else:
        with pytest.raises(UnpicklingError):
            state_dict(program)


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x02}",
        b"\x80\x02h\x05.",
        b"\x80\x02t.",
        b"\x80\x02R.",
        b"\x80\x02}}.",
        b"\x80\x02}NNs.",
        b"\x80\x02}(X\x01\x00\x00\x00au.",
        b"\x80\x02" + b"(" * 1000 + b"t" * 1000 + b".",
        b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.",
        b"\x80\x02r\xff\xff\xff\xff.",
        b"\x80\x02}r\xff\xff\xff\xff0.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x02U\xffabc.",
        b"\x80\x02N" * (LONGEST // 3 + 2),
        b"\xff\xfe\x00",
        b"\x80\x02}X\x02\x00\x00\x00\xff\xffNs.",
    ],
    ids=range(21),
)
def test_a_malformed_pickle_is_refused(program: bytes) -> None:
    with pytest.raises(UnpicklingError):
        state_dict(program)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_no_pickle_is_a_crash(program: bytes) -> None:
    with suppress(UnpicklingError):
        state_dict(b"\x80\x02" + program)


# F02: views past their storage


def rebuild(*arguments: object, size: int = 12, key: str = "0") -> bytes:
    """The pickle of {"a": _rebuild_tensor_v2(storage, *arguments)}."""

    class Storage:
        pass

    class Rebuilt:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (Storage(), *arguments)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", torch.FloatStorage, key, "cpu", size) if isinstance(value, Storage) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"a": Rebuilt()})
    return buffer.getvalue()


@pytest.fixture
def twelve(tmp_path: Path) -> Path:
    """An archive of a storage of twelve numbers."""
    torch.save({"a": torch.arange(12.0)}, tmp_path / "consolidated.00.pth")
    return tmp_path / "consolidated.00.pth"


def test_f02_the_helper_makes_what_is_read(twelve: Path) -> None:
    found = content(with_pickle(twelve, rebuild(2, (3, 3), (3, 1), False, OrderedDict())))
    assert found == bits_of({"a": torch.arange(2.0, 11.0).view(3, 3)})


HUGE = 2**62


@pytest.mark.parametrize(
    "arguments",
    [
        (1, (3, 4), (4, 1)),
        (0, (3, 4), (5, 1)),
        (12, (1,), (1,)),
        (0, (13,), (1,)),
        (HUGE, (1,), (1,)),
        (0, (HUGE, 2), (1, 1)),
        (0, (2, 2), (HUGE, 1)),
        (0, (HUGE, HUGE, HUGE), (1, 1, 1)),
        (-1, (1,), (1,)),
        (4, (2, 2), (-2, 1)),
        (0, (-1,), (1,)),
        (0, (0,), (1,)),
        (0, (3, 4), (0, 1)),
        (0, (3, 4), (4,)),
        (0, (3, 4), (4, 1, 1)),
        (True, (3,), (1,)),
        (0, (True,), (1,)),
        (0, (3.0,), (1,)),
        ("0", (3,), (1,)),
        (0, [3], [1]),
        (0, 3, 1),
        (0, None, None),
        (0, "3", "1"),
        (0, (1,) * 9, (1,) * 9),
        (),
    ],
    ids=str,
)
def test_f02_a_view_past_its_storage_or_of_wrong_types(twelve: Path, arguments: tuple[object, ...]) -> None:
    refusal(with_pickle(twelve, rebuild(*arguments, False, OrderedDict())))


@pytest.mark.parametrize(("size", "key"), [(13, "0"), (11, "0"), (HUGE, "0"), (-1, "0"), (12, "1"), (12, "../version")])
def test_f02_a_storage_that_is_not_there(twelve: Path, size: int, key: str) -> None:
    refusal(with_pickle(twelve, rebuild(0, (1,), (1,), False, OrderedDict(), size=size, key=key)))


# F03 to F05: damaged files


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<!DOCTYPE html>\n<html><body>403 Forbidden</body></html>", "is a web page, not weights"),
        (b"\n\n  <HTML><head>", "is a web page, not weights"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "is a Git LFS pointer, not the weights"),
        (b"", "is empty"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "is no PyTorch archive"),
        (b"PK\x03\x04", "is cut short or has something appended"),
        (bytes(1000), "is no PyTorch archive"),
    ],
    ids=["page", "page-spaces", "xml", "lfs", "empty", "old-torch", "stub", "zeros"],
)
def test_f03_something_else_under_the_name(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.pth").write_bytes(data)
    assert message in refusal(tmp_path / "a.pth")


def test_f03_a_page_is_named_before_any_unpickling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZipFile", None)
    (tmp_path / "a.pth").write_bytes(b"<html>")
    assert "is a web page" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize("kept", [0.01, 0.5, -1])
def test_f04_truncated_shard(saved: Path, kept: float) -> None:
    os.truncate(saved, int(saved.stat().st_size * kept) if kept > 0 else saved.stat().st_size - 1)
    assert "fetch it again" in refusal(saved)


def test_f04_cut_while_it_is_read(saved: Path) -> None:
    with Archive(saved) as archive:
        os.truncate(saved, 100)
        with pytest.raises(InputError, match=r"consolidated\.00\.pth: was cut short meanwhile"):
            archive.check_rest()


def test_f05_a_flipped_bit_in_any_tensor(saved: Path, tensors: dict[str, torch.Tensor]) -> None:
    with Archive(saved) as archive:
        places = {name: tensor.entry for name, tensor in archive.tensors.items()}
    whole = saved.read_bytes()
    for name, entry in places.items():
        for at in (0, entry.size // 2, entry.size - 1):
            damaged = bytearray(whole)
            damaged[entry.start + at] ^= 1 << (at % 8)
            saved.write_bytes(damaged)
            assert f"{name} is damaged (its CRC-32 is " in refusal(saved)
            # which nobody else notices
            assert torch.load(saved, weights_only=True).keys() == tensors.keys()


# F08: zips that attack


def entries(*infos: tuple[str, bytes, int]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data, method in infos:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
PICKLE = b"\x80\x02}."


def test_f08_the_helper_makes_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(entries(("x/data.pkl", PICKLE, STORED), ("x/version", b"3", STORED)))
    assert content(tmp_path / "a.pth") == {}


@pytest.mark.parametrize(
    ("infos", "message"),
    [
        ([("x/data.pkl", PICKLE, DEFLATED)], "'x/data.pkl' is compressed"),
        ([("x/data.pkl", PICKLE, STORED), ("x/data/0", bytes(50), zipfile.ZIP_BZIP2)], "is compressed"),
        ([("x/data.pkl", PICKLE, STORED), ("x/../../trap", b"", STORED)], "is no plain name: this may be an attack"),
        ([("x/data.pkl", PICKLE, STORED), ("x//trap", b"", STORED)], "is no plain name: this may be an attack"),
        ([("x/data.pkl", PICKLE, STORED), ("x/", b"", STORED)], "is no plain name: this may be an attack"),
        ([("x/data.pkl", PICKLE, STORED), ("x/a\\b", b"", STORED)], "is no plain name: this may be an attack"),
        ([("/x/data.pkl", PICKLE, STORED)], "is no plain name: this may be an attack"),
        ([("../data.pkl", PICKLE, STORED)], "is no plain name: this may be an attack"),
        ([("x/data.pkl", PICKLE, STORED), ("y/data/0", b"", STORED)], "do not lie in one directory"),
        ([("data.pkl", PICKLE, STORED)], "data.pkl is missing in it"),
        ([("x/version", b"3", STORED)], "data.pkl is missing in it"),
        ([("x/data.pkl", PICKLE, STORED), ("x/byteorder", b"big", STORED)], "big-endian"),
    ],
    ids=range(12),
)
def test_f08_odd_entries(tmp_path: Path, infos: list[tuple[str, bytes, int]], message: str) -> None:
    (tmp_path / "a.pth").write_bytes(entries(*infos))
    before = sorted(tmp_path.parent.iterdir())
    assert message in refusal(tmp_path / "a.pth")
    assert sorted(tmp_path.parent.iterdir()) == before


def test_f08_duplicates(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = entries(("x/data.pkl", PICKLE, STORED), ("x/data.pkl", PICKLE, STORED))
    (tmp_path / "a.pth").write_bytes(data)
    assert "holds 'x/data.pkl' twice" in refusal(tmp_path / "a.pth")


def test_f08_two_entries_on_the_same_bytes(tmp_path: Path) -> None:
    data = bytearray(
        entries(("x/data.pkl", PICKLE, STORED), ("x/data/0", b"1234", STORED), ("x/data/1", b"1234", STORED))
    )
    last = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, last + 42, data.index(b"PK\x03\x04x/data/0"[:4], 20))
    data[last + 46 : last + 54] = b"x/data/1"
    (tmp_path / "a.pth").write_bytes(data)
    refusal(tmp_path / "a.pth")


def test_f08_a_directory_of_absurd_size(tmp_path: Path) -> None:
    data = bytearray(entries(("x/data.pkl", PICKLE, STORED), ("x/data/0", bytes(70_000_000), STORED)))
    struct.pack_into("<L", data, len(data) - 22 + 12, 65_000_000)
    (tmp_path / "a.pth").write_bytes(data)
    # zipfile would have read all of it
    assert "a directory of absurd size" in refusal(tmp_path / "a.pth")


def test_f08_encrypted(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    saved.write_bytes(data)
    assert "is encrypted" in refusal(saved)


def test_an_entry_that_lies_elsewhere_than_its_directory_says(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[30] ^= 1
    saved.write_bytes(data)
    assert "is not where its directory says" in refusal(saved)


# mutations of a shard: a thousand in benchmarks/convert_mutations.py


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_shard_is_refused_or_bit_exact(saved: Path, tmp_path: Path, kind: str) -> None:
    whole, expected = saved.read_bytes(), content(saved)
    chance = random.Random(f"5 {kind}")
    for _ in range(40):
        saved.write_bytes(mutated(whole, kind, chance))
        try:
            found = content(saved)
        except InputError:
            continue
        assert found == expected
    shutil.rmtree(tmp_path)
