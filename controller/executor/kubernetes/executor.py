"""The executor for a cluster: runs each try as one Job, and takes the next step of a try when the cluster has news.

Threads: one watch each on Jobs, pods and warning events, a few workers, one that renews the lease, and a bounded
number that follow training logs for people. A watch only stores what it saw and puts the try's name into the work
queue; a worker then takes one step. Every step can be repeated at any time, so a lost answer, a restart and a second
event all lead to the same end.

The campaign decides on another try, and the cluster schedules. There is no polling.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence

from controller.domain import Progress, TryEnded, TryId, TryRequest
from controller.errors import ClusterError
from controller.executor.kubernetes.caches import Caches, Handlers, job_of_pod
from controller.executor.kubernetes.client import Client, Object, Observe, unobserved
from controller.executor.kubernetes.connection import connect
from controller.executor.kubernetes.lease import TO_A_CAMPAIGN, TO_A_STUDY, Lease
from controller.executor.kubernetes.leftovers import delete_jobs
from controller.executor.kubernetes.naming import campaign_selector, job_name, proposals_selector, smoke_selector
from controller.executor.kubernetes.orphans import put_away_orphans
from controller.executor.kubernetes.rights import require_image, require_version
from controller.executor.kubernetes.running_try import RunningTry, Step
from controller.executor.kubernetes.smoke import SmokeRuns
from controller.executor.kubernetes.smoke_state import keeps_waiting
from controller.executor.kubernetes.tries import RunningTries
from controller.executor.kubernetes.worker import Worker
from controller.executor.kubernetes.workqueue import WorkQueue
from controller.executor.phases import PhaseName, phases
from controller.ports import SmokeCrash, Untested
from controller.settings import Settings
from controller.text.safe_text import one_line

LOG = logging.getLogger("autoresearch.kubernetes")

WORKERS = 4
"""Threads that take steps. A step is a few short requests, so four threads keep up with some hundred tries."""

STOP_SECONDS = 5.0
"""Seconds that a stop waits for steps, for the first search for orphans, and for connections that are being closed."""

RECORD_SECONDS = 10.0
"""Seconds that a stop waits for Jobs to be marked as recorded. A Job that is not is an orphan at the next start."""

SWEEP = "/sweep"
"""Key of the search for orphans in the work queue. No Job has this name: a slash is not allowed in one."""

SWEEP_SECONDS = 5.0
"""Seconds until the search is repeated after it found an orphan: a deleted Job takes a moment to leave the cache."""


class KubernetesExecutor:
    """Runs tries as Jobs in the namespace that the settings name. See `controller.ports.Executor`.

    studies: it runs studies of the campaign, and sees no Job of its experiments. unfinished: names of other studies
    that will go on later, whose Jobs it does not see either. warn: takes a sentence for the operator, from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        studies: bool = False,
        unfinished: Collection[str] = (),
        client: Client | None = None,
        observe: Observe = unobserved,
        warn: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._cluster = settings.executor.kubernetes
        self._studies, self._unfinished = studies, unfinished
        self._given_client = client
        self._observe = observe
        self._warn = warn
        self._clock = clock
        self._monotonic = monotonic
        self._tries = RunningTries(clock=monotonic)
        self._lease: Lease | None = None
        self._smoke_runs: SmokeRuns | None = None
        self._stopped = False
        self._swept: threading.Event | None = None
        """Set when orphans were looked for once; None before `adopt`, which asks for that."""
        self._queue = WorkQueue(self._work, threads=WORKERS, name="kubernetes")

    # -- the protocol ---------------------------------------------------------

    def start(self, ended: Callable[[TryEnded], None]) -> None:
        """Connect, take the lease and fill the caches. Raises SettingsError, or ClusterError with what is missing."""
        require_image(self._cluster)
        client = self._given_client or connect(self._cluster, observe=self._observe)
        holder = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._lease = Lease(
            client,
            self._settings.tag,
            holder=holder,
            duration=self._cluster.lease_seconds,
            advice=TO_A_STUDY if self._studies else TO_A_CAMPAIGN,
            clock=self._monotonic,
        )
        self._client = client.guarded(self._lease.guard)
        handlers = Handlers(job=self._job_changed, pod=self._pod_changed, event=self._warning_changed)
        selector = campaign_selector(self._settings.tag, studies=self._studies, unfinished=self._unfinished)
        self._caches = Caches(self._client, selector, handlers)
        self._worker = Worker(
            settings=self._settings,
            client=self._client,
            caches=self._caches,
            tries=self._tries,
            add_after=self._queue.add_after,
            report=ended,
            clock=self._clock,
            monotonic=self._monotonic,
        )
        self._smoke_runs = SmokeRuns(
            self._settings,
            client=self._client,
            caches=self._caches,
            crowded=self._has_try_that_waits_for_smoke,
            warn=self._warn,
            monotonic=self._monotonic,
        )
        try:
            require_version(client)
            self._lease.acquire()
            self._caches.start()
        except ClusterError:
            self.stop()
            raise
        self._queue.start()

    def launch(self, request: TryRequest) -> None:
        """Create the try's Job, or adopt the one that already has its name; a worker does it."""
        self._queue.add(self._tries.take_on(request, adopted=False))

    def adopt(self, requests: Sequence[TryRequest]) -> None:
        """Take over tries of an earlier controller, and put away what else it left of this campaign."""
        for request in requests:
            self._queue.add(self._tries.take_on(request, adopted=True))
        self._swept = threading.Event()
        self._queue.add(SWEEP)
        if self._studies:
            return
        # At once: from here on the Jobs of new proposals and their smoke tests are created, which no sweep may find.
        for selector in (proposals_selector(self._settings.tag), smoke_selector(self._settings.tag)):
            try:
                delete_jobs(self._client, selector)
            except ClusterError as error:
                LOG.warning("Jobs left behind stay until their deadline", extra={"error": str(error)})

    def smoke(self, files: Mapping[str, str]) -> SmokeCrash | Untested | None:
        """Run the smoke test of a program in a pod of its own; None if it did not crash. Blocks, in any thread."""
        return Untested.UNTESTED if self._smoke_runs is None else self._smoke_runs.run(files)

    def progress(self) -> Sequence[Progress]:
        """The place of each try, and what it waits for."""
        return [self._progress_of(running) for running in self._tries.without_result()]

    def trouble(self) -> str:
        """One sentence on what only an operator can mend, before which nothing should be launched; empty if nothing."""
        self._queue.raise_bug()
        lease = self._lease
        if lease is None or lease.lost:
            return lease.lost if lease else ""
        return self._tries.trouble() or self._caches.silence()

    def ready(self) -> bool:
        """True if every watch has filled its cache and this controller holds the lease, and after a stop."""
        lease = self._lease
        return self._stopped or (lease is not None and not lease.lost and self._caches.synced())

    def recorded(self, id: TryId) -> None:
        """Label the Job with its result, and let the cluster remove it after a while; a worker does it."""
        name = job_name(id)
        with self._tries.lock:
            running = self._tries.find(name)
            if running is None or running.result is None:
                return
            running.step, running.failures = Step.RECORD, 0
        self._queue.add(name)

    def stop(self) -> None:
        """End all threads and give back the lease. Jobs go on: the next start finds them by their names."""
        if self._lease is None:
            return
        if self._smoke_runs is not None:
            self._smoke_runs.stop(STOP_SECONDS)
        self._tries.wait_recorded(RECORD_SECONDS)
        # Whoever finds nothing left to run stops at once, and orphans of its last tries would stay for ever.
        if self._swept is not None:
            self._swept.wait(STOP_SECONDS)
        self._queue.stop(STOP_SECONDS)
        followers = self._tries.followers()
        for follower in followers:
            follower.stop()
        self._caches.stop()
        for follower in followers:
            follower.join(STOP_SECONDS)
        try:
            self._lease.release()
        except ClusterError as error:
            LOG.warning("lease not released", extra={"error": str(error)})
        self._client.close()
        self._lease, self._stopped = None, True

    # -- for metrics ----------------------------------------------------------

    def watch_ages(self) -> Mapping[str, float]:
        """Seconds since each watch last heard from the API server."""
        return self._caches.ages() if self._lease else {}

    # -- called on the threads of the watches ---------------------------------

    def _job_changed(self, job: Object, gone: bool) -> None:
        name = job["metadata"]["name"]
        with self._tries.lock:
            running = self._tries.find(name)
            if running is not None:
                running.see_job(job, gone=gone)
        self._pass_on(running)

    def _pod_changed(self, pod: Object, gone: bool) -> None:
        name = job_of_pod(pod)
        with self._tries.lock:
            running = self._tries.find(name)
            if running is not None:
                running.see_pod(pod, gone=gone, now=self._monotonic())
        self._pass_on(running)

    def _pass_on(self, running: RunningTry | None) -> None:
        """Have the news looked at by whom they concern. What is no try of ours may be a smoke test."""
        if running is not None:
            self._enqueue(running)
        elif self._smoke_runs is not None:
            self._smoke_runs.tell_news()

    def _enqueue(self, running: RunningTry) -> None:
        """Queue this try for a worker.

        A try under observation goes first, because the change may be its end. A try whose end was already reported is
        ignored.
        """
        if running.step in (Step.LAUNCH, Step.OBSERVE):
            self._queue.add(running.name, urgent=running.step is Step.OBSERVE)

    def _warning_changed(self, event: Object, gone: bool) -> None:
        """Queue the try that a warning is about: it may say why a pod does not start."""
        if gone:  # events expire after an hour, which says nothing about the try
            return
        # A warning is about the Job or about its pod. The Job controller names a pod after its Job, with a hyphen and
        # five random characters behind.
        name = str(event["involvedObject"].get("name", ""))
        job_if_pod, _, _ = name.rpartition("-")
        for job in (name, job_if_pod):
            if self._tries.find(job) is not None:
                self._queue.add(job)

    # -- called on the threads of the work queue ------------------------------

    def _work(self, name: str) -> None:
        if name == SWEEP:
            self._sweep()
            return
        running = self._tries.find(name)
        if running is not None:
            self._worker.take_step(running)

    def _sweep(self) -> None:
        keep = self._cluster.keep_failed_seconds
        if put_away_orphans(self._client, self._caches, ours=self._tries.names_ever, keep_seconds=keep):
            self._queue.add_after(SWEEP, SWEEP_SECONDS)
        if self._swept is not None:
            self._swept.set()

    # -- called on the threads of proposals -----------------------------------

    def _has_try_that_waits_for_smoke(self) -> bool:
        return any(keeps_waiting(running.progress) for running in self._tries.without_result())

    # -- for people -----------------------------------------------------------

    def _progress_of(self, running: RunningTry) -> Progress:
        granted = {str(phase.name): phase.seconds for phase in phases(self._settings, running.request)}
        following = running.follower is not None and running.progress.phase == PhaseName.TRAIN
        seconds, now = granted.get(running.progress.phase, 0.0), self._clock()
        began = running.phase_at or now
        return Progress(
            id=running.request.id,
            phase=running.progress.phase,
            # The beginning of an adopted try is known by the cluster's clock only, and ours may be minutes ahead of it:
            # a phase cannot have lasted longer than it may.
            started_at=max(began, now - seconds) if seconds else began,
            phase_seconds=seconds,
            line=running.follower.line if following and running.follower else one_line(running.progress.line),
        )
