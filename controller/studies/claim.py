"""A claim: is one program better than another, by runs of its own? What is said beforehand, and what the runs say.

The number of runs is fixed before the first one. Looking at the runs and going on until the word comes would make it
come for equal programs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.studies import student
from controller.studies.comparison import Comparison, Word, compare
from controller.studies.study import Arm, Study, StudyKind, StudyRecord

TAIL = 0.001
"""Probability that one of two equal programs is called better; the same for worse: each once in 1,000 claims."""

POWER = 0.9
"""Probability that an effect of the size that is told beforehand is found."""

WORTHWHILE = 2.0
"""Sigma. The effect that the default number of seeds finds."""


def default_seeds() -> int:
    """Seeds a side that find a worthwhile effect: 13."""
    return student.seeds_for(WORTHWHILE, tail=TAIL, power=POWER)


def plan_claim(one: Arm, other: Arm, *, holdout: bool, number: int, at: float) -> Study:
    """The plan of a claim that `one` is better than `other`."""
    measured = "the holdout" if holdout else "the campaign's own score"
    question = f"claim {one.commit} {other.commit} {one.seeds} seeds on {measured}"
    return Study(
        kind=StudyKind.CLAIM, number=number, question=question, arms=(one, other), holdout=holdout, began_at=at
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """The answer of a claim's runs."""

    word: Word

    comparison: Comparison | None
    """The difference of the two sides; None if one has no score."""

    failures: tuple[int, int]
    """Runs of both sides that crashed, timed out or were rejected."""

    doubt: str = ""
    """The reason for `not shown` where the interval alone would say another word; empty elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimCount:
    """How many claims were begun, this one among them. Who claims often enough is told `better` of equal programs too.

    Those that were broken off count: their runs were seen.
    """

    of_these: int
    """On the same two programs, with any number of seeds and on any text."""

    of_campaign: int

    @property
    def chance(self) -> float:
        """The most that the chance of at least one wrong `better` can be in all of the campaign's claims."""
        return min(1.0, TAIL * self.of_campaign)


def count_claims(record: StudyRecord, studies: Sequence[StudyRecord]) -> ClaimCount:
    """Count the claims of a campaign. studies: all that it has begun."""
    others = [each.study for each in studies if each.study.number != record.study.number]
    claims = [record.study, *(study for study in others if study.kind is StudyKind.CLAIM)]
    pair = _programs(record.study)
    return ClaimCount(of_these=sum(_programs(study) == pair for study in claims), of_campaign=len(claims))


def _programs(study: Study) -> frozenset[str]:
    return frozenset(arm.commit for arm in study.arms[:2])


def answer_claim(record: StudyRecord, *, sign: float, one: int = 1, other: int = 2) -> ClaimAnswer:
    """Answer if arm `one` is better than arm `other` (numbers from 1). sign: -1 if a lower score is better, else 1."""
    comparison = compare(record.scores(one), record.scores(other), sign=sign, tail=TAIL)
    failures = record.failures(one), record.failures(other)
    word = comparison.word if comparison else Word.NOT_SHOWN
    kinds = sorted(record.accelerators(one) | record.accelerators(other))
    if len(kinds) > 1 and word is not Word.NOT_SHOWN:
        doubt = f"its runs were on several kinds of accelerator ({', '.join(kinds)}), which are never compared"
        return ClaimAnswer(word=Word.NOT_SHOWN, comparison=comparison, failures=failures, doubt=doubt)
    winner = {Word.BETTER: failures, Word.WORSE: failures[::-1]}.get(word)
    if winner and winner[0] > winner[1]:
        # Its scores are those of the runs that went well. Those that failed might have been the bad ones.
        doubt = "more of its runs failed than of the other side's, so its scores are a selection"
        return ClaimAnswer(word=Word.NOT_SHOWN, comparison=comparison, failures=failures, doubt=doubt)
    return ClaimAnswer(word=word, comparison=comparison, failures=failures)
