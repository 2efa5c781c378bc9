"""Says which run of a study comes next. Pure.

The arms take turns, so that a machine that slows down, warms up or gets a neighbour meets all of them alike. In every
second round they come in reverse order (A B, B A, A B), because with one order kept the last arm would always run
later than the first, and a steady drift would look like an effect.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from controller.domain import Experiment, Outcome
from controller.studies.study import Arm, StudyRecord

REPLACED = 1
"""Runs that may replace lost ones, as a multiple of the wanted seeds. A lost run says nothing about the program, so
another seed takes its place; where all are lost, the cluster is at fault and the study ends with what it has."""


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """One attempt of one arm."""

    arm: int
    """Number of the arm, from 1."""

    attempt: int
    """Number of the attempt, from 1."""


def order_runs(arms: Sequence[Arm]) -> tuple[Run, ...]:
    """Every run that is wanted, in the order in which they are launched; places one after the other."""
    places = list(dict.fromkeys(arm.place for arm in arms))
    ordered: list[tuple[int, float, int, Run]] = []
    for number, arm in enumerate(arms, start=1):
        for turn in range(arm.seeds):
            # The middle of its share of the time: arms with more seeds than others are spread evenly too.
            moment = (turn + 0.5) / arm.seeds
            among_equals = -number if turn % 2 else number
            ordered.append((places.index(arm.place), moment, among_equals, Run(number, turn + 1)))
    return tuple(run for *_, run in sorted(ordered))


def next_run(record: StudyRecord, *, place: str, running: Collection[Run]) -> Run | None:
    """The next run to launch at a place; None if there is none, as all others have ended or are in flight."""
    arms = record.study.arms
    wanted = [run for run in order_runs(arms) if arms[run.arm - 1].place == place]
    for run in (*wanted, *_replacements(record, place=place)):
        if run not in running and not _has_ended(record, run):
            return run
    return None


def is_finished(record: StudyRecord, *, place: str) -> bool:
    """True if every run at a place has ended, those that replace lost ones included."""
    return next_run(record, place=place, running=()) is None


def count_runs(record: StudyRecord) -> tuple[int, int]:
    """Runs that have ended otherwise than lost, and all that are wanted."""
    ended = 0
    for run in record.runs:
        ended += sum(1 for a in run.attempts if a.result is not None and a.result.outcome is not Outcome.LOST)
    return ended, sum(arm.seeds for arm in record.study.arms)


def _replacements(record: StudyRecord, *, place: str) -> list[Run]:
    runs = []
    for number, arm in enumerate(record.study.arms, start=1):
        if arm.place == place:
            lost = min(_count_lost(record.runs[number - 1]), REPLACED * arm.seeds)
            runs += [Run(number, arm.seeds + extra + 1) for extra in range(lost)]
    return runs


def _count_lost(run: Experiment) -> int:
    return sum(1 for a in run.attempts if a.result is not None and a.result.outcome is Outcome.LOST)


def _has_ended(record: StudyRecord, run: Run) -> bool:
    return any(a.number == run.attempt and a.result is not None for a in record.runs[run.arm - 1].attempts)
