"""How many bytes a model takes, and where it goes on this machine: arithmetic, done before torch is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import get_args

from codellama.checkpoint import Checkpoint
from codellama.config import Config, Quantisation
from codellama.devices import Gpu, Machine
from codellama.errors import CodellamaError, InputError

SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}
# bytes an element takes; a precision is one of these, or int8 or nf4
QUANTISED = {"4bit": "nf4", "8bit": "int8"}
WORKING = 600_000_000
# bytes on each device beside weights and cache: libraries, the CUDA context, the activations of a 512-token step


@dataclass(frozen=True, slots=True)
class Parts:
    """A number for each part of a model: its parameters, or their bytes."""

    embedding: int
    layer: int
    # one of them
    layers: int
    # how many there are
    norm: int
    head: int
    # 0: tied to the embedding

    @property
    def fixed(self) -> int:
        """All but the layers."""
        return self.embedding + self.norm + self.head

    @property
    def total(self) -> int:
        return self.fixed + self.layers * self.layer

    @property
    def largest(self) -> int:
        """The largest part that stays in one piece."""
        return max(self.embedding, self.layer, self.head)


def parameters(config: Config) -> Parts:
    """How many parameters each part has."""
    matrix = config.vocab_size * config.hidden_size
    layer = sum(rows * columns for rows, columns in config.layer_linears().values()) + 2 * config.hidden_size
    head = 0 if config.tie_word_embeddings else matrix
    return Parts(matrix, layer, config.layers, config.hidden_size, head)


def matrix_bytes(rows: int, columns: int, precision: str) -> int:
    """Bytes of one matrix.

    bitsandbytes' layouts (functional.quantize_4bit and int8_vectorwise_quant): nf4 packs two elements a byte; a
    block of 64 has an 8-bit scale, 256 of those have a float32 scale of their own, and each matrix has its offset
    (1 float32) and its tables (16 and 256). int8 has a float32 scale a row.
    """
    size = rows * columns
    if precision == "nf4":
        blocks = ceil(size / 64)
        return ceil(size / 2) + blocks + 4 * (ceil(blocks / 256) + 1 + 16 + 256)
    if precision == "int8":
        return size + 4 * rows
    return size * SIZES[precision]


def fits_4bit(columns: int) -> bool:
    """Whether a matrix with so many columns is quantised to 4 bit; the others stay as they are.

    bitsandbytes' blocks of 64 go on from row to row, but its code for CPUs (0.50) takes each row to begin with a
    block of its own: where rows end within one it computes with wrong scales. Code Llama's rows are whole blocks.
    """
    return columns % 64 == 0


def weight_bytes(config: Config, precision: str, dtype: str = "bfloat16") -> Parts:
    """Bytes of each part. int8 and nf4 are for the layers' matrices alone; the rest is in `dtype` then."""
    if precision in SIZES:
        dtype = precision
    count, size = parameters(config), SIZES[dtype]
    matrices = sum(
        matrix_bytes(rows, columns, precision if precision != "nf4" or fits_4bit(columns) else dtype)
        for rows, columns in config.layer_linears().values()
    )
    layer = matrices + 2 * config.hidden_size * size
    return Parts(count.embedding * size, layer, config.layers, count.norm * size, count.head * size)


def stored_bytes(checkpoint: Checkpoint) -> Parts:
    """Bytes of each part as the files hold them; layers of different size count as the largest."""
    sizes: dict[str, int] = {}
    for header in checkpoint.tensors.values():
        part = ".".join(header.name.split(".")[:3]) if header.name.startswith("model.layers.") else header.name
        sizes[part] = sizes.get(part, 0) + header.bytes
    layers = [size for part, size in sizes.items() if part.startswith("model.layers.")]
    head = 0 if checkpoint.config.tie_word_embeddings else sizes["lm_head.weight"]
    norm = sizes["model.norm.weight"]
    return Parts(sizes["model.embed_tokens.weight"], max(layers), checkpoint.config.layers, norm, head)


