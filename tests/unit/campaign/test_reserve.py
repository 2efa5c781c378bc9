"""The reserve: no slice is given twice, neither in a campaign nor in two of one lab, and its end is no fault."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from controller.campaign import Campaign
from controller.campaign.reserve import Reserve, measure_noise, used_slices
from controller.domain import Attempt, ExamReport, Experiment, Outcome, Result, Try, TryRequest
from controller.settings import Settings
from tests.support.scripted import InstantExecutor, campaign, scored, settings


def experiment(number: int, slices: Sequence[int | None], *, data: str | None = "d1") -> Experiment:
    """An experiment whose one attempt had a try for each of these slices."""
    tries = tuple(Try(number=n, probe_set=0, launched_at=0.0, reserve=s) for n, s in enumerate(slices, start=1))
    exam = ExamReport(data=data, spread=0.0)
    result = Result(outcome=Outcome.SCORED, exam=exam)
    attempt = Attempt(number=1, seed=1, tries=tries, result=result if data else None)
    return Experiment(number=number, commit="c", base="b", title="", attempts=(attempt,))


@given(st.integers(0, 20), st.sets(st.integers(0, 25)), st.integers(0, 99))
def test_every_unused_slice_is_given_once_and_then_none(slices: int, used: set[int], seed: int) -> None:
    reserve = Reserve(used, slices=slices, draw=random.Random(seed))
    wanted = set(range(slices)) - used
    given = []
    for left in reversed(range(len(wanted))):
        given.append(reserve.take())
        assert reserve.left == left
    assert set(given) == wanted
    assert len(given) == len(wanted)
    assert reserve.take() is None
    assert reserve.left == (0 if slices else None)


def test_a_lost_try_has_used_its_slice_up() -> None:
    assert used_slices([experiment(0, [3, 7]), experiment(1, [None, 9])], []) == {3, 7, 9}


def test_campaigns_of_one_lab_share_a_reserve_unless_their_data_differ() -> None:
    own = [experiment(0, [1])]
    same, other, unknown = [experiment(0, [2])], [experiment(0, [3], data="d2")], [experiment(0, [4], data=None)]
    assert used_slices(own, [same, other, unknown]) == {1, 2, 4}
    assert used_slices([], [same, other, unknown]) == {2, 3, 4}


def test_noise_of_the_baseline_is_the_largest_that_its_exams_measured() -> None:
    exams = [
        ExamReport(spread=0.001, inflation_error=0.0002, restart_error=0.0),
        ExamReport(spread=0.002, inflation_error=0.0001, restart_error=0.0003),
    ]
    results = [Result(outcome=Outcome.SCORED, exam=exam) for exam in exams]
    attempts = tuple(Attempt(number=n, seed=1, result=result) for n, result in enumerate(results, start=1))
    noise = measure_noise(Experiment(number=0, commit="c", base="", title="", attempts=attempts))
    assert noise is not None
    assert (noise.spread, noise.inflation_error, noise.restart_error) == (0.002, 0.0002, 0.0003)
    assert measure_noise(Experiment(number=0, commit="c", base="", title="")) is None


def given_slices(ran: Campaign) -> list[int | None]:
    """The slice of every try of a campaign, in the order of their launches."""
    tries = [t for e in ran.campaign_state.experiments.values() for a in e.attempts for t in a.tries]
    return [each.reserve for each in sorted(tries, key=lambda each: each.launched_at)]


def exam_settings(tag: str, experiments: int) -> Settings:
    """Settings of a campaign with an exam and five slices."""
    return settings(f"tag={tag}", "task.score=exam", "task.reserve_slices=5", f"budget.experiments={experiments}")


def test_campaigns_restarts_and_a_second_campaign_use_the_reserve_up_and_go_on_without_it(tmp_path: Path) -> None:
    asked = []

    def outcome(request: TryRequest) -> Result:
        asked.append(request.reserve)
        return scored(2.0 + request.seed % 100 / 1e4, exam=ExamReport(hits=0, spread=0.0))

    first = campaign(tmp_path, InstantExecutor(outcome), chosen=exam_settings("t", 1))
    first.run()
    used = given_slices(first)
    again = campaign(tmp_path, InstantExecutor(outcome), chosen=exam_settings("t", 2))
    again.run()
    second = campaign(tmp_path, InstantExecutor(outcome), chosen=exam_settings("u", 6))
    second.run()

    assert given_slices(again)[: len(used)] == used
    given = given_slices(again) + given_slices(second)
    assert asked == given
    fresh = [each for each in given if each is not None]
    assert sorted(fresh) == list(range(5))
    assert given == fresh + [None] * (len(given) - 5)
    assert len(given) > 5
    assert (again.campaign_state.reserve_left, second.campaign_state.reserve_left) == (5 - len(given_slices(again)), 0)
