"""Computes the result of a try from the end of a phase. All functions are pure.

`attempt_end` explains ends that the experiment itself caused. This module adds those that took the try away: such a
try is lost, and the next try runs the same commit.
"""

from __future__ import annotations

from controller.domain import LostTo, Outcome, Provenance, Result
from controller.executor import attempt_end
from controller.executor.attempt_end import EndedBy, PhaseEnding, exit_of, overdue
from controller.executor.last_words import last_words
from controller.executor.local.process import Cause, PhaseEnd
from controller.executor.phases import PhaseName
from controller.executor.walls import Walls
from controller.settings import TaskSettings
from controller.text.safe_text import one_line

STOPPED = "the controller stopped while it ran"
_OWN_DOING = {
    Cause.EXITED: EndedBy.ITSELF,
    Cause.DEADLINE: EndedBy.DEADLINE,
    Cause.MEMORY: EndedBy.MEMORY,
    Cause.OVERSIZE: EndedBy.DISK,
}


def failed(end: PhaseEnd, *, text: str, task: TaskSettings, train_seconds: float, walls: Walls) -> Result | None:
    """The result if `train` ended the attempt; None if its exam may begin.

    text: the end of its log. train_seconds: its budget.
    """
    if end.cause not in _OWN_DOING:
        return lost(infrastructure(PhaseName.TRAIN, end), interrupted=end.cause is Cause.STOPPED)
    ending = PhaseEnding(by=_OWN_DOING[end.cause], code=end.code, seconds=end.seconds, detail=end.detail)
    return attempt_end.failure_of(ending, text=text, task=task, train_seconds=train_seconds, walls=walls)


def examined(
    end: PhaseEnd,
    *,
    log: str,
    message: str | None,
    attempt: str,
    task: TaskSettings,
    provenance: Provenance,
    starved: str,
) -> Result:
    """The result of an exam. If the examiner itself fails, the attempt is not to blame, and the try is lost."""
    finished = end.cause is Cause.EXITED and end.code == 0
    if not finished and not (end.cause is Cause.DEADLINE and message):
        reason = infrastructure(PhaseName.EXAMINE, end, log=log)
        return lost(reason, interrupted=end.cause is Cause.STOPPED)
    return attempt_end.examined(log, message, attempt=attempt, task=task, provenance=provenance, starved=starved)


def lost(reason: str, *, interrupted: bool = False) -> Result:
    """The result of a try that the infrastructure took away. interrupted: True if the controller was stopped."""
    return Result(outcome=Outcome.LOST, reason=reason, interrupted=interrupted)


def disturbed(reason: str) -> Result:
    """The result of a try whose training was disturbed by other programs."""
    return Result(outcome=Outcome.LOST, reason=reason, lost_to=LostTo.DISTURBED)


def infrastructure(phase: PhaseName, end: PhaseEnd, *, log: str = "") -> str:
    """Explain in one sentence why a try was lost in `phase`."""
    match end.cause:
        case Cause.STOPPED:
            return STOPPED
        case Cause.NOT_STARTED:
            return one_line(f"the sandbox of {phase} could not be made: {end.detail}")
        case Cause.MEMORY:
            return f"{phase} itself ran out of memory: give executor.limits.memory_gb more"
        case Cause.DEADLINE:
            return overdue(phase, seconds=end.seconds)
        case Cause.EXITED:
            words = last_words(log)
            return one_line(f"{phase} itself failed with {exit_of(end.code)}{f': {words}' if words else ''}")
        case _:
            return end.detail
