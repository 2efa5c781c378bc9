"""What a judge keeps of runs that differ in nothing but the seed."""

from __future__ import annotations

import random

import pytest

from controller.judge.chance import expect_chance_keeps
from controller.studies.rerun import AA_EXPERIMENTS, expect_keeps, replay
from tests.support.judges import judge_of


def runs(count: int) -> list[float]:
    draw = random.Random(7)
    return [draw.gauss(2.0, 0.02) for _ in range(count)]


@pytest.mark.parametrize("policy", ["ledger", "greedy"])
def test_every_run_is_the_baselines_or_some_edits(policy: str) -> None:
    replayed = replay(runs(30), judge_of(policy), baseline_runs=3)

    assert replayed is not None
    assert 1 <= replayed.judged <= 27
    assert 0 <= replayed.kept <= replayed.judged


def test_too_few_runs_tell_nothing() -> None:
    assert replay(runs(3), judge_of("ledger"), baseline_runs=3) is None


def test_greedy_keeps_each_new_record_and_so_more_of_nothing_than_the_ledger() -> None:
    greedy, _ = expect_keeps(runs(15), judge_of("greedy"), baseline_runs=3, max_runs=5)
    ledger, error = expect_keeps(runs(15), judge_of("ledger"), baseline_runs=3, max_runs=5)

    assert greedy > ledger + 2 * error


def test_what_the_runs_promise_is_what_simulated_campaigns_of_nothing_keep() -> None:
    mean, error = expect_keeps(runs(15), judge_of("ledger"), baseline_runs=3, max_runs=5)

    assert mean == pytest.approx(expect_chance_keeps("ledger", AA_EXPERIMENTS), abs=3 * error + 0.6)
