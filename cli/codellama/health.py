"""The files of a model's directory and whether they are sound, as far as can be told without reading all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codellama.checkpoint import INDEX, Checkpoint, read_header
from codellama.errors import CodellamaError, InputError
from codellama.fields import Fields
from codellama.tokenizer import Tokenizer

UNREAD = (".bin", ".pth", ".pt", ".ckpt", ".msgpack", ".h5", ".onnx", ".gguf", ".py")
# weights in other formats, and code


@dataclass(frozen=True, slots=True)
class File:
    name: str
    bytes: int
    note: str
    # what is in it, or that nothing is read of it
    fault: str | None
    # what is wrong with it; None: nothing that its size and header show


@dataclass(frozen=True, slots=True)
class Health:
    files: tuple[File, ...]
    checkpoint: Checkpoint | None
    # None: it cannot be loaded
    faults: tuple[str, ...]
    # all of them, in whole sentences


def examine(directory: Path) -> Health:
    """Look at every file, and at whether they go together."""
    files = tuple(_file(path) for path in sorted(directory.iterdir()) if not path.is_dir())
    faults = [file.fault for file in files if file.fault]
    checkpoint = None
    try:
        checkpoint = Checkpoint.read(directory)
    except InputError as error:
        faults.append(str(error))
    try:
        Tokenizer.load(directory)
    except InputError as error:
        faults.append(str(error))
    # a fault of a file comes again with the whole
    return Health(files, checkpoint, tuple(dict.fromkeys(faults)))


def _file(path: Path) -> File:
    try:
        size = path.stat().st_size
    except OSError as error:
        return File(path.name, 0, "", f"{path}: cannot be read: {error.strerror}")
    note, fault = "", None
    try:
        if path.suffix == ".safetensors":
            note = f"{len(read_header(path))} tensors"
        elif path.name == INDEX:
            placed = Fields(path).get("weight_map", dict) or {}
            note = f"{len(placed)} tensors in {len(set(map(str, placed.values())))} files"
        elif path.suffix == ".json" and path.name != "tokenizer.json":
            Fields(path)
        elif path.name in ("tokenizer.model", "tokenizer.json"):
            note = f"{Tokenizer.load(path).size} pieces"
        elif path.suffix in UNREAD:
            note = "not read"
    except CodellamaError as error:
        fault = str(error)
    return File(path.name, size, note, fault)
