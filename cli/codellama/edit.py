"""Diff and atomic write: the one way a user's file changes.

`apply` gives the new bytes, `unified` shows them as a diff, `write` puts them into the file. The first two are pure but
for the names of directories; every byte outside the splices stays the one that was read, whatever the encoding.

What becomes of the file that is written:

- A symlink stays one: the file it leads to is replaced.
- A file with other hard links is refused. To replace it would part it from them without a word, and to write into it
  could leave neither the old bytes nor the new ones.
- The mode stays, 0444 too: as with `sed -i`, `patch` and `git apply`, it is the directory that must be writable.
- Owner and group stay where we may set them. Where not, the file is ours, without set-uid and set-gid bits, and a
  group that is not the old one gets no more than all others have.
- On Linux, `user.*` attributes, the access list and the SELinux label stay; capabilities do not, as with any write.
- The bytes are the old ones or the new ones, at any moment, also after a power cut. Somebody else's write is noticed
  until right before the replacement; in the instant between, nothing on POSIX can.
- What a SIGKILL leaves is named `.NAME.RANDOM.codellama` and lies beside the file; it can be deleted.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from codellama.errors import CodellamaError, FileChangedError, InputError, NoCompletionError
from codellama.sanitiser import sanitise
from codellama.source import STDIN, Source, decode

SUFFIX = ".codellama"
# of temporary files
_NAME = 48
# characters of the file's name in that of the temporary one: with four bytes each they stay far below 255
_CONTEXT = 3
# lines about a change in a diff, as in git's


@dataclass(frozen=True, slots=True)
class Splice:
    start: int
    end: int
    # offsets in `Source.text`: what lies between is replaced
    text: str
    # its "\n" and "\r\n" become the line end that the file has there


def apply(source: Source, splices: Sequence[Splice]) -> bytes:
    """The bytes of a file with splices, in order and apart, put into its text.

    A new line ends as the line in which the splice ends, or where that is the last one, as the line before: so one file
    with two kinds of line ends keeps each where it is.

    Raises InputError where the file's encoding cannot hold the text, or cannot be cut there (a few shift between
    states, or have two ways to write a character). Raises ValueError for splices that overlap, are out of order or
    outside.
    """
    text, cursor, at = source.text, 0, len(source.bom)
    pieces, expected = [source.bom], ""
    for splice in (*splices, Splice(len(text), len(text), "")):
        if not cursor <= splice.start <= splice.end <= len(text):
            raise ValueError(f"{splice} begins before {cursor}, or ends before it begins or after {len(text)}")
        outside = _original(source, cursor, splice.start, at)
        at += len(outside) + len(_original(source, splice.start, splice.end, at + len(outside)))
        inserted = splice.text.replace("\r\n", "\n").replace("\n", _newline(source, splice.end))
        pieces += [outside, _encoded(source, inserted)]
        expected += text[cursor : splice.start] + inserted
        cursor = splice.end
    new = b"".join(pieces)
    # the new text may be read as another one, for instance where it holds a line `# coding: …`
    try:
        readable = decode(new, source.name, source.path).text == expected
    except InputError as error:
        raise InputError(f"the new text is refused, since with it {error}") from None
    if not readable:
        raise InputError(f"{source.name}: the new text is refused, since it would be read as another one")
    return new


def _original(source: Source, start: int, end: int, at: int) -> bytes:
    """The bytes of a part of the text that begin at an offset."""
    with suppress(UnicodeError):
        data = source.text[start:end].encode(source.encoding)
        if source.raw[at : at + len(data)] == data:
            return data
    raise InputError(
        f"{source.name}: cannot be edited without changing other bytes, since it is {source.encoding.upper()}; "
        "convert it to UTF-8 first"
    )


def _encoded(source: Source, text: str) -> bytes:
    try:
        return text.encode(source.encoding)
    except UnicodeError as error:
        what = _named(text[error.start]) if isinstance(error, UnicodeEncodeError) else "the new text"
        encoding = source.encoding.upper()
    raise InputError(f"{source.name}: is {encoding}, which cannot hold {what}; convert it to UTF-8 first")


def _newline(source: Source, at: int) -> str:
    """The line end of the line there, or of the line before; a bare "\\r" is one only where nothing else is."""
    feed = source.text.find("\n", at)
    if feed < 0:
        feed = source.text.rfind("\n", 0, at)
    if feed < 0:
        return source.newline
    return "\r\n" if source.text.endswith("\r", 0, feed) else "\n"


def _named(character: str) -> str:
    """`U+20AC EURO SIGN`; control characters have no name."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def hidden(text: str) -> list[tuple[int, str]]:
    """The characters of a text that hide what is there, reorder it or drive a terminal: offset and name of each.

    They are those that the sanitiser shows, but for form feeds, which source code has, and "\\r" before "\\n".
    """
    found: list[tuple[int, str]] = []
    before = ""
    for offset, character in enumerate(text):
        if character == "\f" or text.startswith("\r\n", offset) or sanitise(character, before) == character:
            before = character
        else:
            found.append((offset, _named(character)))
            before = ""
    return found


