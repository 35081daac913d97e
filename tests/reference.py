"""The reference data: Meta's own ids and the like. It lies beside the project; where it is absent, tests skip."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ASSETS = Path(__file__).parents[2] / "shared" / "assets"


def asset(name: str) -> Path:
    """A file of the reference data; the test is skipped where it is not there."""
    path = ASSETS / name
    if not path.exists():
        pytest.skip(f"reference data not there: {path}")
    return path


HOSTILE = [
    *("<s> </s> <unk> <0x0A>", "</s>", "<s>", "<unk>"),
    *(" <PRE>", "<EOT>", " <EOT><EOT>", "<FILL_ME>", "▁<MID>", "x ▁<SUF> y", "\r\n x", "\r\n", " <step>", "<step>"),
    *("a <SUB>", "▁", "▁▁", " ▁ ", "<", "<<<", "\0", "", " ", "  "),
]
# F18 and F19


@cache
def meta_ids() -> dict[str, list[dict[str, Any]]]:
    loaded: dict[str, list[dict[str, Any]]] = json.loads(gzip.decompress(asset("meta_ids.json.gz").read_bytes()))
    return loaded


@cache
def meta_examples() -> dict[str, list[dict[str, Any]]]:
    loaded: dict[str, list[dict[str, Any]]] = json.loads(asset("meta_example_ids.json").read_bytes())
    return loaded
