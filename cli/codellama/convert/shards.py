"""Meta's shards as one model: which tensors there are, how they were cut, and how their rows are ordered.

`consolidated.NN.pth` are the parts of a model-parallel run (fairscale's layers in Meta's llama/model.py): column
parallel layers are cut along axis 0, row parallel layers and the embedding along axis 1, norms are the same in all.

Meta turns neighbouring pairs of a head's elements by the rotary embedding, Hugging Face's Llama turns the first half
against the second: the rows of wq and wk are reordered for that, all even ones of a head before all odd ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codellama.config import Config
from codellama.convert.archive import AGAIN, Archive, Tensor
from codellama.convert.params import PARAMS, Params
from codellama.errors import InputError
from codellama.fields import reading

if TYPE_CHECKING:
    from codellama.convert.elements import Bits

_SHARD = re.compile(r"consolidated\.(\d+)\.pth", re.ASCII)
_ROPE = "rope.freqs"
# computed from the config by everybody else

DTYPES = ("BF16", "F16", "F32")


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of one of Meta's tensors."""

    name: str
    # Hugging Face's
    axis: int | None
    # along which it was cut; None: it is the same in every shard
    heads: int = 0
    # heads whose rows are reordered; 0: none


@dataclass(frozen=True, slots=True)
class Merged:
    """A tensor of the model, put together from the shards when its rows are read."""

    name: str
    # Hugging Face's
    dtype: str
    # as safetensors calls it
    shape: tuple[int, ...]
    source: str
    # Meta's name
    parts: tuple[Tensor, ...]
    axis: int | None
    head_rows: int = 0
    # rows of a head that are reordered; 0: none

    @property
    def step(self) -> int:
        """Rows are read in multiples of so many."""
        return self.head_rows or 1

    def check(self) -> None:
        """Raises InputError, naming the shard, where the stored bytes are damaged or replicas differ."""
        for part in self.parts:
            part.archive.check(part.entry, self.source)
        if self.axis is None:
            _check_replicas(self.source, self.parts)

    def read(self, start: int, out: Bits) -> None:
        """Read the rows from `start` on into `out`: (rows, columns) of unsigned numbers, the elements' bits.

        `start` and the number of rows are multiples of `step`. Raises InputError where a shard cannot be read.
        """
        if self.axis is None:
            self.parts[0].read(start, out)
        elif self.axis == 1:
            width = self.shape[1] // len(self.parts)
            for number, part in enumerate(self.parts):
                part.read(start, out[:, number * width : (number + 1) * width])
        else:
            height = self.shape[0] // len(self.parts)
            done = 0
            while done < len(out):
                number, row = divmod(start + done, height)
                rows = out[done : done + height - row]
                self._read_heads(self.parts[number], row, rows)
                done += len(rows)

    def _read_heads(self, part: Tensor, start: int, out: Bits) -> None:
        """Read rows of one shard, each head's reordered where they are to be."""
        if not self.head_rows:
            part.read(start, out)
            return
        import numpy as np

        stored = np.frombuffer(part.archive.scratch(out.nbytes), out.dtype).reshape(out.shape)
        part.read(start, stored)
        pairs = stored.reshape(-1, self.head_rows // 2, 2, out.shape[1])
        out.reshape(-1, 2, self.head_rows // 2, out.shape[1])[...] = pairs.transpose(0, 2, 1, 3)


@dataclass(frozen=True, slots=True)
class Shards:
    """A checkpoint in Meta's layout, its shards open."""

    directory: Path
    config: Config
    archives: tuple[Archive, ...]
    tensors: tuple[Merged, ...]
    # in the order of Hugging Face's layout

    def check_rest(self) -> None:
        """Raises InputError where anything in a shard is damaged that belongs to no tensor of the model."""
        for archive in self.archives:
            archive.check_rest()


def shard_paths(directory: Path) -> list[Path]:
    """The shards in a directory by number; empty: there is none. Raises InputError where one is missing."""
    with reading(directory):
        numbered = {int(match[1]): path for path in directory.iterdir() if (match := _SHARD.fullmatch(path.name))}
    for number in range(max(numbered, default=-1)):
        if number not in numbered:
            raise InputError(f"{directory}: consolidated.{number:02}.pth is missing: fetch it")
    return [numbered[number] for number in sorted(numbered)]


@contextmanager
def opened(directory: Path) -> Iterator[Shards]:
    """Open a checkpoint in Meta's layout.

    Raises InputError for shards that are damaged or do not fit each other and params.json. Of the tensors' bytes,
    those of the norms are looked at here, all others when they are read.
    """
    params = Params.read(directory)
    with ExitStack() as stack:
        archives: list[Archive] = []
        for path in shard_paths(directory):
            archives.append(stack.enter_context(Archive(path)))
            _check_number(archives)
        config = _config(directory, params, archives)
        rules = _rules(config)
        _check_names(archives, rules)
        tensors = tuple(_merge(name, rule, config, archives) for name, rule in rules.items())
        for tensor in tensors:
            if tensor.axis is None:
                tensor.check()
        _check_rope(archives)
        yield Shards(directory, config, tuple(archives), tensors)


def _config(directory: Path, params: Params, archives: Sequence[Archive]) -> Config:
    """The shape that params.json and the first shard tell together."""
    first, count = archives[0], len(archives)
    if params.heads % count or params.kv_heads % count:
        raise InputError(
            f"{directory}: {params.heads} heads and {params.kv_heads} key-value heads cannot lie in {count} shards: "
            f"a shard is missing or one too many, or {PARAMS} belongs to another model"
        )
    rows = _rows(first, "output.weight") * count
    if params.vocab_size not in (None, rows):
        raise InputError(
            f"{directory}: {count} shards hold a vocabulary of {rows}, {PARAMS} says {params.vocab_size}: "
            "a shard is missing or one too many, or the files belong to different models"
        )
    intermediate = _rows(first, "layers.0.feed_forward.w1.weight") * count
    if params.intermediate_size not in (None, intermediate):
        raise InputError(
            f"{directory}: {count} shards hold feed-forward layers of {intermediate}, {PARAMS} asks for "
            f"{params.intermediate_size}: a shard is missing or one too many, or the files belong to different models"
        )
    return Config(
        hidden_size=params.hidden_size,
        layers=params.layers,
        heads=params.heads,
        kv_heads=params.kv_heads,
        head_dim=params.hidden_size // params.heads,
        intermediate_size=intermediate,
        vocab_size=rows,
        context=16384 if params.rope_theta >= 1e6 else 4096,
        rope_theta=params.rope_theta,
        rope_scaling=None,
        rms_norm_eps=params.rms_norm_eps,
        tie_word_embeddings=False,
        bos_id=1,
        eos_ids=(2,),
        dtype=None,
        quantisation=None,
    )


def _rules(config: Config) -> dict[str, Rule]:
    """What becomes of each tensor, by Meta's name, in Hugging Face's order."""
    rules = {"tok_embeddings.weight": Rule("model.embed_tokens.weight", 1)}
    for layer in range(config.layers):
        here, there = f"layers.{layer}.", f"model.layers.{layer}."
        for name, rule in {
            "attention.wq": Rule("self_attn.q_proj", 0, config.heads),
            "attention.wk": Rule("self_attn.k_proj", 0, config.kv_heads),
            "attention.wv": Rule("self_attn.v_proj", 0),
            "attention.wo": Rule("self_attn.o_proj", 1),
            "feed_forward.w1": Rule("mlp.gate_proj", 0),
            "feed_forward.w3": Rule("mlp.up_proj", 0),
            "feed_forward.w2": Rule("mlp.down_proj", 1),
            "attention_norm": Rule("input_layernorm", None),
            "ffn_norm": Rule("post_attention_layernorm", None),
        }.items():
            rules[f"{here}{name}.weight"] = Rule(f"{there}{rule.name}.weight", rule.axis, rule.heads)
    rules["norm.weight"] = Rule("model.norm.weight", None)
    rules["output.weight"] = Rule("lm_head.weight", 0)
    return rules


def _merge(name: str, rule: Rule, config: Config, archives: Sequence[Archive]) -> Merged:
    """Raises InputError where a shard's part has not the shape that the config asks for, or another type."""
    shape = dict(config.shapes())[rule.name]
    expected = tuple(size // len(archives) if axis == rule.axis else size for axis, size in enumerate(shape))
    parts = tuple(archive.tensors[name] for archive in archives)
    for archive, part in zip(archives, parts, strict=True):
        if part.shape != expected:
            raise archive.error(
                f"{name} is {list(part.shape)} where {list(expected)} is expected with {len(archives)} shards: "
                f"a shard is missing, one too many or of another model, or {PARAMS} is"
            )
        if part.dtype not in DTYPES:
            raise archive.error(f"{name} is of a type that no checkpoint has: {', '.join(DTYPES)} are read")
        if part.dtype != parts[0].dtype:
            raise archive.error(f"{name} is {part.dtype}, in {archives[0].path.name} it is {parts[0].dtype}: {AGAIN}")
    assert parts[0].dtype is not None
    head_rows = shape[0] // rule.heads if rule.heads else 0
    return Merged(rule.name, parts[0].dtype, shape, name, parts, rule.axis, head_rows)


def _rows(archive: Archive, name: str) -> int:
    tensor = archive.tensors.get(name)
    if tensor is None or len(tensor.shape) != 2:
        raise archive.error(f"has no matrix {name}: it is no Llama's, or not in Meta's layout")
    return tensor.shape[0]


def _check_names(archives: Sequence[Archive], rules: Mapping[str, Rule]) -> None:
    for archive in archives:
        missing = [name for name in rules if name not in archive.tensors]
        extra = [name for name in archive.tensors if name not in rules and not name.endswith(_ROPE)]
        for what, names in {"lacks": missing, "holds, beyond what params.json tells of,": extra}.items():
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise archive.error(f"{what} {names[0][:80]!r}{more}: {PARAMS} and weights do not belong together")


def _check_number(archives: Sequence[Archive]) -> None:
    """Where torch.save was given a path, the root in the zip is the file's name then: shards that were swapped show."""
    number, archive = len(archives) - 1, archives[-1]
    match = _SHARD.fullmatch(f"{archive.root}.pth")
    if match and int(match[1]) != number:
        raise archive.error(f"was saved as {archive.root}.pth: shards were swapped; give them their names back")


def _check_rope(archives: Sequence[Archive]) -> None:
    """The rotary frequencies are dropped, but shards of one model agree in them."""
    for name, tensor in archives[0].tensors.items():
        if name.endswith(_ROPE):
            parts = tuple(found for archive in archives if (found := archive.tensors.get(name)))
            if {(part.shape, part.dtype) for part in parts} == {(tensor.shape, tensor.dtype)}:
                _check_replicas(name, parts)


def _check_replicas(name: str, parts: Sequence[Tensor]) -> None:
    """Raises InputError unless a tensor is the same in all shards."""
    import numpy as np

    first, other = (np.empty(parts[0].matrix, f"<u{parts[0].element_bytes}") for _ in range(2))
    parts[0].read(0, first)
    for part in parts[1:]:
        part.read(0, other)
        if not np.array_equal(first, other):
            raise part.archive.error(
                f"{name} is not the one in {parts[0].archive.path.name}: the shards are of different models"
            )
