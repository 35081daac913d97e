"""A file damaged at random: what the converter must refuse or read bit for bit."""

from __future__ import annotations

import random

KINDS = ("cut", "flipped", "swapped", "grown")


def mutated(data: bytes, kind: str, chance: random.Random) -> bytes:
    """The data with bytes missing, with bits flipped, with two stretches exchanged, or with bytes put in."""
    changed = bytearray(data)
    start = chance.randrange(len(data))
    length = min(chance.choice([1, 2, 7, 64, 1000]), len(data) - start)
    match kind:
        case "cut":
            # at the end, or out of the middle
            del changed[start : start + length if chance.random() < 0.5 else len(data)]
        case "flipped":
            for _ in range(chance.choice([1, 1, 2, 10])):
                changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case "swapped":
            other = chance.randrange(len(data) - length + 1)
            one, two = data[start : start + length], data[other : other + length]
            changed[start : start + length], changed[other : other + length] = two, one
        case "grown":
            where = chance.choice([0, start, len(data)])
            changed[where:where] = chance.choice(
                [chance.randbytes(length), bytes(length), data[start : start + length]]
            )
        case _:
            raise ValueError(kind)
    return bytes(changed)
