from __future__ import annotations

import codecs
import errno
import os
import re
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama.edit import Splice, apply, hidden, refuse_hidden, unified, write
from codellama.errors import CodellamaError, FileChangedError, InputError, NoCompletionError
from codellama.sanitiser import sanitise
from codellama.source import Source, decode, read_file
from tests.terminal import environment

OLD, NEW = b"x = 1\n", b"x = 1\ny = 2\n"
TEMPORARY = r"\.a\.py\.[0-9a-f]{16}\.codellama"


def read(raw: bytes, name: str = "a.py") -> Source:
    return decode(raw, name, Path(name))


# --- apply

STATELESS = ["utf-8", "latin-1", "cp1252", "shift_jis", "euc_jp", "gb18030", "big5"]
# their every character stands in bytes of its own
ALPHABET = "ab ='\t\f\v\x1c\x85\xa0\u2028é€あ纊😀"


@st.composite
def documents(draw: st.DrawFn) -> tuple[Source, int, str]:
    """A file, the length of what declares its encoding, and characters that the encoding holds."""
    encoding = draw(st.sampled_from(STATELESS))
    alphabet = "".join(c for c in ALPHABET if c.encode(encoding, "ignore"))
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n"], ["\n", "\r\n", "\r"]]))
    lines = draw(st.lists(st.tuples(st.text(alphabet, max_size=5), st.sampled_from(ends)), max_size=8))
    body = "".join(line + end for line, end in lines) + draw(st.text(alphabet, max_size=5))
    head = "" if encoding == "utf-8" else f"# coding: {encoding}\n"
    bom = draw(st.sampled_from([b"", codecs.BOM_UTF8])) if encoding == "utf-8" else b""
    source = read(bom + (head + body).encode(encoding))
    assert source.text == head + body
    return source, len(head), alphabet


@st.composite
def edits(draw: st.DrawFn) -> tuple[Source, list[Splice]]:
    source, first, alphabet = draw(documents())
    offsets = sorted(draw(st.lists(st.integers(first, len(source.text)), max_size=6)))
    pairs = zip(offsets[::2], offsets[1::2], strict=False)
    texts = st.text(alphabet + "\n", max_size=6)
    return source, [Splice(start, end, draw(texts)) for start, end in pairs]


def bytes_of_characters(source: Source) -> list[bytes]:
    """The bytes that each character was read from, found by decoding byte for byte."""
    decoder = codecs.getincrementaldecoder(source.encoding)()
    found, pending = [], b""
    for byte in source.raw[len(source.bom) :]:
        pending += bytes([byte])
        if character := decoder.decode(bytes([byte])):
            assert len(character) == 1
            found.append(pending)
            pending = b""
    assert not pending
    return found


def end_of_line_at(text: str, at: int, otherwise: str) -> str:
    ends = [(match.end(), match[1]) for match in re.finditer(r"(\r?\n)", text)]
    if not ends:
        return otherwise
    return next((end for after, end in ends if at < after), ends[-1][1])


@given(edits())
@settings(max_examples=400, deadline=None)
def test_f31_every_byte_outside_the_splices_is_the_old_one(edit: tuple[Source, list[Splice]]) -> None:
    source, splices = edit
    characters = bytes_of_characters(source)
    expected, cursor = source.bom, 0
    for splice in splices:
        inserted = splice.text.replace("\n", end_of_line_at(source.text, splice.end, source.newline))
        expected += b"".join(characters[cursor : splice.start]) + inserted.encode(source.encoding)
        cursor = splice.end
    expected += b"".join(characters[cursor:])
    assert apply(source, splices) == expected


