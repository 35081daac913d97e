"""Whether the heavy packages can be imported, found out in processes of their own.

They take seconds, may be broken in ways that end a process, and never come into this one.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

PACKAGES = ("torch", "transformers", "bitsandbytes")
TIMEOUT = 120.0
# seconds; on a cold disk ten or twenty are usual
_INTERVAL = 0.1

_PROGRAM = """
import importlib, json, sys
said = {}
try:
    module = importlib.import_module(sys.argv[1])
    said["version"] = module.__version__
    if sys.argv[1] == "torch":
        said["cuda"] = module.version.cuda
        said["gpus"] = module.cuda.device_count() if module.cuda.is_available() else 0
    if sys.argv[1] == "transformers":
        module.LlamaForCausalLM
except BaseException as error:
    said["error"] = f"{type(error).__name__}: {error}"
print("\\n" + json.dumps(said))
"""


@dataclass(frozen=True, slots=True)
class Import:
    version: str = ""
    error: str = ""
    # "": it can be imported
    details: Mapping[str, object] = field(default_factory=dict)


def imports(waiting: Callable[[], None], packages: tuple[str, ...] = PACKAGES) -> dict[str, Import]:
    """Import each package in a process of its own, all at a time; `waiting` is called while they run."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    found: dict[str, Import] = {}
    try:
        for name in packages:
            # -P: a torch.py in the current directory is not the one that is meant
            command = [sys.executable, "-P", "-c", _PROGRAM, name]
            try:
                running[name] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            except OSError as error:
                found[name] = Import(error=f"{sys.executable} cannot be started: {error.strerror}")
        deadline = time.monotonic() + TIMEOUT
        for name, process in running.items():
            while True:
                waiting()
                try:
                    output, _ = process.communicate(timeout=_INTERVAL)
                except subprocess.TimeoutExpired:
                    if time.monotonic() < deadline:
                        continue
                    found[name] = Import(error=f"takes more than {TIMEOUT:.0f} seconds to import")
                else:
                    found[name] = _read(output, process.returncode)
                break
    finally:
        for process in running.values():
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
    return found


def _read(output: bytes, code: int) -> Import:
    lines = output.decode("utf-8", "replace").splitlines()
    with suppress(ValueError, IndexError):
        said = json.loads(lines[-1])
        return Import(said.pop("version", ""), said.pop("error", ""), said)
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return Import(error=f"ends the process {how} when it is imported")
