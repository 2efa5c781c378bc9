"""Copies of what the kernel tells: the numbers that programs need, none that move, and links that lead on."""

from __future__ import annotations

import os
from pathlib import Path

from controller.executor.local.frozen import copy_machine


def make_kernel(root: Path) -> None:
    for name, text in {
        "proc/stat": "cpu 1 2 3\n",
        "proc/meminfo": "MemTotal: 4 kB\n",
        "sys/devices/system/cpu/online": "0-1\n",
        "sys/devices/system/cpu/cpu0/topology/core_id": "0\n",
        "sys/devices/system/cpu/cpu0/cache/index0/size": "32K\n",
        "sys/devices/system/cpu/cpu0/cpuidle/state1/usage": "12345\n",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "7\n",
        "sys/devices/system/node/node0/cpulist": "0-1\n",
        "sys/devices/system/node/node0/vmstat": "nr_free_pages 9\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "sys/devices/system/cpu/cpu0/node0").symlink_to("../../node/node0")


def test_descriptions_are_copied_and_counters_beside_them_are_not(tmp_path: Path) -> None:
    make_kernel(tmp_path / "kernel")

    copies = copy_machine(tmp_path / "frozen", root=tmp_path / "kernel")

    shown = {path: copy for copy, path in copies}
    assert set(shown) == {"/proc/stat", "/proc/meminfo", "/sys/devices/system/cpu", "/sys/devices/system/node"}
    assert shown["/proc/stat"].read_text() == "cpu 1 2 3\n"
    files = {str(path.relative_to(tmp_path / "frozen")) for path in (tmp_path / "frozen").rglob("*") if path.is_file()}
    assert not [name for name in files if "cpuidle" in name or "throttle" in name or "vmstat" in name]
    assert (shown["/sys/devices/system/cpu"] / "cpu0/node0/cpulist").read_text() == "0-1\n"


def test_copies_of_an_earlier_start_are_replaced(tmp_path: Path) -> None:
    make_kernel(tmp_path / "kernel")
    copy_machine(tmp_path / "frozen", root=tmp_path / "kernel")
    (tmp_path / "kernel/proc/stat").write_text("cpu 4 5 6\n")
    (tmp_path / "kernel/proc/meminfo").unlink()

    shown = {path: copy for copy, path in copy_machine(tmp_path / "frozen", root=tmp_path / "kernel")}

    assert shown["/proc/stat"].read_text() == "cpu 4 5 6\n"
    assert "/proc/meminfo" not in shown
    assert not (tmp_path / "frozen/proc/meminfo").exists()


def test_this_machine_keeps_its_number_of_cpus(tmp_path: Path) -> None:
    shown = {path: copy for copy, path in copy_machine(tmp_path / "frozen")}

    folders = list(shown["/sys/devices/system/cpu"].glob("cpu[0-9]*"))
    assert len(folders) >= (os.cpu_count() or 1)