@pytest.mark.parametrize(
    ("raw", "at", "new"),
    [
        (b"a\r\nb\r\n", 3, b"a\r\nX\r\nb\r\n"),
        (b"a\nb\r\nc\n", 0, b"X\na\nb\r\nc\n"),
        (b"a\nb\r\nc\n", 2, b"a\nX\r\nb\r\nc\n"),
        (b"a\nb\r\nc", 6, b"a\nb\r\ncX\r\n"),
        (b"a\rb\r", 2, b"a\rX\rb\r"),
        (b"a\rb\n", 0, b"X\na\rb\n"),
        (b"ab", 1, b"aX\nb"),
        (b"\xef\xbb\xbfa\r\n", 0, b"\xef\xbb\xbfX\r\na\r\n"),
        (b"a\x0cb\n", 2, b"a\x0cX\nb\n"),
        (b"# coding: latin-1\r\n'\xe9'\r\n", 20, b"# coding: latin-1\r\n'X\r\n\xe9'\r\n"),
    ],
    ids=["crlf", "mixed lf", "mixed crlf", "last line", "cr", "stray cr", "none", "mark", "form feed", "latin-1"],
)
@pytest.mark.parametrize("inserted", ["X\n", "X\r\n"], ids=["lf", "crlf"])
def test_f31_a_new_line_ends_as_its_neighbour(raw: bytes, at: int, new: bytes, inserted: str) -> None:
    assert apply(read(raw), [Splice(at, at, inserted)]) == new


def test_f31_several_splices() -> None:
    source = read("def f():\r\n    é\r\ndef g():\r\n    pass\r\n".encode())
    body, end = source.text.index("    é"), len(source.text)
    splices = [
        Splice(0, 0, "a\n"),
        Splice(0, 0, "b\n"),
        Splice(body, body + 5, "    é\n    ü"),
        Splice(end, end, "z\n"),
    ]
    new = "a\r\nb\r\ndef f():\r\n    é\r\n    ü\r\ndef g():\r\n    pass\r\nz\r\n"
    assert apply(source, splices).decode() == new
    assert apply(source, []) == source.raw


@pytest.mark.parametrize(("encoding", "run"), [("iso2022_jp", "あい"), ("utf-7", "éあ"), ("hz", "中文")])
def test_f31_an_encoding_with_states_is_cut_between_them_alone(encoding: str, run: str) -> None:
    head = f"# coding: {encoding}\n'{run}'"
    source = read(f"{head}'{run}'\n".encode(encoding))
    first = head.encode(encoding)
    assert apply(source, [Splice(len(head), len(head), "\n")]) == first + b"\n" + source.raw[len(first) :]
    inside = len(head) - 2
    with pytest.raises(InputError, match="cannot be edited without changing other bytes"):
        apply(source, [Splice(inside, inside, "x")])


def test_f31_bytes_that_the_encoding_would_not_choose_are_not_touched() -> None:
    """cp932 reads FA 5C and ED 40 as the same character, and writes the latter."""
    source = read(b"# coding: cp932\n'\xfa\x5c'\n")
    assert source.text.encode("cp932") == b"# coding: cp932\n'\xed\x40'\n"
    with pytest.raises(InputError, match=r"a\.py: cannot be edited without changing other bytes, since it is CP932"):
        apply(source, [Splice(len(source.text), len(source.text), "x\n")])


@pytest.mark.parametrize(
    ("raw", "text", "complaint"),
    [
        (b"# coding: latin-1\n", "a€", "is ISO-8859-1, which cannot hold U+20AC EURO SIGN; convert it to UTF-8 first"),
        (b"# coding: ascii\n", "é", "is ASCII, which cannot hold U+00E9 LATIN SMALL LETTER E WITH ACUTE"),
        (b"", "a\ud800", "is UTF-8, which cannot hold U+D800;"),
    ],
    ids=["latin-1", "ascii", "surrogate"],
)
def test_f36_what_the_encoding_cannot_hold_is_named(raw: bytes, text: str, complaint: str) -> None:
    source = read(raw)
    with pytest.raises(InputError, match=re.escape("a.py: " + complaint)):
        apply(source, [Splice(len(source.text), len(source.text), text)])


