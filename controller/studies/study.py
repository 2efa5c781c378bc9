"""A study as a frozen value: the question, the programs that are run for it, and the record of their runs.

An arm's runs are kept as the attempts of an `Experiment`, so that seeds, tries, adoption and booking are the same as in
a campaign. Records in the lab have these field names: a field is never renamed, and a new one has a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from controller.domain import Attempt, Experiment, Outcome


class StudyKind(StrEnum):
    """The question that a study answers. A closed set, because each value is a series of a metric."""

    CLAIM = "claim"
    """Is one program better than another?"""

    ABLATE = "ablate"
    """Is each kept edit still worth its place?"""

    RERUN = "rerun"
    """Does a program score the same with fresh seeds?"""

    AA = "aa"
    """Does the judge keep something where there is nothing to find?"""

    PORTABILITY = "portability"
    """Does the gain hold on other hardware?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One program at one place."""

    name: str
    """Its name for people, such as `head` or `without 5`."""

    commit: str

    seeds: int
    """Runs that are wanted of it."""

    place: str = ""
    """Name of the node pool, preset or device that it runs on; empty: where the campaign runs."""

    experiment: int | None = None
    """Number of the experiment that the arm is about; None if it is about none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The plan of a study. It is written before the first run, and never changed but for its end."""

    kind: StudyKind

    number: int
    """From 1 in its campaign, over all kinds."""

    question: str
    """The question, in a form that is equal for equal questions. A second start with the same one goes on."""

    arms: tuple[Arm, ...]

    holdout: bool = False
    """True if the runs are compared by their score on the holdout; else by the campaign's own score."""

    began_at: float
    """Unix time in seconds."""

    notes: tuple[str, ...] = ()
    """Sentences about what could not be asked."""

    ended_at: float | None = None
    """Unix time in seconds; None until every run has ended."""

    @property
    def name(self) -> str:
        """Kind and number: `claim-3`."""
        return f"{self.kind}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A study with its runs."""

    study: Study

    runs: tuple[Experiment, ...]
    """For each arm its attempts. The experiment's number is the arm's place in the plan, from 1."""

    def scores(self, arm: int) -> tuple[float, ...]:
        """Scores of the arm of this number, in the order of its attempts."""
        found = []
        for attempt in self.runs[arm - 1].attempts:
            score = score_of(attempt, holdout=self.study.holdout)
            if score is not None:
                found.append(score)
        return tuple(found)

    def failures(self, arm: int) -> int:
        """Runs of the arm that crashed, timed out or were rejected. A lost one says nothing about the program."""
        failed = (Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.REJECTED)
        return sum(1 for a in self.runs[arm - 1].attempts if a.result and a.result.outcome in failed)

    def accelerators(self, arm: int) -> set[str]:
        """Kinds of accelerator on which the arm was scored."""
        results = [attempt.result for attempt in self.runs[arm - 1].attempts]
        return {result.accelerator for result in results if result and result.outcome is Outcome.SCORED}

    def with_run(self, run: Experiment) -> StudyRecord:
        """The record with a changed arm."""
        runs = list(self.runs)
        runs[run.number - 1] = run
        return replace(self, runs=tuple(runs))


def score_of(attempt: Attempt, *, holdout: bool) -> float | None:
    """The attempt's score on the holdout, or the campaign's own; None if it has none."""
    result = attempt.result
    if result is None or result.outcome is not Outcome.SCORED or result.score is None:
        return None
    if not holdout:
        return result.score.value
    return result.exam.holdout if result.exam else None


def begin_record(study: Study) -> StudyRecord:
    """The record of a study of which nothing has run."""
    runs = []
    for number, arm in enumerate(study.arms, start=1):
        runs.append(
            Experiment(number=number, commit=arm.commit, base=arm.commit, title=arm.name, proposed_at=study.began_at)
        )
    return StudyRecord(study=study, runs=tuple(runs))


def find_unfinished(records: Sequence[StudyRecord], question: str) -> StudyRecord | None:
    """The study that was begun with this question and has not ended; None if there is none."""
    return next((r for r in records if r.study.question == question and r.study.ended_at is None), None)


def find_answered(records: Sequence[StudyRecord], question: str) -> StudyRecord | None:
    """The newest study that has answered this question; None if there is none."""
    answered = [r for r in records if r.study.question == question and r.study.ended_at is not None]
    return answered[-1] if answered else None
