"""The executor for a cluster: carries out what a try needs next, and reports how it ended.

Its threads: one watch each on Jobs, pods and warnings, a few workers, one that keeps the lease, and a bounded
number that follow training logs for people. A watch only notes what it saw and enqueues the try's name; a
worker looks at what is known and takes one step. A step can be repeated at any time, so an answer that got
lost, a restart and a second event all lead to the same place.

It refuses to decide on another try (the campaign does), to schedule (the cluster does) and to poll.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from controller.domain import Progress, TryEnded, TryId, TryRequest
from controller.errors import ClusterError
from controller.executor.kubernetes.attempt import RunningTry, Step
from controller.executor.kubernetes.caches import Caches, Handlers, job_of_pod
from controller.executor.kubernetes.client import JOBS, PODS, Client, Object, Observe, Resource, unobserved
from controller.executor.kubernetes.connection import connect
from controller.executor.kubernetes.errors import Refused, Unavailable
from controller.executor.kubernetes.launching import Conflict, launch, too_large
from controller.executor.kubernetes.lease import Lease, LeaseLost
from controller.executor.kubernetes.logs import Follower, read_tail
from controller.executor.kubernetes.naming import job_name
from controller.executor.kubernetes.orphans import find_orphans, put_away
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.recording import record
from controller.executor.kubernetes.result import conclude
from controller.executor.kubernetes.verdict import Cause, Ended, Going, Observation
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

LOG_RETRIES = 4
TROUBLE_LASTS = 300.0
"""Seconds that a try's trouble outlives it, before another launch may find out whether it is over."""

