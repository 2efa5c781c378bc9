"""The state of one session in the cluster: what the watches showed of it, and what that means for the session.

`outcome` decides how a pod ended, as for tries; here its answer is put in the words of a session. What the cluster did
is never told as a fault of the program. The clock is a steady one, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.executor.kubernetes.job_state import JobState
from controller.executor.kubernetes.observation import EndCause, TryEnd, TryProgress
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.pod_status import Object, all_statuses, phase_seconds, terminated
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
class SessionState(JobState):
    """What is known of one session's Job and pod."""

    most_seconds: float
    """Seconds that its program may run."""

    pending_seconds: float
    """Most seconds of a wait for a place or of a trouble."""

    _ran: float | None = None

    def end(self, events: Sequence[Object], *, now: float) -> Ended | None:
        """The session's end; None while it goes on. events: warnings about its Job and pod."""
        status = assess(self.observation(events, now=now))
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
        return dict(phase_seconds(self.pod)).get(PROGRAM) or seen

    def _give_up_waiting(self, status: TryProgress, now: float) -> Ended | None:
        """The end of a session that waited too long for a place, or in a trouble that only an operator can end."""
        kind = "trouble" if status.trouble else status.phase if status.phase in UNPLACED else ""
        longest = min(self.pending_seconds, TROUBLE_SECONDS if status.trouble else PLACE_SECONDS)
        if self.waited(kind, now=now) < longest or not kind:
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
        ends = [terminated(status) for status in all_statuses(self.pod) if status.get("name") == container]
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
