"""State of one try while it runs: its next step, and what the watches showed last.

It changes only under the lock of `tries.RunningTries`. Nothing here needs to survive a restart: the next controller
finds all of it in the cluster again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from controller.domain import Result, TryRequest
from controller.executor.kubernetes.client import Object
from controller.executor.kubernetes.logs import Follower
from controller.executor.kubernetes.observation import Observation, TryEnd, TryProgress
from controller.executor.kubernetes.outcome import SILENCE_SECONDS
from controller.executor.kubernetes.pod_status import has_failed, is_disturbed, is_terminal

RETRY_SECONDS = (1.0, 60.0)
"""Shortest and longest pause before a failed step is repeated: a second for a hiccup; a minute so that a thousand
tries do not overrun an API server that just came back."""

JOB_UID = "batch.kubernetes.io/controller-uid"
"""Label that the Job controller gives to a pod: the uid of its Job."""


class Step(Enum):
    """The next thing to do for a try. Each step is repeated until it succeeds."""

    LAUNCH = auto()
    """Create its Job, or adopt it."""

    OBSERVE = auto()
    """Wait for its end."""

    REPORTED = auto()
    """Nothing, until the lab holds its result."""

    RECORD = auto()
    """Mark its Job as recorded."""


@dataclass(slots=True, kw_only=True)
class RunningTry:
    """One try from its launch until it is recorded."""

    request: TryRequest

    name: str
    """Name of its Job."""

    adopted: bool = False
    """True if it may have begun before this process: only the cluster's timestamps tell when."""

    step: Step = Step.LAUNCH

    uid: str = ""
    """The Job's uid; empty until it is known. Names are reused, so another uid is another try."""

    job: Object = field(default_factory=dict)
    """The Job as last seen."""

    job_gone: bool = False

    pod: Object = field(default_factory=dict)
    """The pod as last seen; empty until there is one."""

    pod_gone: bool = False

    crashed_first: bool = False
    """True if a phase was seen to fail before anybody outside touched the pod."""

    ending_since: float | None = None
    """Steady clock when the pod was first seen gone or under deletion; None before that."""

    started_since: float | None = None
    """Steady clock when a kubelet was first seen to have acknowledged the pod; None before that."""

    check_at: float = 0.0
    """Steady clock of the check for a timeout that is in the work queue; 0 if there is none."""

    retired: set[str] = field(default_factory=set)
    """Uids of pods that a suspension of the Job has ended."""

    progress: TryProgress = field(default_factory=lambda: TryProgress(phase="launching"))
    """Its progress, for people."""

    phase_at: float = 0.0
    """Unix time when `progress.phase` began, by our clock; 0 before the first phase."""

    end: TryEnd | None = None
    """Its end in the cluster; None until then."""

    result: Result | None = None
    """The end as it was reported; None until then."""

    follower: Follower | None = None
    """Follows the training's log; None if no connection was spent on it."""

    request_trouble: str = ""
    """Why our requests for this try fail for good, if only an operator can mend that; empty otherwise."""

    failures: int = 0
    """Failures of the present step, one after another."""

    def see_job(self, job: Object, *, gone: bool) -> None:
        """Take in the Job that a watch delivered."""
        if job["metadata"]["uid"] != self.uid:
            return
        self.job, self.job_gone = job, gone
        # Suspending a Job deletes its pod. After resuming, the Job gets another one, and the attempt begins anew.
        if job["spec"].get("suspend") and self.pod and not is_terminal(self.pod):
            self.retired.add(self.pod["metadata"]["uid"])
            self.pod, self.pod_gone, self.ending_since = {}, False, None
            self.started_since, self.crashed_first = None, False

    def see_pod(self, pod: Object, *, gone: bool, now: float) -> None:
        """Take in the pod that a watch delivered. now: steady clock."""
        metadata = pod["metadata"]
        if metadata["labels"].get(JOB_UID) != self.uid or metadata["uid"] in self.retired:
            return
        if self.pod and self.pod["metadata"]["uid"] != metadata["uid"] and self._is_older(pod, gone=gone):
            return
        self.pod, self.pod_gone = pod, gone
        # Exit codes after a deletion or an eviction are those of the kill, so only earlier ones count.
        if not gone and not is_disturbed(pod):
            self.crashed_first = has_failed(pod)
        # The kubelet sets startTime when it acknowledges the pod; the pod's deadline counts from there.
        if self.started_since is None and pod["status"].get("startTime"):
            self.started_since = now
        if not gone and "deletionTimestamp" not in metadata:
            self.ending_since = None
        elif self.ending_since is None:
            self.ending_since = now

    def make_observation(self, *, now: float, events: Sequence[Object]) -> Observation:
        """Everything that is known of the try. now: steady clock; events: warnings about its Job and pod."""
        return Observation(
            job=self.job,
            job_gone=self.job_gone,
            pod=self.pod,
            pod_gone=self.pod_gone,
            active_seconds=_seconds_since(self.started_since, now),
            ending_seconds=_seconds_since(self.ending_since, now),
            crashed_first=self.crashed_first,
            events=events,
        )

    def seconds_to_timeout(self, seen: Observation) -> float | None:
        """Seconds until we must act without an event: a deadline or a missing deletion. None if there is no such limit.

        The result is zero or less once the time has passed.
        """
        if self.ending_since is not None:
            return SILENCE_SECONDS - seen.ending_seconds
        if self.started_since is not None:
            return float(self.pod["spec"]["activeDeadlineSeconds"]) - seen.active_seconds + SILENCE_SECONDS
        return None

    def _is_older(self, pod: Object, *, gone: bool) -> bool:
        """True if `pod` is older than ours.

        A Job has at most one live pod, so creation times only have to order two dead ones.
        """
        ours_lives = _is_live(self.pod, gone=self.pod_gone)
        other_lives = _is_live(pod, gone=gone)
        if ours_lives != other_lives:
            return ours_lives
        created: str = pod["metadata"]["creationTimestamp"]  # RFC 3339 in UTC, which sorts as text
        return bool(created < self.pod["metadata"]["creationTimestamp"])

    def set_progress(self, going: TryProgress, *, now: float) -> None:
        """Remember the phase, and when it began by our clock. now: Unix time.

        The cluster's timestamp is used only for a phase that began before this process: their clock may differ from
        ours by minutes.
        """
        if going.phase != self.progress.phase or not self.phase_at:
            self.phase_at = min(now, going.since or now) if self.adopted else now
        self.progress = going
        if going.since:
            self.adopted = False

    def count_failure(self, asked: float = 0.0) -> float:
        """Count a failure of the step; returns the seconds until it is repeated, twice as long after each failure.

        asked: the pause that the server asked for, in seconds; the result is at least that.
        """
        shortest, longest = RETRY_SECONDS
        self.failures += 1
        return max(asked, min(longest, shortest * 2.0 ** min(self.failures - 1, 10)))


def _seconds_since(moment: float | None, now: float) -> float:
    return 0.0 if moment is None else max(0.0, now - moment)


def _is_live(pod: Object, *, gone: bool) -> bool:
    """True if the pod may still run containers."""
    return not gone and not is_disturbed(pod) and not is_terminal(pod)
