"""What holds where a flag does not: environment, then config.toml, then the default. And the directories.

`config.toml` lies in the user's configuration directory (CODELLAMA_HOME replaces every directory). Its keys are the
shared options' names: `model`, `dtype`, `4bit`, `8bit`, `device`, `temperature`, `top_p`, `top_k`, `seed`,
`max_tokens`, `context_length`, and `history` (false: chats are not kept). For the full-screen chat: `theme`,
`mouse` (false: the terminal keeps it) and the table `keys`, an action's name and its keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codellama.errors import InputError

KEYS: Mapping[str, type] = {
    "model": str,
    "dtype": str,
    "4bit": bool,
    "8bit": bool,
    "device": str,
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "seed": int,
    "max_tokens": int,
    "context_length": int,
    "history": bool,
    "theme": str,
    "mouse": bool,
    "keys": dict,
}
ENVIRONMENT = {"model": "CODELLAMA_MODEL", "context_length": "CODELLAMA_CONTEXT_LENGTH"}


@dataclass(frozen=True, slots=True)
class Settings:
    values: Mapping[str, Any]
    # environment over config.toml; keys as in KEYS
    models: Path
    # where models that were fetched or converted for us lie, a directory each
    history: Path
    # the chats' database, in a directory of its own
    config: Path
    # config.toml, which need not be there

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Settings:
        """Raises InputError for a config.toml or a variable that says something unknown."""
        home = environ.get("CODELLAMA_HOME")
        if home:
            config, data = Path(home) / "config.toml", Path(home)
        else:
            import platformdirs  # 21 ms

            config = platformdirs.user_config_path("codellama") / "config.toml"
            data = platformdirs.user_data_path("codellama")
        values = {**read(config), **_from_environment(environ)}
        return cls(values, data / "models", data / "history" / "history.db", config)

    def pick(self, key: str, flag: Any = None, default: Any = None) -> Any:
        """The flag where it was given (is not None), else the setting, else the default."""
        assert key in KEYS
        return self.values.get(key, default) if flag is None else flag


def read(path: Path) -> dict[str, Any]:
    """What a config.toml says; nothing where it is not there. Raises InputError for what is unknown."""
    if not path.exists():
        return {}
    import tomllib  # 4 ms

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: is not TOML: {error}") from None
    for key, value in values.items():
        kind = KEYS.get(key)
        if kind is None:
            raise InputError(f"{path}: unknown key {key!r}; there are {', '.join(KEYS)}")
        if kind is float and type(value) is int:
            value = values[key] = float(value)
        if type(value) is not kind:
            raise InputError(f"{path}: {key} must be {_kind_name(kind)}, not {value!r}")
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, variable in ENVIRONMENT.items():
        text = environ.get(variable)
        if not text:
            continue
        try:
            values[key] = KEYS[key](text)
        except ValueError:
            raise InputError(f"{variable} must be {_kind_name(KEYS[key])}, not {text!r}") from None
    return values


def _kind_name(kind: type) -> str:
    return {str: "text", bool: "true or false", int: "a whole number", float: "a number", dict: "a table"}[kind]
