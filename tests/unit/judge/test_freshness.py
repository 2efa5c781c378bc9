"""Known text shows in a lineage: small leaks add up, honest chance does not, and no exam alone decides."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Attempt, ExamReport, Experiment, Judgement, Outcome, Result, Verdict
from controller.judge import find_staleness, pool

ASKED, FRESH = 0.006, 0.02
"""Standard errors of one exam in the CPU preset, in nats (docs/exam.md)."""


def exam(freshness: float, *, error: float = FRESH) -> ExamReport:
    """An exam that measured this freshness."""
    return ExamReport(freshness=freshness, asked_error=ASKED, freshness_error=error)


def experiment(number: int, exams: Sequence[ExamReport], *, base: str = "", kept: bool = True) -> Experiment:
    """An experiment with these exams; a kept one moved the branch to `k<number>`."""
    results = [Result(outcome=Outcome.SCORED, exam=each) for each in exams]
    attempts = tuple(Attempt(number=n, seed=n, result=r) for n, r in enumerate(results, start=1))
    judgement = Judgement(verdict=Verdict.KEEP, reason="", order=number, kept_as=f"k{number}") if kept else None
    return Experiment(number=number, commit="c", base=base, title="", attempts=attempts, judgement=judgement)


BASELINE = experiment(0, [exam(0.0)] * 3)


def test_what_one_exam_cannot_show_is_shown_by_a_lineage() -> None:
    leak = [exam(0.07)] * 2  # each below its own limit of 5 errors
    kept = [BASELINE, *(experiment(n, leak, base=f"k{n - 1}") for n in range(1, 5))]

    alone = find_staleness(experiment(5, leak, base="c", kept=False), [BASELINE])
    together = find_staleness(experiment(5, leak, base="k4", kept=False), kept)

    assert alone == ""
    assert "knows the exam's text" in together
    assert "n = 4, over experiments 4, 5" in together


def test_a_lineage_ends_at_the_base_of_the_experiment() -> None:
    kept = [BASELINE, experiment(1, [exam(0.0)] * 2), experiment(2, [exam(0.09)] * 9, base="k1")]
    assert find_staleness(experiment(3, [exam(0.0)], base="k1", kept=False), kept) == ""
    assert find_staleness(experiment(3, [exam(0.05)], base="k2", kept=False), kept) != ""


def test_a_baseline_that_learnt_nothing_does_not_condemn_what_learnt() -> None:
    still = experiment(0, [exam(0.001, error=0.002)] * 3)
    assert find_staleness(experiment(1, [exam(0.058)], base="c", kept=False), [still]) == ""


def test_nothing_is_said_of_exams_that_asked_no_fresh_text() -> None:
    old = experiment(1, [ExamReport(hits=0)] * 2, base="c", kept=False)
    assert find_staleness(old, [BASELINE]) == ""


@given(st.lists(st.floats(-1, 0.02), min_size=1, max_size=9))
def test_what_is_below_the_floor_always_passes(values: list[float]) -> None:
    assert find_staleness(experiment(1, [exam(v, error=0.0) for v in values], kept=False), [BASELINE]) == ""


def test_often_asked_text_is_the_same_in_all_exams_and_its_error_stays() -> None:
    mean, error = pool([exam(0.01)] * 100)
    assert mean == pytest.approx(0.01)
    assert error == pytest.approx((ASKED**2 + FRESH**2 / 100) ** 0.5)


def test_a_thousand_honest_experiments_in_one_campaign_are_left_alone() -> None:
    draw = random.Random(1)
    shared = draw.gauss(0, ASKED)
    kept, rejected = [experiment(0, [exam(shared + draw.gauss(0, FRESH)) for _ in range(3)])], 0
    for number in range(1, 1001):
        exams = [exam(shared + draw.gauss(0, FRESH)) for _ in range(draw.randint(1, 3))]
        candidate = experiment(number, exams, base=kept[-1].judgement.kept_as if kept[-1].judgement else "")
        rejected += bool(find_staleness(candidate, kept))
        if number % 20 == 0:
            kept.append(candidate)
    assert rejected == 0
