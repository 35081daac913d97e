"""The project that a Python file belongs to: its root, how long its lines may be, which of its files are tests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from codellama.errors import InputError

WIDTH = 88
# columns, black's and ruff's own default
NARROW, WIDE = 20, 1000
# what is outside is no width of a line
_TEST = re.compile(r"test_.*\.pyw?|.*_test\.pyw?|conftest\.py")
_TEST_DIRECTORIES = {"test", "tests"}
_ROOTS = (".git", ".hg", "pyproject.toml", "setup.cfg", "setup.py")
_KEYS = ("line-length", "line_length", "max-line-length", "max_line_length")


def is_test(path: Path) -> bool:
    """Whether a file is a test by pytest's own names, or lies in a directory `test` or `tests` of its project."""
    whole = path.absolute()
    root = _root(whole.parent)
    inside = whole.relative_to(root).parts[:-1] if root else whole.parts[-2:-1]
    return bool(_TEST.fullmatch(path.name)) or not _TEST_DIRECTORIES.isdisjoint(inside)


@cache
def _root(directory: Path) -> Path | None:
    """The nearest directory, this or one above it, that holds a repository or a project's settings."""
    return next((each for each in _upwards(directory) if any((each / name).exists() for name in _ROOTS)), None)


@cache
def line_length(directory: Path) -> int:
    """The width that the nearest settings name for the files of a directory; WIDTH where none do.

    Looked at, in a directory and those above it, up to a repository's own: ruff.toml, pyproject.toml (ruff, black,
    flake8, pycodestyle, pylint), .flake8, setup.cfg and tox.ini (flake8, pycodestyle). What limits docstrings alone
    (pycodestyle's max-doc-length) counts too. Raises InputError for settings that cannot be read.
    """
    for each in _upwards(directory.absolute()):
        found = [width for width in _widths(each) if NARROW <= width <= WIDE]
        if found:
            return found[0]
        if (each / ".git").exists():
            break
    return WIDTH


def _widths(directory: Path) -> Iterator[int]:
    for name in (".ruff.toml", "ruff.toml"):
        yield from _of_ruff(_toml(directory / name))
    tools = _table(_toml(directory / "pyproject.toml"), "tool")
    yield from _of_ruff(_table(tools, "ruff"))
    for tool in ("black", "flake8", "pycodestyle"):
        yield from _named(_table(tools, tool))
    yield from _named(_table(_table(tools, "pylint"), "format"))
    for name in (".flake8", "setup.cfg", "tox.ini"):
        yield from _of_ini(directory / name)


def _of_ruff(table: Mapping[str, Any]) -> Iterator[int]:
    yield from _named(_table(_table(table, "lint"), "pycodestyle"), ("max-doc-length",))
    yield from _named(table)


def _named(
    table: Mapping[str, Any], keys: tuple[str, ...] = ("max-doc-length", "max_doc_length", *_KEYS)
) -> Iterator[int]:
    for key in keys:
        with suppress(KeyError, ValueError, TypeError):
            yield int(table[key])


def _of_ini(path: Path) -> Iterator[int]:
    if not path.is_file():
        return
    from configparser import ConfigParser, Error

    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (OSError, ValueError, Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    for section in ("flake8", "pycodestyle"):
        if parser.has_section(section):
            yield from _named(parser[section])


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    import tomllib  # 4 ms

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = table.get(name)
    return value if isinstance(value, dict) else {}


def _upwards(directory: Path) -> tuple[Path, ...]:
    return directory, *directory.parents
