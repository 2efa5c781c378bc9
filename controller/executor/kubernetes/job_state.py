"""What the watches showed of one Job of ours that is no try, and of its pod; and how long it has waited.

`session_state` and `smoke_state` put an end to it, each in its own words. The clock is a steady one, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from controller.executor.kubernetes.observation import Observation
from controller.executor.kubernetes.pod_status import Object, has_failed, is_disturbed

UNSEEN_SECONDS = 60.0
"""Seconds after its creation in which a watch shows a Job that is there; as a rule it takes none."""


@dataclass(slots=True, kw_only=True)
class JobState:
    """What is known of one Job and its pod."""

    job: Object
    """As it was created, and then as last seen."""

    pod: Object = field(default_factory=dict)
    """As last seen; empty until there is one."""

    _looked: float | None = None
    """Clock of the first look at it."""

    _job_shown: bool = False
    _job_gone: bool = False
    _pod_gone: bool = False
    _crashed_first: bool = False
    _started: float | None = None
    _ending: float | None = None
    _waits: tuple[str, float] = ("", 0.0)
    """The kind of its present wait, and when that began."""

    @property
    def pod_name(self) -> str:
        """Name of its pod; empty if none was seen."""
        return str(self.pod["metadata"]["name"]) if self.pod else ""

    @property
    def uids(self) -> tuple[str, ...]:
        """Uids of Job and pod, by which events name them."""
        return tuple(thing["metadata"]["uid"] for thing in (self.job, self.pod) if thing)

    def see(self, jobs: Sequence[Object], pods: Sequence[Object], *, now: float) -> None:
        """Take in what the watches hold now of its Job and pods."""
        uid = self.job["metadata"]["uid"]
        same = [job for job in jobs if job["metadata"]["uid"] == uid]
        self._looked = now if self._looked is None else self._looked
        # A watch may show a Job a moment after its creation. One that is deleted at once may never be shown.
        expected = self._job_shown or now - self._looked >= UNSEEN_SECONDS
        self._job_shown, self._job_gone = self._job_shown or bool(same), expected and not same
        self.job = same[0] if same else self.job
        if pods:
            self._see_pod(pods[-1], now=now)
        elif self.pod:
            self._pod_gone = True
        if self._pod_gone or "deletionTimestamp" in self.pod.get("metadata", {}):
            self._ending = now if self._ending is None else self._ending

    def observation(self, events: Sequence[Object], *, now: float) -> Observation:
        """Everything that is known of it. events: warnings about its Job and pod."""
        return Observation(
            job=self.job,
            job_gone=self._job_gone,
            pod=self.pod,
            pod_gone=self._pod_gone,
            active_seconds=0.0 if self._started is None else now - self._started,
            ending_seconds=0.0 if self._ending is None else now - self._ending,
            crashed_first=self._crashed_first,
            events=events,
        )

    def waited(self, kind: str, *, now: float) -> float:
        """Seconds for which it has waited in this way without a break. kind: one word; empty if it does not wait."""
        if not kind or kind != self._waits[0]:
            self._waits = (kind, now)
        return now - self._waits[1]

    def _see_pod(self, pod: Object, *, now: float) -> None:
        self.pod, self._pod_gone = pod, False
        # Exit codes after a deletion or an eviction are those of the kill.
        if not is_disturbed(pod):
            self._crashed_first = has_failed(pod)
        if self._started is None and pod.get("status", {}).get("startTime"):
            self._started = now
