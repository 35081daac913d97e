from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codellama import attachments
from codellama.attachments import Place
from codellama.blocks import blocks
from codellama.errors import InputError


@pytest.mark.parametrize(
    ("argument", "place"),
    [
        ("app.py", Place(Path("app.py"))),
        ("app.py:3", Place(Path("app.py"), 3, 3)),
        ("app.py:3-9", Place(Path("app.py"), 3, 9)),
        ("C:\\x", Place(Path("C:\\x"))),
        ("a:b:2-3", Place(Path("a:b"), 2, 3)),
        (":3", Place(Path(":3"))),
        ("app.py:3-", Place(Path("app.py:3-"))),
    ],
)
def test_what_a_person_types(argument: str, place: Place) -> None:
    assert attachments.place(argument) == place


def test_f35_a_file_whose_name_ends_like_lines_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a:3").write_text("x")
    assert attachments.place(str(tmp_path / "a:3")) == Place(tmp_path / "a:3")
    assert attachments.place(str(tmp_path / "a:3:1")) == Place(tmp_path / "a:3", 1, 1)


def test_lines_become_a_fenced_block_below_their_name(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_bytes(b"one\ntwo\x0c2\r\nthree")
    read = attachments.read(Place(path, 2, 3))
    assert read.markdown == f"{path}:2-3:\n```python\ntwo\x0c2\r\nthree\n```\n"
    assert attachments.read(Place(path, 2, 2)).name == f"{path}:2"
    assert attachments.read(Place(path)).markdown.startswith(f"{path}:\n```python\none\n")
    path = tmp_path / "notes.zzz"
    path.write_text("")
    assert attachments.read(Place(path)).markdown == f"{path}:\n```\n```\n"


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 1), (1, 3), (3, 3)])
def test_lines_that_are_not_there_are_refused(tmp_path: Path, first: int, last: int) -> None:
    (tmp_path / "a").write_text("1\n2\n")
    with pytest.raises(InputError, match=rf"a: has 2 lines, so there are no lines {first}-{last}"):
        attachments.read(Place(tmp_path / "a", first, last))


@example("```\n`", "")
@given(st.text(st.sampled_from("`~ a\n"), max_size=40), st.sampled_from(["", "python"]))
def test_any_text_is_one_block_and_comes_out_as_it_was(text: str, language: str) -> None:
    (block,) = blocks(attachments.fenced(text, language))
    assert (block.closed, block.language) == (True, language)
    assert block.text == text + ("" if not text or text.endswith("\n") else "\n")
