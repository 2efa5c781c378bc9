"""One try: its phases in order, the candidate beside the examiner, and the result that comes of them."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from controller.domain import Progress, Result, TryRequest
from controller.executor.local import outcome
from controller.executor.local.capture import CappedLog
from controller.executor.local.folders import TryFolder, disk_use, task_entries
from controller.executor.local.machine import Accelerator
from controller.executor.local.process import Cause, Confined, PhaseEnd, Stop, Trouble, run_phase
from controller.executor.local.sandbox import Command, Places, Scratch, in_bubblewrap, in_the_open
from controller.executor.local.site import Site
from controller.executor.local.views import make_view
from controller.phases import Phase, PhaseName, Volume, phases
from controller.scores import read_summary, safe_tail

CANDIDATE_STARTS = 3
"""The exam asks for one restart; one more is allowed for a crash that the examiner then judges."""

_TAIL_BYTES = 4096
_FREE_BYTES = 64 * 2**20
"""Disk that must stay free: below it nobody's files are safe, so the phase ends."""


class TryRunner:
    """Runs one try; `run` blocks, everything else may be called from other threads."""

    def __init__(
        self,
        request: TryRequest,
        *,
        site: Site,
        folder: TryFolder,
        accelerators: Sequence[Accelerator],
        stop: Stop,
        clock: Callable[[], float],
    ) -> None:
        self._request, self._site, self._folder = request, site, folder
        self._accelerators, self._stop, self._clock = accelerators, stop, clock
        self._phase_seconds: dict[str, float] = {}
        self._now: tuple[Phase, float, CappedLog] | None = None

    def run(self) -> Result:
        """Run the phases and say how the attempt ended. Raises OSError where this machine fails."""
        began = time.monotonic()
        self._folder.create(self._request.files.items(), short_socket=self._site.bubblewrap is None)
        result = self._run_phases()
        log = self._log_of(PhaseName.TRAIN)
        return replace(
            result,
            seconds=time.monotonic() - began,
            phase_seconds=dict(self._phase_seconds),
            node=self._site.machine.node,
            accelerator=self._accelerators[0].name if self._accelerators else "cpu",
            summary=read_summary(log.decode("utf-8", errors="replace")),
            log_tail=safe_tail(log, _TAIL_BYTES),
        )

    def progress(self) -> Progress | None:
        """The phase that runs, since when, what it may take, and the newest line of the training's log."""
        if (now := self._now) is None:
            return None
        phase, started_at, log = now
        line = log.last_line() if phase.name is PhaseName.TRAIN else ""
        return Progress(
            id=self._request.id, phase=phase.name, started_at=started_at, phase_seconds=phase.seconds, line=line
        )

    def _run_phases(self) -> Result:
        settings = self._site.settings
        steps = {phase.name: phase for phase in phases(settings, self._request)}
        for name in (PhaseName.TRAIN, PhaseName.PROBE):
            if name in steps:
                end = self._run(steps[name], stops=(self._stop,))
                if result := outcome.failed(name, end, log=self._text_of(name), settings=settings):
                    return result
        if PhaseName.EXAMINE not in steps:
            return outcome.log_scored(self._text_of(PhaseName.TRAIN), settings)
        return self._examine(steps[PhaseName.CANDIDATE], steps[PhaseName.EXAMINE])

    def _examine(self, candidate: Phase, examine: Phase) -> Result:
        over, broken = Stop(), Stop()
        beside = _in_thread(lambda: self._keep_running(candidate, over=over, broken=broken))
        try:
            end = self._run(examine, stops=(self._stop, broken))
        finally:
            over.set()
            last = beside.result()
        if last.cause is Cause.NOT_STARTED:
            return outcome.lost(outcome.infrastructure(candidate.name, last))
        return outcome.examined(
            end,
            log=self._text_of(PhaseName.EXAMINE),
            message=self._folder.message_text(),
            attempt=str(self._request.id),
            settings=self._site.settings,
            provenance=self._site.provenance,
        )

    def _keep_running(self, candidate: Phase, *, over: Stop, broken: Stop) -> PhaseEnd:
        """Start the candidate again when it ends, as kubelet would; set `broken` where it cannot be started."""
        try:
            with self._open_log(candidate.name) as log:
                for _ in range(CANDIDATE_STARTS):
                    end = self._run_once(candidate, log, stops=(self._stop, over))
                    if end.cause in (Cause.STOPPED, Cause.NOT_STARTED, Cause.DEADLINE):
                        break
            if end.cause is Cause.NOT_STARTED:
                broken.set()
            return end
        except BaseException:
            broken.set()
            raise

    def _run(self, phase: Phase, *, stops: tuple[Stop, ...]) -> PhaseEnd:
        with self._open_log(phase.name) as log:
            self._now = (phase, self._clock(), log)
            end = self._run_once(phase, log, stops=stops)
        self._phase_seconds[phase.name.value] = end.seconds
        return end

    def _run_once(self, phase: Phase, log: CappedLog, *, stops: tuple[Stop, ...]) -> PhaseEnd:
        confinement = self._site.confinement
        name = f"{self._request.id}-{phase.name}"
        cgroup = confinement.cgroups.make(name, confinement.limits) if confinement.cgroups else None
        try:
            command = Confined(command=self._command(phase), rlimits=confinement.rlimits(), cgroup=cgroup)
            return run_phase(command, log=log, seconds=phase.seconds, stops=stops, watch=lambda: self._watch(phase))
        finally:
            if cgroup:
                cgroup.kill()
                cgroup.remove()

    def _watch(self, phase: Phase) -> Trouble | None:
        os.utime(self._log_path(phase.name))  # A sign of life, from which a restart tells how long this ran.
        limit = self._site.settings.executor.limits.artifact_gb
        for mount in phase.mounts:
            if mount.writable and mount.volume in (Volume.ARTIFACT, Volume.ANSWERS):
                enough = int(limit * 2**30)
                if disk_use(self._volumes[mount.volume], enough=enough) > enough:
                    return Trouble(cause=Cause.OVERSIZE, detail=f"{mount.volume} passed its limit of {limit:g} GB")
        if shutil.disk_usage(self._folder.root).free < _FREE_BYTES:
            return Trouble(cause=Cause.DISK_FULL, detail=f"the disk of {self._folder.root} is full")
        return None

    def _command(self, phase: Phase) -> Command:
        site = self._site
        confinement = site.confinement
        entries = task_entries(
            site.task_folder,
            hidden=site.hidden,
            edited=self._folder.task if phase.edited else None,
            names=self._request.files,
        )
        places = Places(volumes=self._volumes, task=tuple(entries), etc=site.etc)
        processes = confinement.process_rlimit(own_namespace=site.bubblewrap is not None)
        if site.bubblewrap is None:
            view = self._folder.views / phase.name
            temporary = make_view(view, phase, places, copied=self._folder.task)
            command = in_the_open(
                phase, view=view, places=places, machine=site.machine, processes=processes, temporary=temporary
            )
            return replace(command, environment={**command.environment, **_visible(phase, self._accelerators)})
        return in_bubblewrap(
            phase,
            places=places,
            machine=site.machine,
            bubblewrap=site.bubblewrap,
            scratch=Scratch(temporary_bytes=int(site.settings.executor.limits.scratch_gb * 2**30), processes=processes),
            accelerators=self._accelerators,
        )

    @property
    def _volumes(self) -> Mapping[Volume, Path]:
        folder = self._folder
        socket = folder.socket.readlink() if folder.socket.is_symlink() else folder.socket
        return {
            Volume.DATA: self._site.data_folder,
            Volume.ARTIFACT: folder.artifact,
            Volume.ANSWERS: folder.answers,
            Volume.SOCKET: socket,
            Volume.RESULT: folder.message,
        }

    def _open_log(self, name: PhaseName) -> CappedLog:
        return CappedLog(self._log_path(name), limit=int(self._site.settings.executor.limits.log_mb * 2**20))

    def _log_path(self, name: PhaseName) -> Path:
        return self._folder.logs / f"{name}.log"

    def _log_of(self, name: PhaseName) -> bytes:
        path = self._log_path(name)
        return path.read_bytes() if path.exists() else b""

    def _text_of(self, name: PhaseName) -> str:
        return self._log_of(name).decode("utf-8", errors="replace")


def _in_thread(work: Callable[[], PhaseEnd]) -> Future[PhaseEnd]:
    """Run in a thread of its own that does not keep a dying controller alive, as an executor's pool would."""
    future: Future[PhaseEnd] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - not swallowed: raised again where the future is waited for
            future.set_exception(error)

    threading.Thread(target=run, name="candidate", daemon=True).start()
    return future


def _visible(phase: Phase, accelerators: Sequence[Accelerator]) -> dict[str, str]:
    shown = accelerators if phase.accelerator else ()
    return {"CUDA_VISIBLE_DEVICES": ",".join(str(accelerator.number) for accelerator in shown)}