@pytest.mark.parametrize(
    ("raw", "text", "complaint"),
    [
        (b"x\n", "\0", "with it a.py: is not text: byte 0 is NUL"),
        (b"'\xc3\xa9'\n", "# coding: latin-1\n", "it would be read as another one"),
        (b"'\xc3\xa9'\n", "# coding: ascii\n", "with it a.py: is not ASCII"),
        (b"x\n", "# coding: rot13\n", "with it a.py: cannot be read as rot13"),
        (b"x\n", "# coding: punycode\n", "with it a.py: cannot be read as punycode"),
        (b"x\n", "\ufeff", "it would be read as another one"),
        (b"x\n", "y" * 4 * 1024 * 1024, "with it a.py: is longer than 4 MiB"),
    ],
    ids=["nul", "cookie", "ascii", "no text encoding", "punycode", "mark", "long"],
)
def test_f31_text_that_would_change_how_the_file_is_read_is_refused(raw: bytes, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match="the new text is refused, since " + complaint):
        apply(read(raw), [Splice(0, 0, text)])


@pytest.mark.parametrize(
    "splices", [[(1, 3), (2, 4)], [(3, 3), (1, 1)], [(2, 1)], [(-1, 1)], [(4, 5)]], ids=lambda pairs: str(pairs)
)
def test_splices_that_overlap_or_lie_outside_are_an_error(splices: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="begins before"):
        apply(read(b"abcd"), [Splice(start, end, "x") for start, end in splices])


# --- unified

GIT = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
APPLY: dict[str, list[str]] = {"git": ["git", "apply"], "patch": ["patch", "-p1", "--quiet"]}


def run(arguments: list[str], directory: Path, stdin: bytes = b"") -> bytes:
    done = subprocess.run(arguments, input=stdin, cwd=directory, env=GIT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def available(program: str) -> str:
    if subprocess.run(["sh", "-c", f"command -v {program}"], capture_output=True, check=False).returncode:
        pytest.skip(f"{program} is not installed")
    return program


def diff_applies(program: str, directory: Path, name: str, old: bytes, new: bytes) -> None:
    path = directory / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(old)
    with chdir(directory):
        diff = unified(Source(name, Path(name), old, "", "latin-1"), new)
    assert bool(diff) == (old != new)
    if diff:
        run(APPLY[program], directory, diff.encode("utf-8", "surrogateescape"))
    assert path.read_bytes() == new


LINES = st.sampled_from(
    [b"", b"a", b"b", b"\r", b"a\rb", b"\x0c", b"a\x0b", b"\xe9", b"-- a", b"++ b", b"@@ -1 +1 @@", b"\xe2\x80\xa8"]
)


@st.composite
def versions(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A file and what a few changes make of it; either may lack the last line's end, or be empty."""
    old = draw(st.lists(LINES, max_size=30))
    new = list(old)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(new)))
        new[start : start + draw(st.integers(0, 3))] = draw(st.lists(LINES, max_size=3))
    ends = draw(st.tuples(st.booleans(), st.booleans()))
    before, after = (b"".join(line + b"\n" for line in lines) for lines in (old, new))
    return before if ends[0] else before[:-1], after if ends[1] else after[:-1]


