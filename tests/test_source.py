from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from codellama import source
from codellama.errors import InputError


class Endless(io.RawIOBase):
    """Standard input that never ends; counts what was taken from it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "an endless stream is read in pieces"
        self.taken += size
        return b"y\n" * (size // 2) + b"y" * (size % 2)


def test_f22_endless_stdin_is_refused_at_the_limit() -> None:
    stream = Endless()
    with pytest.raises(InputError, match="standard input: is longer than 4 MiB"):
        source.read_stdin(stream)  # type: ignore[arg-type]
    assert stream.taken <= source.LIMIT + 1


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"ab\xffcd", "byte 2 is 0xFF"),
        (b"\xc3\xa9\xed\xa0\x80", "byte 2 is 0xED"),
        (b"abc\xe2\x82", "byte 3 is 0xE2"),
        (b"x = 1\n\0", "byte 6 is NUL"),
        (b"\xef\xbb\xbfab\xff", "byte 5 is 0xFF"),
        ("x".encode("utf-16"), "byte 3 is NUL"),
    ],
    ids=["stray byte", "surrogate", "cut short", "nul", "after the mark", "utf-16"],
)
def test_f21_what_is_no_text_is_named_with_its_offset(raw: bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        source.read_stdin(io.BytesIO(raw))


def test_f21_an_argument_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    argument = os.fsdecode("é".encode() + b"\xff")
    with pytest.raises(InputError, match="the prompt: is not UTF-8 at byte 2"):
        source.check_argument(argument, "the prompt")
    assert source.check_argument("é", "the prompt") == "é"


@pytest.mark.parametrize(
    ("raw", "text", "encoding", "newline"),
    [
        (b"a\nb\n", "a\nb\n", "utf-8", "\n"),
        (b"a\r\nb\r\nc\n", "a\r\nb\r\nc\n", "utf-8", "\r\n"),
        (b"a\rb\r", "a\rb\r", "utf-8", "\r"),
        (b"one line", "one line", "utf-8", "\n"),
        (b"# coding: latin-1\ns = '\xe9'\n", "# coding: latin-1\ns = 'é'\n", "iso-8859-1", "\n"),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n", "utf-8", "\n"),
        (b"", "", "utf-8", "\n"),
        (b"# coding: nonsense\nx = 1\n", "# coding: nonsense\nx = 1\n", "utf-8", "\n"),
    ],
    ids=["lf", "mostly crlf", "cr", "no line end", "cookie", "mark", "empty", "unknown cookie"],
)
def test_f31_encodings_and_line_ends(tmp_path: Path, raw: bytes, text: str, encoding: str, newline: str) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(raw)
    read = source.read_file(path)
    assert (read.text, read.encoding, read.newline) == (text, encoding, newline)
    assert read.bom + read.text.encode(read.encoding) == read.raw == raw


def test_a_cookie_counts_in_python_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"# coding: latin-1\n\xe9\n")
    with pytest.raises(InputError, match="is not UTF-8: byte 18 is 0xE9"):
        source.read_file(path)


def test_f35_what_is_no_regular_text_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(100_000_000)
    for name, complaint in {
        ".": "is a directory",
        "fifo": "is not a regular file",
        "binary": "byte 0 is NUL",
        "huge": "is longer than 4 MiB",
        "absent": "no such file",
        "a\0b": "is not a file name",
    }.items():
        with pytest.raises(InputError, match=complaint):
            source.read_file(tmp_path / name)


def test_a_pipe_that_is_open_already_is_read() -> None:
    """What a shell's <(command) gives."""
    reader, writer = os.pipe()
    os.write(writer, b"x = 1\n")
    os.close(writer)
    assert source.read_file(Path(f"/dev/fd/{reader}")).text == "x = 1\n"
    os.close(reader)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "loop.py"
    path.symlink_to(path)
    with pytest.raises(InputError, match=r"loop\.py: cannot be read: Too many levels of symbolic links"):
        source.read_file(path)


@pytest.mark.parametrize("name", ["rot13", "base64", "punycode", "undefined"])
def test_a_cookie_that_names_no_encoding_of_text_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(f"# coding: {name}\nx = 1\n".encode())
    with pytest.raises(InputError, match=r"cannot be read as|is not"):
        source.read_file(path)
