"""An ablation: what is each kept edit still worth in the head? And which of them a pruned head leaves out. Pure.

Every kept edit is left out of the head by itself, and these programs are compared with the head. They share its runs,
so the head gets more of them: the root of their number times as many (Dunnett 1955).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, inf, sqrt
from statistics import fmean

from controller.studies import student
from controller.studies.comparison import squares
from controller.studies.study import Arm, Study, StudyKind, StudyRecord

SEEDS = 3
"""Runs of each program without an edit."""

TAIL = 0.025
"""Probability beyond each end, shared by all intervals: in 95 of 100 tables no interval misses its truth."""

STAY = 1.0
"""Standard errors above zero that an edit must be worth to stay in a pruned head.

Not a test: pruning is for simplicity, and an edit of which nothing is known has no claim to its lines. One standard
error leaves 16 of 100 of those that are worth nothing, and drops as many of those that are worth two standard errors.
"""


class Worth(StrEnum):
    """The word on an edit in an ablation's table."""

    HELPS = "helps"
    HARMS = "harms"
    OPEN = "not shown"
    NEEDED = "does not run without it"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditWorth:
    """The worth of one kept edit in the head, in the metric's unit; positive: the head is better with it."""

    experiment: int
    word: Worth

    effect: float | None
    """None if no run without it was scored."""

    error: float
    """Standard error of the effect."""

    low: float
    high: float
    """Ends of its interval; all intervals of the table hold together."""

    @property
    def stays(self) -> bool:
        """True if a pruned head keeps it."""
        return self.effect is None or self.effect > STAY * self.error


def seeds_of_head(seeds: int, edits: int) -> int:
    """Runs of the head, with which each of the others is compared."""
    return ceil(seeds * sqrt(edits))


def ask_ablation(head: str, *, seeds: int) -> str:
    """The question of an ablation of this head, by which a second start finds the first one's runs."""
    return f"ablate {head} {seeds} seeds"


def plan_ablation(
    head: Arm, without: Sequence[Arm], *, seeds: int, notes: Sequence[str], number: int, at: float
) -> Study:
    """The head, and for each kept edit the head without it."""
    question = ask_ablation(head.commit, seeds=seeds)
    return Study(
        kind=StudyKind.ABLATE,
        number=number,
        question=question,
        arms=(replace(head, seeds=seeds_of_head(seeds, len(without))), *without),
        notes=tuple(notes),
        began_at=at,
    )


def weigh_edits(record: StudyRecord, *, sign: float) -> list[EditWorth]:
    """Weigh each edit, in the order of the arms.

    Sigma is pooled over all arms, and the intervals are Bonferroni's: m edits share the tail. sign: -1 if a lower score
    is better, else 1.
    """
    head, edits = record.scores(1), len(record.study.arms) - 1
    total, freedom = _pool(record)
    sigma = sqrt(total / freedom) if freedom else inf
    reach = student.quantile(TAIL / edits, freedom) if freedom and edits else inf
    weighed = []
    for number, arm in enumerate(record.study.arms[1:], start=2):
        scores = record.scores(number)
        if arm.experiment is None:
            continue
        if not scores or not head:
            word = Worth.NEEDED if record.failures(number) else Worth.OPEN
            weighed.append(EditWorth(experiment=arm.experiment, word=word, effect=None, error=inf, low=-inf, high=inf))
            continue
        effect = sign * (fmean(head) - fmean(scores))
        error = sigma * sqrt(1.0 / len(head) + 1.0 / len(scores))
        low, high = (effect - reach * error, effect + reach * error) if freedom else (-inf, inf)
        word = Worth.HELPS if low > 0.0 else Worth.HARMS if high < 0.0 else Worth.OPEN
        weighed.append(EditWorth(experiment=arm.experiment, word=word, effect=effect, error=error, low=low, high=high))
    return weighed


def weigh_newest_ablation(studies: Sequence[StudyRecord], *, sign: float) -> tuple[EditWorth, ...]:
    """Weigh each edit by the newest ablation that has ended; empty if there is none."""
    ended = [each for each in studies if each.study.kind is StudyKind.ABLATE and each.study.ended_at is not None]
    return tuple(weigh_edits(ended[-1], sign=sign)) if ended else ()


def pooled_sigma(record: StudyRecord) -> float | None:
    """Standard deviation of one run, pooled over all arms; None if no program ran twice."""
    total, freedom = _pool(record)
    return sqrt(total / freedom) if freedom else None


def choose_pruned(worths: Sequence[EditWorth]) -> list[int]:
    """Numbers of the experiments that a pruned head leaves out, the least worth first."""
    leaves = [worth for worth in worths if not worth.stays]
    return [worth.experiment for worth in sorted(leaves, key=lambda worth: worth.effect or 0.0)]


def _pool(record: StudyRecord) -> tuple[float, int]:
    """Sum of squared deviations from the mean of each arm, and its degrees of freedom."""
    total, freedom = 0.0, 0
    for number in range(1, len(record.study.arms) + 1):
        if scores := record.scores(number):
            total += squares(scores)
            freedom += len(scores) - 1
    return total, freedom


def extend_to_prune(claim: Study, head: Arm, *, question: str, notes: Sequence[str]) -> Study:
    """A claim of a pruned head with the head as a third arm, so that what the pruning costs is seen as well."""
    whole = replace(head, seeds=claim.arms[0].seeds)
    return replace(claim, question=question, arms=(*claim.arms, whole), notes=tuple(notes))