def kv_bytes(config: Config, context: int, batch: int = 1, dtype: str = "bfloat16") -> int:
    """Bytes of the keys and values of `batch` sequences of `context` tokens, in all layers."""
    return 2 * config.layers * config.kv_heads * config.head_dim * context * batch * SIZES[dtype]


Homes = Sequence[tuple[str, int]]
# devices with their free bytes


def gigabytes(size: int) -> str:
    """13.5 GB: of 10⁹ bytes."""
    return f"{size / 1e9:.1f} GB"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a user asks of loading. Raises InputError for what is no dtype, quantisation or device."""

    dtype: str = "auto"
    # auto: as stored
    quantisation: Quantisation | None = None
    # None: as stored
    device: str = "auto"
    # auto, cpu, cuda (any GPUs), cuda:1 or 1

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", *SIZES):
            raise InputError(f"--dtype {self.dtype}: auto, {', '.join(SIZES)} expected")
        if self.quantisation not in (None, *get_args(Quantisation)):
            raise InputError(f"no such quantisation: {self.quantisation}: 4bit or 8bit expected")
        if not re.fullmatch(r"auto|cpu|cuda|(cuda:)?[0-9]{1,3}", self.device):
            raise InputError(f"--device {self.device}: auto, cpu, cuda, or a GPU as cuda:0 or 0 expected")


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a checkpoint goes and in which precision."""

    dtype: str
    # float32, float16 or bfloat16: of all that is not quantised, of activations and cache
    quantisation: Quantisation | None
    # of the layers' matrices, stored so or made so on loading
    device_map: Mapping[str, str]
    # module → cuda:0, cpu or disk; {"": device}: all on one
    needed: int
    free: int
    # bytes: of weights, cache and work; of the devices that compute
    notes: tuple[str, ...] = ()
    # what a user must know, a line each; empty: all is as asked

    @property
    def input_device(self) -> str:
        """Where token ids go, and where what is offloaded is computed."""
        return next(iter(self.device_map.values()))

    def layers_on(self, device: str) -> int:
        """How many layers have their weights on one of several devices."""
        return sum(name.startswith("model.layers.") and home == device for name, home in self.device_map.items())


