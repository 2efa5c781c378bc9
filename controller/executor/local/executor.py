"""Runs tries on this machine, in one thread each: the Executor protocol.

A local try does not survive its controller: when the controller ends, the reaper of the running phase kills its
processes. The try's folder stays, and after a restart its result is read from there.

The work folder belongs to one executor. Its creator holds the lab's lock, so no other controller uses the folder.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from controller.domain import Progress, Result, TryEnded, TryId, TryRequest
from controller.errors import SandboxError
from controller.executor.local import outcome
from controller.executor.local.cgroups import Limits
from controller.executor.local.confinement import Confinement
from controller.executor.local.exam_hours import EXAM_HOURS, ExamHours
from controller.executor.local.find_cgroups import clear_leftovers, find_cgroups
from controller.executor.local.host import Host, make_host
from controller.executor.local.process import Stop
from controller.executor.local.program import require_program, require_room_for_copy
from controller.executor.local.runner import TryRunner
from controller.executor.local.shares import cpus_of_slot
from controller.executor.local.smoke import delete_leftovers, run_smoke_test
from controller.executor.local.surroundings import usable_cores
from controller.executor.local.try_folder import TryFolder
from controller.executor.local.witness import OWN_USE
from controller.executor.local.work_disk import WorkDisk
from controller.folder import denied_access
from controller.ports import SmokeCrash, Untested
from controller.settings import Settings
from controller.text.safe_text import one_line

log = logging.getLogger(__name__)

_SMOKE_PATIENCE_S = 600.0
"""Longest wait for an hour without an exam, in seconds: beside many slots there may be none, and an attempt tells too.
"""

_JOIN_S = 30.0
"""Longest wait for all tries to end at `stop`, in seconds: ending one phase may take ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    runner: TryRunner
    stop: Stop
    slot: int


