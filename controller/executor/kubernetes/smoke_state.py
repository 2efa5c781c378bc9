"""The state of one smoke test in the cluster: what the watches showed of it, and what that says about the program.

`outcome` decides how a pod ended, as for tries. Only a program that ended by itself with an error has failed. What runs
too long, or needs more memory or disk than it may, has passed; what the cluster did says nothing. The clock is a steady
one, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.executor import attempt_end
from controller.executor.attempt_end import EndedBy, PhaseEnding
from controller.executor.kubernetes.job_state import JobState
from controller.executor.kubernetes.observation import EndCause, TryEnd, TryProgress
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.pod_status import Object, main_status, out_of_memory, terminated
from controller.executor.kubernetes.result import walls_of
from controller.executor.kubernetes.smoke_job import ACCELERATOR, LOAD, PLACE_SECONDS, STEP, run_seconds, start_seconds
from controller.executor.smoke import find_smoke_crash
from controller.ports import SmokeCrash
from controller.settings import Settings
from controller.text.safe_text import SENTENCE, one_line

UNPLACED = frozenset({"quota", "unschedulable", "queued"})
"""Waits for a place on a node."""

TROUBLE_SECONDS = 30.0
"""Seconds that a trouble may last, such as an image that cannot be had: the kubelet tries again meanwhile."""

ADVICE = "executor.kubernetes.smoke_node_selector can name nodes on which no attempt runs"


@dataclass(frozen=True, slots=True)
class Passed:
    """The program did what a smoke test asks of it, as far as it came."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A program ended with an error."""

    container: str
    code: int


@dataclass(frozen=True, slots=True)
class NotHeld:
    """The cluster did not run it to an end, which says nothing about the program."""

    reason: str
    """One sentence."""

    lasting: bool
    """True if the next one would fare alike."""


SmokeEnd = Passed | Failed | NotHeld


@dataclass(slots=True, kw_only=True)
class SmokeState(JobState):
    """What is known of one smoke test's Job and pod."""

    settings: Settings

    _ran: float | None = None
    """Clock when its first process was seen; None before that."""

    def end(self, events: Sequence[Object], *, now: float) -> SmokeEnd | None:
        """Its end; None while it goes on. events: warnings about its Job and pod."""
        status = assess(self.observation(events, now=now))
        if isinstance(status, TryEnd):
            return self._tell(status)
        if self._ran is None and status.phase in (STEP, LOAD):
            self._ran = now
        if self._ran is None:
            return self._give_up_waiting(status, now)
        return Passed() if now - self._ran >= run_seconds(self.settings) else None

    def _give_up_waiting(self, status: TryProgress, now: float) -> NotHeld | None:
        placed = status.phase not in UNPLACED
        kind = "trouble" if status.trouble else "start" if placed else "place"
        waits = {"trouble": TROUBLE_SECONDS, "start": start_seconds(self.settings), "place": PLACE_SECONDS}
        if self.waited(kind, now=now) < waits[kind]:
            return None
        said = status.trouble or f"it did not start within {waits[kind]:.0f} s: {status.line}".rstrip(": ")
        if not placed:
            said = f"no place within {PLACE_SECONDS:.0f} s: {status.line}".rstrip(".: ") + f"; {ADVICE}"
        return NotHeld(one_line(said, SENTENCE), lasting=True)

    def _tell(self, end: TryEnd) -> SmokeEnd:
        match end.cause:
            case EndCause.CRASH if end.exit_code is not None:
                return Failed(end.container, end.exit_code)
            # For `outcome` the last container is an examiner, which is our own.
            case EndCause.EXAMINER_ERROR if not out_of_memory(main_status(self.pod)):
                return Failed(end.container, int((terminated(main_status(self.pod)) or {}).get("exitCode", 0)))
            case EndCause.FINISHED | EndCause.EXAMINER_ERROR | EndCause.DEADLINE | EndCause.OOM | EndCause.DISK_LIMIT:
                return Passed()
            case _:
                lasting = end.cause in (EndCause.NEVER_STARTED, EndCause.CONFIG_ERROR, EndCause.ADMISSION_REJECTED)
                return NotHeld(one_line(end.reason, SENTENCE), lasting=lasting)


def tell_crash(settings: Settings, failed: Failed, text: str) -> SmokeCrash | None:
    """The crash of a program that failed; None if it is not to blame. text: the end of what it printed."""
    ending = PhaseEnding(by=EndedBy.ITSELF, code=failed.code, first=settings.task.score == "log")
    result = attempt_end.failure_of(
        ending,
        text=text,
        task=settings.task,
        train_seconds=settings.budget.train_seconds,
        walls=walls_of(settings),
    )
    return find_smoke_crash(result, code=failed.code, text=text, metric=settings.task.metric)


def keeps_waiting(progress: TryProgress) -> bool:
    """True if a smoke test may be what this try waits for; one under way then makes way for it."""
    match progress.phase:
        case "quota":
            # The API server names the amounts that are used up. Of accelerators a smoke test uses none.
            return not ACCELERATOR.search(progress.line)
        case "unschedulable":
            # The scheduler's words for nodes on which a pod runs that wants none of these beside it.
            return "existing pods anti-affinity" in progress.line
        case _:
            return False
