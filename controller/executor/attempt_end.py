"""Decides how an attempt ended, and says it in one sentence, for every executor.

Pure: (what ended the phase, its log, the walls around it) -> result. The sentence names what ended it, then the
program's own last words, then what to do where it failed at a wall of ours. It decides what is the experiment's own
fault (crashed, timed out) and what the exam says (scored, rejected, or that the candidate crashed); what takes a try
away is each executor's to know.

Only training's output reaches a sentence: what the candidate prints could carry test text.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from controller.domain import Outcome, Provenance, Result, Score
from controller.executor.last_words import WORDS, evidence, last_words, tells_failure
from controller.executor.log_score import ScoreRule, printed_score, read_log_score
from controller.executor.phase_output import read_exam_report
from controller.executor.phases import PhaseName
from controller.executor.score_file import without_file
from controller.executor.units import factor_between
from controller.executor.walls import Wall, Walls, find_wall, remedy
from controller.settings import TaskSettings
from controller.settings.metric import range_text
from controller.text.safe_text import one_line

OVERRAN = 124
"""Exit code of the training's supervisor: past its budget, and nothing usable left."""

NO_ARTIFACT = 3
"""Exit code of the training's supervisor: the training ended well and left nothing usable."""

_SUPERVISOR = "supervise: "
"""How lines of the training's supervisor begin, which speaks last."""

KILLED = 128 + signal.SIGKILL
"""Exit code of what was killed without a reason: as a rule by the kernel, for its memory."""


_SEGMENTATION_FAULT = 128 + signal.SIGSEGV


class EndedBy(StrEnum):
    """The end of a phase that runs the agent's code, as far as the experiment itself caused it."""

    ITSELF = "itself"
    DEADLINE = "deadline"
    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnding:
    """The end of `train`, the same for every executor.

    code: where it ended by itself, its exit code; 128 + n for signal n. seconds: how long it ran, 0 where nobody knows.
    detail: whose deadline passed (empty where it was the phase's own), or which limit of disk.
    first: True where its program was process 1 of its namespace.
    """

    by: EndedBy
    code: int = 0
    seconds: float = 0.0
    detail: str = ""
    first: bool = False


def failure_of(
    ending: PhaseEnding, *, text: str, task: TaskSettings, train_seconds: float, walls: Walls
) -> Result | None:
    """The result where training ended the attempt, None where its exam may begin.

    text: the end of its log (`read_tail`). train_seconds: its budget.
    """
    match ending.by:
        case EndedBy.ITSELF:
            return (
                None
                if ending.code == 0
                else _exited(ending, text=text, task=task, train_seconds=train_seconds, walls=walls)
            )
        case EndedBy.DEADLINE:
            reason = overdue(PhaseName.TRAIN, seconds=ending.seconds, whose=ending.detail)
            reason += _left_by_overdue(without_file(text), task, walls)
            return Result(outcome=Outcome.TIMED_OUT, reason=reason)
        case EndedBy.MEMORY:
            return _crashed(memory_ran_out(PhaseName.TRAIN, walls.memory))
        case EndedBy.DISK:
            return _crashed(over_disk(ending.detail))


def log_scored(text: str, *, task: TaskSettings, walls: Walls) -> Result:
    """The result of a training that ended well and has no exam, from what it printed."""
    metric = task.metric
    score = read_log_score(text, ScoreRule.of(task))
    if score.value is not None:
        return Result(
            outcome=Outcome.SCORED, score=Score(value=score.value, provenance=Provenance.LOG, unit=score.unit)
        )
    # A pipe hides the exit code of all but its last command, so that the log may tell of a crash all the same.
    words, wall = _words(without_file(text), metric, code=0)
    quoted = f"its log ends with '{words}'" if words and not score.printed else ""
    advice = remedy(wall, walls) if wall else ""
    return _crashed("; ".join(filter(None, (f"{PhaseName.TRAIN} {score.fault}", quoted, advice))))


def in_unit_of(wanted: str, result: Result, task: TaskSettings) -> Result:
    """The result with its score in this unit; a crash where it cannot be turned into it, or is out of range in it.

    wanted: the unit in which the campaign records its scores, in which the task's bounds count; empty for that of the
    score. An executor does not know it.
    """
    score = result.score
    if score is None or not score.unit:
        return result
    unit = wanted or score.unit
    factor = factor_between(score.unit, unit)
    if factor is None:
        return _unscored(
            result,
            f"train printed {score.value:g} {score.unit}, and the baseline's score is in {unit}: print one unit, or "
            "set task.score_line to a line without",
        )
    value, (least, most) = score.value * factor, task.allowed_scores
    if not least <= value <= most:
        turned = "" if score.unit == unit else f", or {value:g} {unit}"
        bounds = range_text(task.metric, least, most)
        return _unscored(
            result, f"train printed {score.value:g} {score.unit}{turned}, which is no score: {bounds} {unit}"
        )
    return replace(result, score=replace(score, value=value, unit=unit))


