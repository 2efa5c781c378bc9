"""One try: its phases in order, the candidate beside the examiner, and the result that comes of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from controller.domain import Outcome, Progress, Result, TryRequest, Witness
from controller.executor import attempt_end
from controller.executor.disturbance import describe_disturbance, without_stolen
from controller.executor.local import outcome
from controller.executor.local.capped_log import CappedLog
from controller.executor.local.disk_watch import DiskWatch
from controller.executor.local.exam_hours import ExamHours
from controller.executor.local.gpus import Accelerator
from controller.executor.local.host import Host
from controller.executor.local.phase_setup import PhaseSetup
from controller.executor.local.process import Cause, Confined, PhaseEnd, Stop, Trouble, run_phase
from controller.executor.local.task_copy import TooLarge
from controller.executor.local.try_folder import TryFolder
from controller.executor.local.witness import Observer, OwnUse, wait_for_calm
from controller.executor.log_score import read_numbers
from controller.executor.phase_output import read_tail
from controller.executor.phases import Phase, PhaseName, phases

IDLE = 19
"""The lowest priority that Linux gives: its share is 1.5 % of what a process of usual priority gets beside it."""

CANDIDATE_STARTS = 4
"""The exam has three rounds; one more start is allowed for a crash that the examiner then judges."""


class TryRunner:
    """Runs one try; `run` blocks, everything else may be called from other threads."""

    def __init__(
        self,
        request: TryRequest,
        *,
        host: Host,
        folder: TryFolder,
        accelerators: Sequence[Accelerator],
        cores: tuple[int, ...],
        own: OwnUse,
        exam_hours: ExamHours,
        stop: Stop,
        clock: Callable[[], float],
        idle: bool = False,
    ) -> None:
        """idle: its phases get what others leave of the CPUs."""
        self._request, self._host, self._folder = request, host, folder
        self._accelerators, self._cores, self._own = accelerators, cores, own
        self._stop, self._clock, self._idle = stop, clock, idle
        self._exam_hours = exam_hours
        self._setup = PhaseSetup(request, host=host, folder=folder, accelerators=accelerators)
        self._phase_seconds: dict[str, float] = {}
        self._ends: dict[PhaseName, bytes] = {}
        self._now: tuple[Phase, float, CappedLog] | None = None
        self._witness: Witness | None = None

    def run(self) -> Result:
        """Run the phases and say how the attempt ended. Raises OSError where this machine fails."""
        self._wait_for_calm()
        began = time.monotonic()
        self._folder.create(self._request.files.items(), short_socket=self._host.bubblewrap is None)
        result = self._run_phases()
        text = self.text
        return replace(
            result,
            seconds=time.monotonic() - began,
            phase_seconds=dict(self._phase_seconds),
            node=self._host.machine.node,
            accelerator=self._accelerators[0].name if self._accelerators else "cpu",
            witness=self._witness,
            summary=read_numbers(text, self._host.settings.task.guards),
            log_tail=text,
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

    def _wait_for_calm(self) -> None:
        """Let a disturbance pass before a try that follows a disturbed one. This costs time and no slot seconds."""
        if self._request.calm is not None and self._host.confinement.cgroups is not None:
            wait_for_calm(self._request.calm, self._own, seconds=self._request.patience_s, stop=self._stop)

    def _run_phases(self) -> Result:
        settings = self._host.settings
        steps = {phase.name: phase for phase in phases(settings, self._request)}
        failed = self._train(steps[PhaseName.TRAIN])
        if why := self._disturbance(failed):
            return outcome.disturbed(why)
        if failed is not None:
            return failed
        if PhaseName.EXAMINE not in steps:
            return attempt_end.log_scored(self.text, task=settings.task, walls=self._host.walls)
        with self._exam_hours.hold_exam(give_up=lambda: self._stop.is_set) as held:
            if not held:
                return outcome.lost(outcome.STOPPED, interrupted=True)
            return self._examine(steps[PhaseName.CANDIDATE], steps[PhaseName.EXAMINE])

    def _train(self, phase: Phase) -> Result | None:
        """Run the training; the result if it ended the attempt, None if its exam may begin."""
        settings, end = self._host.settings, self.run_phase(phase, stops=(self._stop,))
        return outcome.failed(
            end,
            text=self.text,
            task=settings.task,
            train_seconds=settings.budget.train_seconds,
            walls=self._host.walls,
        )

    def _disturbance(self, result: Result | None) -> str:
        """The reason to run this training again before anybody has seen its score; empty if it counts."""
        # A crash is the program's own doing on any machine, and a deadline may be missed for lack of a CPU.
        if result is not None and result.outcome is not Outcome.TIMED_OUT:
            return ""
        counts = self._request.counts if result is None else self._request.late_counts
        return "" if counts else describe_disturbance(without_stolen(self._witness), self._request.calm)

    def _examine(self, candidate: Phase, examine: Phase) -> Result:
        over, broken = Stop(), Stop()
        beside = _in_thread(lambda: self._keep_running(candidate, over=over, broken=broken))
        try:
            end = self.run_phase(examine, stops=(self._stop, broken))
        finally:
            over.set()
            last = beside.result()
        if last.cause is Cause.NOT_STARTED:
            return outcome.lost(outcome.infrastructure(candidate.name, last))
        return outcome.examined(
            end,
            log=self._ends[PhaseName.EXAMINE].decode("utf-8", errors="replace"),
            message=self._folder.message_text(),
            attempt=str(self._request.id),
            task=self._host.settings.task,
            provenance=self._host.provenance,
            starved=candidate.name if last.cause is Cause.MEMORY else "",
        )

    def _keep_running(self, candidate: Phase, *, over: Stop, broken: Stop) -> PhaseEnd:
        """Start the candidate again when it ends, as kubelet would; set `broken` where it cannot be started.

        Returns the end that tells most: one for lack of memory, else the last.
        """
        starved: PhaseEnd | None = None
        try:
            with self._open_log(candidate.name) as log:
                for _ in range(CANDIDATE_STARTS):
                    end = self._run_once(candidate, log, stops=(self._stop, over))
                    starved = end if end.cause is Cause.MEMORY else starved
                    if end.cause in (Cause.STOPPED, Cause.NOT_STARTED, Cause.DEADLINE):
                        break
            if end.cause is Cause.NOT_STARTED:
                broken.set()
                return end
            return starved or end
        except BaseException:
            broken.set()
            raise

    def run_phase(self, phase: Phase, *, stops: tuple[Stop, ...]) -> PhaseEnd:
        """Run one phase to its end, in the try's folder, which must exist."""
        if phase.writes_to_task:
            try:
                self._setup.copy_task(phase)
            except TooLarge:
                return PhaseEnd(cause=Cause.OVERSIZE, detail=f"the task folder is larger than {self._setup.task_limit}")
        with self._open_log(phase.name) as log:
            self._now = (phase, self._clock(), log)
            end = self._run_once(phase, log, stops=stops)
        self._ends[phase.name] = log.end()
        self._phase_seconds[phase.name.value] = end.seconds
        return end

    def _run_once(self, phase: Phase, log: CappedLog, *, stops: tuple[Stop, ...]) -> PhaseEnd:
        confinement = self._host.confinement
        name = f"{self._request.id}-{phase.name}"
        cgroup = confinement.cgroups.make(name, confinement.limits) if confinement.cgroups else None
        if cgroup:
            self._own.begin(cgroup)
        try:
            rlimits = confinement.rlimits() | ({"nice": IDLE} if self._idle else {})
            command = Confined(command=self._setup.command(phase), rlimits=rlimits, cgroup=cgroup, cores=self._cores)
            disk = DiskWatch(self._folder.root, self._setup.written(phase), cgroup.processes if cgroup else tuple)
            observer = Observer(cgroup, self._own)
            end = run_phase(
                command,
                log=log,
                seconds=phase.seconds,
                stops=stops,
                watch=lambda: self._watch(phase, disk, observer),
                pause=disk.pause,
            )
            if phase.name is PhaseName.TRAIN:
                self._witness = observer.end()
        finally:
            if cgroup:
                cgroup.kill()
                # A cgroup that is removed takes its counters along.
                self._own.end(cgroup)
                # After the kill, because a living process could read the files anew at once.
                if phase.knows_questions:
                    cgroup.reclaim()
                cgroup.remove()
        if end.cause is not Cause.EXITED:
            return end
        trouble = disk.look(closely=True)
        # A write on a full disk fails with ENOSPC, of which the program's exit code tells nothing.
        if trouble is None and end.code != 0 and disk.was_full:
            trouble = disk.full_disk()
        return replace(end, cause=trouble.cause, detail=trouble.detail) if trouble else end

    def _watch(self, phase: Phase, disk: DiskWatch, observer: Observer) -> Trouble | None:
        os.utime(self._log_path(phase.name))  # A sign of life, from which a restart tells how long this ran.
        observer.look()
        return disk.look()

    def _open_log(self, name: PhaseName) -> CappedLog:
        return CappedLog(self._log_path(name), limit=int(self._host.settings.executor.limits.log_mb * 2**20))

    def _log_path(self, name: PhaseName) -> Path:
        return self._folder.logs / f"{name}.log"

    @property
    def text(self) -> str:
        """The end of training's log, from which everything is read; empty before it ran."""
        return read_tail(self._ends.get(PhaseName.TRAIN, b""))


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
