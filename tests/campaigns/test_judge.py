"""Whole simulated campaigns, seeded: what the ledger records is what was gained, and luck fools it least."""

from __future__ import annotations

from math import sqrt
from statistics import fmean, stdev

import pytest

from tests.bench.simulate_judging import Policy, Reading, repeat

CAMPAIGNS = 120


def last(policy: Policy, world: str, *, runs: int, sigma_known: bool = True) -> list[Reading]:
    return repeat(policy, world, repeats=CAMPAIGNS, seed=7, sigma_known=sigma_known, checkpoints=(runs,))[0]


def gain(readings: list[Reading]) -> float:
    return fmean(r.gain for r in readings)


def flattery(readings: list[Reading]) -> float:
    return fmean(r.flattery for r in readings)


@pytest.mark.parametrize("sigma_known", [True, False], ids=["sigma known", "sigma from the runs"])
def test_the_ledger_records_what_was_gained_where_greedy_records_luck(sigma_known: bool) -> None:
    ledger, greedy = (last(policy, "early", runs=100, sigma_known=sigma_known) for policy in ("ledger", "greedy"))

    assert abs(flattery(ledger)) < 0.5
    assert flattery(greedy) > 1.3


def test_the_ledger_gains_more_than_greedy_in_long_campaigns() -> None:
    ledger, greedy = last("ledger", "early", runs=200), last("greedy", "early", runs=200)
    error = sqrt(sum(stdev(r.gain for r in rs) ** 2 / CAMPAIGNS for rs in (ledger, greedy)))

    assert gain(ledger) > gain(greedy) + 3.0 * error


def test_on_a_plateau_the_ledger_does_not_lose_what_it_had() -> None:
    assert gain(last("ledger", "plateau", runs=100)) > 0.2


def test_ruined_models_and_big_steps_cost_the_ledger_nothing() -> None:
    """A tenth crashes, a fifth scores hundreds of sigmas worse, and the first edits gain up to 30 sigmas each."""
    readings = last("ledger", "jumps", runs=100, sigma_known=False)

    assert min(r.gain for r in readings) > -2.0
    assert gain(readings) > 30.0
    assert flattery(readings) < 1.0


def test_where_edits_do_nothing_the_ledger_claims_little() -> None:
    ledger, greedy = last("ledger", "nothing", runs=100, sigma_known=False), last("greedy", "nothing", runs=100)

    assert flattery(ledger) < 0.7
    assert flattery(greedy) > 2.0
