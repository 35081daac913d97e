from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from codellama.errors import CodellamaError, InputError
from codellama.newfile import create


def test_a_new_file_is_written_and_one_that_is_there_is_not(tmp_path: Path) -> None:
    create(tmp_path / "new", b"a\r\n")
    with pytest.raises(InputError, match="is there already; name another"):
        create(tmp_path / "new", b"b")
    with pytest.raises(InputError, match="there is no directory"):
        create(tmp_path / "nowhere" / "new", b"b")
    with pytest.raises(CodellamaError, match="cannot be written: embedded null byte"):
        create(tmp_path / "a\0b", b"b")
    assert (tmp_path / "new").read_bytes() == b"a\r\n"
    assert [each.name for each in tmp_path.iterdir()] == ["new"]


def test_where_there_are_no_links_a_file_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    test_a_new_file_is_written_and_one_that_is_there_is_not(tmp_path)


def test_two_at_once_make_one_file(tmp_path: Path) -> None:
    target, refused = tmp_path / "x", []

    def make(data: bytes) -> None:
        try:
            create(target, data)
        except InputError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=make, args=(bytes([number]) * 1000,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert len(set(target.read_bytes())) == 1
    assert list(tmp_path.iterdir()) == [target]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "old").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    for name in ("new", "old"):
        with pytest.raises(CodellamaError, match=f"{name}: cannot be written: No space left"):
            create(tmp_path / name, b"x", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_a_symlink_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is there already"):
        create(tmp_path / "link", b"x")
    create(tmp_path / "link", b"x", force=True)
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"
    assert not (tmp_path / "link").is_symlink()
    with pytest.raises(InputError, match="is a directory"):
        create(tmp_path, b"x", force=True)
