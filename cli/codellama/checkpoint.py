"""What lies in a Hugging Face model directory: its config and the headers of its weights.

Read by hand, in milliseconds: nothing is mapped and no tensor is touched, so a broken file is refused
before anything heavy starts. Remote code, chat templates, adapters and whatever else is in the directory have no
effect.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codellama.config import CONFIG, Config, Quantisation, refuse_metas
from codellama.errors import InputError
from codellama.fields import LONGEST_JSON, Fields, reading, short

GENERATION_CONFIG = "generation_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# what safetensors calls the precisions a model can be stored in, and what torch calls them
SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
# bytes an element of each safetensors type takes


@dataclass(frozen=True, slots=True)
class TensorHeader:
    name: str
    dtype: str
    # as safetensors calls it: BF16, F32, U8 ...
    shape: tuple[int, ...]
    file: Path
    start: int
    stop: int
    # its bytes in the file, counted from the file's beginning

    @property
    def bytes(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class GenerationDefaults:
    """What generation_config.json asks of a sampler."""

    eos_ids: tuple[int, ...] = ()
    # empty: it names none
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    # None: it says nothing


@dataclass(frozen=True, slots=True)
class Checkpoint:
    directory: Path
    config: Config
    files: tuple[Path, ...]
    tensors: Mapping[str, TensorHeader]
    generation_defaults: GenerationDefaults

    @classmethod
    def read(cls, directory: Path) -> Checkpoint:
        """Everything but the tensors. Raises InputError for whatever would keep the model from loading."""
        with reading(directory):
            return cls._read(directory)

    @classmethod
    def _read(cls, directory: Path) -> Checkpoint:
        config = Config.read(directory)
        placed = _weight_map(directory)
        if placed is None:
            files: tuple[Path, ...] = (directory / WEIGHTS,)
        else:
            files = tuple(directory / name for name in sorted(set(placed.values())))
        tensors: dict[str, TensorHeader] = {}
        for file in files:
            if not file.exists():
                raise InputError(f"{directory / INDEX} names {file.name}, which is not there: fetch the model again")
            for header in read_header(file):
                if placed is not None and placed.get(header.name) != file.name:
                    raise InputError(f"{file}: holds {header.name}, which {INDEX} puts elsewhere: fetch both again")
                tensors[header.name] = header
        for name, filename in (placed or {}).items():
            if name not in tensors:
                raise InputError(f"{directory / filename}: lacks {name}, which {INDEX} puts there: fetch both again")
        _check_tensors(directory, config, tensors)
        return cls(directory, config, files, tensors, generation_defaults(directory))

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors, as stored."""
        return sum(header.bytes for header in self.tensors.values())

    @property
    def dtype(self) -> str:
        """The precision most bytes are stored in, quantised ones aside: float32, float16 or bfloat16."""
        return _stored_dtype(self.tensors)


def read_header(file: Path) -> list[TensorHeader]:
    """The tensors of a safetensors file, in the order of their bytes.

    Layout (safetensors' own description): 8 bytes little-endian length of the header, the header as JSON, then
    the tensors' bytes without gaps. Raises InputError where the file's size or the header says otherwise.
    """
    again = "fetch it again"
    with reading(file):
        if not file.is_file():
            raise InputError(f"{file}: not a file")
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > min(size - 8, LONGEST_JSON):
                raise InputError(f"{file}: not a safetensors file, or cut short within its header: {again}")
            text = stream.read(length)
    try:
        entries = json.loads(text)
        entries.pop("__metadata__", None)
        headers = [_tensor(file, 8 + length, name, entry) for name, entry in entries.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file}: its safetensors header is malformed: {again}") from error
    headers.sort(key=lambda header: (header.start, header.stop))
    end = 8 + length
    for header in headers:
        if header.start != end:
            raise InputError(f"{file}: the bytes of {header.name} overlap others or leave a gap: {again}")
        end = header.stop
    if size != end:
        wrong = "cut short" if size < end else "too long"
        raise InputError(f"{file}: {wrong}: {size} bytes, its header says {end}: {again}")
    return headers


