"""Keeps every test out of the person's machine, and gives them real parts to work with."""

from __future__ import annotations

from pathlib import Path

import pytest

from codellama.tokenizer import Tokenizer
from tests.harness import TINY, Cli
from tests.reference import asset


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test: no settings, no models, no hub."""
    home = tmp_path_factory.mktemp("home")
    for name in ("CODELLAMA_MODEL", "CODELLAMA_CONTEXT_LENGTH", "NO_COLOR", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CODELLAMA_HOME", str(home / "codellama"))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


@pytest.fixture(scope="session")
def llama7() -> Tokenizer:
    """Code Llama 7B's and 13B's."""
    return Tokenizer.load(asset("tokenizer-standin-32016.model"))


@pytest.fixture(scope="session")
def llama32() -> Tokenizer:
    """Llama 2's: the Python variants' and every 34B's."""
    return Tokenizer.load(asset("tokenizer-llama-32000.model"))


@pytest.fixture(scope="session")
def llama70() -> Tokenizer:
    """Code Llama 70B's."""
    return Tokenizer.load(asset("tokenizer-standin-70b.model"))


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Tokenizer:
    """The built-in model's: always there."""
    return Tokenizer.load(TINY)


@pytest.fixture
def cli(home: Path) -> Cli:
    return Cli({"CODELLAMA_HOME": str(home / "codellama"), "HF_HOME": str(home / "huggingface")})
