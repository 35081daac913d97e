"""A matrix that is written in 4 bit, as bitsandbytes keeps it: the packed elements and their scales beside it.

The one part of a conversion that imports torch, and only when the first matrix is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codellama.checkpoint import DTYPES, SIZES
from codellama.config import Config
from codellama.convert.elements import Source
from codellama.convert.writer import Output
from codellama.errors import InputError
from codellama.memory import fits_4bit

STATE_BYTES = 256
# of the JSON that says how a matrix was quantised, padded with spaces: so sizes are known before it is

SETTINGS: dict[str, object] = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "load_in_8bit": False,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "bfloat16",
    "bnb_4bit_quant_storage": "uint8",
}
# quantization_config in config.json, all but what stays unquantised


@dataclass(frozen=True, slots=True)
class Quantised:
    """A matrix that becomes six tensors (bitsandbytes.functional.QuantState.as_dict, packed)."""

    source: Source

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Two elements a byte, a block of 64 has an 8-bit scale, 256 of those a float32 scale; and the two tables."""
        rows, columns = self.source.shape
        blocks = -(-rows * columns // 64)
        name = self.source.name
        return (
            Output(name, "U8", (-(-rows * columns // 2), 1)),
            Output(f"{name}.absmax", "U8", (blocks,)),
            Output(f"{name}.nested_absmax", "F32", (-(-blocks // 256),)),
            Output(f"{name}.nested_quant_map", "F32", (256,)),
            Output(f"{name}.quant_map", "F32", (16,)),
            Output(f"{name}.quant_state.bitsandbytes__nf4", "U8", (STATE_BYTES,)),
        )

    @property
    def repeatable(self) -> bool:
        return False

    def check(self) -> None:
        self.source.check()

    def pieces(self) -> Iterator[tuple[str, memoryview]]:
        import numpy as np

        from codellama.engine.quantise import quantise

        bits = np.empty(self.source.shape, f"<u{SIZES[self.source.dtype]}")
        self.source.read(0, bits)
        try:
            made = quantise(bits, DTYPES[self.source.dtype])
        except InputError as error:
            raise InputError(f"{self.source.name} {error}") from None
        del bits
        for output in self.outputs:
            data = made.pop(output.name.removeprefix(self.source.name)).tobytes()
            yield output.name, memoryview(data.ljust(output.bytes) if output.dtype == "U8" else data)


def is_quantised(source: Source) -> bool:
    """Whether a tensor is one of the layers' matrices that can be: all else stays as it is."""
    return source.name.startswith("model.layers.") and len(source.shape) == 2 and fits_4bit(source.shape[1])


def settings(config: Config) -> dict[str, object]:
    """quantization_config in config.json."""
    plain = [name for name, (_, columns) in config.layer_linears().items() if not fits_4bit(columns)]
    return {**SETTINGS, "llm_int8_skip_modules": ["lm_head", *plain]}
