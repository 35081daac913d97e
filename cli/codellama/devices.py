"""GPUs, RAM and disk of this machine, found without torch: what a plan for loading a model goes by."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

QUERY = ("nvidia-smi", "--query-gpu=uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits")
TIMEOUT = 10.0
# seconds; a driver that has not woken its GPUs yet takes two or three
MIB = 2**20
# nvidia-smi's "nounits" figures are in MiB


@dataclass(frozen=True, slots=True)
class Gpu:
    index: int
    # as torch counts: among those CUDA_VISIBLE_DEVICES shows, in the order of the PCI bus
    name: str
    total: int
    free: int
    # bytes

    @property
    def device(self) -> str:
        return f"cuda:{self.index}"


@dataclass(frozen=True, slots=True)
class Machine:
    gpus: tuple[Gpu, ...]
    ram_total: int
    ram_free: int
    # bytes this process may still take: within the limits of its control group, where it has one

    @classmethod
    def detect(cls) -> Machine:
        """This machine, now. Without an NVIDIA driver no other program is started."""
        total, free = _macos_ram() if sys.platform == "darwin" else linux_ram()
        gpus = visible_gpus(_nvidia_smi(), os.environ.get("CUDA_VISIBLE_DEVICES"), (total, free))
        return cls(gpus, total, free)


def free_disk(directory: Path) -> int:
    """Free bytes where a directory is or would be made."""
    while not directory.exists():
        directory = directory.absolute().parent
    return shutil.disk_usage(directory).free


def _nvidia_smi() -> str:
    """nvidia-smi's lines, one a GPU; empty where there is no driver, or it does not answer."""
    program = shutil.which(QUERY[0])
    if program is None:
        return ""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        answer = subprocess.run(
            [program, *QUERY[1:]], capture_output=True, timeout=TIMEOUT, check=True, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.decode("utf-8", "replace")


def visible_gpus(lines: str, visible: str | None, ram: tuple[int, int]) -> tuple[Gpu, ...]:
    """The GPUs of nvidia-smi's answer that CUDA_VISIBLE_DEVICES shows, numbered as torch numbers them.

    `visible` is the variable's value: positions or UUIDs (the beginning of one is enough), in the order wanted;
    as in CUDA, the first entry that names no GPU hides itself and all after it. `ram` (total, free) stands for a
    GPU that shares the machine's memory and so gives no figures of its own.
    """
    found: list[tuple[str, Gpu]] = []
    for line in lines.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) < 4 or not parts[0].startswith("GPU-"):
            continue
        total, free = (int(part) * MIB if part.isdecimal() else ram[i] for i, part in enumerate(parts[-2:]))
        found.append((parts[0], Gpu(len(found), ", ".join(parts[1:-2]), total, free)))
    chosen = [gpu for _, gpu in found] if visible is None else _choose(found, visible)
    return tuple(replace(gpu, index=index) for index, gpu in enumerate(chosen))


def _choose(found: Sequence[tuple[str, Gpu]], visible: str) -> Iterator[Gpu]:
    for entry in visible.split(","):
        wanted = entry.strip()
        fitting = [gpu for uuid, gpu in found if wanted.startswith("GPU-") and uuid.startswith(wanted)]
        if wanted.isdecimal() and int(wanted) < len(found):
            fitting = [found[int(wanted)][1]]
        if len(fitting) != 1:
            return
        yield fitting[0]


def linux_ram(root: Path = Path("/")) -> tuple[int, int]:
    """(total, free) bytes of RAM: MemAvailable, and no more than the control groups of this process leave.

    Files in the page cache can be dropped and count as free, in a group too (`inactive_file`).
    """
    meminfo = _figures(root / "proc/meminfo")
    # in kB, which are KiB
    total, free = meminfo.get("MemTotal:", 0) * 1024, meminfo.get("MemAvailable:", 0) * 1024
    for group in _control_groups(root):
        for limit_name, usage_name, cache_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, usage = _figure(group / limit_name), _figure(group / usage_name)
            if limit is not None and usage is not None:
                cached = _figures(group / "memory.stat").get(cache_name, 0)
                total, free = min(total, limit), min(free, max(0, limit - usage + cached))
    return total, free


def _control_groups(root: Path) -> Iterator[Path]:
    """The directories of this process's memory control groups, from the innermost up (version 2, then 1)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        inner = top / name.lstrip("/")
        # in a container the name may be the host's, which is not there: the top is the container's own group then
        yield from (group for group in (inner, *inner.parents) if group.is_relative_to(top))


def _figures(path: Path) -> Mapping[str, int]:
    """The numbers of a file with lines of `name number ...`; empty where it cannot be read."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {parts[0]: int(parts[1]) for parts in lines if len(parts) > 1 and parts[1].isdecimal()}


def _figure(path: Path) -> int | None:
    """The number in a file. None: there is no such file, or it says `max`."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _macos_ram() -> tuple[int, int]:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        answer = subprocess.run(["vm_stat"], capture_output=True, timeout=TIMEOUT, check=True, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return total, total
    return total, min(total, macos_free(answer))


def macos_free(vm_stat: str) -> int:
    """Bytes that macOS can hand out: free, inactive, speculative and purgeable pages of `vm_stat`'s answer."""
    size = re.search(r"page size of (\d+) bytes", vm_stat)
    pages = re.findall(r"^Pages (?:free|inactive|speculative|purgeable):\s+(\d+)\.", vm_stat, re.MULTILINE)
    return (int(size.group(1)) if size else 4096) * sum(map(int, pages))
