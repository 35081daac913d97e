"""Where each shell looks for a user's completions, and the script that belongs there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codellama import newfile
from codellama.completion import bash, fish, zsh
from codellama.completion.tree import Command
from codellama.errors import CodellamaError, InputError

NAMES = ("bash", "zsh", "fish")
FILES = {"bash": "codellama.bash", "zsh": "_codellama", "fish": "codellama.fish"}
# as they are called in completions/
_SCRIPTS: Mapping[str, Callable[[Command], str]] = {"bash": bash.script, "zsh": zsh.script, "fish": fish.script}
MARK = b"Generated from its command tree"
_LOADERS = (
    "/usr/share/bash-completion/bash_completion", "/usr/local/share/bash-completion/bash_completion",
    "/opt/homebrew/share/bash-completion/bash_completion", "/etc/profile.d/bash_completion.sh",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    shell: str
    path: Path
    todo: str
    # what the user has to do once; "": nothing


def script(shell: str, tree: Command) -> str:
    return _SCRIPTS[shell](tree)


def name(asked: str | None, environ: Mapping[str, str]) -> str:
    """The shell asked for, else the one that the program was started from, else the user's own.

    Raises InputError for one that there is no script for.
    """
    found = asked
    if found is None:
        from shellingham import ShellDetectionFailure, detect_shell  # comes with typer

        found = Path(environ.get("SHELL", "")).name
        with suppress(ShellDetectionFailure):
            found = detect_shell()[0]
    if found not in NAMES:
        said = f"{found}: there is" if found else "which shell? There is"
        raise InputError(f"{said} a completion for {', '.join(NAMES)}: codellama completion install bash")
    return found


def place(shell: str, environ: Mapping[str, str]) -> Place:
    """Where a user's own completion goes."""
    home = Path(environ.get("HOME") or Path.home())
    if shell == "fish":
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        return Place(shell, config / "fish" / "completions" / FILES[shell], "")
    if shell == "zsh":
        directory = Path(environ.get("ZDOTDIR") or home)
        path = directory / ".zfunc" / FILES[shell]
        known = _mentions(directory / ".zshrc", ".zfunc")
        todo = "" if known else f"put this into {directory / '.zshrc'}, before any compinit: "
        return Place(shell, path, todo and f"{todo}fpath=({path.parent} $fpath); autoload -Uz compinit && compinit")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    # the rule of bash-completion's own README
    directory = Path(environ.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion")
    path = directory / "completions" / "codellama"
    known = any(Path(each).exists() for each in _LOADERS) or _mentions(home / ".bashrc", str(path))
    return Place(shell, path, "" if known else f"put this into {home / '.bashrc'}: . {path}")


def _mentions(file: Path, text: str) -> bool:
    with suppress(OSError):
        return text in file.read_text(encoding="utf-8", errors="replace")
    return False


def install(place: Place, text: str, *, force: bool = False) -> bool:
    """Write the script; False: it is there as it is. Raises InputError where another one's file is there."""
    there = _read(place.path)
    if there == text.encode():
        return False
    if there is not None and MARK not in there and not force:
        raise InputError(f"{place.path}: is there already and not codellama's; --force replaces it")
    try:
        place.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CodellamaError(f"{place.path.parent}: cannot be made: {error.strerror}") from None
    newfile.create(place.path, text.encode(), force=True)
    return True


def uninstall(place: Place) -> bool:
    """Remove the script; False: there was none. Raises InputError for a file that is not codellama's."""
    there = _read(place.path)
    if there is None:
        return False
    if MARK not in there:
        raise InputError(f"{place.path}: is not codellama's, so it stays")
    try:
        place.path.unlink()
    except OSError as error:
        raise CodellamaError(f"{place.path}: cannot be removed: {error.strerror}") from None
    return True


def installed(place: Place, text: str) -> bool | None:
    """Whether the script is there as it should be; None: there is none."""
    there = _read(place.path)
    return None if there is None else there == text.encode()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CodellamaError(f"{path}: cannot be read: {error.strerror}") from None