@pytest.mark.parametrize("program", ["git", "patch"])
def test_f31_a_diff_applies(program: str) -> None:
    available(program)

    @given(versions())
    @settings(max_examples=150, deadline=None, database=None)
    def check(pair: tuple[bytes, bytes]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            diff_applies(program, Path(directory), "a.py", *pair)

    check()


NAMES = [
    "plain.py",
    "a b.py",
    'q"uote',
    "back\\slash",
    "tab\t",
    "new\nline",
    "é ü.py",
    "\x1b[31m\a",
    "-x",
    "a/b/c d",
    "\udcff",
]


@pytest.mark.parametrize("program", ["git", "patch"])
def test_f38_names_are_quoted_as_git_does(program: str, tmp_path: Path) -> None:
    available(program)
    for name in NAMES:
        diff_applies(program, tmp_path, name, OLD, NEW)
    run(["git", "init", "--quiet"], tmp_path)
    for name in NAMES:
        (tmp_path / name).write_bytes(OLD)
    run(["git", "add", "."], tmp_path)
    ours = []
    for name in NAMES:
        with chdir(tmp_path):
            ours += (
                unified(Source(name, Path(name), OLD, "", ""), NEW).encode("utf-8", "surrogateescape").split(b"\n")[:2]
            )
        (tmp_path / name).write_bytes(NEW)
    theirs = [line for line in run(["git", "diff"], tmp_path).split(b"\n") if line.startswith((b"--- ", b"+++ "))]
    assert sorted(ours) == sorted(theirs)


def test_a_diff_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = read(b"".join(b"%d\n" % n for n in range(1, 21)))
    new = source.raw.replace(b"5\n6\n", b"5\nfive\n6\n").replace(b"20\n", b"twenty")
    assert unified(source, new).splitlines() == [
        *("--- a/a.py", "+++ b/a.py"),
        *("@@ -3,6 +3,7 @@", " 3", " 4", " 5", "+five", " 6", " 7", " 8"),
        *("@@ -17,4 +18,4 @@", " 17", " 18", " 19", "-20", "+twenty"),
        "\\ No newline at end of file",
    ]
    assert unified(source, source.raw) == ""
    assert unified(read(b""), b"x\n").splitlines()[2:] == ["@@ -0,0 +1,1 @@", "+x"]
    assert unified(read(b"x\n"), b"").splitlines()[2:] == ["@@ -1,1 +0,0 @@", "-x"]


def test_a_diff_names_the_file_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "sub").mkdir(parents=True)
    (tmp_path / "here" / "sub" / "real.py").write_bytes(OLD)
    (tmp_path / "here" / "link.py").symlink_to("sub/real.py")
    (tmp_path / "other.py").write_bytes(OLD)
    monkeypatch.chdir(tmp_path / "here")

    def name(path: Path | str) -> str:
        first, second, *_ = unified(read_file(Path(path)), NEW).splitlines()
        assert (first[:6], second[:6], first[6:]) == ("--- a/", "+++ b/", second[6:])
        return first[6:]

    for path in ("sub/real.py", "./sub/../sub/real.py", tmp_path / "here" / "sub" / "real.py", "link.py"):
        assert name(path) == "sub/real.py"
    for path in ("../other.py", tmp_path / "other.py"):
        assert name(path) == str(tmp_path / "other.py")[1:]
    monkeypatch.chdir(tmp_path / "here" / "sub")
    source = read_file(tmp_path / "here" / "sub" / "real.py")
    Path("real.py").unlink()
    Path.cwd().rmdir()
    assert unified(source, NEW).startswith(f"--- a{tmp_path}/here/sub/real.py\n")
    monkeypatch.chdir(tmp_path)
    assert unified(decode(OLD, "standard input"), NEW).startswith("--- a/-\n+++ b/-\n")


def test_a_diff_applies_in_a_directory_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(["git", "init", "--quiet"], tmp_path)
    diff_applies("git", tmp_path / "sub", "a.py", OLD, NEW)


def test_f24_a_diff_of_a_long_file_is_quick() -> None:
    """A million equal lines: nothing but the neighbourhood of the change is compared."""
    source = Source("a.py", Path("a.py"), b"\n" * 1_000_000, "", "utf-8")
    diff = unified(source, source.raw[:500_000] + b"x\n" + source.raw[500_000:])
    assert diff.splitlines()[2:] == ["@@ -499998,6 +499998,7 @@", " ", " ", " ", "+x", " ", " ", " "]


# --- write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "dir").mkdir()
    path = tmp_path / "dir" / "a.py"
    path.write_bytes(OLD)
    return path


def alone(path: Path) -> bool:
    return list(path.parent.iterdir()) == [path]


def test_new_bytes_are_written(file: Path) -> None:
    write(read_file(file), NEW)
    assert file.read_bytes() == NEW
    assert alone(file)


def test_equal_bytes_are_not_written(file: Path) -> None:
    before = file.stat()
    write(read_file(file), OLD)
    assert file.stat() == before


def test_standard_input_is_not_written() -> None:
    with pytest.raises(InputError, match="standard input: cannot be written to"):
        write(decode(OLD, "standard input"), NEW)


