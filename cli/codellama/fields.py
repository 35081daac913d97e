"""A JSON file of a model directory, read key by key: whatever is wrong is an InputError that names file and key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeGuard, TypeVar, cast

from codellama.errors import InputError

T = TypeVar("T")

LONGEST_JSON = 100_000_000
# bytes; safetensors itself allows no longer header
LARGEST = 2**31 - 1


@contextmanager
def reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read: {error.strerror}") from error


class Fields:
    """A JSON file's object, read key by key; what has the wrong type is an InputError that names file and key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path):
            if not path.is_file() or path.stat().st_size > LONGEST_JSON:
                raise self.error("not a file, or far too long")
            text = path.read_bytes()
        try:
            self.values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.error("not JSON") from error
        if not isinstance(self.values, dict):
            raise self.error("not a JSON object")

    def error(self, what: str) -> InputError:
        return InputError(f"{self.path}: {what}")

    def get(self, name: str, kind: type[T]) -> T | None:
        """A value that may be missing or null."""
        value = self.values.get(name)
        # by type, since True is an int to Python
        if value is None or type(value) is kind:
            return value
        raise self.error(f"{name} is {short(value)}: {kind.__name__} expected")

    def require(self, name: str, wanted: object, default: object = None) -> None:
        value = self.values.get(name, default)
        if value != wanted:
            raise self.error(f"{name} is {short(value)}: only Llama models with {short(wanted)} are supported")

    def integer(self, name: str, default: int | None = None, least: int = 1, most: int = LARGEST) -> int:
        value = self.get(name, int)
        if value is None:
            value = default
        if value is None:
            raise self.error(f"lacks {name}")
        if not least <= value <= most:
            raise self.error(f"{name} is {short(value)}: a number from {least} to {most} expected")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.values.get(name, default)
        if value is None:
            raise self.error(f"lacks {name}")
        if not is_number(value) or value <= 0:
            raise self.error(f"{name} is {short(value)}: a number above 0 expected")
        return float(value)

    def ids(self, name: str) -> tuple[int, ...]:
        """Token ids, given as one or as a list; empty where there is none."""
        value = self.values.get(name)
        given = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(item) is int and 0 <= item <= LARGEST for item in given):
            raise self.error(f"{name} is {short(value)}: a token id or a list of them expected")
        return tuple(given)


def short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float) and abs(cast("float", value)) <= LARGEST
