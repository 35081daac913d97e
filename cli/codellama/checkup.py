"""What on this machine keeps codellama from working, and the command that mends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codellama.devices import Machine
from codellama.errors import CodellamaError
from codellama.memory import gigabytes
from codellama.probe import Import
from codellama.settings import Settings

State = Literal["ok", "note", "broken"]

OLDEST = (3, 11)
DISK = 15_000_000_000
# bytes: 7B in half precision
RAM = 2_000_000_000
# bytes that the smallest real model needs in 4 bit, about half of what it needs in all


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    state: State
    # note: worth knowing, yet all works
    said: str
    mend: str = ""
    # a command or what else to do; "": nothing


def guarded(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """What a check finds; one that fails itself is a finding too."""
    found: list[Finding] = []
    try:
        found += check()
    except CodellamaError as error:
        found.append(Finding(name, "broken", str(error)))
    except Exception as error:  # noqa: BLE001  a checkup is for machines on which anything may be wrong
        found.append(Finding(name, "broken", f"cannot be checked: {type(error).__name__}: {error}"))
    return found


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        yield Finding("Python", "broken", f"{version} is too old", f"install Python {wanted} or newer")
    else:
        yield Finding("Python", "ok", f"{version}, {sys.executable}")


def requirements() -> Iterator[Finding]:
    """Whether what the package asks for is installed, in versions that it takes."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement  # comes with transformers

    try:
        asked = [Requirement(line) for line in requires("codellama") or ()]
    except PackageNotFoundError:
        yield Finding("packages", "note", "codellama runs from its sources: nobody knows what it asks for")
        return
    # without those of the extras
    asked = [each for each in asked if not each.marker or each.marker.evaluate({"extra": ""})]
    wrong = 0
    for requirement in asked:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            found = ""
        if not found or not requirement.specifier.contains(found, prereleases=True):
            wrong += 1
            said = (
                f"{requirement.name} {found} is not {requirement.specifier}"
                if found
                else f"{requirement.name} is missing"
            )
            yield Finding("packages", "broken", said, f"{sys.executable} -m pip install '{requirement}'")
    if not wrong:
        yield Finding("packages", "ok", f"{len(asked)} requirements are met")


def libraries(found: Mapping[str, Import]) -> Iterator[Finding]:
    """Of packages that were imported elsewhere."""
    for name, each in found.items():
        if each.error:
            mend = f"{sys.executable} -m pip install --force-reinstall {name}"
            yield Finding(name, "broken", f"cannot be imported: {each.error}", mend)
        else:
            yield Finding(name, "ok", each.version)


def gpus(machine: Machine, torch: Import) -> Iterator[Finding]:
    if not machine.gpus:
        yield Finding("CUDA", "ok", "no NVIDIA GPU: models run on the CPU")
        return
    if not torch.error and not torch.details.get("gpus"):
        built = torch.details.get("cuda")
        why, mend = "it is built without CUDA", f"{sys.executable} -m pip install --force-reinstall torch"
        if built:
            why, mend = (
                f"the driver may be too old for CUDA {built}",
                "update the NVIDIA driver; nvidia-smi tells its version",
            )
        yield Finding("CUDA", "broken", f"PyTorch {torch.version} finds no GPU: {why}", mend)
    elif not torch.error:
        yield Finding("CUDA", "ok", f"{torch.details['cuda']}; PyTorch finds {torch.details['gpus']}")
    for gpu in machine.gpus:
        said = f"{gpu.name}: {gigabytes(gpu.free)} of {gigabytes(gpu.total)} free"
        if gpu.free < gpu.total // 4:
            yield Finding(gpu.device, "note", said, "nvidia-smi shows what takes the rest")
        else:
            yield Finding(gpu.device, "ok", said)


def ram(machine: Machine) -> Iterator[Finding]:
    said = f"{gigabytes(machine.ram_free)} of {gigabytes(machine.ram_total)} free"
    yield Finding("RAM", "ok" if machine.ram_free >= RAM else "note", said)


