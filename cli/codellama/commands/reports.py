"""What commands that move gigabytes tell: tables on standard output, and how far they are on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codellama.console import ProgressLine
    from codellama.devices import Machine


def reporter(line: ProgressLine) -> Callable[[str, int, int], None]:
    """Shows progress with its rate and the time it will still take."""
    stage, began, had = "", 0.0, 0

    def report(doing: str, done: int, total: int) -> None:
        nonlocal stage, began, had
        now = time.monotonic()
        if doing != stage or done < had:
            stage, began, had = doing, now, done
        rate = (done - had) / (now - began) if now > began else 0.0
        if rate:
            left = round((total - done) / rate)
            doing = f"{doing}, {rate / 1e6:.0f} MB/s, {left // 60}:{left % 60:02} left"
        line.show(doing, done, total, "bytes")

    return report


def table(rows: Sequence[tuple[str, ...]], right: set[int], indent: str = "") -> list[str]:
    """Lines with columns two spaces apart; those of `right` end in line. Nothing is left at the end of a line."""
    from codellama.sanitiser import one_line

    clean = [tuple(map(one_line, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    lines = []
    for row in clean:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def sizes_table(title: str, sizes: Mapping[str, int]) -> str:
    """Files with their bytes, and all together."""
    rows = [(name, f"{size:,}") for name, size in [*sorted(sizes.items()), ("together", sum(sizes.values()))]]
    return "\n".join([title, *table(rows, {1}, "  ")])


def size(size: int) -> str:
    """13.5 GB, 404.8 MB, 524.3 kB, of powers of ten."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} B"


def machine_json(machine: Machine) -> dict[str, object]:
    return {
        "gpus": [
            {"device": gpu.device, "name": gpu.name, "total": gpu.total, "free": gpu.free} for gpu in machine.gpus
        ],
        "ram": {"total": machine.ram_total, "free": machine.ram_free},
    }
