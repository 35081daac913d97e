from __future__ import annotations

from pathlib import Path

import pytest

from codellama.errors import InputError
from codellama.settings import KEYS, Settings


def load(home: Path, toml: str | bytes | None = None, **environ: str) -> Settings:
    if toml is not None:
        (home / "config.toml").write_bytes(toml if isinstance(toml, bytes) else toml.encode())
    return Settings.load({"CODELLAMA_HOME": str(home), **environ})


def test_flag_over_environment_over_file_over_default(tmp_path: Path) -> None:
    assert load(tmp_path).pick("model") is None
    settings = load(tmp_path, 'model = "from-file"\ntop_k = 5\n')
    assert settings.pick("model") == "from-file"
    settings = load(tmp_path, CODELLAMA_MODEL="from-environment")
    assert settings.pick("model") == "from-environment"
    assert settings.pick("model", "from-flag") == "from-flag"
    assert settings.pick("top_k") == 5
    assert settings.pick("top_k", 0) == 0


def test_home_replaces_every_directory(tmp_path: Path) -> None:
    assert load(tmp_path).models == tmp_path / "models"
    assert load(tmp_path).history == tmp_path / "history" / "history.db"


def test_without_home_the_platforms_directories_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "config" / "codellama").mkdir(parents=True)
    (tmp_path / "config" / "codellama" / "config.toml").write_text("seed = 3")
    settings = Settings.load({})
    assert settings.pick("seed") == 3
    assert settings.models == tmp_path / "data" / "codellama" / "models"
    assert settings.history == tmp_path / "data" / "codellama" / "history" / "history.db"


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    assert load(tmp_path, "temperature = 1").pick("temperature") == 1.0


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("modle = 'x'", "unknown key 'modle'; there are model, dtype"),
        ("seed = 'x'", "seed must be a whole number, not 'x'"),
        ("4bit = 1", "4bit must be true or false, not 1"),
        ("seed = true", "seed must be a whole number, not True"),
        ("seed", "is not TOML"),
        (b"\xff", "is not TOML"),
    ],
)
def test_a_config_that_says_something_unknown_is_named(tmp_path: Path, toml: str | bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as refusal:
        load(tmp_path, toml)
    assert "config.toml" in str(refusal.value)


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(InputError, match=r"config\.toml: cannot be read"):
        load(tmp_path)


def test_a_variable_that_is_no_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="CODELLAMA_CONTEXT_LENGTH must be a whole number, not 'many'"):
        load(tmp_path, CODELLAMA_CONTEXT_LENGTH="many")
    assert load(tmp_path, CODELLAMA_CONTEXT_LENGTH="4096").pick("context_length") == 4096


def test_keys_are_options_or_settings_of_their_own() -> None:
    from dataclasses import fields

    from codellama.commands.options import Shared

    options = {field.name for field in fields(Shared)} | {"4bit", "8bit", "context_length", "history"}
    options |= {"theme", "mouse", "keys"}
    assert set(KEYS) <= options