SWEEP = "/sweep"
SWEEP_AT_ONCE = 20


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
        self._lock = threading.RLock()
        self._one_recorded = threading.Condition(self._lock)
        self._tries: dict[str, RunningTry] = {}
        self._ours: set[str] = set()
        self._lease: Lease | None = None
        self._stopped = False
        self._past_trouble = ("", 0.0)
        self._queue = WorkQueue(self._work, threads=WORKERS, name="kubernetes")

    # -- the protocol ---------------------------------------------------------

    def start(self, ended: Callable[[TryEnded], None]) -> None:
        """Connect, take the lease, fill the caches. Raises ClusterError with what is missing."""
        if not self._cluster.image:
            raise ClusterError("executor.kubernetes.image is not set: name the trainer image that attempts run in")
        self._report = ended
        client = self._given_client or connect(self._cluster, observe=self._observe)
        holder = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._lease = Lease(
            client, self._settings.tag, holder=holder, duration=self._cluster.lease_seconds, clock=self._monotonic
        )
        self._client = client.guarded(self._lease.guard)
        handlers = Handlers(job=self._job_changed, pod=self._pod_changed, event=self._event_changed)
        self._caches = Caches(self._client, self._settings.tag, handlers)
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
        self._take_on(request, adopted=False)

    def adopt(self, requests: Sequence[TryRequest]) -> None:
        """Take over tries of an earlier controller; what else it left of this campaign is swept away."""
        for request in requests:
            self._take_on(request, adopted=True)
        self._queue.add(SWEEP)

    def _take_on(self, request: TryRequest, *, adopted: bool) -> None:
        name = job_name(request.id)
        with self._lock:
            self._ours.add(name)
            self._tries.setdefault(name, RunningTry(request=request, name=name, adopted=adopted))
        self._queue.add(name)

    def progress(self) -> Sequence[Progress]:
        """Where each try is; what waits says for what."""
        with self._lock:
            running = [trial for trial in self._tries.values() if trial.result is None]
        return [self._progress_of(trial) for trial in running]

    def trouble(self) -> str:
        """What only an operator can mend; nothing should be launched meanwhile. Empty when there is nothing."""
        self._queue.check()
        lease = self._lease
        if lease is None or lease.lost:
            return lease.lost if lease else ""
        with self._lock:
            found = [trial.trouble or trial.going.trouble for trial in self._tries.values() if trial.result is None]
        said, at = self._past_trouble
        past = said if said and self._monotonic() - at < TROUBLE_LASTS else ""
        return next(filter(None, found), "") or past or self._caches.silence()

    def ready(self) -> bool:
        """Whether every watch has filled its cache and this controller holds the lease; also once it has stopped."""
        lease = self._lease
        return self._stopped or (lease is not None and not lease.lost and self._caches.synced())

    def recorded(self, id: TryId) -> None:
        """Label the Job with its result and let the cluster remove it after a while."""
        name = job_name(id)
        with self._lock:
            trial = self._tries.get(name)
            if trial is None or trial.result is None:
                return
            trial.step, trial.failures = Step.RECORD, 0
        self._queue.add(name)

    def stop(self) -> None:
        """Let go of everything. Jobs go on: the next start finds them by their names."""
        if self._lease is None:
            return
        with self._one_recorded:
            self._one_recorded.wait_for(self._all_recorded, timeout=RECORD_SECONDS)
        self._queue.stop(STOP_SECONDS)
        with self._lock:
            followers = [trial.follower for trial in self._tries.values() if trial.follower]
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
        with self._lock:
            trial = self._tries.get(name)
            if trial is None:
                return
            trial.see_job(job, gone=gone)
        self._have_looked_at(trial)

    def _pod_changed(self, pod: Object, gone: bool) -> None:
        name = job_of_pod(pod)
        with self._lock:
            trial = self._tries.get(name)
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
            if not gone and name in self._tries:
                self._queue.add(name)

    # -- what the workers do --------------------------------------------------

    def _work(self, name: str) -> None:
        if name == SWEEP:
            self._sweep()
            return
        trial = self._tries.get(name)
        if trial is None:
            return
        try:
            self._step(trial)
        except Unavailable as error:
            self._later(trial, str(error), asked=error.retry_after)
        except Conflict as conflict:
            self._later(trial, str(conflict), trouble=str(conflict) if conflict.lasting else "")
        except Refused as refused:
            self._refused(trial, refused)
        except LeaseLost as lost:
            self._later(trial, str(lost))

    def _step(self, trial: RunningTry) -> None:
        match trial.step:
            case Step.LAUNCH:
                self._launch(trial)
            case Step.OBSERVE:
                self._look(trial)
            case Step.RECORD:
                self._record(trial)
            case Step.REPORTED:
                pass

    def _later(self, trial: RunningTry, line: str, *, asked: float = 0.0, trouble: str = "") -> None:
        with self._lock:
            trial.trouble = trouble
            if trial.step is Step.LAUNCH:
                trial.is_going(Going(phase="launching", line=line), now=self._clock())
        # Not in step with others that met the same refusal.
        self._queue.add_after(trial.name, trial.backoff(asked) * random.uniform(0.75, 1.0))

    def _refused(self, trial: RunningTry, refused: Refused) -> None:
        """No room is a wait. A 403 may be an API server that just started: ask again, and say so if it stays."""
        if refused.over_quota:
            trial.is_going(Going(phase="quota", line=refused.message), now=self._clock())
            self._queue.add_after(trial.name, trial.backoff() * random.uniform(0.75, 1.0))
        elif refused.status in (400, 422) and trial.step is Step.LAUNCH:
            # The API server will never take this manifest: settings must change, so nothing is sent again.
            trial.trouble = f"{refused}; correct the settings and start the controller again"
        else:
            self._later(trial, str(refused), trouble=str(refused) if trial.failures >= 2 else "")

    def _launch(self, trial: RunningTry) -> None:
        reason = too_large(trial.request)
        if reason:
            self._end(trial, Ended(cause=Cause.CRASH, reason=reason))
            return
        plan = phases(self._settings, trial.request)
        job = launch(self._client, self._settings, trial.request, plan, known=self._caches.jobs(trial.name))
        with self._lock:
            trial.uid, trial.job = job["metadata"]["uid"], job
            trial.step, trial.failures, trial.trouble = Step.OBSERVE, 0, ""
            # What the watches delivered before the uid was known is in their caches.
            for found in self._caches.jobs(trial.name):
                trial.see_job(found, gone=False)
            for pod in self._caches.pods(trial.name):
                trial.see_pod(pod, gone=False, now=self._monotonic())
        self._look(trial)

    def _look(self, trial: RunningTry) -> None:
        with self._lock:
            seen = self._observation(trial)
            verdict = assess(seen)
        if isinstance(verdict, Ended) and self._may_be_deaf(trial, seen):
            self._ask(trial)
            with self._lock:
                seen = self._observation(trial)
                verdict = assess(seen)
        if isinstance(verdict, Going):
            with self._lock:
                trial.is_going(verdict, now=self._clock())
        if isinstance(verdict, Ended):
            self._end(trial, verdict)
            return
        self._look_again(trial, seen)
        self._follow(trial)

    def _observation(self, trial: RunningTry) -> Observation:
        uids = (trial.uid, trial.pod["metadata"]["uid"] if trial.pod else "")
        return trial.observation(now=self._monotonic(), events=self._caches.warnings(*uids))

    def _may_be_deaf(self, trial: RunningTry, seen: Observation) -> bool:
        """Whether silence decided: that of a node and that of our own line to the API server sound alike."""
        patience = trial.patience(seen)
        return patience is not None and patience <= 0

    def _ask(self, trial: RunningTry) -> None:
        """Learn from the API server itself what the watches may have missed. Raises Unavailable while it is away."""
        job = self._found(JOBS, trial.job)
        pod = self._found(PODS, trial.pod) if trial.pod and not trial.pod_gone else trial.pod
        with self._lock:
            trial.see_job(job or trial.job, gone=job is None)
            if trial.pod and not trial.pod_gone:
                trial.see_pod(pod or trial.pod, gone=pod is None, now=self._monotonic())

    def _found(self, resource: Resource, known: Object) -> Object | None:
        found = self._client.find(resource, known["metadata"]["name"])
        return found if found and found["metadata"]["uid"] == known["metadata"]["uid"] else None

    def _look_again(self, trial: RunningTry, seen: Observation) -> None:
        """Come back when silence would say something: no event does."""
        patience, now = trial.patience(seen), self._monotonic()
        if patience is None:
            return
        at = now + max(patience, 0.0) + 1.0
        if trial.look_at <= now or at < trial.look_at:
            trial.look_at = at
            self._queue.add_after(trial.name, at - now)

    def _follow(self, trial: RunningTry) -> None:
        """Follow training's log for people, as long as few do."""
        if trial.going.phase != PhaseName.TRAIN or trial.follower is not None or not trial.pod:
            return
        with self._lock:
            alive = sum(1 for other in self._tries.values() if other.follower and other.follower.alive)
            if alive >= self._cluster.follow:
                return
            pod = trial.pod["metadata"]["name"]
            trial.follower = Follower(
                self._client, pod, PhaseName.TRAIN, wanted=lambda: trial.going.phase == PhaseName.TRAIN
            )

    def _end(self, trial: RunningTry, ended: Ended) -> None:
        if not ended.seconds and trial.started_since is not None:
            # No kubelet said when it ended, yet it held its place until now.
            ended = replace(ended, seconds=self._monotonic() - trial.started_since)
        exam_log, train_log = self._logs(trial, ended)
        result = conclude(self._settings, trial.request.id, ended, exam_log=exam_log, train_log=train_log)
        with self._lock:
            if trial.follower:
                trial.follower.stop()
            trial.ended, trial.result, trial.step = ended, result, Step.REPORTED
            self._past_trouble = (ended.trouble, self._monotonic()) if ended.trouble else self._cleared(ended)
        LOG.info("try ended", extra={"try": trial.name, "cause": str(ended.cause), "reason": result.reason})
        self._report(TryEnded(id=trial.request.id, result=result))

    def _cleared(self, ended: Ended) -> tuple[str, float]:
        """A try that ran shows that an earlier trouble is over."""
        return ("", 0.0) if PhaseName.TRAIN in ended.phase_seconds else self._past_trouble

    def _logs(self, trial: RunningTry, ended: Ended) -> tuple[str | None, bytes | None]:
        """The examiner's log and training's. What cannot be read is None; training's live tail stands in for it."""
        followed = trial.follower.tail if trial.follower else None
        if not trial.pod or trial.pod_gone or ended.cause is Cause.NODE_LOST:
            return None, followed
        exam = self._log(trial, PhaseName.EXAMINE) if ended.container == PhaseName.EXAMINE else None
        train = self._log(trial, PhaseName.TRAIN) if PhaseName.TRAIN in ended.phase_seconds else None
        return None if exam is None else exam.decode(errors="replace"), train or followed

    def _log(self, trial: RunningTry, container: str) -> bytes | None:
        try:
            return read_tail(self._client, trial.pod["metadata"]["name"], container)
        except Unavailable as error:
            # The API server itself is away: wait for it. It answers for a kubelet that does not: give up soon.
            if not error.answered or trial.failures < LOG_RETRIES:
                raise
            return None

    def _record(self, trial: RunningTry) -> None:
        if trial.uid and trial.ended and trial.result:
            pod = trial.pod["metadata"]["name"] if trial.pod else ""
            record(
                self._client,
                self._settings,
                trial.request,
                trial.uid,
                pod,
                trial.ended,
                trial.result,
                now=self._clock(),
            )
        with self._one_recorded:
            self._tries.pop(trial.name, None)
            self._one_recorded.notify_all()

    def _all_recorded(self) -> bool:
        return not any(trial.step is Step.RECORD for trial in self._tries.values())

    def _sweep(self) -> None:
        orphans = find_orphans(self._caches.every_job(), ours=self._ours)
        try:
            for job in orphans[:SWEEP_AT_ONCE]:
                name = job["metadata"]["name"]
                LOG.warning("orphan", extra={"job": name})
                put_away(self._client, job, self._caches.pods(name), keep_seconds=self._cluster.keep_failed_seconds)
        except ClusterError as error:
            LOG.warning("sweep stopped", extra={"error": str(error)})
        if orphans:
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
