"""Builds the command that runs a phase in bubblewrap, or without a sandbox (unsealed) on real folders.

All functions are pure. Inside bubblewrap (tests/redteam/test_redteam_sandbox.py attacks each of these):
- network: only a loopback interface of its own;
- files: the system's programs, the interpreter, what the task's settings mount, the task folder and the phase's own
  data, all read-only; no home folder, no other try, no lab; writable are the folders for the phase's output, /tmp, and
  the attempt's own copy of the task folder where the phase is given one;
- environment: only the variables of the phase;
- processes: the phase sees, signals and traces only its own, and shares no IPC objects with others;
- rights: no capabilities, no further user namespaces, no terminal, not root inside; all processes end with the phase;
- the machine: its counters stand still (`frozen`);
- system calls: those alone that trainer-image/exam/kit/system_calls.py lets pass.

Not covered: a flaw in the kernel or in a GPU driver, timing between phases that share a machine, and files that the
operator puts into the task folder. Without a sandbox nothing is covered: only the paths are arranged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from controller.executor.local.frozen import Copies
from controller.executor.local.gpus import Accelerator, environment_alone, environment_beside_others
from controller.executor.local.machine import Bubblewrap, Machine
from controller.executor.phases import TASK, Mount, Phase, PhaseName, Volume

SANDBOX_USER = 65532
"""User and group inside, as in the trainer image."""

ETC_FILES = {
    "passwd": f"attempt:x:{SANDBOX_USER}:{SANDBOX_USER}::/tmp:/bin/sh\n",
    "group": f"attempt:x:{SANDBOX_USER}:\n",
    "hosts": "127.0.0.1 localhost attempt\n",
}
"""Files of /etc in a sandbox: PyTorch asks for the name of the user, and its launcher for localhost."""

NOTHING = "nothing"
"""An empty folder beside the ETC_FILES, mounted over folders that are hidden."""

_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_FILTER = 4
"""Descriptor of the system-call filter."""

_ENTER = 'printf . >&3; exec 3>&-; {limit}exec "$@"'
"""First program inside: it tells the executor by a byte that the sandbox exists, and then runs the phase's command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of a phase on this machine."""

    volumes: Mapping[Volume, Path]
    task: Sequence[tuple[Path, str]]
    """Entries of the task folder that the phase sees: real path, and path below the task folder."""
    etc: Path
    """Folder with the ETC_FILES and NOTHING."""
    frozen: Copies = ()
    """Copies of the kernel's files that stand in place of them."""
    filters: Path | None = None
    """Folder with the system-call filters by their names; None for an architecture that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """Limits that the sandbox itself sets."""

    temporary_bytes: int
    """Size of /tmp and of /dev/shm each, in bytes; both are in memory."""
    processes: int | None = None
    """RLIMIT_NPROC; None if a cgroup limits processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to start."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    """Working directory."""


def in_bubblewrap(
    phase: Phase,
    *,
    places: Places,
    machine: Machine,
    bubblewrap: Bubblewrap,
    scratch: Scratch,
    accelerators: Sequence[Accelerator] = (),
) -> Command:
    """Build the command that runs `phase` in namespaces of its own.

    The supervisors of the exam are PID 1 of their PID namespace, as in a pod: when PID 1 ends, the kernel kills the
    rest of the namespace. For a command of the task, bubblewrap itself is PID 1 and ends with the command's exit code.
    """
    told = environment_alone(accelerators) if phase.accelerator else {}
    # bubblewrap mounts in the order of its options: a later mount covers an earlier one.
    options = [
        "--unshare-all",
        # --unshare-all only tries to make a user namespace; --disable-userns and --uid want one.
        "--unshare-user",
        *(["--disable-userns"] if bubblewrap.disable_userns else []),
        *("--uid", str(SANDBOX_USER), "--gid", str(SANDBOX_USER), "--hostname", "attempt"),
        # A process in the session of a terminal could type into it by TIOCSTI (CVE-2017-5226).
        *("--new-session", "--die-with-parent", "--cap-drop", "ALL", "--clearenv"),
        *(["--as-pid-1"] if phase.supervised else []),
        *(["--seccomp", str(_FILTER)] if places.filters else []),
        *_system(machine, places.etc, scratch),
        *(_devices(machine, accelerators) if phase.accelerator and accelerators else _without_cuda(machine)),
        *(word for copy, path in places.frozen for word in ("--ro-bind", str(copy), path)),
        *([] if phase.writes_to_task else _task(places.task)),
        *_mounts(phase.mounts, places.volumes),
        # The root is a tmpfs of bubblewrap's, which code inside could fill as long as it is writable.
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", TASK),
        *_environment({**_sandbox_environment(phase, machine), **told}),
    ]
    argv = (bubblewrap.program, *options, "--", *_entered(phase, machine, scratch.processes))
    return Command(argv=_with_filter(argv, phase, places.filters), environment={}, folder="/")


def _with_filter(argv: tuple[str, ...], phase: Phase, filters: Path | None) -> tuple[str, ...]:
    """Open the phase's system-call filter for bubblewrap, which reads it from a descriptor and closes that."""
    if filters is None:
        return argv
    name = "training" if phase.name is PhaseName.TRAIN else "exam"
    return ("/bin/sh", "-c", f'exec {_FILTER}< "$0"; exec "$@"', str(filters / f"{name}.filter"), *argv)


