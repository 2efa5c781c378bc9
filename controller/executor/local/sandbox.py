"""A phase as a command: inside bubblewrap, or (unsealed) with its paths pointing at real folders.

Pure. What bubblewrap covers, each line attacked by a test in tests/redteam/test_redteam_sandbox.py:
- network: none but a loopback of its own; files: the system's programs, the interpreter, the task folder and the
  phase's own data, read-only; no home, no other try, no lab; writable is what the phase may leave, and /tmp;
- environment: only what the phase needs; processes: sees, signals and traces only its own; no IPC with others;
- no capabilities, no user namespaces of its own, no terminal, not root inside; all of it dies with the phase.

Not covered: a flaw in the kernel or in a GPU driver, timing between phases that share a machine, and what the
operator himself puts into the task folder. `none` covers nothing: it only arranges paths.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from controller.executor.local.machine import Accelerator, Bubblewrap, Machine
from controller.phases import TASK, Mount, Phase, Volume

SANDBOX_USER = 65532
ETC_FILES = {
    "passwd": f"attempt:x:{SANDBOX_USER}:{SANDBOX_USER}::/tmp:/bin/sh\n",
    "group": f"attempt:x:{SANDBOX_USER}:\n",
    "hosts": "127.0.0.1 localhost attempt\n",
}
"""What a sandbox has in place of this machine's own: PyTorch asks for a user name, its launcher for localhost."""

NOTHING = "nothing"
"""An empty folder beside the ETC_FILES, bound over what nobody should see."""
_ENTER = 'printf . >&3; exec 3>&-; {limit}exec "$@"'
"""What runs first inside: tell the executor that the sandbox stands, then become the phase's command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a phase's volumes and its task folder lie on this machine.

    task: what the phase sees of the task folder, as (real path, path below it). etc: the folder of ETC_FILES and
    NOTHING.
    """

    volumes: Mapping[Volume, Path]
    task: Sequence[tuple[Path, str]]
    etc: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """Bytes of each memory-backed place (/tmp, /dev/shm); processes: an rlimit, None where a cgroup counts them."""

    temporary_bytes: int
    processes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to start: whole argv, environment, working directory."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str


def in_bubblewrap(
    phase: Phase,
    *,
    places: Places,
    machine: Machine,
    bubblewrap: Bubblewrap,
    scratch: Scratch,
    accelerators: Sequence[Accelerator] = (),
) -> Command:
    """The command that runs `phase` in namespaces of its own.

    The examiner's supervisors are process 1 of theirs, as in a pod: what ends them ends all.
    """
    options = [
        "--unshare-all",
        "--unshare-user",
        *(["--disable-userns"] if bubblewrap.disable_userns else []),
        *("--uid", str(SANDBOX_USER), "--gid", str(SANDBOX_USER), "--hostname", "attempt"),
        *("--new-session", "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
        *_system(machine, places.etc, scratch),
        *(_devices(machine, accelerators) if phase.accelerator else []),
        *_task(places.task),
        *_mounts(phase.mounts, places.volumes),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", TASK),
        *_environment(_sandbox_environment(phase, machine)),
    ]
    argv = (bubblewrap.program, *options, "--", *_entered(phase, machine, scratch.processes))
    return Command(argv=argv, environment={}, folder="/")


def in_the_open(
    phase: Phase, *, view: Path, places: Places, machine: Machine, processes: int | None, temporary: Path
) -> Command:
    """The same command without a sandbox: paths in its environment point at real folders and at links in `view`."""
    environment = {
        name: real_path(value, mounts=phase.mounts, volumes=places.volumes, view=view)
        for name, value in _sandbox_environment(phase, machine).items()
    }
    return Command(
        argv=_entered(phase, machine, processes),
        environment=environment | {"HOME": str(temporary), "TMPDIR": str(temporary)},
        folder=str(view) + TASK,
    )


def real_path(value: str, *, mounts: Sequence[Mount], volumes: Mapping[Volume, Path], view: Path) -> str:
    """`value` where it is a path of the phase: below a mount the real one, above mounts the view's; else unchanged."""
    if not value.startswith("/"):
        return value
    path = PurePosixPath(value)
    for mount in mounts:
        if path.is_relative_to(mount.path):
            return str(volumes[mount.volume] / mount.subpath / path.relative_to(mount.path))
    above = any(PurePosixPath(mount.path).is_relative_to(path) for mount in mounts)
    return str(view) + value if above and value != "/" else value


def _sandbox_environment(phase: Phase, machine: Machine) -> dict[str, str]:
    return {
        **phase.environment,
        "PATH": f"{os.path.dirname(machine.interpreter)}:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
    }


def _entered(phase: Phase, machine: Machine, processes: int | None) -> tuple[str, ...]:
    # bash and other shells say -u, dash says -p; inside the sandbox's user namespace the count starts at 0.
    limit = "" if processes is None else f"ulimit -u {processes} 2>/dev/null || ulimit -p {processes}; "
    # The training's own command follows the supervisor's, and not every interpreter has a neighbour called python.
    command = (machine.interpreter if word == "python" else word for word in phase.command)
    return ("/bin/sh", "-c", _ENTER.format(limit=limit), "sh", *command)


def _system(machine: Machine, etc: Path, scratch: Scratch) -> list[str]:
    size = ("--size", str(scratch.temporary_bytes), "--tmpfs")
    return [
        # First, since a virtual environment may itself lie in /tmp.
        *(*size, "/tmp"),
        *(word for folder in machine.folders for word in ("--ro-bind", folder, folder)),
        *(word for target, link in machine.links for word in ("--symlink", target, link)),
        *(word for name in ETC_FILES for word in ("--ro-bind", str(etc / name), f"/etc/{name}")),
        *("--proc", "/proc", *_proc(machine, etc), "--dev", "/dev", *size, "/dev/shm"),
    ]


def _proc(machine: Machine, etc: Path) -> list[str]:
    # Opened as root's, /proc/sys/kernel/core_pattern can be written without any capability: root on this machine.
    return [
        *(word for path in machine.proc_read_only for word in ("--ro-bind", path, path)),
        *(word for path in machine.proc_files for word in ("--ro-bind", "/dev/null", path)),
        *(word for path in machine.proc_folders for word in ("--ro-bind", str(etc / NOTHING), path)),
    ]


def _devices(machine: Machine, accelerators: Sequence[Accelerator]) -> list[str]:
    if not accelerators:
        return []
    nodes = (*machine.accelerator_nodes, *(node for accelerator in accelerators for node in accelerator.nodes))
    return [
        *(word for node in nodes for word in ("--dev-bind", node, node)),
        *(word for folder in machine.accelerator_folders for word in ("--ro-bind", folder, folder)),
    ]


def _task(entries: Sequence[tuple[Path, str]]) -> list[str]:
    bound = (word for source, name in entries for word in ("--ro-bind", str(source), f"{TASK}/{name}"))
    return ["--tmpfs", TASK, *bound, "--remount-ro", TASK]


def _mounts(mounts: Sequence[Mount], volumes: Mapping[Volume, Path]) -> list[str]:
    return [
        word
        for mount in mounts
        for word in (
            "--bind" if mount.writable else "--ro-bind",
            str(volumes[mount.volume] / mount.subpath),
            mount.path,
        )
    ]


def _environment(environment: Mapping[str, str]) -> list[str]:
    return [word for name, value in environment.items() for word in ("--setenv", name, value)]
