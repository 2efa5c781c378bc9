"""One step of one try: bring it into the cluster, look how it stands and report its end, or record it.

What the cluster refused, or did not answer, is a reason to take the same step later. It refuses to choose whose
turn it is: the work queue does.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from controller.domain import TryEnded
from controller.executor.kubernetes.attempt import RunningTry, Step
from controller.executor.kubernetes.caches import Caches
from controller.executor.kubernetes.client import JOBS, PODS, Client, Object, Resource
from controller.executor.kubernetes.errors import Refused, Unavailable
from controller.executor.kubernetes.launching import Conflict, launch, too_large
from controller.executor.kubernetes.lease import LeaseLost
from controller.executor.kubernetes.logs import Follower, read_tail
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.recording import record
from controller.executor.kubernetes.result import conclude
from controller.executor.kubernetes.tries import Tries
from controller.executor.kubernetes.verdict import Cause, Ended, Going, Observation
from controller.phases import PhaseName, phases
from controller.settings import Settings

LOG = logging.getLogger("autoresearch.kubernetes")

LOG_RETRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Takes the steps; may be used by many threads at once, for one try by one of them.

    add_after: have a try's next step taken after so many seconds. report: called when a try has ended.
    clock, monotonic: the time that people read, and the one that waits are measured by.
    """

    settings: Settings
    client: Client
    caches: Caches
    tries: Tries
    add_after: Callable[[str, float], None]
    report: Callable[[TryEnded], None]
    clock: Callable[[], float]
    monotonic: Callable[[], float]

    def take_step(self, trial: RunningTry) -> None:
        """Do what the try needs next, or have it done later."""
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
        with self.tries.lock:
            trial.trouble = trouble
            if trial.step is Step.LAUNCH:
                trial.is_going(Going(phase="launching", line=line), now=self.clock())
        self._again(trial, asked=asked)

    def _again(self, trial: RunningTry, *, asked: float = 0.0) -> None:
        # Not in step with others that met the same refusal.
        self.add_after(trial.name, trial.backoff(asked) * random.uniform(0.75, 1.0))

    def _refused(self, trial: RunningTry, refused: Refused) -> None:
        """No room is a wait. A 403 may be an API server that just started: ask again, and say so if it stays."""
        if refused.over_quota:
            trial.is_going(Going(phase="quota", line=refused.message), now=self.clock())
            self._again(trial)
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
        plan = phases(self.settings, trial.request)
        job = launch(self.client, self.settings, trial.request, plan, known=self.caches.jobs(trial.name))
        with self.tries.lock:
            trial.uid, trial.job = job["metadata"]["uid"], job
            trial.step, trial.failures, trial.trouble = Step.OBSERVE, 0, ""
            # What the watches delivered before the uid was known is in their caches.
            for found in self.caches.jobs(trial.name):
                trial.see_job(found, gone=False)
            for pod in self.caches.pods(trial.name):
                trial.see_pod(pod, gone=False, now=self.monotonic())
        self._look(trial)

    def _look(self, trial: RunningTry) -> None:
        with self.tries.lock:
            seen = self._observation(trial)
            verdict = assess(seen)
        if isinstance(verdict, Ended) and self._may_be_deaf(trial, seen):
            self._ask(trial)
            with self.tries.lock:
                seen = self._observation(trial)
                verdict = assess(seen)
        if isinstance(verdict, Going):
            with self.tries.lock:
                trial.is_going(verdict, now=self.clock())
        if isinstance(verdict, Ended):
            self._end(trial, verdict)
            return
        self._look_again(trial, seen)
        self._follow(trial)

    def _observation(self, trial: RunningTry) -> Observation:
        uids = (trial.uid, trial.pod["metadata"]["uid"] if trial.pod else "")
        return trial.observation(now=self.monotonic(), events=self.caches.warnings(*uids))

    def _may_be_deaf(self, trial: RunningTry, seen: Observation) -> bool:
        """Whether silence decided: that of a node and that of our own line to the API server sound alike."""
        patience = trial.patience(seen)
        return patience is not None and patience <= 0

    def _ask(self, trial: RunningTry) -> None:
        """Learn from the API server itself what the watches may have missed. Raises Unavailable while it is away."""
        job = self._found(JOBS, trial.job)
        pod = self._found(PODS, trial.pod) if trial.pod and not trial.pod_gone else trial.pod
        with self.tries.lock:
            trial.see_job(job or trial.job, gone=job is None)
            if trial.pod and not trial.pod_gone:
                trial.see_pod(pod or trial.pod, gone=pod is None, now=self.monotonic())

    def _found(self, resource: Resource, known: Object) -> Object | None:
        found = self.client.find(resource, known["metadata"]["name"])
        return found if found and found["metadata"]["uid"] == known["metadata"]["uid"] else None

    def _look_again(self, trial: RunningTry, seen: Observation) -> None:
        """Come back when silence would say something: no event does."""
        patience, now = trial.patience(seen), self.monotonic()
        if patience is None:
            return
        at = now + max(patience, 0.0) + 1.0
        if trial.look_at <= now or at < trial.look_at:
            trial.look_at = at
            self.add_after(trial.name, at - now)

    def _follow(self, trial: RunningTry) -> None:
        """Follow training's log for people, as long as few do."""
        if trial.going.phase != PhaseName.TRAIN or trial.follower is not None or not trial.pod:
            return
        with self.tries.lock:
            alive = sum(1 for follower in self.tries.followers() if follower.alive)
            if alive >= self.settings.executor.kubernetes.follow:
                return
            pod = trial.pod["metadata"]["name"]
            trial.follower = Follower(
                self.client, pod, PhaseName.TRAIN, wanted=lambda: trial.going.phase == PhaseName.TRAIN
            )

    def _end(self, trial: RunningTry, ended: Ended) -> None:
        if not ended.seconds and trial.started_since is not None:
            # No kubelet said when it ended, yet it held its place until now.
            ended = replace(ended, seconds=self.monotonic() - trial.started_since)
        exam_log, train_log = self._logs(trial, ended)
        result = conclude(self.settings, trial.request.id, ended, exam_log=exam_log, train_log=train_log)
        with self.tries.lock:
            if trial.follower:
                trial.follower.stop()
            trial.ended, trial.result, trial.step = ended, result, Step.REPORTED
            self.tries.keep_trouble(ended)
        LOG.info("try ended", extra={"try": trial.name, "cause": str(ended.cause), "reason": result.reason})
        self.report(TryEnded(id=trial.request.id, result=result))

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
            return read_tail(self.client, trial.pod["metadata"]["name"], container)
        except Unavailable as error:
            # The API server itself is away: wait for it. It answers for a kubelet that does not: give up soon.
            if not error.answered or trial.failures < LOG_RETRIES:
                raise
            return None

    def _record(self, trial: RunningTry) -> None:
        if trial.uid and trial.ended and trial.result:
            pod = trial.pod["metadata"]["name"] if trial.pod else ""
            record(
                self.client,
                self.settings,
                trial.request,
                trial.uid,
                pod,
                trial.ended,
                trial.result,
                now=self.clock(),
            )
        self.tries.forget(trial.name)