@pytest.mark.parametrize(
    "name", ["-x.py", "a:1.py", "new\nline.py", "😀" * 63 + ".py", "n" * 255, "\udcff.py"], ids=ascii
)
def test_f35_names_of_all_kinds_are_written(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(OLD)
    write(read_file(Path(name)), NEW)
    assert Path(name).read_bytes() == NEW
    assert os.listdir() == [name]  # noqa: PTH208


def test_f32_a_symlink_stays(tmp_path: Path, file: Path) -> None:
    (tmp_path / "first").symlink_to("sub/second")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "second").symlink_to("../third")
    (tmp_path / "third").symlink_to(file)
    write(read_file(tmp_path / "first"), NEW)
    assert str((tmp_path / "first").readlink()) == "sub/second"
    assert str((tmp_path / "sub" / "second").readlink()) == "../third"
    assert (tmp_path / "third").readlink() == file
    assert not file.is_symlink()
    assert file.read_bytes() == NEW
    assert alone(file)


def test_f32_a_hard_link_is_refused(tmp_path: Path, file: Path) -> None:
    (tmp_path / "other").hardlink_to(file)
    with pytest.raises(InputError, match=r"a\.py: is one of 2 hard links to the same file"):
        write(read_file(file), NEW)
    assert file.read_bytes() == (tmp_path / "other").read_bytes() == OLD
    assert alone(file)


@pytest.mark.parametrize("mode", [0o755, 0o444, 0o600, 0o666, 0o4755, 0o2755, 0o1644, 0o000], ids=oct)
def test_f32_the_mode_stays(file: Path, mode: int) -> None:
    source = read_file(file)
    file.chmod(mode)
    if not os.access(file, os.R_OK):
        pytest.skip("only root may read a file of mode 0")
    umask = os.umask(0o077)
    try:
        write(source, NEW)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.read_bytes() == NEW


root_alone = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to somebody else")


@root_alone
@pytest.mark.parametrize(
    ("permitted", "owner", "group", "mode"),
    [("both", 12345, 23456, 0o6764), ("group", 0, 23456, 0o764), ("neither", 0, 0, 0o744)],
    ids=["both", "group", "neither"],
)
def test_f32_owner_and_group_stay_where_we_may(
    file: Path, monkeypatch: pytest.MonkeyPatch, permitted: str, owner: int, group: int, mode: int
) -> None:
    os.chown(file, 12345, 23456)
    file.chmod(0o6764)
    change = os.fchown

    def fchown(descriptor: int, uid: int, gid: int) -> None:
        if permitted == "neither" or (permitted == "group" and uid != -1):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        change(descriptor, uid, gid)

    monkeypatch.setattr(os, "fchown", fchown)
    write(read_file(file), NEW)
    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (owner, group, mode)


def set_attribute(path: Path, name: str, value: bytes) -> None:
    if sys.platform != "linux":
        pytest.skip("extended attributes are kept on Linux alone")
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"{name} cannot be set here: {error.strerror}")


def access_list(user: int, others: int) -> bytes:
    """Of POSIX, as Linux keeps it: version 2, then tag, permission and id of owner, a user, group, mask and others."""
    entries = [(0x01, 6, 0xFFFFFFFF), (0x02, 4, user), (0x04, 0, 0xFFFFFFFF), (0x10, 4, 0xFFFFFFFF)]
    entries.append((0x20, others, 0xFFFFFFFF))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.mark.skipif(sys.platform != "linux", reason="extended attributes are kept on Linux alone")
class TestAttributes:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("user.test", b"kept"), ("system.posix_acl_access", access_list(12345, 0))],
        ids=["user", "access list"],
    )
    def test_f32_attributes_stay(self, file: Path, name: str, value: bytes) -> None:
        set_attribute(file, name, value)
        mode = file.stat().st_mode
        write(read_file(file), NEW)
        assert os.getxattr(file, name) == value
        assert file.stat().st_mode == mode

    def test_f32_the_directory_lets_nobody_in(self, file: Path) -> None:
        """The file is older than the list its directory gives to new files."""
        set_attribute(file.parent, "system.posix_acl_default", access_list(12345, 0))
        file.chmod(0o640)
        write(read_file(file), NEW)
        assert os.listxattr(file) == []

    def test_f32_capabilities_go(self, file: Path) -> None:
        set_attribute(file, "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
        write(read_file(file), NEW)
        assert "security.capability" not in os.listxattr(file)

    @pytest.mark.parametrize("function", ["listxattr", "setxattr"])
    def test_f32_a_file_system_without_attributes(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, function: str
    ) -> None:
        set_attribute(file, "user.test", b"kept")
        monkeypatch.setattr(os, function, raising(OSError(errno.ENOTSUP, "Operation not supported")))
        write(read_file(file), NEW)
        assert file.read_bytes() == NEW


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*_: Any, **__: Any) -> Any:
        raise error

    return function


