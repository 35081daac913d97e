from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codellama import devices
from codellama.devices import Gpu, Machine, free_disk, linux_ram, macos_free, visible_gpus

GIB = 2**30
RAM = (64 * GIB, 32 * GIB)
FIRST, SECOND = "GPU-5f2d3a10-93c5-7b02-0a4b-2f9f6a1f7c11", "GPU-5f9e0c44-1b7a-44b6-8f0e-7a6d0b1f2c33"
# nvidia-smi 550 on a machine with two GPUs
TWO = f"{FIRST}, NVIDIA GeForce RTX 4090, 24564, 23987\n{SECOND}, NVIDIA RTX A6000, 49140, 48529\n"
# as a GPU that shares the machine's memory answers
SHARED = f"{FIRST}, NVIDIA GB10, [N/A], [N/A]\n"


def nvidia_smi(directory: Path, script: str) -> str:
    """Write a stand-in for nvidia-smi and return a PATH that has it and nothing but."""
    program = directory / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(directory)


@pytest.fixture(autouse=True)
def _all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_gpus_that_nvidia_smi_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f'test "$*" = "{" ".join(devices.QUERY[1:])}" || exit 9\n/bin/cat <<END\n{TWO}END'
    monkeypatch.setenv("PATH", nvidia_smi(tmp_path, script))
    assert Machine.detect().gpus == (
        Gpu(0, "NVIDIA GeForce RTX 4090", 24564 * 2**20, 23987 * 2**20),
        Gpu(1, "NVIDIA RTX A6000", 49140 * 2**20, 48529 * 2**20),
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [(gpu.device, gpu.name) for gpu in Machine.detect().gpus] == [("cuda:0", "NVIDIA RTX A6000")]


@pytest.mark.parametrize(
    "script",
    [
        "exit 9",
        "echo 'No devices were found'",
        "echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9",
        "printf '\\377\\n'",
    ],
)
def test_an_nvidia_smi_that_finds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setenv("PATH", nvidia_smi(tmp_path, script))
    assert Machine.detect().gpus == ()


def test_an_nvidia_smi_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", nvidia_smi(tmp_path, "exec /bin/sleep 60"))
    monkeypatch.setattr(devices, "TIMEOUT", 0.2)
    start = time.monotonic()
    assert Machine.detect().gpus == ()
    assert time.monotonic() - start < 10


def test_without_a_driver_no_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: object, **kwargs: object) -> None:
        raise AssertionError(args)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", run)
    if sys.platform == "linux":
        assert Machine.detect().gpus == ()


def test_this_machine() -> None:
    machine = Machine.detect()
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < machine.ram_free <= machine.ram_total <= installed * 1.01
    assert bool(machine.gpus) <= bool(shutil.which("nvidia-smi"))
    for gpu in machine.gpus:
        assert 0 <= gpu.free <= gpu.total


@pytest.mark.skipif(sys.platform != "linux", reason="there is /proc on Linux alone")
def test_free_ram_is_no_more_than_the_kernel_says() -> None:
    """In a control group it may be less; other programs take and give back meanwhile."""

    def available() -> int:
        text = Path("/proc/meminfo").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable:"))

    before, free, after = available(), Machine.detect().ram_free, available()
    assert free <= max(before, after) * 1.1


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [0, 1]),
        ("0,1", [0, 1]),
        ("1,0", [1, 0]),
        (" 1 ", [1]),
        (SECOND, [1]),
        ("GPU-5f9e", [1]),
        ("GPU-5f9e,0", [1, 0]),
        ("GPU-5f", []),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2,0", []),
        ("0,2,1", [0]),
    ],
)
def test_cuda_visible_devices(visible: str | None, expected: list[int]) -> None:
    names = ["NVIDIA GeForce RTX 4090", "NVIDIA RTX A6000"]
    gpus = visible_gpus(TWO, visible, RAM)
    assert [gpu.name for gpu in gpus] == [names[at] for at in expected]
    assert [gpu.index for gpu in gpus] == list(range(len(expected)))


def test_a_gpu_that_shares_the_ram() -> None:
    assert visible_gpus(SHARED, None, RAM) == (Gpu(0, "NVIDIA GB10", *RAM),)


# RAM

MEMINFO = (
    "MemTotal:       65536000 kB\nMemFree:         1024000 kB\nMemAvailable:   32768000 kB\nHugePages_Total:   0\n"
)


def machine(root: Path, groups: str, **files: dict[str, str]) -> tuple[int, int]:
    """linux_ram of a machine made of files; `files` are those of each control group, `_` standing for `/`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(MEMINFO)
    (root / "proc/self/cgroup").write_text(groups)
    for group, contents in files.items():
        directory = root / "sys/fs/cgroup" / group.replace("_", "/")
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (directory / name).write_text(text)
    return linux_ram(root)


TOTAL, AVAILABLE = 65536000 * 1024, 32768000 * 1024


def v2(limit: str, current: int, cached: int = 0) -> dict[str, str]:
    return {
        "memory.max": f"{limit}\n",
        "memory.current": f"{current}\n",
        "memory.stat": f"anon {current - cached}\ninactive_file {cached}\n",
    }


def test_ram_without_control_groups(tmp_path: Path) -> None:
    assert machine(tmp_path, "") == (TOTAL, AVAILABLE)


def test_ram_under_a_limit(tmp_path: Path) -> None:
    found = machine(tmp_path, "0::/user/app\n", user_app=v2(str(8 * GIB), 3 * GIB, GIB), user=v2("max", 9 * GIB))
    assert found == (8 * GIB, 6 * GIB)


def test_ram_under_a_limit_further_up(tmp_path: Path) -> None:
    found = machine(tmp_path, "0::/user/app\n", user_app=v2(str(8 * GIB), GIB), user=v2(str(4 * GIB), 3 * GIB))
    assert found == (4 * GIB, GIB)


def test_ram_in_a_container_that_knows_its_group_by_the_hosts_name(tmp_path: Path) -> None:
    assert machine(tmp_path, "0::/docker/abc\n", **{"": v2(str(2 * GIB), 3 * GIB)}) == (2 * GIB, 0)


def test_ram_under_a_limit_above_what_there_is(tmp_path: Path) -> None:
    assert machine(tmp_path, "0::/a\n", a=v2(str(1000 * GIB), GIB)) == (TOTAL, AVAILABLE)


def test_ram_under_a_limit_of_version_1(tmp_path: Path) -> None:
    files = {
        "memory.limit_in_bytes": str(6 * GIB),
        "memory.usage_in_bytes": str(5 * GIB),
        "memory.stat": f"cache 9\ninactive_file 1\ntotal_inactive_file {2 * GIB}\n",
    }
    assert machine(tmp_path, "5:devices:/\n4:memory:/app\n0::/\n", memory_app=files) == (6 * GIB, 3 * GIB)


def test_free_ram_on_macos() -> None:
    answer = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                               10000.\n"
        "Pages active:                            500000.\n"
        "Pages inactive:                          400000.\n"
        "Pages speculative:                         2000.\n"
        "Pages wired down:                        100000.\n"
        "Pages purgeable:                           3000.\n"
        '"Translation faults":                 123456789.\n'
    )
    assert macos_free(answer) == 16384 * 415000


def test_free_disk_of_a_directory_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = shutil.disk_usage(tmp_path).free
    assert abs(free_disk(tmp_path / "not" / "yet") - there) < 10**9
    monkeypatch.chdir(tmp_path)
    assert abs(free_disk(Path("not/yet")) - there) < 10**9