def refuse_hidden(text: str) -> None:
    """Raises NoCompletionError where a text must not be written unseen: what the model gave is not usable as it is."""
    found = hidden(text)
    if found:
        (offset, name), more = found[0], f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise NoCompletionError(
            f"the new text holds the hidden character {name} at offset {offset}{more}, so it is not written unseen"
        )


def unified(source: Source, new: bytes) -> str:
    """A unified diff from the file to its new bytes, for `git apply` or `patch -p1`; empty where they are equal.

    It names the file from the current directory, or from / where it lies outside, and not the symlink to it: neither
    program follows one. Bytes that are no UTF-8 come as lone surrogates, which `Console.write` turns back into them, so
    that the diff of a Latin-1 file applies to it.
    """
    from difflib import SequenceMatcher

    if new == source.raw:
        return ""
    # lines end with "\n" alone, for both programs
    a, b = BytesIO(source.raw).readlines(), BytesIO(new).readlines()
    # without what is equal at both ends, which is nearly all, the search is quick
    first = max(_equal(a, b) - _CONTEXT, 0)
    a, b = a[first:], b[first:]
    beyond = max(_equal(a[_CONTEXT:][::-1], b[_CONTEXT:][::-1]) - _CONTEXT, 0)
    a, b = a[: len(a) - beyond], b[: len(b) - beyond]
    name = _name(source)
    diff = [b"--- %s\n" % _quoted(b"a/" + name), b"+++ %s\n" % _quoted(b"b/" + name)]
    for group in SequenceMatcher(None, a, b).get_grouped_opcodes(_CONTEXT):
        (_, i, _, j, _), (_, _, i_end, _, j_end) = group[0], group[-1]
        diff.append(b"@@ -%s +%s @@\n" % (_span(first + i, first + i_end), _span(first + j, first + j_end)))
        for tag, i, i_end, j, j_end in group:
            diff += [_line(b" " if tag == "equal" else b"-", line) for line in a[i:i_end]]
            diff += [_line(b"+", line) for line in b[j:j_end] if tag != "equal"]
    return b"".join(diff).decode("utf-8", "surrogateescape")