def other_content(path: Path) -> None:
    path.write_bytes(b"x = 2\n")


def longer(path: Path) -> None:
    path.write_bytes(OLD + OLD)


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"x = 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def other_file(path: Path) -> None:
    (path.parent / "new").write_bytes(b"x = 2\n")
    (path.parent / "new").replace(path)


def deleted(path: Path) -> None:
    path.unlink()


def equal_file(path: Path) -> None:
    (path.parent / "new").write_bytes(OLD)
    (path.parent / "new").replace(path)


CHANGES = [other_content, longer, same_size_and_time, other_file, deleted]


def snapshot(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("change", CHANGES)
def test_f33_a_change_since_the_file_was_read(file: Path, change: Callable[[Path], None]) -> None:
    source = read_file(file)
    change(file)
    before = snapshot(file.parent)
    with pytest.raises(FileChangedError, match=r"a\.py: (has changed since it was read|is gone); nothing was written"):
        write(source, NEW)
    assert snapshot(file.parent) == before


@pytest.mark.parametrize("change", [*CHANGES, equal_file])
def test_f33_a_change_while_the_file_is_written(
    file: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sync, before = read_file(file), os.fsync, {}

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        change(file)
        before.update({name: raw for name, raw in snapshot(file.parent).items() if not re.fullmatch(TEMPORARY, name)})

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(FileChangedError):
        write(source, NEW)
    assert snapshot(file.parent) == before


def test_f33_a_symlink_that_leads_elsewhere_meanwhile(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, other, sync = tmp_path / "link.py", tmp_path / "other.py", os.fsync
    link.symlink_to(file)
    other.write_bytes(OLD)
    source = read_file(link)

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        link.unlink()
        link.symlink_to(other)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(FileChangedError):
        write(source, NEW)
    assert (file.read_bytes(), other.read_bytes()) == (OLD, OLD)
    assert alone(file)


def test_f33_an_equal_file_in_its_place_is_written(file: Path) -> None:
    """Nobody's bytes are lost."""
    source = read_file(file)
    equal_file(file)
    write(source, NEW)
    assert file.read_bytes() == NEW


def test_f35_what_is_no_file_any_more_is_refused_at_once(file: Path) -> None:
    source = read_file(file)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(InputError, match=r"a\.py: is not a regular file"):
        write(source, NEW)
    file.unlink()
    file.mkdir()
    with pytest.raises(CodellamaError, match=r"a\.py: cannot be written: Is a directory; it is as it was"):
        write(source, NEW)
    assert alone(file)


CALLS = ["open", "write", "fsync", "close", "fchmod", "fchown", "replace", "fstat", "lstat", "stat", "readlink"]
CALLS += [name for name in ("listxattr", "getxattr", "setxattr") if hasattr(os, name)]


@contextmanager
def failing(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, *, at: int, done: bool = False, lasting: bool = False
) -> Iterator[list[str]]:
    """Call number `at` to the operating system raises, after it was done or instead; lasting: all later ones too."""
    calls: list[str] = []

    def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            fails = len(calls) == at or (lasting and len(calls) > at)
            if fails and not done:
                raise error
            result = function(*arguments, **options)
            if fails:
                raise error
            return result

        return call

    with monkeypatch.context() as patched:
        for name in [*CALLS, "unlink"]:
            patched.setattr(os, name, wrapped(name, getattr(os, name)))
        yield calls


def prepared(file: Path) -> Source:
    """The file as it was, in such a way that to write it needs every call."""
    file.unlink(missing_ok=True)
    file.write_bytes(OLD)
    if sys.platform == "linux":
        with suppress(OSError):
            os.setxattr(file, "user.test", b"kept")
    if os.geteuid() == 0:
        os.chown(file, 12345, 23456)
    return read_file(file)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_f34_a_full_disk_at_any_call(file: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool) -> None:
    said: set[str] = set()
    failed: list[str] = []
    survived: list[str] = []
    for at in range(1, 100):
        source = prepared(file)
        full = OSError(errno.ENOSPC, "No space left on device")
        try:
            with failing(monkeypatch, full, at=at, lasting=lasting) as calls:
                write(source, NEW)
        except CodellamaError as error:
            said.add(str(error))
            assert file.read_bytes() == OLD
            failed.append(calls[at - 1])
        else:
            assert file.read_bytes() == NEW
            survived += calls[at - 1 : at]
        if lasting:
            for path in file.parent.iterdir():
                assert path == file or re.fullmatch(TEMPORARY, path.name)
                if path != file:
                    path.unlink()
        assert alone(file)
        if len(calls) < at:
            break
    assert len(calls) < at
    assert said == {f"{file}: cannot be written: No space left on device; it is as it was"}
    assert {"open", "write", "fsync", "close", "fchmod", "replace"} <= set(failed)
    assert {"fchown", "setxattr"} <= set(failed) or os.geteuid() or sys.platform != "linux"
    # of the directory, after all is done
    assert survived == ["open", "fsync", "close"]


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_f39_an_interrupt_at_any_call(file: Path, monkeypatch: pytest.MonkeyPatch, done: bool) -> None:
    found = set()
    for at in range(1, 100):
        source = prepared(file)
        try:
            with failing(monkeypatch, KeyboardInterrupt(), at=at, done=done) as calls:
                write(source, NEW)
        except KeyboardInterrupt:
            found.add(file.read_bytes())
        else:
            break
        assert alone(file)
    assert len(calls) < at
    assert found == {OLD, NEW}


def test_f34_a_limit_of_the_kernel() -> None:
    """A disk that is full in mid-file, as far as a test may have one: a first part is written, the second fails."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.py"
        path.write_bytes(OLD)
        program = (
            "import resource, sys; from pathlib import Path; from codellama import edit, errors, source\n"
            "read = source.read_file(Path(sys.argv[1]))\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
            "try: edit.write(read, b'y' * 20000)\n"
            "except errors.CodellamaError as error: print(error)"
        )
        said = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=True, env=environment()
        ).stdout
        assert said == f"{path}: cannot be written: File too large; it is as it was\n"
        assert path.read_bytes() == OLD
        assert alone(path)


def test_a_write_in_parts_is_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: put(descriptor, data[:5]))
    write(read_file(file), NEW)
    assert file.read_bytes() == NEW


def test_f34_nothing_is_replaced_before_it_is_on_the_disk(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, done = read_file(file), []
    sync, put, replace = os.fsync, os.write, os.replace

    def fsync(descriptor: int) -> None:
        done.append("fsync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        sync(descriptor)

    def written(descriptor: int, data: bytes) -> int:
        done.append("write")
        (temporary,) = (path for path in file.parent.iterdir() if path != file)
        assert re.fullmatch(TEMPORARY, temporary.name)
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        return put(descriptor, data)

    def replaced(*arguments: Any) -> None:
        done.append("replace")
        replace(*arguments)

    for name, function in {"fsync": fsync, "write": written, "replace": replaced}.items():
        monkeypatch.setattr(os, name, function)
    write(source, NEW)
    assert done == ["write", "fsync file", "replace", "fsync directory"]


def test_f34_somebody_elses_file_is_not_taken(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    theirs = file.parent / f".a.py.{'0' * 16}.codellama"
    theirs.write_bytes(b"theirs")
    with pytest.raises(CodellamaError, match="cannot be written: File exists; it is as it was"):
        write(read_file(file), NEW)
    assert (file.read_bytes(), theirs.read_bytes()) == (OLD, b"theirs")


KILLED = r"""
import itertools, os, random, re, signal, sys, time
from pathlib import Path
from codellama import edit, source

path = Path(sys.argv[1])
old, new = b"old\n" * 5000, b"new\n" * 7000
left = 0

def check():
    global left
    for other in path.parent.iterdir():
        if other != path:
            assert re.fullmatch(sys.argv[2], other.name), other
            other.unlink()
            left += 1
    found = path.read_bytes()
    assert found in (old, new), found
    return found

def kill_at(at, after):
    calls = itertools.count(1)
    def wrapped(function):
        def call(*arguments, **options):
            dies = next(calls) == at
            result = function(*arguments, **options) if after or not dies else None
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        return call
    for name in sys.argv[3].split():
        setattr(os, name, wrapped(getattr(os, name)))

ends = {False: set(), True: set()}
for after in (False, True):
    for at in itertools.count(1):
        path.write_bytes(old)
        child = os.fork()
        if not child:
            read = source.read_file(path)
            kill_at(at, after)
            edit.write(read, new)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ends[after].add(check())
        if status == 0:
            break
    assert at > 10, at
    assert ends[after] == {old, new}
assert left
seen = set()
for _ in range(50):
    begun, begins = os.pipe()
    child = os.fork()
    if not child:
        while True:
            read = source.read_file(path)
            edit.write(read, new if read.raw == old else old)
            os.write(begins, b".")
    # however slow the disk is, it was written at least once
    os.read(begun, 1)
    time.sleep(random.uniform(0, 0.005))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(begun)
    os.close(begins)
    seen.add(check())
assert seen == {old, new}
print("survived")
"""


def test_f34_a_kill_at_any_call_and_at_any_moment(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, file, TEMPORARY, " ".join(CALLS)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    assert done.stdout == "survived\n", done.stderr


# --- hidden


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\n\tif\f:\r\n", []),
        ("a\u202eb", [(1, "U+202E RIGHT-TO-LEFT OVERRIDE")]),
        ("\u2066\u2069", [(0, "U+2066 LEFT-TO-RIGHT ISOLATE"), (1, "U+2069 POP DIRECTIONAL ISOLATE")]),
        ("x\u200by", [(1, "U+200B ZERO WIDTH SPACE")]),
        ("\ufeff", [(0, "U+FEFF ZERO WIDTH NO-BREAK SPACE")]),
        ("\U000e0041", [(0, "U+E0041 TAG LATIN CAPITAL LETTER A")]),
        ("ab\x1b[31m", [(2, "U+001B")]),
        ("\x00\x7f\x9b", [(0, "U+0000"), (1, "U+007F"), (2, "U+009B")]),
        ("a\rb\r\r\n\v", [(1, "U+000D"), (3, "U+000D"), (6, "U+000B")]),
        ("é あ — 👩‍💻 ❤️‍🔥", []),
        ("x1\ufe0f\u200d", [(2, "U+FE0F VARIATION SELECTOR-16"), (3, "U+200D ZERO WIDTH JOINER")]),
    ],
    ids=ascii,
)
def test_f28_hidden_characters_are_found(text: str, found: list[tuple[int, str]]) -> None:
    assert hidden(text) == found


@given(st.text("ax\n\t\r\x1b\x85\u00ad\u202e\u200b\u200d\ufe0e\ufe0f👩❤☺\u2028"))
def test_f28_what_the_sanitiser_shows_is_hidden(text: str) -> None:
    assert bool(hidden(text)) == (sanitise(text) != text.replace("\r\n", "\n"))


def test_f28_hidden_characters_are_refused() -> None:
    refuse_hidden("x = 1  # é\n\f\n")
    with pytest.raises(NoCompletionError, match=r"hidden character U\+202E RIGHT-TO-LEFT OVERRIDE at offset 2, so"):
        refuse_hidden("a \u202e")
    with pytest.raises(NoCompletionError, match=r"U\+001B at offset 0 and 2 more, so"):
        refuse_hidden("\x1b\x1b\x1b")