def generation_defaults(directory: Path) -> GenerationDefaults:
    """What generation_config.json says, where there is one. Raises InputError where it is malformed."""
    path = directory / GENERATION_CONFIG
    with reading(path):
        if not path.exists():
            return GenerationDefaults()
    fields = Fields(path)
    penalty, ngram = fields.values.get("repetition_penalty"), fields.values.get("no_repeat_ngram_size")
    return GenerationDefaults(
        eos_ids=fields.ids("eos_token_id"),
        repetition_penalty=None if penalty is None else fields.number("repetition_penalty"),
        no_repeat_ngram_size=None if ngram is None else fields.integer("no_repeat_ngram_size", least=0),
    )


def _weight_map(directory: Path) -> dict[str, str] | None:
    """Which shard holds which tensor. None: one file holds them all. Raises InputError where there are no weights."""
    if (directory / WEIGHTS).exists():
        return None
    if not (directory / INDEX).exists():
        refuse_metas(directory)
        names = [path.name for path in directory.iterdir()]
        if any(name.endswith((".bin", ".pth", ".pt")) for name in names):
            raise InputError(f"{directory}: its weights are pickles: only safetensors are read; fetch that format")
        if any(name.startswith("model-") and name.endswith(".safetensors") for name in names):
            raise InputError(f"{directory}: {INDEX} is missing: fetch it again")
        raise InputError(f"{directory}: no weights there: {WEIGHTS} or {INDEX} expected")
    fields = Fields(directory / INDEX)
    placed = fields.get("weight_map", dict)
    if not placed:
        raise fields.error("lacks weight_map: fetch it again")
    for filename in placed.values():
        if not isinstance(filename, str) or filename != Path(filename).name or not filename.endswith(".safetensors"):
            raise fields.error(f"{short(filename)} is no name of a safetensors file beside it")
    return placed


def _tensor(file: Path, base: int, name: str, entry: dict[str, object]) -> TensorHeader:
    """One entry of a safetensors header. Raises ValueError, KeyError, TypeError where it is malformed."""
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and isinstance(shape, list) and isinstance(offsets, list)):
        raise TypeError(name)
    start, stop = offsets
    if not all(type(number) is int and number >= 0 for number in (*shape, start, stop)):
        raise ValueError(name)
    if stop - start != math.prod(shape) * SIZES[dtype]:
        raise ValueError(name)
    return TensorHeader(name, dtype, tuple(shape), file, base + start, base + stop)


def _stored_dtype(tensors: Mapping[str, TensorHeader]) -> str:
    sizes = dict.fromkeys(DTYPES, 0)
    for header in tensors.values():
        if header.dtype in sizes and header.name.endswith(("_tokens.weight", "lm_head.weight", "proj.weight")):
            sizes[header.dtype] += header.bytes
    return DTYPES[max(sizes, key=lambda name: sizes[name])]


def _check_tensors(directory: Path, config: Config, tensors: Mapping[str, TensorHeader]) -> None:
    """Raises InputError unless the tensors are those the config asks for, no more and no less.

    A matrix that bitsandbytes quantised is stored as n/2 bytes (4 bit) or as int8 (8 bit), with its statistics
    beside it under names that go on from its own.
    """
    missing, wrong, known = [], [], {"lm_head.weight"}
    for name, shape in config.shapes():
        header = tensors.get(name)
        known.add(name)
        if header is None:
            missing.append(name)
        elif header.shape != shape or header.dtype not in DTYPES:
            size = math.prod(shape)
            as_4bit = config.quantisation == "4bit" and header.dtype == "U8" and header.bytes == (size + 1) // 2
            as_8bit = config.quantisation == "8bit" and header.dtype == "I8" and header.shape == shape
            if not (as_4bit or as_8bit):
                wrong.append(f"{name} is {header.dtype} {list(header.shape)} where {list(shape)} is expected")
    extra = [name for name in tensors if name not in known and not _goes_along(name, config.quantisation)]
    faults = {"lacks": missing, "wrong shape or type:": wrong, "no part of such a model:": extra}
    for what, names in faults.items():
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(
                f"{directory}: {what} {names[0]}{more}: weights and {CONFIG} do not belong together: fetch both again"
            )


def _goes_along(name: str, quantisation: Quantisation | None) -> bool:
    """Whether a tensor may be there beside the model's own."""
    if name.endswith(".rotary_emb.inv_freq"):
        # older versions of transformers saved it; it follows from the config
        return True
    if quantisation == "4bit":
        return ".weight." in name
    return quantisation == "8bit" and name.endswith((".SCB", ".weight_format"))