def plan(checkpoint: Checkpoint, options: LoadOptions, machine: Machine, context: int) -> Plan:
    """Decide precision and devices for `context` tokens.

    `auto` takes the first GPU that holds the model, else the first several, else GPUs with RAM and disk behind
    them, else the CPU, with disk behind it. What bitsandbytes quantised stays in one kind of memory: on the CPU it
    could only follow unquantised, and on disk not at all.

    Raises InputError where an option does not go with the checkpoint or names a GPU that is not there;
    CodellamaError where the model does not fit.
    """
    config, stored = checkpoint.config, checkpoint.config.quantisation
    quantisation = stored or options.quantisation
    if options.quantisation not in (None, quantisation):
        raise InputError(f"{checkpoint.directory}: is stored in {stored} already: leave out --{options.quantisation}")
    dtype = checkpoint.dtype if options.dtype == "auto" else options.dtype
    precision = QUANTISED[quantisation] if quantisation else dtype
    weights = stored_bytes(checkpoint) if stored else weight_bytes(config, precision, dtype)
    cache = kv_bytes(config, context, dtype=dtype)
    gpus: Homes = [(gpu.device, gpu.free) for gpu in _asked(options.device, machine.gpus)]
    ram: Homes = [("cpu", machine.ram_free)]
    auto = options.device == "auto"

    # what to try, and how many layers may be offloaded then
    attempts = [([gpu], 0) for gpu in gpus] + [(gpus[:count], 0) for count in range(2, len(gpus) + 1)]
    if auto and gpus and not quantisation:
        attempts.append((gpus, config.layers))
    if auto or options.device == "cpu":
        attempts.append((ram, 0))
    if auto and not quantisation:
        attempts.append((ram, config.layers))

    def shortage(homes: Homes) -> str:
        need, free, where = weights.total + cache + WORKING * len(homes), _free(homes), [name for name, _ in homes]
        return (
            f"needs {gigabytes(need)}, {gigabytes(free)} free {'in RAM' if homes == ram else 'on ' + ' + '.join(where)}"
        )

    smaller = weight_bytes(config, "nf4", dtype).total + cache + WORKING
    four = [f"--4bit needs {gigabytes(smaller)}"] if precision != "nf4" and not stored else []
    if smaller > _free(gpus or ram):
        four = []
    for homes, most in attempts:
        spill = 0 if homes == ram else machine.ram_free - WORKING
        for offloaded in range(most + 1):
            device_map = _place(weights, cache // config.layers, homes, offloaded, spill)
            if device_map is None:
                continue
            notes: tuple[str, ...] = ()
            if offloaded or (gpus and homes == ram):
                what = _offloaded(list(device_map.values()), homes, config.layers)
                notes = ("; ".join([f"{shortage(homes if offloaded else gpus)}: {what}", *four]),)
            need = weights.total + cache + WORKING * len(homes)
            return Plan(dtype, quantisation, device_map, need, _free(homes), notes)

    if not auto:
        four.append("--device auto takes what there is")
    elif quantisation and not stored:
        four.append(f"without --{quantisation} layers can stay on disk")
    ways = ", or ".join([*four, "take a smaller model"])
    raise CodellamaError(f"{checkpoint.directory.name}: {shortage(gpus or ram)}: {ways}")


def fits(weights: Parts, cache: int, homes: Homes) -> bool:
    """Whether weights and `cache` bytes of keys and values go onto the devices, nothing of them elsewhere."""
    return bool(homes) and _place(weights, cache // weights.layers, homes, 0, 0) is not None


def _asked(device: str, gpus: Sequence[Gpu]) -> Sequence[Gpu]:
    """The GPUs that may be used. Raises InputError for one that is not there."""
    if device == "cpu":
        return ()
    found = gpus if device in ("auto", "cuda") else [gpu for gpu in gpus if str(gpu.index) == device.split(":")[-1]]
    if not found and device != "auto":
        there = ", ".join(f"{gpu.device} ({gpu.name})" for gpu in gpus) or "none"
        raise InputError(f"--device {device}: no such GPU; found: {there}; --device auto takes what there is")
    return found


def _free(homes: Homes) -> int:
    return sum(free for _, free in homes)


def _offloaded(modules: Sequence[str], homes: Homes, layers: int) -> str:
    ram, disk = modules.count("cpu"), modules.count("disk")
    if homes[0][0] != "cpu":
        return f"{ram} of {layers} layers run from RAM" + (f" and {disk} from disk" if disk else "")
    return f"{disk} of {layers} layers are read from disk for every token" if disk else "runs on the CPU"


def _place(weights: Parts, cache: int, homes: Homes, offloaded: int, spill: int) -> dict[str, str] | None:
    """A home for every module, or None where they have too little room; `cache` is that of one layer.

    What is no layer goes to the first home. Layers fill the homes in order; the last `offloaded` ones go to `spill`
    bytes of RAM and then to disk. The first home computes those: it holds their cache, and one of them at a time.
    """
    room = [free - WORKING for _, free in homes]
    room[0] -= weights.fixed + offloaded * cache + (weights.layer if offloaded else 0)
    kept = weights.layers - offloaded
    layers: list[str] = []
    for (device, _), free in zip(homes, room, strict=True):
        layers += [device] * min(kept, max(0, free // (weights.layer + cache)))
    if room[0] < 0 or len(layers) < kept:
        return None
    in_ram = min(offloaded, max(0, spill // weights.layer))
    layers = layers[:kept] + ["cpu"] * in_ram + ["disk"] * (offloaded - in_ram)
    first = homes[0][0]
    if set(layers) == {first}:
        return {"": first}
    names = ["model.embed_tokens", "model.rotary_emb", "model.norm", "lm_head"]
    return {**dict.fromkeys(names, first), **{f"model.layers.{at}": home for at, home in enumerate(layers)}}
