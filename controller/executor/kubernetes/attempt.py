"""What the executor remembers of one try while it runs: which step it is at, and what the watches showed last.

Changed under the lock of `tries` only. Everything in it can be found again in the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from controller.domain import Result, TryRequest
from controller.executor.kubernetes.client import Object
from controller.executor.kubernetes.logs import Follower
from controller.executor.kubernetes.objects import has_failed, is_disturbed, is_terminal
from controller.executor.kubernetes.outcome import PATIENCE
from controller.executor.kubernetes.verdict import Ended, Going, Observation

BACKOFF_SECONDS = (1.0, 60.0)

JOB_UID = "batch.kubernetes.io/controller-uid"


class Step(Enum):
    """What has to be done next; each is repeated until it succeeds."""

    LAUNCH = auto()
    OBSERVE = auto()
    REPORTED = auto()
    RECORD = auto()


@dataclass(slots=True, kw_only=True)
class RunningTry:
    """One try. `uid` is its Job's, once known; a later Job of the same name is another thing.

    adopted: it may have begun before this process, so that only the cluster's timestamps tell for how long it runs.
    """

    request: TryRequest
    name: str
    adopted: bool = False
    step: Step = Step.LAUNCH
    uid: str = ""
    job: Object = field(default_factory=dict)
    job_gone: bool = False
    pod: Object = field(default_factory=dict)
    pod_gone: bool = False
    crashed_first: bool = False
    ending_since: float | None = None
    started_since: float | None = None
    look_at: float = 0.0
    retired: set[str] = field(default_factory=set)
    going: Going = field(default_factory=lambda: Going(phase="launching"))
    phase_at: float = 0.0
    ended: Ended | None = None
    result: Result | None = None
    follower: Follower | None = None
    trouble: str = ""
    failures: int = 0

    def see_job(self, job: Object, *, gone: bool) -> None:
        """Take in what the watch on Jobs delivered. A queue that suspends a Job takes its pod away for good."""
        if job["metadata"]["uid"] != self.uid:
            return
        self.job, self.job_gone = job, gone
        if job["spec"].get("suspend") and self.pod and not is_terminal(self.pod):
            self.retired.add(self.pod["metadata"]["uid"])
            self.pod, self.pod_gone, self.ending_since = {}, False, None
            self.started_since, self.crashed_first = None, False

    def see_pod(self, pod: Object, *, gone: bool, now: float) -> None:
        """Take in what the watch on pods delivered; `now` by our own steady clock."""
        metadata = pod["metadata"]
        if metadata["labels"].get(JOB_UID) != self.uid or metadata["uid"] in self.retired:
            return
        if self.pod and self.pod["metadata"]["uid"] != metadata["uid"] and self._is_older(pod, gone=gone):
            return
        self.pod, self.pod_gone = pod, gone
        if not gone and not is_disturbed(pod):
            self.crashed_first = has_failed(pod)
        if self.started_since is None and pod["status"].get("startTime"):
            self.started_since = now
        if not gone and "deletionTimestamp" not in metadata:
            self.ending_since = None
        elif self.ending_since is None:
            self.ending_since = now

    def observation(self, *, now: float, events: Sequence[Object]) -> Observation:
        """What is known of it; `now` by our own steady clock."""

        def seconds(since: float | None) -> float:
            return 0.0 if since is None else max(0.0, now - since)

        return Observation(
            job=self.job,
            job_gone=self.job_gone,
            pod=self.pod,
            pod_gone=self.pod_gone,
            active_seconds=seconds(self.started_since),
            ending_seconds=seconds(self.ending_since),
            crashed_first=self.crashed_first,
            events=events,
        )

    def patience(self, seen: Observation) -> float | None:
        """Seconds until silence itself says something, which no event will tell us; None where it never does."""
        if self.ending_since is not None:
            return PATIENCE - seen.ending_seconds
        if self.started_since is not None:
            return float(self.pod["spec"]["activeDeadlineSeconds"]) - seen.active_seconds + PATIENCE
        return None

    def _is_older(self, pod: Object, *, gone: bool) -> bool:
        """A Job has one living pod at a time; only of two dead ones do the API servers' clocks have to tell."""
        mine, its = (
            (not over and not is_disturbed(one) and not is_terminal(one), one["metadata"]["creationTimestamp"])
            for one, over in ((self.pod, self.pod_gone), (pod, gone))
        )
        return bool(its < mine)

    def is_going(self, going: Going, *, now: float) -> None:
        """Remember where it is; the time that people see runs by our clock from when we first saw the phase."""
        if going.phase != self.going.phase or not self.phase_at:
            self.phase_at = min(now, going.since or now) if self.adopted else now
        self.going, self.adopted = going, self.adopted and not going.since

    def backoff(self, asked: float = 0.0) -> float:
        """Seconds until the step is tried again: twice as long each time, and at least what the server asked for."""
        least, most = BACKOFF_SECONDS
        self.failures += 1
        return max(asked, min(most, least * 2.0 ** min(self.failures - 1, 10)))
