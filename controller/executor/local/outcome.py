"""How an attempt ended, from how its phases ended.

Pure. It decides what is the experiment's own fault (crashed, timed out), what the exam says (scored, rejected), and
what is nobody's (lost: the next try runs the same commit). Only training's output reaches a reason; what the probe
and the candidate print could carry test text.
"""

from __future__ import annotations

from controller.domain import Outcome, Provenance, Result, Score
from controller.executor.local.process import Cause, PhaseEnd
from controller.phases import PhaseName
from controller.scores import last_error, read_exam_report, read_log_score, shorten
from controller.settings import Settings

OVERRAN = 124
"""Exit code of the training's supervisor: past its budget, and nothing usable left."""

STOPPED = "the controller stopped while it ran"
_OUT_OF_MEMORY = ("MemoryError", "std::bad_alloc", "can't allocate memory", "Cannot allocate memory")
_FILE_TOO_LARGE = "[Errno 27]"


def failed(phase: PhaseName, end: PhaseEnd, *, log: str, settings: Settings) -> Result | None:
    """The result where `train` or `probe` ended the attempt, None where the next phase may begin."""
    match end.cause:
        case Cause.STOPPED | Cause.NOT_STARTED | Cause.DISK_FULL:
            return lost(infrastructure(phase, end), interrupted=end.cause is Cause.STOPPED)
        case Cause.OVERSIZE:
            return _crashed(end.detail)
        case Cause.MEMORY:
            return _crashed(_starved(phase, settings))
        case Cause.DEADLINE:
            reason = f"{phase} was still running after {end.seconds:.0f} s and was killed"
            return Result(outcome=Outcome.TIMED_OUT, reason=reason)
        case Cause.EXITED:
            return None if end.code == 0 else _exited(phase, end.code, log=log, settings=settings)


def log_scored(log: str, settings: Settings) -> Result:
    """The result of a task that has no exam, from what its training printed."""
    value = read_log_score(log, settings.task.metric)
    if value is None:
        return _crashed(f"printed no {settings.task.metric} after ---")
    return Result(outcome=Outcome.SCORED, score=Score(value=value, provenance=Provenance.LOG))


def examined(
    end: PhaseEnd, *, log: str, message: str | None, attempt: str, settings: Settings, provenance: Provenance
) -> Result:
    """The result of an exam. An examiner that fails by itself says nothing about the attempt: lost."""
    finished = end.cause is Cause.EXITED and end.code == 0
    if not finished and not (end.cause is Cause.DEADLINE and message):
        reason = infrastructure(PhaseName.EXAMINE, end, log=log, settings=settings)
        return lost(reason, interrupted=end.cause is Cause.STOPPED)
    reading = read_exam_report(log, message, attempt, metric=settings.task.metric)
    score = None if reading.value is None else Score(value=reading.value, provenance=provenance)
    if reading.outcome is not Outcome.SCORED:
        score = None
    return Result(outcome=reading.outcome, reason=reading.reason, score=score, exam=reading.exam)


def lost(reason: str, *, interrupted: bool = False) -> Result:
    """The infrastructure took the try away; `interrupted`: by stopping the controller."""
    return Result(outcome=Outcome.LOST, reason=reason, interrupted=interrupted)


def _crashed(reason: str) -> Result:
    return Result(outcome=Outcome.CRASHED, reason=reason)


def _exited(phase: PhaseName, code: int, *, log: str, settings: Settings) -> Result:
    if phase is not PhaseName.TRAIN:
        return _crashed(f"{phase}: the trained model could not be loaded or asked ({_how(code)})")
    if code == OVERRAN and settings.task.score == "exam":
        reason = f"train overran its budget of {settings.budget.train_seconds:g} s and left no usable artifact"
        return Result(outcome=Outcome.TIMED_OUT, reason=reason)
    error = last_error(log).removeprefix("supervise: ")
    if any(sign in error for sign in _OUT_OF_MEMORY):
        return _crashed(_starved(phase, settings))
    if _FILE_TOO_LARGE in error:
        return _crashed(f"disk limit: a file passed the limit of {settings.executor.limits.artifact_gb:g} GB")
    return _crashed(error or f"train ended with {_how(code)} and printed nothing")


def _how(code: int) -> str:
    return f"signal {code - 128}" if code > 128 else f"exit code {code}"


def _starved(phase: PhaseName, settings: Settings) -> str:
    return f"out of memory in {phase} (limit {settings.executor.limits.memory_gb:g} GB)"


def infrastructure(phase: PhaseName, end: PhaseEnd, *, log: str = "", settings: Settings | None = None) -> str:
    """Why a try was lost in `phase`, in one sentence."""
    match end.cause:
        case Cause.STOPPED:
            return STOPPED
        case Cause.NOT_STARTED:
            return shorten(f"the sandbox of {phase} could not be made: {end.detail}")
        case Cause.MEMORY if settings:
            return _starved(phase, settings)
        case Cause.DEADLINE:
            return f"{phase} was still running after {end.seconds:.0f} s and was killed"
        case Cause.EXITED:
            return shorten(f"the examiner failed with {_how(end.code)}: {last_error(log) or 'it printed nothing'}")
        case _:
            return end.detail or f"{phase} ran out of memory"