def examined(
    log: str | None, message: str | None, *, attempt: str, task: TaskSettings, provenance: Provenance, starved: str
) -> Result:
    """The result of an exam that was held. starved: the phase that ran out of memory, empty where none did."""
    reading = read_exam_report(log, message, attempt, metric=task.metric, allowed=task.allowed_scores)
    if reading.value is not None:
        score = Score(value=reading.value, provenance=provenance)
        return Result(outcome=Outcome.SCORED, score=score, exam=reading.exam)
    if starved:
        # The examiner only saw an answer that never came; the kernel knows why.
        return Result(outcome=Outcome.CRASHED, reason=memory_ran_out(starved), exam=reading.exam)
    return Result(outcome=reading.outcome, reason=reading.reason, exam=reading.exam)


def _unscored(result: Result, reason: str) -> Result:
    return replace(result, outcome=Outcome.CRASHED, score=None, reason=reason)


def memory_ran_out(phase: str, limit: str = "") -> str:
    """The one sentence for it, whoever noticed."""
    return f"out of memory in {phase}" + (f" (limit {limit})" if limit else "")


def perhaps_out_of_memory(limit: str) -> str:
    """The advice for a phase that was killed, and perhaps ran out of memory: nobody noted the cause."""
    return f"most likely out of memory (limit {limit})"


def over_disk(detail: str) -> str:
    """The one sentence for it; detail: which limit was passed."""
    return f"used more disk than it may: {detail}"


def overdue(phase: str, *, seconds: float = 0.0, whose: str = "") -> str:
    """The one sentence for a deadline. whose: "the pod's", for example; empty where it is the phase's own."""
    after = f" after {seconds:.0f} s" if seconds else ""
    return f"{phase} was still running{after} and was killed at {whose or 'its'} deadline"


def exit_of(code: int) -> str:
    """An exit code in words: 128 + n is signal n, if there is one."""
    with suppress(ValueError):
        number = signal.Signals(code - 128)
        return f"signal {number.value} ({(signal.strsignal(number) or number.name).lower()})"
    return f"exit code {code}"


def _crashed(reason: str) -> Result:
    return Result(outcome=Outcome.CRASHED, reason=reason)


def _exited(ending: PhaseEnding, *, text: str, task: TaskSettings, train_seconds: float, walls: Walls) -> Result:
    code, metric = ending.code, task.metric
    supervised = task.score == "exam"
    if code == OVERRAN and supervised:
        reason = f"train overran its budget of {train_seconds:g} s and left no usable artifact"
        return Result(outcome=Outcome.TIMED_OUT, reason=reason)
    last = text.rstrip().rpartition("\n")[2]
    if code == NO_ARTIFACT and supervised and last.startswith(_SUPERVISOR):
        return _crashed(one_line(last.removeprefix(_SUPERVISOR)))
    text = without_file(text)
    words, wall = _words(text, metric, code=code)
    if wall is Wall.MEMORY:
        told = "" if words in ("MemoryError", "") else f": {words}"
        return _crashed(memory_ran_out(PhaseName.TRAIN, walls.memory) + told)
    how = exit_of(code)
    if code == _SEGMENTATION_FAULT and ending.first:
        # The kernel spares a process 1 from signals that it sends itself: abort() then ends in a fault.
        how += ", which is also how an abort ends in a container"
    return _crashed(
        _told(code, how, words=words, printed=printed_score(text, ScoreRule.of(task)), wall=wall, walls=walls)
    )


def _left_by_overdue(text: str, task: TaskSettings, walls: Walls) -> str:
    """The score that a training had printed before its deadline, or the error after which it did not end; or nothing.

    A program whose main thread fails goes on as long as its other threads or workers do.
    """
    if printed := printed_score(text, ScoreRule.of(task)):
        return f", though it had printed {printed}"
    words, wall = _words(text, task.metric, code=0)
    if not tells_failure(words, text, task.metric):
        return ""
    return "; ".join(filter(None, (f", after it had printed '{words}'", remedy(wall, walls) if wall else "")))


def _words(text: str, metric: str, *, code: int) -> tuple[str, Wall | None]:
    """The program's last words, and the wall that it met: the line that shows it where the words do not tell."""
    words, hit = last_words(text, metric), find_wall(evidence(text, metric), code)
    if hit and hit.line and not tells_failure(words, text, metric):
        words = one_line(hit.line, WORDS)
    return words.removeprefix(_SUPERVISOR), hit.wall if hit else None


def _told(code: int, how: str, *, words: str, printed: str, wall: Wall | None, walls: Walls) -> str:
    """One sentence: the end of training, its last words, and what to do."""
    ended = f"{PhaseName.TRAIN} printed {printed} and then ended with" if printed else f"{PhaseName.TRAIN} ended with"
    said = f": {words}" if words else "" if printed else " and printed nothing"
    advice = [
        perhaps_out_of_memory(walls.memory) if code == KILLED else "",
        remedy(wall, walls) if wall else "",
        "exit code 0 is needed for a score" if printed else "",
    ]
    return "; ".join(filter(None, (f"{ended} {how}{said}", *advice)))
