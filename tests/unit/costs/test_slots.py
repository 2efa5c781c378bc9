"""The price of a slot is that of the right pool for a node's name, and what was booked stays what was spent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.costs.slots import SlotPrices, dollars_of, slot_dollars
from controller.domain import Attempt, Cost, Experiment, Outcome, Result, Try, TryRequest
from controller.errors import SettingsError
from controller.judge import make_judge
from controller.lab import Lab
from controller.planning.actions import View
from controller.planning.budget import Room
from controller.planning.campaign_state import CampaignState
from controller.settings import Settings
from controller.settings.file import load_settings
from tests.support.scripted import InstantExecutor, campaign, scored, settings

POOLS = "budget.gpu_dollars_by_pool={a100: 1.8, h100: 3.9, h100-spot: 1.5}"
CLUSTER = "executor.kind=kubernetes"


def priced(*overrides: str) -> Settings:
    return settings("budget.gpu_dollars_per_hour=0.5", POOLS, *overrides)


@pytest.mark.parametrize(
    ("node", "price"),
    [
        pytest.param("gke-lab-a100-1f2e3d4c-x7k2", 1.8, id="GKE: the pool is a word of the name"),
        pytest.param("aks-h100-31415926-vmss000002", 3.9, id="AKS"),
        pytest.param("gke-lab-h100-spot-1f2e3d4c-x7k2", 1.5, id="of two pools that match the longer name"),
        pytest.param("gke-lab-ha100-1f2e3d4c-x7k2", 0.5, id="part of a word is another pool"),
        pytest.param("ip-10-0-3-7.eu-west-1.compute.internal", 0.5, id="EKS: the name says nothing"),
        pytest.param("", 0.5, id="no node yet"),
    ],
)
def test_price_is_that_of_the_pool_in_the_nodes_name(node: str, price: float) -> None:
    assert SlotPrices.of(priced(CLUSTER)).on_node(node) == price


def test_node_selector_tells_the_pool_where_the_name_does_not() -> None:
    chosen = priced(CLUSTER, 'executor.kubernetes.node_selector={"eks.amazonaws.com/nodegroup": h100}')

    assert SlotPrices.of(chosen).on_node("ip-10-0-3-7.ec2.internal") == 3.9
    assert SlotPrices.of(chosen).on_node("") == 3.9
    assert SlotPrices.of(chosen).on_node("gke-lab-a100-1f2e3d4c-x7k2") == 1.8


def test_product_label_and_glob_match_whatever_their_case() -> None:
    selector = 'executor.kubernetes.node_selector={"nvidia.com/gpu.product": NVIDIA-H100-80GB-HBM3}'

    assert SlotPrices.of(priced(CLUSTER, selector)).on_node("") == 3.9
    assert SlotPrices.of(settings('budget.gpu_dollars_by_pool={"RIG*": 2}')).on_node("rig07") == 2


def test_slot_of_eight_accelerators_costs_eight_times_as_much() -> None:
    assert SlotPrices.of(priced(CLUSTER, "executor.kubernetes.gpus=8")).on_node("aks-a100-1-vmss0") == pytest.approx(
        14.4
    )


def test_local_slot_ignores_a_clusters_selector() -> None:
    assert SlotPrices.of(priced("executor.kubernetes.node_selector={pool: h100}")).on_node("") == 0.5


def test_range_of_prices_is_one_price_where_the_selector_names_the_pool() -> None:
    assert SlotPrices.of(priced(CLUSTER)).range == (0.5, 3.9)
    assert SlotPrices.of(priced(CLUSTER, "executor.kubernetes.node_selector={pool: a100}")).range == (1.8, 1.8)


@given(node=st.from_regex(r"[a-z0-9-]{0,40}", fullmatch=True), gpus=st.integers(1, 8))
def test_no_node_costs_more_or_less_than_the_range(node: str, gpus: int) -> None:
    chosen = priced(CLUSTER, f"executor.kubernetes.gpus={gpus}")
    least, most = SlotPrices.of(chosen).range

    assert least <= SlotPrices.of(chosen).on_node(node) <= most


@pytest.mark.parametrize(
    ("pools", "complaint"),
    [
        pytest.param("{a100: -1}", "budget.gpu_dollars_by_pool.a100 must be at least 0 (got -1)", id="negative"),
        pytest.param("{a100: cheap}", "budget.gpu_dollars_by_pool.a100 must be a valid number", id="a word"),
        pytest.param("{a100: .inf}", "budget.gpu_dollars_by_pool.a100 must be a finite number", id="infinite"),
        pytest.param("{a100: .nan}", "budget.gpu_dollars_by_pool.a100 must be a finite number", id="no number"),
        pytest.param("{'': 1}", "'' names no node pool", id="no name"),
        pytest.param("{'a 100': 1}", "'a 100' names no node pool", id="a name no pool has"),
        pytest.param("3.9", "budget.gpu_dollars_by_pool must be a group of names", id="one price"),
    ],
)
def test_bad_price_is_one_sentence_with_its_line(tmp_path: Path, pools: str, complaint: str) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(f"budget:\n  gpu_dollars_by_pool: {pools}\n")

    with pytest.raises(SettingsError) as caught:
        load_settings(file)

    assert complaint in str(caught.value)
    assert "line 2" in str(caught.value)
    assert "\n" not in str(caught.value)


def tried(*, seconds: float, price: float | None, number: int = 1) -> Try:
    return Try(number=number, probe_set=0, launched_at=0.0, seconds=seconds, dollars_per_hour=price)


def test_experiment_costs_its_proposal_and_every_try_of_its_slots_lost_ones_included() -> None:
    tries = (tried(seconds=600, price=6.0), tried(seconds=1800, price=2.0, number=2))
    attempt = Attempt(number=1, seed=1, tries=tries, result=scored(1.9, node="gke-lab-a100-1-2"))
    one = Experiment(number=1, commit="c", base="b", title="", cost=Cost(dollars=0.25), attempts=(attempt,))

    assert slot_dollars(one, SlotPrices.of(priced())) == pytest.approx(2.0)
    assert dollars_of(one, SlotPrices.of(priced())) == pytest.approx(2.25)


def test_try_without_a_booked_price_has_that_of_today() -> None:
    result = scored(1.9, node="gke-lab-a100-1-2")
    old = Attempt(number=1, seed=1, tries=(tried(seconds=3600, price=None),), result=result)
    one = Experiment(number=1, commit="c", base="b", title="", attempts=(old,))

    assert slot_dollars(one, SlotPrices.of(priced())) == pytest.approx(1.8)


def outcome(request: TryRequest) -> Result:
    """Odd experiments run on dear nodes, even ones on cheap ones; the third is lost once."""
    if str(request.id).endswith("e0003-a1-t1"):
        return Result(outcome=Outcome.LOST, reason="drained", seconds=36.0, node="aks-h100-1-vmss0")
    node = "aks-h100-1-vmss0" if request.id.experiment % 2 else "aks-a100-1-vmss0"
    return replace(scored(2.0 + request.seed % 97 / 1e3, node=node), seconds=36.0)


def test_new_prices_rewrite_nothing_that_was_spent(tmp_path: Path) -> None:
    chosen = priced(CLUSTER)
    ran = campaign(tmp_path, InstantExecutor(outcome), chosen=chosen)
    ran.run()
    booked = {t.dollars_per_hour for e in ran.campaign_state.experiments.values() for a in e.attempts for t in a.tries}
    lost = ran.campaign_state.experiments[3].attempts[0].tries[0]

    dearer = settings("budget.gpu_dollars_per_hour=100", CLUSTER, "executor.kubernetes.gpus=8")
    again = campaign(tmp_path, InstantExecutor(outcome), chosen=dearer)

    assert booked == {1.8, 3.9}
    assert (lost.lost, lost.dollars_per_hour) == ("drained", 3.9)
    assert ran.campaign_state.slot_dollars > 0
    assert again.campaign_state.slot_dollars == pytest.approx(ran.campaign_state.slot_dollars)
    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    assert sum(slot_dollars(e, SlotPrices.of(dearer)) for e in experiments) == pytest.approx(
        ran.campaign_state.slot_dollars
    )


def view(chosen: Settings, *, runs: int, booked: float, running: int, folder: Path) -> View:
    """A campaign that has spent `runs` runs of six minutes at `booked` dollars an hour."""
    seen = campaign(folder, InstantExecutor(outcome), chosen=chosen).view()
    spent = replace(seen.spent, attempts=runs, slot_seconds=runs * 360.0, slot_dollars=runs * 0.1 * booked)
    return replace(seen, spent=spent, running=tuple(range(1, running + 1)))


def room(seen: View, chosen: Settings) -> Room:
    return Room(seen, chosen.budget, SlotPrices.of(chosen))


def test_runs_in_flight_count_at_the_mean_of_what_runs_have_cost(tmp_path: Path) -> None:
    chosen = priced(CLUSTER, "budget.dollars=10", "executor.slots=8")
    seen = view(chosen, runs=10, booked=3.0, running=4, folder=tmp_path)

    assert room(seen, chosen).call_dollars == pytest.approx(10 - 3.0 - 4 * 0.3)
    assert room(view(chosen, runs=30, booked=3.0, running=2, folder=tmp_path), chosen).fits_attempt()
    assert not room(view(chosen, runs=30, booked=3.0, running=3, folder=tmp_path), chosen).fits_attempt()


def test_before_the_first_run_the_dearest_pool_is_expected(tmp_path: Path) -> None:
    chosen = priced(CLUSTER, "budget.train_seconds=3600", "budget.dollars=4", "executor.slots=2")

    assert room(view(chosen, runs=0, booked=0, running=0, folder=tmp_path), chosen).fits_attempt()
    assert not room(view(chosen, runs=0, booked=0, running=1, folder=tmp_path), chosen).fits_attempt()


def test_price_that_was_raised_is_expected_of_the_next_run(tmp_path: Path) -> None:
    chosen = settings("budget.gpu_dollars_per_hour=20", "budget.dollars=4")

    assert room(view(chosen, runs=20, booked=1.0, running=0, folder=tmp_path), chosen).fits_attempt()
    assert not room(view(chosen, runs=20, booked=1.0, running=1, folder=tmp_path), chosen).fits_attempt()


def test_memory_kept_current_is_the_memory_folded_anew(tmp_path: Path) -> None:
    chosen = priced(CLUSTER)
    ran = campaign(tmp_path, InstantExecutor(outcome), chosen=chosen)
    ran.run()

    anew = CampaignState(
        make_judge(chosen.judge, minimize=True), list(ran.campaign_state.experiments.values()), SlotPrices.of(chosen)
    )

    assert anew.slot_dollars == pytest.approx(ran.campaign_state.slot_dollars)
