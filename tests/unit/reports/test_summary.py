"""Where a campaign stands: what is said of the reserve, and when."""

from __future__ import annotations

import pytest

from controller.domain import Attempt, Experiment, Try
from controller.notices import Activity
from controller.reports.summary import RESERVE_LOW, Summary, summary
from tests.support.scripted import scored, settings


def summary_with(*left: int | None) -> Summary:
    """A campaign whose tries were launched when so many slices of the reserve were left."""
    tries = [Try(number=1, probe_set=0, launched_at=float(n), reserve_left=each) for n, each in enumerate(left)]
    attempts = tuple(Attempt(number=n, seed=n, tries=(t,), result=scored(2.0)) for n, t in enumerate(tries, start=1))
    baseline = Experiment(number=0, commit="c", base="", title="baseline", attempts=attempts)
    activity = Activity(tag="t", turned=True)
    return summary([baseline], settings(), activity=activity, now=9.0, dollars=0.0)


@pytest.mark.parametrize("left", [(None,), (128, 127), (RESERVE_LOW + 2, RESERVE_LOW + 1)])
def test_nothing_is_said_while_there_is_plenty_or_no_reserve(left: tuple[int | None, ...]) -> None:
    facts = summary_with(*left)
    assert (facts.reserve_left, facts.reserve()) == (left[-1], "")


def test_the_end_is_said_in_time_by_the_newest_launch() -> None:
    facts = summary_with(30, RESERVE_LOW)
    assert f"fresh text for {RESERVE_LOW} more runs, then exams go on without it" in facts.reserve()
    assert facts.reserve() in facts.warning


def test_what_happens_without_it_is_said_once_it_is_used_up() -> None:
    facts = summary_with(1, 0)
    assert facts.reserve().startswith("The reserve is used up: exams go on without the freshness test")
    assert facts.as_dict()["reserve_left"] == 0
