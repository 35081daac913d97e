"""The styles of docstrings. By itself, since the command line names them before the core is imported."""

from __future__ import annotations

from enum import StrEnum


class Style(StrEnum):
    """Abstract base class for the class."""

    PLAIN = "plain"
    # prose alone
    GOOGLE = "google"
    NUMPY = "numpy"
    SPHINX = "sphinx"