def in_the_open(
    phase: Phase,
    *,
    view: Path,
    places: Places,
    machine: Machine,
    processes: int | None,
    temporary: Path,
    accelerators: Sequence[Accelerator] = (),
) -> Command:
    """Build the command without a sandbox: paths in its environment lead to real folders and to links in `view`."""
    shown = environment_beside_others(accelerators if phase.accelerator else ())
    environment = {
        name: ":".join(
            real_path(part, mounts=phase.mounts, volumes=places.volumes, view=view) for part in value.split(":")
        )
        for name, value in _sandbox_environment(phase, machine).items()
    }
    return Command(
        argv=_entered(phase, machine, processes),
        environment=environment | shown | {"HOME": str(temporary), "TMPDIR": str(temporary)},
        folder=str(view) + TASK,
    )


def real_path(value: str, *, mounts: Sequence[Mount], volumes: Mapping[Volume, Path], view: Path) -> str:
    """Translate a path of the phase: below a mount to the real folder, above a mount to `view`; else unchanged."""
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
        **_search_path(phase, machine),
        "PATH": ":".join(dict.fromkeys(filter(None, (machine.programs, os.path.dirname(machine.interpreter), *_PATH)))),
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
    }


def _search_path(phase: Phase, machine: Machine) -> dict[str, str]:
    """Where Python finds the task's own packages: in the attempt's copy, not where they were installed from."""
    if not machine.task_packages or not phase.writes_to_task:
        return {}
    own = (str(PurePosixPath(TASK) / name) for name in machine.task_packages)
    return {"PYTHONPATH": ":".join(filter(None, (phase.environment.get("PYTHONPATH", ""), *own)))}


def _entered(phase: Phase, machine: Machine, processes: int | None) -> tuple[str, ...]:
    # The option is -u in bash and -p in dash. In the sandbox's own user namespace the kernel counts from 0.
    limit = "" if processes is None else f"ulimit -u {processes} 2>/dev/null || ulimit -p {processes}; "
    # Every `python` is replaced: the training's command follows the supervisor's, and PATH may hold no `python`.
    command = (machine.interpreter if word == "python" else word for word in phase.command)
    return ("/bin/sh", "-c", _ENTER.format(limit=limit), "sh", *command)


def _system(machine: Machine, etc: Path, scratch: Scratch) -> list[str]:
    size = ("--size", str(scratch.temporary_bytes), "--tmpfs")
    return [
        # Before the folders, because a virtual environment may be below /tmp.
        *(*size, "/tmp"),
        *(word for folder in machine.folders for word in ("--ro-bind", folder, folder)),
        *(word for path in machine.held_out for word in ("--ro-bind", str(etc / NOTHING), path)),
        *(word for target, link in machine.links for word in ("--symlink", target, link)),
        *(word for name in ETC_FILES for word in ("--ro-bind", str(etc / name), f"/etc/{name}")),
        *("--proc", "/proc", *_proc(machine, etc), "--dev", "/dev", *size, "/dev/shm"),
    ]


def _proc(machine: Machine, etc: Path) -> list[str]:
    # If the controller is root, a sandbox without capabilities still owns /proc/sys/kernel/core_pattern, and whoever
    # writes it runs a program as root on this machine. So these parts of /proc are mounted read-only or hidden.
    return [
        *(word for path in machine.proc_read_only for word in ("--ro-bind", path, path)),
        # Only a file can be mounted over a file, and only a folder over a folder.
        *(word for path in machine.proc_files for word in ("--ro-bind", "/dev/null", path)),
        *(word for path in machine.proc_folders for word in ("--ro-bind", str(etc / NOTHING), path)),
    ]


def _devices(machine: Machine, accelerators: Sequence[Accelerator]) -> list[str]:
    nodes = (*machine.accelerator_nodes, *(node for accelerator in accelerators for node in accelerator.nodes))
    return [
        *(word for node in nodes for word in ("--dev-bind", node, node)),
        *(word for folder in machine.accelerator_folders for word in ("--ro-bind", folder, folder)),
    ]


def _without_cuda(machine: Machine) -> list[str]:
    # Without --dev-bind a mount has nodev, so that opening a device on it fails with EACCES.
    return [word for path in machine.cuda_files for word in ("--ro-bind", "/dev/null", path)]


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
