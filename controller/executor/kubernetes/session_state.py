"""The state of one session in the cluster: what the watches showed of it, and what that means for the session.

`outcome` decides how a pod ended, as for tries; here its answer is put in the words of a session. What the cluster did
is never told as a fault of the program. The clock is a steady one, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from controller.executor.kubernetes.observation import EndCause, Observation, TryEnd, TryProgress
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.pod_status import (
    Object,
    all_statuses,
    has_failed,
    is_disturbed,
    phase_seconds,
    terminated,
)
from controller.executor.kubernetes.proposal_job import DELIVER, FETCH, PORTER_SECONDS, PROGRAM
from controller.executor.workshop import SessionCause
from controller.text.safe_text import SENTENCE, one_line

UNPLACED = frozenset({"quota", "unschedulable"})
"""Waits for a place. They end by themselves, or never."""

PLACE_SECONDS = 300.0
"""Seconds that a session waits for a place: an autoscaler needs some minutes for another node."""

TROUBLE_SECONDS = 60.0
"""Seconds that a trouble may last, such as an image that cannot be had: the kubelet tries again meanwhile."""


ADVICE = "agent.command.run may name programs of its image alone (agent.command.image)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a session in the cluster, but for what it left."""

    cause: SessionCause
    code: int = 0
    seconds: float = 0.0
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class SessionState:
    """What is known of one session's Job and pod."""

    job: Object
    """As it was created, and then as last seen."""

    most_seconds: float
    """Seconds that its program may run."""

    pending_seconds: float
    """Most seconds of a wait for a place or of a trouble."""

    _job_shown: bool = False
    _job_gone: bool = False
    _pod: Object = field(default_factory=dict)
    _pod_gone: bool = False
    _crashed_first: bool = False
    _started: float | None = None
    _ending: float | None = None
    _ran: float | None = None
    _waits: tuple[str, float] = ("", 0.0)
    """The sentence of its present wait or trouble, and when that began."""

    @property
    def pod_name(self) -> str:
        """Name of its pod; empty if none was seen."""
        return str(self._pod["metadata"]["name"]) if self._pod else ""

    def see(self, jobs: Sequence[Object], pods: Sequence[Object], *, now: float) -> None:
        """Take in what the watches hold now of its Job and pods."""
        uid = self.job["metadata"]["uid"]
        same = [job for job in jobs if job["metadata"]["uid"] == uid]
        # A watch may show a Job a moment after its creation: it is gone only if it was there.
        self._job_shown, self._job_gone = self._job_shown or bool(same), self._job_shown and not same
        self.job = same[0] if same else self.job
        if pods:
            self._see_pod(pods[-1], now=now)
        elif self._pod:
            self._pod_gone = True
        if self._pod_gone or "deletionTimestamp" in self._pod.get("metadata", {}):
            self._ending = now if self._ending is None else self._ending

    def end(self, events: Sequence[Object], *, now: float) -> Ended | None:
        """The session's end; None while it goes on. events: warnings about its Job and pod."""
        status = assess(self._observation(events, now))
        if isinstance(status, TryEnd):
            return self._tell(status, now)
        if status.phase == PROGRAM and self._ran is None:
            self._ran = now
        if self._ran is not None:
            overdue = self.most_seconds + (0 if status.phase == PROGRAM else PORTER_SECONDS)
            if now - self._ran >= overdue:
                return Ended(cause=SessionCause.DEADLINE, seconds=self.program_seconds(now))
            return None
        return self._give_up_waiting(status, now)

    def program_seconds(self, now: float) -> float:
        """Seconds that its program has run, by the clock of its node once it has ended."""
        seen = 0.0 if self._ran is None else now - self._ran
        return dict(phase_seconds(self._pod)).get(PROGRAM) or seen

    @property
    def uids(self) -> tuple[str, ...]:
        """Uids of Job and pod, by which events name them."""
        return tuple(thing["metadata"]["uid"] for thing in (self.job, self._pod) if thing)

    def _see_pod(self, pod: Object, *, now: float) -> None:
        self._pod, self._pod_gone = pod, False
        # Exit codes after a deletion or an eviction are those of the kill.
        if not is_disturbed(pod):
            self._crashed_first = has_failed(pod)
        if self._started is None and pod.get("status", {}).get("startTime"):
            self._started = now

    def _observation(self, events: Sequence[Object], now: float) -> Observation:
        return Observation(
            job=self.job,
            job_gone=self._job_gone,
            pod=self._pod,
            pod_gone=self._pod_gone,
            active_seconds=0.0 if self._started is None else now - self._started,
            ending_seconds=0.0 if self._ending is None else now - self._ending,
            crashed_first=self._crashed_first,
            events=events,
        )

    def _give_up_waiting(self, status: TryProgress, now: float) -> Ended | None:
        """The end of a session that waited too long for a place, or in a trouble that only an operator can end."""
        kind = "trouble" if status.trouble else status.phase if status.phase in UNPLACED else ""
        if not kind or kind != self._waits[0]:
            self._waits = (kind, now)
        longest = min(self.pending_seconds, TROUBLE_SECONDS if status.trouble else PLACE_SECONDS)
        if not kind or now - self._waits[1] < longest:
            return None
        said = status.trouble or f"no place for {longest:.0f} s: {status.line}"
        return Ended(cause=SessionCause.NOT_STARTED, detail=one_line(said, SENTENCE))

    def _tell(self, end: TryEnd, now: float) -> Ended:
        cause, detail = _cause_of(end), end.reason
        if end.container in (FETCH, DELIVER):
            detail = f"{end.reason}: {self._message(end.container)}".rstrip(": ")
        elif end.cause is EndCause.CONFIG_ERROR:
            detail = f"{end.reason.partition('; task.command')[0]}; {ADVICE}"
        told = cause not in (SessionCause.EXITED, SessionCause.DEADLINE)
        return Ended(
            cause=cause,
            code=end.exit_code or 0,
            seconds=self.program_seconds(now),
            detail=one_line(detail, SENTENCE) if told else "",
        )

    def _message(self, container: str) -> str:
        """The last message of a container of ours, as the kubelet keeps it."""
        ends = [terminated(status) for status in all_statuses(self._pod) if status.get("name") == container]
        return str((ends[0] or {}).get("message", "")) if ends else ""


def _cause_of(end: TryEnd) -> SessionCause:
    """The cause in a session's words."""
    if end.container == FETCH:
        return SessionCause.NOT_STARTED
    if end.container == DELIVER or end.cause is EndCause.FINISHED:
        # What was delivered is known before its container ends, so here nothing was.
        return SessionCause.LOST
    match end.cause:
        case EndCause.CRASH:
            return SessionCause.EXITED
        case EndCause.DEADLINE:
            return SessionCause.DEADLINE
        case EndCause.OOM:
            return SessionCause.MEMORY
        case EndCause.DISK_LIMIT:
            return SessionCause.OVERSIZE
        case EndCause.CONFIG_ERROR | EndCause.NEVER_STARTED | EndCause.ADMISSION_REJECTED:
            return SessionCause.NOT_STARTED
        case _:
            return SessionCause.LOST