def _equal(a: list[bytes], b: list[bytes]) -> int:
    """How many lines at the beginning are equal."""
    return next((count for count, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _span(start: int, end: int) -> bytes:
    """Lines of a hunk, counted from 1; an empty span names the line before it."""
    return b"%d,%d" % (start + (end > start), end - start)


def _line(mark: bytes, line: bytes) -> bytes:
    return mark + line if line.endswith(b"\n") else mark + line + b"\n\\ No newline at end of file\n"


def _name(source: Source) -> bytes:
    if source.path is None:
        return b"-"
    path = source.path.resolve()
    # OSError: the current directory was deleted
    with suppress(OSError, ValueError):
        return os.fsencode(path.relative_to(Path.cwd()))
    return os.fsencode(path.relative_to(path.anchor))


_ESCAPES = dict(zip(b'\a\b\t\n\v\f\r"\\', (b"\\" + letter.encode() for letter in 'abtnvfr"\\'), strict=True))


def _quoted(name: bytes) -> bytes:
    """A name as git writes it: in quotes where it holds more than printable ASCII, and with a tab after spaces."""
    escaped = b"".join(
        _ESCAPES.get(byte) or (b"%c" % byte if 0x20 <= byte < 0x7F else b"\\%03o" % byte) for byte in name
    )
    return (name if escaped == name else b'"%s"' % escaped) + (b"\t" if b" " in name else b"")


def check(source: Source) -> None:
    """Raises what `write` would raise of the file as it stands: before anybody waits for a model."""
    with _opened(source) as (target, _):
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write(source: Source, new: bytes) -> None:
    """Replace the file's bytes by new ones, wholly or not at all; does nothing where they are equal.

    Raises FileChangedError where the file no longer holds what was read, or is gone; InputError for what is no regular
    file or has other hard links; CodellamaError where it cannot be written. Then, and when interrupted, the file is as
    it was and nothing is left beside it.
    """
    if source.path is not None and new == source.raw:
        return
    with _opened(source) as (target, old):
        _replace(source, target, old, new)
    # no reason to fail: the new bytes are there, and a power cut leaves them or the old ones
    with suppress(OSError):
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Path, BinaryIO]]:
    """The file that a path leads to, open, if it is one to be replaced; and what goes wrong with it in one line."""
    if source.path is None:
        raise InputError(f"{STDIN}: cannot be written to")
    try:
        target = Path(os.path.realpath(source.path, strict=True))
        # without waiting, should there be a FIFO by now
        with os.fdopen(os.open(target, os.O_RDONLY | os.O_NONBLOCK), "rb") as old:
            _check_replaceable(source, old)
            yield target, old
    except FileNotFoundError:
        raise FileChangedError(f"{source.name}: is gone; nothing was written") from None
    except OSError as error:
        raise CodellamaError(f"{source.name}: cannot be written: {error.strerror}; it is as it was") from None


def _check_replaceable(source: Source, old: BinaryIO) -> None:
    info = os.fstat(old.fileno())
    if not stat.S_ISREG(info.st_mode):
        raise InputError(f"{source.name}: is not a regular file, so it cannot be written")
    if info.st_nlink > 1:
        raise InputError(
            f"{source.name}: is one of {info.st_nlink} hard links to the same file, and to replace it would part them; "
            "part them first, by moving a copy over it"
        )


def _replace(source: Source, target: Path, old: BinaryIO, new: bytes) -> None:
    temporary = target.with_name(f".{target.name[:_NAME]}.{os.urandom(8).hex()}{SUFFIX}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            rest = memoryview(new)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            _keep_attributes(old.fileno(), descriptor)
            _keep_owner_and_mode(old.fileno(), descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _check_unchanged(source, target, old)
        temporary.replace(target)
    except FileExistsError:
        # somebody else's
        raise
    # an interrupt too, even one that comes before the descriptor is known
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _keep_attributes(old: int, new: int) -> None:
    if sys.platform == "linux":
        access = "system.posix_acl_access"
        kept: dict[str, bytes] = {}
        with _where_permitted():
            for name in os.listxattr(old):
                if name.startswith("user.") or name in (access, "security.selinux"):
                    kept[name] = os.getxattr(old, name)
            # what the directory gives to new files would let in more people than the old file did
            if access not in kept and access in os.listxattr(new):
                os.removexattr(new, access)
        for name, value in kept.items():
            with _where_permitted():
                os.setxattr(new, name, value)


@contextmanager
def _where_permitted() -> Iterator[None]:
    """What only root may do, or what the file system does not have, is no reason to fail."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL):
            raise


def _keep_owner_and_mode(old: int, new: int) -> None:
    was = os.fstat(old)
    mode = stat.S_IMODE(was.st_mode)
    # both, or else the group alone
    for owner in (was.st_uid, -1):
        with _where_permitted():
            os.fchown(new, owner, was.st_gid)
    now = os.fstat(new)
    if (now.st_uid, now.st_gid) != (was.st_uid, was.st_gid):
        mode &= 0o777
    if now.st_gid != was.st_gid:
        mode = mode & 0o707 | (mode & 0o007) << 3
    # last, since a change of owner clears bits
    os.fchmod(new, mode)


def _check_unchanged(source: Source, target: Path, old: BinaryIO) -> None:
    """That the path leads to the file that is open, and that it holds what was read."""
    assert source.path is not None
    resolved = os.path.realpath(source.path, strict=True)
    same = resolved == str(target) and os.path.samestat(target.lstat(), os.fstat(old.fileno()))
    if not same or old.read(len(source.raw) + 1) != source.raw:
        raise FileChangedError(f"{source.name}: has changed since it was read; nothing was written")
