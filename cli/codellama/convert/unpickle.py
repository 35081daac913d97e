"""Reads the pickle of a checkpoint without running anything in it.

A pickle is a program that may call whatever it can import. `pickletools.genops` only takes it apart; the few
operations that `torch.save` needs for a dictionary of tensors are interpreted here over names, numbers and tuples.
No name is ever looked up: one that is not known below is refused.

The names are those of torch/_utils.py and torch/storage.py; what torch.save writes is described in
torch/serialization.py.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LONGEST = 4_000_000
# bytes; that of a 70B's shard has 0.2 MB
MOST_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Element:
    """The type of a storage's elements."""

    torch: str
    # as torch's class is called
    safetensors: str | None
    # None: no checkpoint's weights have it
    bytes: int


ELEMENTS = {
    f"torch {element.torch}Storage": element
    for element in (
        Element("BFloat16", "BF16", 2),
        Element("Half", "F16", 2),
        Element("Float", "F32", 4),
        Element("Double", None, 8),
        Element("ComplexFloat", None, 8),
        Element("Long", None, 8),
        Element("Int", None, 4),
        Element("Short", None, 2),
        Element("Char", None, 1),
        Element("Byte", None, 1),
        Element("Bool", None, 1),
    )
}
ORDERED_DICT = "collections OrderedDict"
REBUILD = "torch._utils _rebuild_tensor_v2"


class UnpicklingError(Exception):
    """What is wrong with a pickle, in words that go on after the file's name."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as the pickle describes it. Nothing in it is checked against a storage yet."""

    key: str
    # of its storage
    element: Element
    storage_size: int
    # elements
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    # elements


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    element: Element
    size: int


@dataclass(frozen=True, slots=True)
class _Name:
    """A name of Python's that stands for itself alone."""

    text: str


class _Mark:
    pass


def state_dict(pickle: bytes) -> dict[str, StoredTensor]:
    """The tensors of a dictionary that torch.save wrote. Raises UnpicklingError for every other pickle."""
    if len(pickle) > LONGEST:
        raise UnpicklingError(f"its pickle has {len(pickle)} bytes, far more than any model needs")
    try:
        value = _Machine().run(pickle)
    except UnpicklingError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise UnpicklingError("its pickle is malformed") from error
    if not isinstance(value, dict):
        raise UnpicklingError("holds no dictionary of tensors")
    if not all(isinstance(tensor, StoredTensor) for tensor in value.values()):
        raise UnpicklingError("holds other things than tensors by name")
    return value


class _Machine:
    """The stack machine that a pickle is a program for, with the operations below and no others."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, pickle: bytes) -> object:
        for operation, argument, _ in pickletools.genops(pickle):
            if operation.name == "STOP":
                break
            if operation.name in _CONSTANTS:
                self._stack.append(_CONSTANTS[operation.name])
            elif operation.name in _LITERALS:
                self._stack.append(argument)
            elif operation.name in _OPERATIONS:
                _OPERATIONS[operation.name](self, argument)
            else:
                raise UnpicklingError(f"its pickle does {operation.name}, which no dictionary of tensors needs")
        (value,) = self._stack
        return value

    def _nothing(self, argument: object) -> None:
        pass

    def _mark(self, argument: object) -> None:
        self._stack.append(_Mark)

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self._stack.pop()) is not _Mark:
            items.append(item)
        return items[::-1]

    def _dictionary(self, argument: object) -> None:
        self._stack.append({})

    def _tuple(self, argument: object) -> None:
        self._stack.append(tuple(self._since_mark()))

    def _tuple_of(self, count: int) -> None:
        items = [self._stack.pop() for _ in range(count)]
        self._stack.append(tuple(items[::-1]))

    def _set_item(self, argument: object) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _set_items(self, argument: object) -> None:
        self._set(self._since_mark())

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise TypeError
        for key, value in zip(items[::2], items[1::2], strict=True):
            # nothing else is ever hashed: the hash of a tuple deep enough would overflow the stack
            if not isinstance(key, str):
                raise UnpicklingError("holds other things than tensors by name")
            if key in target:
                raise UnpicklingError(f"holds {key[:80]!r} twice")
            target[key] = value

    def _put(self, argument: int | None) -> None:
        # MEMOIZE has no argument: it takes the next number
        self._memo[len(self._memo) if argument is None else argument] = self._stack[-1]

    def _get(self, argument: int) -> None:
        self._stack.append(self._memo[argument])

    def _global(self, argument: str | None) -> None:
        if argument is None:
            name, module = self._stack.pop(), self._stack.pop()
            if not (isinstance(module, str) and isinstance(name, str)):
                raise TypeError
            argument = f"{module} {name}"
        if argument not in (ORDERED_DICT, REBUILD, *ELEMENTS):
            called = argument.replace(" ", ".")[:80]
            raise UnpicklingError(
                f"its pickle asks for {called}, which no model needs: this may be an attack; nothing of it was run"
            )
        self._stack.append(_Name(argument))

    def _persistent(self, argument: object) -> None:
        kind, name, key, _, size = self._stack.pop()
        if kind != "storage" or not isinstance(name, _Name) or not isinstance(key, str) or not _count(size):
            raise TypeError
        self._stack.append(_Storage(key, ELEMENTS[name.text], size))

    def _reduce(self, argument: object) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise TypeError
        if function.text == ORDERED_DICT and not arguments:
            self._stack.append({})
        elif function.text == REBUILD:
            self._stack.append(_rebuild(arguments))
        else:
            raise TypeError

    def _build(self, argument: object) -> None:
        # state_dict() hangs `_metadata` on its dictionary: versions of modules, of no use here
        self._stack.pop()
        if not isinstance(self._stack[-1], dict):
            raise TypeError


def _rebuild(arguments: tuple[Any, ...]) -> StoredTensor:
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, _Storage) or not 4 <= len(arguments) <= 7:
        raise TypeError
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= MOST_DIMENSIONS):
        raise TypeError
    if not all(map(_count, (offset, *shape, *strides))):
        raise TypeError
    return StoredTensor(storage.key, storage.element, storage.size, offset, shape, strides)


def _count(number: object) -> bool:
    # by type, since True is an int to Python
    return type(number) is int and 0 <= number < 2**63


_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine._nothing,
    "FRAME": _Machine._nothing,
    "MARK": _Machine._mark,
    "EMPTY_DICT": _Machine._dictionary,
    "TUPLE": _Machine._tuple,
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._put,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._global,
    "BINPERSID": _Machine._persistent,
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
}
