"""Takes one step of one try: launches it, observes it and reports its end, or records it.

A step that the cluster refuses or does not answer is repeated later. Every step first looks at the cluster, so
repeating it is safe. The work queue chooses which try comes next.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from controller.domain import TryEnded
from controller.executor.kubernetes.caches import Caches
from controller.executor.kubernetes.client import JOBS, PODS, Client, Object, Resource
from controller.executor.kubernetes.errors import Refused, Unavailable
from controller.executor.kubernetes.launching import Conflict, launch, too_large
from controller.executor.kubernetes.lease import LeaseLost
from controller.executor.kubernetes.logs import Follower, fetch_log_end
from controller.executor.kubernetes.observation import EndCause, Observation, TryEnd, TryProgress
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.pod_witness import read_told
from controller.executor.kubernetes.recorded_job import mark_recorded
from controller.executor.kubernetes.result import conclude
from controller.executor.kubernetes.running_try import RunningTry, Step
from controller.executor.kubernetes.tries import RunningTries
from controller.executor.phases import PhaseName, phases
from controller.settings import Settings

LOG = logging.getLogger("autoresearch.kubernetes")

LOG_RETRIES = 4
"""Failures to read a log from a kubelet before the log is given up. With growing pauses they take about fifteen
seconds; a kubelet that is away for longer may never come back."""

REFUSALS_BEFORE_TROUBLE = 2
"""Refusals in a row that are put down to an API server that is starting: for some seconds it answers 403, because its
role bindings are not loaded yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Takes the steps. Several threads may use it at once, but only one at a time for the same try."""

    settings: Settings
    client: Client
    caches: Caches
    tries: RunningTries

    add_after: Callable[[str, float], None]
    """Puts the name of a try into the work queue after some seconds."""

    report: Callable[[TryEnded], None]
    """Called when a try ended."""

    clock: Callable[[], float]
    """Unix time in seconds, for people."""

    monotonic: Callable[[], float]
    """Steady clock in seconds, for waits and timeouts."""

    def take_step(self, running: RunningTry) -> None:
        """Take the try's next step. If that fails, put the same step into the work queue for later."""
        try:
            self._take_step(running)
        except Unavailable as error:
            self._retry_later(running, str(error), asked=error.retry_after)
        except Conflict as conflict:
            self._retry_later(running, str(conflict), trouble=str(conflict) if conflict.lasting else "")
        except Refused as refused:
            self._handle_refusal(running, refused)
        except LeaseLost as lost:
            self._retry_later(running, str(lost))

    def _take_step(self, running: RunningTry) -> None:
        match running.step:
            case Step.LAUNCH:
                self._launch(running)
            case Step.OBSERVE:
                self._observe(running)
            case Step.RECORD:
                self._record(running)
            case Step.REPORTED:
                pass

    def _retry_later(self, running: RunningTry, line: str, *, asked: float = 0.0, trouble: str = "") -> None:
        """Repeat the step after a pause.

        line: shown to people meanwhile. asked: pause that the server asked for, in seconds. trouble: set if only an
        operator can help.
        """
        with self.tries.lock:
            running.request_trouble = trouble
            if running.step is Step.LAUNCH:
                running.set_progress(TryProgress(phase="launching", line=line), now=self.clock())
        self._schedule_retry(running, asked=asked)

    def _schedule_retry(self, running: RunningTry, *, asked: float = 0.0) -> None:
        # At random, so that the tries that one outage stopped do not come back all at the same moment.
        self.add_after(running.name, running.count_failure(asked) * random.uniform(0.75, 1.0))

    def _handle_refusal(self, running: RunningTry, refused: Refused) -> None:
        """Decide whether a refused step waits for room, is repeated, or has to wait for an operator."""
        if refused.over_quota:
            running.set_progress(TryProgress(phase="quota", line=refused.message), now=self.clock())
            self._schedule_retry(running)
        elif refused.status in (400, 422) and running.step is Step.LAUNCH:
            # 400 and 422 mean that the manifest is invalid. The same manifest would be refused again.
            running.request_trouble = f"{refused}; correct the settings and start the controller again"
        else:
            lasts = running.failures >= REFUSALS_BEFORE_TROUBLE
            self._retry_later(running, str(refused), trouble=str(refused) if lasts else "")

    def _launch(self, running: RunningTry) -> None:
        reason = too_large(running.request)
        if reason:
            self._end(running, TryEnd(cause=EndCause.CRASH, reason=reason))
            return
        plan = phases(self.settings, running.request)
        job = launch(self.client, self.settings, running.request, plan, known=self.caches.jobs(running.name))
        with self.tries.lock:
            running.uid, running.job = job["metadata"]["uid"], job
            running.step, running.failures, running.request_trouble = Step.OBSERVE, 0, ""
            # A watch may have delivered Job and pod before we knew the uid. They were ignored then, but are cached.
            for found in self.caches.jobs(running.name):
                running.see_job(found, gone=False)
            for pod in self.caches.pods(running.name):
                running.see_pod(pod, gone=False, now=self.monotonic())
        self._observe(running)

    def _observe(self, running: RunningTry) -> None:
        """Report the try's end if it ended; else remember its progress and follow its log."""
        with self.tries.lock:
            seen = self._current_observation(running)
            status = assess(seen)
        if isinstance(status, TryEnd) and self._rests_on_timeout(running, seen):
            self._refresh_from_api(running)
            with self.tries.lock:
                seen = self._current_observation(running)
                status = assess(seen)
        if isinstance(status, TryEnd):
            self._end(running, status)
            return
        with self.tries.lock:
            running.set_progress(status, now=self.clock())
        self._schedule_timeout_check(running, seen)
        self._follow_log(running)

    def _current_observation(self, running: RunningTry) -> Observation:
        pod_uid = running.pod["metadata"]["uid"] if running.pod else ""
        return running.make_observation(now=self.monotonic(), events=self.caches.warnings(running.uid, pod_uid))

    def _rests_on_timeout(self, running: RunningTry, seen: Observation) -> bool:
        """True if the result rests on a timeout.

        A dead node and a broken connection look the same from here, so the caller asks the API server before believing
        it.
        """
        seconds = running.seconds_to_timeout(seen)
        return seconds is not None and seconds <= 0

    def _refresh_from_api(self, running: RunningTry) -> None:
        """Read Job and pod from the API server, as the watches may have missed a change. Raises Unavailable."""
        job = self._find_same(JOBS, running.job)
        pod = self._find_same(PODS, running.pod) if running.pod and not running.pod_gone else running.pod
        with self.tries.lock:
            running.see_job(job or running.job, gone=job is None)
            if running.pod and not running.pod_gone:
                running.see_pod(pod or running.pod, gone=pod is None, now=self.monotonic())

    def _find_same(self, resource: Resource, known: Object) -> Object | None:
        """The object as it is now; None if it is gone, or another one has its name."""
        found = self.client.find(resource, known["metadata"]["name"])
        return found if found and found["metadata"]["uid"] == known["metadata"]["uid"] else None

    def _schedule_timeout_check(self, running: RunningTry, seen: Observation) -> None:
        """Observe the try again when its timeout passes, because no event will come then."""
        seconds, now = running.seconds_to_timeout(seen), self.monotonic()
        if seconds is None:
            return
        at = now + max(seconds, 0.0) + 1.0
        # One check at a time is enough, unless the new one is due earlier.
        if running.check_at <= now or at < running.check_at:
            running.check_at = at
            self.add_after(running.name, at - now)

    def _follow_log(self, running: RunningTry) -> None:
        """Follow the training's log for people, unless as many logs are followed as the settings allow."""
        if running.progress.phase != PhaseName.TRAIN or running.follower is not None or not running.pod:
            return
        with self.tries.lock:
            alive = sum(1 for follower in self.tries.followers() if follower.alive)
            if alive >= self.settings.executor.kubernetes.follow:
                return
            pod = running.pod["metadata"]["name"]
            running.follower = Follower(
                self.client, pod, PhaseName.TRAIN, wanted=lambda: running.progress.phase == PhaseName.TRAIN
            )

    def _end(self, running: RunningTry, ended: TryEnd) -> None:
        """Read the logs that are needed, and report the end."""
        if not ended.seconds and running.started_since is not None:
            # A lost node tells no end, yet the try held its place until now: the budget is charged for it.
            ended = replace(ended, seconds=self.monotonic() - running.started_since)
        exam_log, train_log = self._read_logs(running, ended)
        told = read_told(train_log, running.request, ended)
        if told.disturbed:
            ended = replace(ended, cause=EndCause.DISTURBED, reason=told.disturbed)
        result = conclude(
            self.settings, running.request.id, ended, exam_log=exam_log, train_log=told.log, witness=told.witness
        )
        with self.tries.lock:
            if running.follower:
                running.follower.stop()
            running.end, running.result, running.step = ended, result, Step.REPORTED
            self.tries.keep_trouble(ended)
        LOG.info("try ended", extra={"try": running.name, "cause": str(ended.cause), "reason": result.reason})
        self.report(TryEnded(id=running.request.id, result=result))

    def _read_logs(self, running: RunningTry, ended: TryEnd) -> tuple[str | None, bytes | None]:
        """The examiner's log and the training's; None for one that cannot be read.

        If the training's log is gone, the part that was followed live takes its place.
        """
        followed = running.follower.tail if running.follower else None
        if not running.pod or running.pod_gone or ended.cause is EndCause.NODE_LOST:
            return None, followed
        exam = self._read_log(running, PhaseName.EXAMINE) if ended.container == PhaseName.EXAMINE else None
        train = self._read_log(running, PhaseName.TRAIN) if PhaseName.TRAIN in ended.phase_seconds else None
        return None if exam is None else exam.decode(errors="replace"), train or followed

    def _read_log(self, running: RunningTry, container: str) -> bytes | None:
        try:
            return fetch_log_end(self.client, running.pod["metadata"]["name"], container)
        except Unavailable as error:
            # Without an answer the API server itself is away, which ends some time. With an answer (5xx) it could
            # not reach the node's kubelet, which may be gone for good.
            if not error.answered or running.failures < LOG_RETRIES:
                raise
            return None

    def _record(self, running: RunningTry) -> None:
        """Mark the Job as recorded, and forget the try."""
        mark_recorded(self.client, self.settings, running, now=self.clock())
        self.tries.forget(running.name)
