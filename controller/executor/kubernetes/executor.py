"""The executor for a cluster: takes tries on, and has each looked at whenever the cluster has news of it.

Its threads: one watch each on Jobs, pods and warnings, a few workers, one that keeps the lease, and a bounded
number that follow training logs for people. A watch only notes what it saw and enqueues the try's name; a
`worker` looks at what is known and takes one step. A step can be repeated at any time, so an answer that got
lost, a restart and a second event all lead to the same place.

It refuses to decide on another try (the campaign does), to schedule (the cluster does) and to poll.
"""

from __future__ import annotations

import logging
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

from controller.domain import Progress, TryEnded, TryId, TryRequest
from controller.errors import ClusterError
from controller.executor.kubernetes.attempt import RunningTry, Step
from controller.executor.kubernetes.caches import Caches, Handlers, job_of_pod
from controller.executor.kubernetes.client import Client, Object, Observe, unobserved
from controller.executor.kubernetes.connection import connect
from controller.executor.kubernetes.lease import Lease
from controller.executor.kubernetes.naming import job_name
from controller.executor.kubernetes.orphans import sweep
from controller.executor.kubernetes.tries import Tries
from controller.executor.kubernetes.worker import Worker
from controller.executor.kubernetes.workqueue import WorkQueue
from controller.phases import PhaseName, phases
from controller.settings import Settings

LOG = logging.getLogger("autoresearch.kubernetes")

OLDEST_VERSION = (1, 29)
"""Restartable init containers and podReplacementPolicy are on by default from here."""

WORKERS = 4
STOP_SECONDS = 5.0
RECORD_SECONDS = 10.0
"""How long a stop waits for results to be marked in the cluster; what is not will be an orphan of the next start."""

SWEEP = "/sweep"


class KubernetesExecutor:
    """Runs tries as Jobs in the namespace that the settings name. See `controller.ports.Executor`."""

    def __init__(
        self,
        settings: Settings,
        *,
        client: Client | None = None,
        observe: Observe = unobserved,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._cluster = settings.executor.kubernetes
        self._given_client = client
        self._observe = observe
        self._clock = clock
        self._monotonic = monotonic
        self._tries = Tries(clock=monotonic)
        self._lease: Lease | None = None
        self._stopped = False
        self._queue = WorkQueue(self._work, threads=WORKERS, name="kubernetes")

    # -- the protocol ---------------------------------------------------------

    def start(self, ended: Callable[[TryEnded], None]) -> None:
        """Connect, take the lease, fill the caches. Raises ClusterError with what is missing."""
        if not self._cluster.image:
            raise ClusterError("executor.kubernetes.image is not set: name the trainer image that attempts run in")
        client = self._given_client or connect(self._cluster, observe=self._observe)
        holder = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._lease = Lease(
            client, self._settings.tag, holder=holder, duration=self._cluster.lease_seconds, clock=self._monotonic
        )
        self._client = client.guarded(self._lease.guard)
        handlers = Handlers(job=self._job_changed, pod=self._pod_changed, event=self._event_changed)
        self._caches = Caches(self._client, self._settings.tag, handlers)
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
        try:
            self._require_version(client)
            self._lease.acquire()
            self._caches.start()
        except ClusterError:
            self.stop()
            raise
        self._queue.start()

    def launch(self, request: TryRequest) -> None:
        """Have the Job created, or the one that already carries this try's name adopted."""
        self._queue.add(self._tries.take_on(request, adopted=False))

    def adopt(self, requests: Sequence[TryRequest]) -> None:
        """Take over tries of an earlier controller; what else it left of this campaign is swept away."""
        for request in requests:
            self._queue.add(self._tries.take_on(request, adopted=True))
        self._queue.add(SWEEP)

    def progress(self) -> Sequence[Progress]:
        """Where each try is; what waits says for what."""
        return [self._progress_of(trial) for trial in self._tries.without_result()]

    def trouble(self) -> str:
        """What only an operator can mend; nothing should be launched meanwhile. Empty when there is nothing."""
        self._queue.check()
        lease = self._lease
        if lease is None or lease.lost:
            return lease.lost if lease else ""
        return self._tries.trouble() or self._caches.silence()

    def ready(self) -> bool:
        """Whether every watch has filled its cache and this controller holds the lease; also once it has stopped."""
        lease = self._lease
        return self._stopped or (lease is not None and not lease.lost and self._caches.synced())

    def recorded(self, id: TryId) -> None:
        """Label the Job with its result and let the cluster remove it after a while."""
        name = job_name(id)
        with self._tries.lock:
            trial = self._tries.find(name)
            if trial is None or trial.result is None:
                return
            trial.step, trial.failures = Step.RECORD, 0
        self._queue.add(name)

    def stop(self) -> None:
        """Let go of everything. Jobs go on: the next start finds them by their names."""
        if self._lease is None:
            return
        self._tries.wait_recorded(RECORD_SECONDS)
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

    # -- starting -------------------------------------------------------------

    def _require_version(self, client: Client) -> None:
        version = client.version()
        if version < OLDEST_VERSION:
            needed, found = (".".join(map(str, pair)) for pair in (OLDEST_VERSION, version))
            raise ClusterError(f"the cluster runs Kubernetes {found}; {needed} or newer is needed for sidecars")

    # -- what the watches call ------------------------------------------------

    def _job_changed(self, job: Object, gone: bool) -> None:
        name = job["metadata"]["name"]
        with self._tries.lock:
            trial = self._tries.find(name)
            if trial is None:
                return
            trial.see_job(job, gone=gone)
        self._have_looked_at(trial)

    def _pod_changed(self, pod: Object, gone: bool) -> None:
        name = job_of_pod(pod)
        with self._tries.lock:
            trial = self._tries.find(name)
            if trial is None:
                return
            trial.see_pod(pod, gone=gone, now=self._monotonic())
        self._have_looked_at(trial)

    def _have_looked_at(self, trial: RunningTry) -> None:
        """Before anything else, as it may have ended; of one whose end is known there is no news."""
        if trial.step in (Step.LAUNCH, Step.OBSERVE):
            self._queue.add(trial.name, urgent=trial.step is Step.OBSERVE)

    def _event_changed(self, event: Object, gone: bool) -> None:
        about = str(event["involvedObject"].get("name", ""))
        for name in (about, about.rpartition("-")[0]):
            if not gone and self._tries.find(name) is not None:
                self._queue.add(name)

    # -- what the queue's threads do ------------------------------------------

    def _work(self, name: str) -> None:
        if name == SWEEP:
            self._sweep()
            return
        trial = self._tries.find(name)
        if trial is not None:
            self._worker.take_step(trial)

    def _sweep(self) -> None:
        keep = self._cluster.keep_failed_seconds
        if sweep(self._client, self._caches, ours=self._tries.ours, keep_seconds=keep):
            self._queue.add_after(SWEEP, 5.0)

    # -- what people see ------------------------------------------------------

    def _progress_of(self, trial: RunningTry) -> Progress:
        granted = {str(phase.name): phase.seconds for phase in phases(self._settings, trial.request)}
        following = trial.follower is not None and trial.going.phase == PhaseName.TRAIN
        seconds, now = granted.get(trial.going.phase, 0.0), self._clock()
        began = trial.phase_at or now
        return Progress(
            id=trial.request.id,
            phase=trial.going.phase,
            # Of an adopted try only the cluster's clock knows the beginning: ours may be minutes ahead of that.
            started_at=max(began, now - seconds) if seconds else began,
            phase_seconds=seconds,
            line=trial.follower.line if following and trial.follower else trial.going.line,
        )
