"""Sets up one phase of a try on this machine: the command that confines it, what it sees, and what it may fill."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from controller.domain import TryRequest
from controller.executor.local.disk_watch import Bound
from controller.executor.local.gpus import Accelerator
from controller.executor.local.host import Host
from controller.executor.local.sandbox import Command, Places, Scratch, in_bubblewrap, in_the_open
from controller.executor.local.task_copy import copy_task
from controller.executor.local.try_folder import TryFolder, task_entries
from controller.executor.local.unsandboxed import make_view
from controller.executor.phases import ARTIFACT, TASK, Phase, Volume


class PhaseSetup:
    """Sets up the phases of one try."""

    def __init__(
        self, request: TryRequest, *, host: Host, folder: TryFolder, accelerators: Sequence[Accelerator]
    ) -> None:
        self._request, self._host, self._folder, self._accelerators = request, host, folder, accelerators

    def command(self, phase: Phase) -> Command:
        """The command of a phase, confined as the phase asks and as this machine can."""
        host = self._host
        if cpus := host.confinement.limits.cpus:
            # Libraries start a thread for every core that they see, and a cgroup's limit then lets them wait in turns.
            phase = replace(phase, environment={**phase.environment, "OMP_NUM_THREADS": str(math.ceil(cpus))})
        confinement = host.confinement
        if phase.receives_messages and confinement.cgroups is None:
            # Without a cgroup the kernel cannot be told to forget, so the phase's supervisor reads these files whole.
            level = ":".join((str(Path(host.machine.interpreter).parents[1]), TASK, ARTIFACT))
            phase = replace(phase, environment={**phase.environment, "AUTORESEARCH_LEVEL_FILES": level})
        # A phase that is given a copy of the task folder sees nothing of the folder itself.
        entries = () if phase.writes_to_task else self._task_entries(phase)
        places = Places(
            volumes=self._volumes, task=tuple(entries), etc=host.etc, filters=host.filters, frozen=host.frozen
        )
        processes = confinement.process_rlimit(own_namespace=host.bubblewrap is not None)
        if host.bubblewrap is None:
            view = self._folder.views / phase.name
            temporary = make_view(view, phase, places, copied=self._folder.task)
            return in_the_open(
                phase,
                view=view,
                places=places,
                machine=host.machine,
                processes=processes,
                temporary=temporary,
                accelerators=self._accelerators,
            )
        return in_bubblewrap(
            phase,
            places=places,
            machine=host.machine,
            bubblewrap=host.bubblewrap,
            scratch=Scratch(temporary_bytes=int(host.settings.executor.limits.scratch_gb * 2**30), processes=processes),
            accelerators=self._accelerators,
        )

    def written(self, phase: Phase) -> Mapping[str, Bound]:
        """The folders that a phase may fill, by what people call them.

        Those of the examiner are not watched, because it is trusted.
        """
        limits, bounds = self._host.settings.executor.limits, {}
        for volume in (mount.volume for mount in phase.mounts if mount.writable):
            if volume is Volume.ARTIFACT:
                bounds[str(volume)] = Bound(
                    self._volumes[volume], limits.artifact_gb, "executor.limits.artifact_gb", limits.artifact_files
                )
            elif volume is Volume.TASK:
                name = "the attempt's copy of the task folder"
                bounds[name] = Bound(self._folder.copy, limits.task_gb, "executor.limits.task_gb")
        return bounds

    def copy_task(self, phase: Phase) -> None:
        """Copy the task folder for a phase that may write to it. Raises TooLarge."""
        most = int(self._host.settings.executor.limits.task_gb * 2**30)
        copy_task(self._task_entries(phase), self._folder.copy, most=most)
        for path, name in self._host.shown_in_task:
            place = self._folder.copy / name
            place.parent.mkdir(parents=True, exist_ok=True)
            # The sandbox mounts that folder at its own path, where the link finds it.
            place.symlink_to(path)

    @property
    def task_limit(self) -> str:
        """The most that the copy may hold, in words."""
        return f"{self._host.settings.executor.limits.task_gb:g} GB (executor.limits.task_gb)"

    def _task_entries(self, phase: Phase) -> Iterator[tuple[Path, str]]:
        folder = self._host.task_folder
        return task_entries(
            folder,
            hidden=(*self._host.hidden, *((folder / name).resolve() for name in phase.hides)),
            kit=self._host.kit,
            edited=self._folder.task if phase.edited else None,
            names=self._request.files,
        )

    @property
    def _volumes(self) -> Mapping[Volume, Path]:
        folder = self._folder
        socket = folder.socket.readlink() if folder.socket.is_symlink() else folder.socket
        return {
            Volume.TASK: folder.copy,
            Volume.DATA: self._host.data_folder,
            Volume.ARTIFACT: folder.artifact,
            Volume.SOCKET: socket,
            Volume.RESULT: folder.message,
        }