class LocalExecutor:
    """Runs tries in sandboxes on this machine.

    task_folder: the fixed files of the task. data_folder: the output of prepare.py. work_folder: created if missing;
    holds one folder for each try, of which `<try id>/logs/<phase>.log` stays. clock: wall-clock time in seconds, for
    `progress`. warn: takes a sentence for the operator, from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        task_folder: Path,
        data_folder: Path,
        work_folder: Path,
        clock: Callable[[], float] = time.time,
        warn: Callable[[str], None] = lambda _: None,
        exam_hours: ExamHours = EXAM_HOURS,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._task_folder, self._data_folder = task_folder.resolve(), data_folder.resolve()
        self._work_folder = work_folder.resolve()
        self._lock = threading.Lock()
        self._running: dict[TryId, _Running] = {}
        self._threads: set[threading.Thread] = set()
        self._smoke_stop = Stop()
        self._exam_hours = exam_hours
        self._host: Host | None = None
        self._disk = WorkDisk(self._work_folder, artifact_gb=settings.executor.limits.artifact_gb, warn=warn)
        self._ended: Callable[[TryEnded], None] = lambda _: None

    def start(self, ended: Callable[[TryEnded], None]) -> None:
        """Remove what a dead controller left, and test the sandbox.

        Raises SandboxError, DataError, and TaskError if the sandbox does not find the task's program.
        """
        # Namespaces, cgroups, pidfds and subreapers are Linux's own.
        if platform.system() != "Linux":
            raise SandboxError("attempts run on Linux only; elsewhere use --executor kubernetes")
        self._ended = ended
        try:
            self._host = self._prepare()
        except OSError as error:
            why = denied_access(self._work_folder) if isinstance(error, PermissionError) else error
            raise SandboxError(f"the folder for tries, {self._work_folder}, cannot be used: {why}") from error

    def launch(self, request: TryRequest) -> None:
        """Start a try. One that runs already goes on; one that has a folder already is reported from it."""
        host, folder = self._started, self._folder(request.id)
        with self._lock:
            if request.id in self._running:
                return
            if folder.root.exists():
                self._report_found(request.id)
                return
            running = self._make_runner(request, host=host, folder=folder)
            self._running[request.id] = running
            self._in_background(lambda: self._run(request.id, running.runner, folder), name=f"try {request.id}")

    def adopt(self, requests: Sequence[TryRequest]) -> None:
        """Report the stored result of each try; one without a result is lost, with the time that it had run."""
        for request in requests:
            self._report_found(request.id)

    def smoke(self, files: Mapping[str, str]) -> SmokeCrash | Untested | None:
        """Run the smoke test of a program; None if it did not crash.

        Blocks, in any thread, for up to ten minutes where one exam follows another.
        """
        host, until = self._started, time.monotonic() + _SMOKE_PATIENCE_S
        if self._settings.task.score == "exam" and host.bubblewrap and host.confinement.cgroups is None:
            # Without a cgroup the kernel cannot be told to forget what a candidate has read, and the log would tell.
            return Untested.UNTESTED
        try:
            while not self._smoke_stop.is_set and (left := until - time.monotonic()) > 0:
                with self._exam_hours.hold_smoke_test(seconds=left) as exam_begins:
                    if exam_begins is None:
                        return Untested.UNTESTED
                    stops = (self._smoke_stop, exam_begins)
                    crash = run_smoke_test(
                        files,
                        host=host,
                        work=self._work_folder,
                        own=OWN_USE,
                        exam_hours=self._exam_hours,
                        stops=stops,
                    )
                if crash or not exam_begins.is_set:
                    return crash
        except OSError as error:
            # What is wrong with this machine meets the attempt as well, where it costs a try and no verdict.
            log.warning("a smoke test could not be run: %s", error)
        return Untested.UNTESTED

    def progress(self) -> Sequence[Progress]:
        """The running phase of each try."""
        with self._lock:
            running = list(self._running.values())
        return [progress for one in running if (progress := one.runner.progress())]

    def trouble(self) -> str:
        """A full disk, on which every try would be lost; other faults of this machine are raised by `start`."""
        return "" if self._host is None else self._disk.trouble()

    def ready(self) -> bool:
        """True once `start` has tested the sandbox."""
        return self._host is not None

    def watch_ages(self) -> Mapping[str, float]:
        """Always empty: tries are threads of this process, so there is no connection to watch."""
        return {}

    def recorded(self, id: TryId) -> None:
        """Delete the files of a recorded try except its logs and its result."""
        self._in_background(lambda: self._disk.forget([self._folder(id)]), name=f"forget {id}")

    def stop(self) -> None:
        """Kill every try and wait for its end; each is reported lost before this returns."""
        self._smoke_stop.set()
        with self._lock:
            for running in self._running.values():
                running.stop.set()
            threads = list(self._threads)
        until = time.monotonic() + _JOIN_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def _started(self) -> Host:
        if self._host is None:
            raise RuntimeError("the executor was not started")
        return self._host

    def _run(self, id: TryId, runner: TryRunner, folder: TryFolder) -> None:
        result = outcome.lost("the executor failed; its traceback is in the controller's own output")
        try:
            self._disk.await_deletions()
            result = runner.run()
            self._disk.store(folder, result)
        except OSError as error:
            result = replace(outcome.lost(one_line(f"this machine failed: {error}")), seconds=folder.ran_for())
        finally:
            with self._lock:
                del self._running[id]
            self._report(id, result)

    def _report(self, id: TryId, result: Result) -> None:
        self._ended(TryEnded(id=id, result=result))

    def _report_found(self, id: TryId) -> None:
        found = _read_result(self._folder(id))
        self._in_background(lambda: self._report(id, found), name=f"report {id}")

    def _make_runner(self, request: TryRequest, *, host: Host, folder: TryFolder) -> _Running:
        slots = self._settings.executor.slots
        taken = {running.slot for running in self._running.values()}
        slot = next((n for n in range(slots) if n not in taken), 0)
        stop = Stop()
        runner = TryRunner(
            request,
            host=host,
            folder=folder,
            accelerators=host.machine.accelerators_of(slot, slots),
            cores=host.confinement.cores_of(slot, slots),
            own=OWN_USE,
            exam_hours=self._exam_hours,
            stop=stop,
            clock=self._clock,
        )
        return _Running(runner=runner, stop=stop, slot=slot)

    def _in_background(self, work: Callable[[], None], *, name: str) -> None:
        def run() -> None:
            try:
                work()
            finally:
                self._threads.discard(thread)

        # Python waits at its end for all threads but daemons.
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _folder(self, id: TryId) -> TryFolder:
        return TryFolder(self._work_folder / str(id))

    def _prepare(self) -> Host:
        self._work_folder.mkdir(parents=True, exist_ok=True)
        self._disk.open()
        delete_leftovers(self._work_folder)
        self._disk.delete_leftovers(lambda work: self._in_background(work, name="forget leftovers"))
        cpus = cpus_of_slot(
            self._settings.executor.limits.cpus, slots=self._settings.executor.slots, cores=usable_cores()
        )
        limits = Limits.of(self._settings.executor.limits, cpus=cpus)
        # Before any child: a cgroup of version 2 hands on its controllers only while it holds no process itself.
        cgroups = find_cgroups(self._work_folder, limits)
        clear_leftovers(self._work_folder / "cgroups.json", cgroups)
        host = make_host(
            self._settings,
            Confinement(limits, cgroups),
            task=self._task_folder,
            data=self._data_folder,
            work=self._work_folder,
        )
        require_room_for_copy(host)
        require_program(host, log_path=self._work_folder / "self-test.log")
        return host


def _read_result(folder: TryFolder) -> Result:
    """Result of a try whose controller has ended."""
    if result := folder.stored():
        return result
    return replace(outcome.lost(outcome.STOPPED, interrupted=True), seconds=folder.ran_for())
