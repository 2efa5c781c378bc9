"""Simulated campaigns: what they count is what happened, the same for the same seed, whatever is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.domain import Outcome
from controller.errors import SettingsError
from controller.simulation.campaign import SimulatedCampaign
from controller.simulation.study import Case, Reading, choose_cases, estimate, estimate_ratio, make_settings
from controller.simulation.study import simulate as simulate_case
from controller.simulation.table import PAIRED, header, record, row
from controller.simulation.worlds import WORLDS


def simulate(case: Case, *, campaigns: int = 8) -> list[Reading]:
    return simulate_case(case, campaigns=campaigns, processes=1)[-1]


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_every_world_is_played_to_its_end(world: str) -> None:
    readings = simulate(Case(world=world, policy="ledger", slots=4, runs=(40,)), campaigns=2)

    assert all(reading.runs >= 40 for reading in readings)
    assert all(reading.worthless <= reading.keeps for reading in readings)
    assert all(reading.harmful <= reading.worthless for reading in readings)


def test_the_same_seed_gives_the_same_campaign() -> None:
    case = Case(world="rough", policy="ledger", slots=3, runs=(60,))

    assert simulate(case, campaigns=2) == simulate(case, campaigns=2)


def test_every_policy_is_offered_the_same_edits() -> None:
    offered = []
    for policy in ("greedy", "ledger"):
        case = Case(world="early", policy=policy, runs=(60,))
        campaign = SimulatedCampaign(make_settings(case), WORLDS["early"], seed="one")
        while campaign.campaign_state.attempts < 60:
            campaign.step()
        offered.append([campaign.edit_of(number) for number in range(1, 20)])

    assert offered[0] == offered[1]


def test_true_gain_is_the_sum_of_what_was_kept() -> None:
    case = Case(world="early", policy="greedy", runs=(80,))
    campaign = SimulatedCampaign(make_settings(case), WORLDS["early"], seed="sum")
    while campaign.campaign_state.attempts < 80:
        campaign.step()

    assert campaign.kept
    assert campaign.truth == pytest.approx(sum(kept.worth for kept in campaign.kept))


def test_greedy_flatters_and_slots_share_the_hours() -> None:
    one = simulate(Case(world="early", policy="greedy", runs=(60,)))
    four = simulate(Case(world="early", policy="greedy", slots=4, runs=(60,)))

    assert estimate(one, lambda r: r.inflation).mean > 1.0
    assert estimate(four, lambda r: r.hours).mean < 0.4 * estimate(one, lambda r: r.hours).mean


def test_ratio_of_sums_weighs_campaigns_by_their_size() -> None:
    readings = simulate(Case(world="early", policy="ledger", runs=(40,)))
    kept = sum(r.keeps for r in readings)

    share = estimate_ratio(readings, lambda r: float(r.worthless), lambda r: float(r.keeps))

    assert share.mean == pytest.approx(sum(r.worthless for r in readings) / kept)
    assert 0.0 < share.error < 0.5


def test_table_and_record_tell_the_same() -> None:
    case = Case(world="early", policy="ledger", runs=(40,))
    readings = simulate(case, campaigns=3)

    assert row(case, 40, readings).count("|") == header().split("\n")[0].count("|")
    gain = record(case, 40, readings)["true gain"]
    assert isinstance(gain, dict)
    assert gain["mean"] == estimate(readings, lambda r: r.gain).mean


def test_difference_of_two_policies_is_told_over_pairs_of_campaigns() -> None:
    greedy = simulate(Case(world="early", policy="greedy", runs=(40,)))
    case = Case(world="early", policy="ledger", runs=(40,))
    ledger = simulate(case)

    more = record(case, 40, ledger, greedy)[PAIRED]

    assert isinstance(more, dict)
    gain = estimate(ledger, lambda r: r.gain).mean - estimate(greedy, lambda r: r.gain).mean
    assert more["mean"] == pytest.approx(gain)
    assert row(case, 40, ledger, greedy).count("|") == header().split("\n")[0].count("|")
    assert row(case, 40, ledger).endswith("| - |")


def test_unknown_worlds_and_foreign_settings_are_one_sentence() -> None:
    def choose(world: str, *overrides: str) -> None:
        choose_cases(worlds=[world], policies=["ledger"], slots=[1], runs=[10], overrides=overrides)

    with pytest.raises(SettingsError, match="no world 'moon'"):
        choose("moon")
    with pytest.raises(SettingsError, match="only settings of the judge"):
        choose("early", "task.metric=x")


@pytest.mark.parametrize("slots", [1, 8])
def test_machine_that_tells_when_it_is_busy_lets_few_bursts_into_scores(slots: int) -> None:
    """A burst makes a score some six sigma worse, and the tries that it hit are run again when it is over."""
    harmed = {}
    for witness in (True, False):
        world = replace(WORLDS["early"], bursts_per_hour=1.0, witness=witness)
        settings = make_settings(Case(world="early", policy="ledger", slots=slots, runs=(60,)))
        harmed[witness] = sum(_count_harmed(SimulatedCampaign(settings, world, seed=str(n))) for n in range(8))

    assert harmed[False] > 50
    assert harmed[True] < 0.1 * harmed[False]


def _count_harmed(campaign: SimulatedCampaign) -> int:
    """Scores of 60 attempts, the baseline's left out, that tell of a burst for more than a tenth of their time."""
    while campaign.campaign_state.attempts < 60:
        campaign.step()
    harmed = 0
    for experiment in campaign.campaign_state.experiments.values():
        for attempt in experiment.attempts:
            if experiment.number and attempt.result and attempt.result.outcome is Outcome.SCORED:
                began = attempt.tries[-1].launched_at
                harmed += campaign.machine.share_disturbed(began, began + attempt.tries[-1].seconds) > 0.1
    return harmed
