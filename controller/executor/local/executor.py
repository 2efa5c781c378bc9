"""Attempts on this machine, as the Executor protocol: one thread a try.

A local try does not survive its controller: the reaper of its running phase sees the controller go and kills the
tree. What is left is a folder, from which a restart tells what became of the try.

Owns the work folder: whoever constructs this holds the lab's lock, so no other controller uses the same folder.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from controller.domain import Progress, Result, TryEnded, TryId, TryRequest
from controller.errors import SandboxError
from controller.executor.local import outcome
from controller.executor.local.cgroups import Cgroups, Limits
from controller.executor.local.folders import TryFolder
from controller.executor.local.hierarchy import find_cgroups
from controller.executor.local.limits import Confinement
from controller.executor.local.process import Stop
from controller.executor.local.runner import TryRunner
from controller.executor.local.site import Site, make_site
from controller.scores import shorten
from controller.settings import Settings

_JOIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    runner: TryRunner
    stop: Stop
    slot: int


class LocalExecutor:
    """Runs tries in sandboxes on this machine.

    task_folder: the fixed files of the task. data_folder: what prepare.py made. work_folder: made where missing;
    one folder a try, `<try id>/logs/<phase>.log` stays in it. clock: wall time in seconds, for `progress`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        task_folder: Path,
        data_folder: Path,
        work_folder: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._task_folder, self._data_folder = task_folder.resolve(), data_folder.resolve()
        self._work_folder = work_folder.resolve()
        self._lock = threading.Lock()
        self._running: dict[TryId, _Running] = {}
        self._threads: set[threading.Thread] = set()
        self._site: Site | None = None
        self._ended: Callable[[TryEnded], None] = lambda _: None

    def start(self, ended: Callable[[TryEnded], None]) -> None:
        """Test the sandbox, clear away what a dead controller left, and begin. Raises SandboxError, DataError."""
        if platform.system() != "Linux":
            raise SandboxError("attempts run on Linux only; elsewhere use --executor kubernetes")
        self._ended = ended
        try:
            self._site = self._prepare()
        except OSError as error:
            raise SandboxError(f"the folder for tries, {self._work_folder}, cannot be used: {error}") from error

    def describe(self) -> str:
        """How tries are confined here, for the operator; call after `start`."""
        site = self._started
        kind = f"bubblewrap ({site.bubblewrap.program})" if site.bubblewrap else "none (scores are unsealed)"
        return f"sandbox: {kind}, {site.confinement.describe()}"

    def launch(self, request: TryRequest) -> None:
        """Start a try; one that runs already is left alone, one that left a folder is reported from it."""
        site, folder = self._started, self._folder(request.id)
        with self._lock:
            if request.id in self._running:
                return
            if folder.root.exists():
                self._report_found(request.id)
                return
            running = self._runner(request, site=site, folder=folder)
            self._running[request.id] = running
            self._in_background(lambda: self._run(request.id, running.runner, folder), name=f"try {request.id}")

    def adopt(self, requests: Sequence[TryRequest]) -> None:
        """Report each as it was found: its finished result where it has one, else lost with the time it had run."""
        for request in requests:
            self._report_found(request.id)

    def progress(self) -> Sequence[Progress]:
        """The running phase of each try."""
        with self._lock:
            running = list(self._running.values())
        return [progress for one in running if (progress := one.runner.progress())]

    def trouble(self) -> str:
        """Never any: what is wrong with this machine is said by `start`."""
        return ""

    def ready(self) -> bool:
        """True once `start` has tested the sandbox."""
        return self._site is not None

    def watch_ages(self) -> Mapping[str, float]:
        """Nothing is watched: tries are threads of this process."""
        return {}

    def recorded(self, id: TryId) -> None:
        """Delete what the try left, but its logs."""
        self._in_background(self._folder(id).forget, name=f"forget {id}")

    def stop(self) -> None:
        """Kill every try and wait until it is gone; each is reported lost before this returns."""
        with self._lock:
            for running in self._running.values():
                running.stop.set()
            threads = list(self._threads)
        until = time.monotonic() + _JOIN_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def _started(self) -> Site:
        if self._site is None:
            raise RuntimeError("the executor was not started")
        return self._site

    def _run(self, id: TryId, runner: TryRunner, folder: TryFolder) -> None:
        result = outcome.lost("the executor failed; its traceback is in the controller's own output")
        try:
            result = runner.run()
            folder.store(result)
        except OSError as error:
            result = replace(outcome.lost(shorten(f"this machine failed: {error}")), seconds=folder.ran_for())
        finally:
            with self._lock:
                del self._running[id]
            self._report(id, result)

    def _report(self, id: TryId, result: Result) -> None:
        self._ended(TryEnded(id=id, result=result))

    def _report_found(self, id: TryId) -> None:
        found = _found(self._folder(id))
        self._in_background(lambda: self._report(id, found), name=f"report {id}")

    def _runner(self, request: TryRequest, *, site: Site, folder: TryFolder) -> _Running:
        slots = self._settings.executor.slots
        taken = {running.slot for running in self._running.values()}
        slot = next((n for n in range(slots) if n not in taken), 0)
        stop = Stop()
        runner = TryRunner(
            request,
            site=site,
            folder=folder,
            accelerators=site.machine.accelerators_of(slot, slots),
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

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _folder(self, id: TryId) -> TryFolder:
        return TryFolder(self._work_folder / str(id))

    def _clear_leftovers(self, cgroups: Cgroups | None) -> None:
        note = self._work_folder / "cgroups.json"
        for family in filter(None, (Cgroups.load(note), cgroups)):
            for cgroup in family.leftovers():
                cgroup.kill()
                cgroup.remove()
        if cgroups:
            cgroups.save(note)
        for started in self._work_folder.glob("*/started"):
            TryFolder(started.parent).forget()

    def _prepare(self) -> Site:
        self._work_folder.mkdir(parents=True, exist_ok=True)
        limits = Limits.of(self._settings.executor.limits)
        cgroups = find_cgroups(self._work_folder, limits)
        self._clear_leftovers(cgroups)
        return make_site(
            self._settings,
            Confinement(limits, cgroups),
            task=self._task_folder,
            data=self._data_folder,
            work=self._work_folder,
        )


def _found(folder: TryFolder) -> Result:
    """What became of a try whose controller is gone."""
    if result := folder.stored():
        return result
    return replace(outcome.lost(outcome.STOPPED, interrupted=True), seconds=folder.ran_for())
