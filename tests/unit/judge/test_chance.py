"""The figures of chance are those of the judge that runs campaigns."""

from __future__ import annotations

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.judge.chance import KEEPS, expect_chance_keeps
from controller.simulation.campaign import SimulatedCampaign
from controller.simulation.study import Case, make_settings
from controller.simulation.worlds import WORLDS


@given(st.sampled_from(sorted(KEEPS)), st.integers(0, 5000))
def test_more_experiments_never_have_fewer_keeps_by_chance(policy: str, experiments: int) -> None:
    now, later = (expect_chance_keeps(policy, number) for number in (experiments, experiments + 7))

    assert 0.0 <= now <= later <= experiments + 7


@pytest.mark.parametrize("policy", sorted(KEEPS))
def test_the_figures_are_what_the_policy_keeps_where_edits_do_nothing(policy: str) -> None:
    settings = make_settings(Case(world="nothing", policy=policy))
    kept = []
    for seed in range(30):
        campaign = SimulatedCampaign(settings, WORLDS["nothing"], seed=f"test of chance {seed}")
        while campaign.campaign_state.spent().experiments - len(campaign.campaign_state.open) < 20:
            campaign.step()
        kept.append(len(campaign.kept))

    assert fmean(kept) == pytest.approx(expect_chance_keeps(policy, 20), abs=0.9)
