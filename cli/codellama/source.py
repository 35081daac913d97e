"""The bytes of a file or of standard input as text, with what is needed to write them back unchanged."""

from __future__ import annotations

import codecs
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from codellama.errors import InputError

LIMIT = 4 * 1024 * 1024
# bytes: ten times what a context of 100,000 tokens holds (about 4 bytes a token)
STDIN = "standard input"
_OPEN = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")
# what a shell's <(command) gives: a pipe that is open already, so that opening it waits for nobody


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    # for messages: the path, or "standard input"
    path: Path | None
    # None: standard input
    raw: bytes
    text: str
    # decoded, without the byte order mark, line ends as they are
    encoding: str
    bom: bytes = b""

    @property
    def newline(self) -> str:
        """The line end that most lines have; "\\n" where there is none."""
        crlf = self.text.count("\r\n")
        ends = {"\n": self.text.count("\n") - crlf, "\r\n": crlf, "\r": self.text.count("\r") - crlf}
        end, count = Counter(ends).most_common(1)[0]
        return end if count else "\n"


def read_file(path: Path) -> Source:
    """Raises InputError for what is no readable text file of at most LIMIT bytes, without waiting for anything."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: is a directory, not a file")
        if not stat.S_ISREG(mode) and not str(path).startswith(_OPEN):
            raise InputError(f"{path}: is not a regular file; pipe its content to standard input instead")
        with path.open("rb") as stream:
            raw = _read(stream)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{str(path)!r}: is not a file name") from None
    return decode(raw, str(path), path)


def read_stdin(stream: BinaryIO) -> Source:
    """Read to the end, or to LIMIT: an endless stream is refused there. Raises InputError."""
    try:
        raw = _read(stream)
    except OSError as error:
        raise InputError(f"{STDIN}: cannot be read: {error.strerror}") from None
    return decode(raw, STDIN)


def _read(stream: BinaryIO) -> bytes:
    """All there is, up to a byte more than LIMIT; in pieces, since one large read would reserve all the memory."""
    raw = bytearray()
    while len(raw) <= LIMIT:
        piece = stream.read(min(65536, LIMIT + 1 - len(raw)))
        if not piece:
            break
        raw += piece
    return bytes(raw)


def decode(raw: bytes, name: str, path: Path | None = None) -> Source:
    """The text of bytes: UTF-8, or in Python files what their cookie says (PEP 263).

    Raises InputError, with the offset of the byte, for NUL and for what the encoding cannot hold.
    """
    if len(raw) > LIMIT:
        raise InputError(f"{name}: is longer than {LIMIT // 1024**2} MiB, far beyond any model's context; cut it first")
    nul = raw.find(b"\0")
    if nul >= 0:
        raise InputError(f"{name}: is not text: byte {nul} is NUL")
    bom = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
    encoding = "utf-8" if bom or path is None or path.suffix not in (".py", ".pyi", ".pyw") else _cookie(raw, name)
    try:
        text = raw[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        offset = len(bom) + error.start
        raise InputError(
            f"{name}: is not {encoding.upper()}: byte {offset} is 0x{raw[offset]:02X}; convert it first"
        ) from None
    except (LookupError, UnicodeError):
        # rot13 and base64 are no encodings of text, undefined and punycode raise errors of their own
        raise InputError(f"{name}: cannot be read as {encoding}; convert it first") from None
    return Source(name, path, raw, text, encoding, bom)


def check_argument(text: str, name: str) -> str:
    """The text of a command-line argument. Raises InputError where its bytes are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        offset = len(text[: error.start].encode("utf-8", "surrogateescape"))
        raise InputError(f"{name}: is not UTF-8 at byte {offset}") from None
    return text


def _cookie(raw: bytes, name: str) -> str:
    from tokenize import detect_encoding  # 8 ms, Python files only

    lines = iter(raw.splitlines(keepends=True))
    try:
        encoding, _ = detect_encoding(lambda: next(lines, b""))
    except SyntaxError:
        # not UTF-8 and no cookie: decoding names the byte; an unknown cookie: as good as none
        return "utf-8"
    return encoding