def configuration(load: Callable[[], Settings], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Raises InputError for what cannot be read."""
    settings = load()
    given = ", ".join(f"{key} = {value}" for key, value in settings.values.items())
    yield Finding("settings", "ok", given or "none: the defaults hold")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if environ.get(name, "0").lower() not in ("", "0", "false", "no", "off"):
            yield Finding("settings", "note", f"{name} is set: nothing can be fetched", f"unset {name}")
    if settings.pick("model") is not None:
        from codellama import models

        _ = models.find(settings.pick("model"), settings, environ).home


def directories(settings: Settings) -> Iterator[Finding]:
    from codellama.devices import free_disk

    above = settings.models
    while not above.exists():
        above = above.parent
    free = free_disk(settings.models)
    if not above.is_dir() or not os.access(above, os.W_OK):
        yield Finding(
            "directories", "note", f"{settings.models}: cannot be written: nothing can be put into {above}",
            "export CODELLAMA_HOME=DIRECTORY",
        )  # fmt: skip
    low = free < DISK
    yield Finding("disk", "note" if low else "ok", f"{gigabytes(free)} free for models in {settings.models}")


def models_here(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The built-in model, and what of the family and of the user's own is here: headers and config, no weights."""
    from codellama import catalogue, models
    from codellama.checkpoint import Checkpoint

    names = [models.TINY, *catalogue.names()]
    if settings.models.is_dir():
        own = sorted(path for path in settings.models.iterdir() if (path / "config.json").is_file())
        names += [str(path) for path in own if path.name not in names]
    here = 0
    for name in names:
        try:
            model = models.find(name, settings, environ, absent_ok=True)
            if model.directory is None:
                continue
            checkpoint = Checkpoint.read(model.directory)
            _ = model.tokenizer
        except CodellamaError as error:
            mend = f"{sys.executable} -m pip install --force-reinstall codellama" if name == models.TINY else ""
            yield Finding("models", "broken", f"{name}: {error}", mend)
            continue
        here += name != models.TINY
        size = checkpoint.weight_bytes
        amount = gigabytes(size) if size > 10**8 else f"{size / 1e6:.0f} MB"
        said = f"{amount}, {checkpoint.config.quantisation or checkpoint.dtype}"
        yield Finding("models", "ok", f"{name}: {said}, {model.directory}")
    if not here:
        try:
            _ = models.find("7b", settings, environ, absent_ok=True).home
        except CodellamaError as error:
            yield Finding("models", "note", f"none but the built-in demonstration: {error}")


def history(settings: Settings) -> Iterator[Finding]:
    import sqlite3
    from shlex import quote as quoted
    from urllib.parse import quote

    file = settings.history
    if not file.exists():
        yield Finding("history", "ok", "no conversations yet")
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=1)) as db:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
            (count,) = db.execute("SELECT count(*) FROM conversations").fetchone()
    except sqlite3.Error as error:
        said, count = str(error), 0
    if said != "ok":
        yield Finding("history", "broken", f"{file}: {said}", f"mv {quoted(str(file))} {quoted(f'{file}.damaged')}")
    elif not os.access(file, os.W_OK):
        yield Finding(
            "history", "note", f"{file}: is read-only: conversations are not kept", f"chmod u+w {quoted(str(file))}"
        )
    else:
        yield Finding("history", "ok", f"{count} conversation{'s' if count != 1 else ''} in {file}")


def terminal(environ: Mapping[str, str], *, tty: bool, encoding: str) -> Iterator[Finding]:
    term = environ.get("TERM", "")
    if not tty:
        yield Finding("terminal", "ok", "standard output is no terminal: plain text")
    elif term in ("", "dumb"):
        yield Finding("terminal", "note", "TERM names a terminal without colours", "export TERM=xterm-256color")
    elif environ.get("NO_COLOR"):
        yield Finding("terminal", "ok", f"{term}, no colours: NO_COLOR is set")
    else:
        many = environ.get("COLORTERM") in ("truecolor", "24bit") or "256" in term
        yield Finding("terminal", "ok", f"{term}, {'256 colours or more' if many else '16 colours'}")
    if encoding.lower().replace("-", "") != "utf8":
        yield Finding("terminal", "note", f"the locale's encoding is {encoding}", "export LC_ALL=C.UTF-8")
    if environ.get("TMUX") and tty:
        yield from _tmux()
    elif environ.get("STY"):
        yield Finding(
            "terminal", "note", "screen passes no OSC 52 on: what is copied stays in it", "use tmux, or copy by mouse"
        )


def _tmux() -> Iterator[Finding]:
    import subprocess

    try:
        answer = subprocess.run(
            ["tmux", "show", "-gv", "set-clipboard"], capture_output=True, text=True, timeout=2, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return
    if answer.stdout.strip() == "off":
        said = "tmux keeps what is copied to itself (OSC 52 is off)"
        yield Finding("terminal", "note", said, "tmux set -g set-clipboard on")


def completion(path: Path, right: bool | None, shell: str) -> Iterator[Finding]:
    """`right`: whether the script there is this version's; None: there is none."""
    mend = f"codellama completion install {shell}"
    if right is None:
        yield Finding("completion", "note", f"{shell} does not complete codellama with TAB", mend)
    elif not right:
        yield Finding("completion", "note", f"{path}: is another version's", mend)
    else:
        yield Finding("completion", "ok", str(path))
