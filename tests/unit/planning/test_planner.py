"""The planner under simulation: random outcomes, orders of events and restarts never break the books."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from controller.domain import BASELINE, ExamReport, Verdict
from controller.planning.actions import Action, Conclude, Stop, Wait
from controller.planning.planner import plan
from tests.support.scripted import settings
from tests.support.simulation import Simulation

POLICIES = st.sampled_from(["ledger", "gauss", "confirm", "greedy"])


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 6), experiments=st.integers(1, 12), policy=POLICIES)
@effort(max_examples=60, deadline=None)
def test_every_campaign_ends_with_all_experiments_judged_within_slots(
    seed: int, slots: int, experiments: int, policy: str
) -> None:
    chosen = settings(f"executor.slots={slots}", f"budget.experiments={experiments}", f"judge.policy={policy}")
    simulation = Simulation(chosen, random.Random(seed))

    ended = simulation.play()

    counted = simulation.campaign_state.spent(elapsed_seconds=0).experiments
    assert ended.reason == f"{experiments} experiment{'' if experiments == 1 else 's'} (budget)"
    assert counted == experiments
    assert not simulation.campaign_state.open
    assert simulation.most_running <= slots


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 6), minutes=st.floats(2, 30))
@effort(max_examples=60, deadline=None)
def test_slot_hours_are_never_exceeded(seed: int, slots: int, minutes: float) -> None:
    chosen = settings(f"executor.slots={slots}", "budget.experiments=null", f"budget.gpu_hours={minutes / 60}")
    simulation = Simulation(chosen, random.Random(seed))

    simulation.play()

    assert simulation.campaign_state.slot_seconds <= minutes * 60 + 1e-6
    assert not simulation.overdrawn


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 4), restarts=st.lists(st.integers(1, 60), max_size=4))
@effort(max_examples=60, deadline=None)
def test_restarts_lose_nothing_and_count_nothing_twice(seed: int, slots: int, restarts: list[int]) -> None:
    simulation = Simulation(settings(f"executor.slots={slots}"), random.Random(seed))
    for steps in restarts:
        for _ in range(steps):
            action = plan(simulation.view(), simulation.chosen)
            if isinstance(action, Stop):
                break
            simulation.carry_out(action)
        before = simulation.campaign_state
        simulation.restart()
        assert simulation.campaign_state.state == before.state
        assert simulation.campaign_state.slot_seconds == before.slot_seconds
        assert simulation.campaign_state.attempts == before.attempts

    simulation.play()

    tries = [t for e in simulation.campaign_state.experiments.values() for a in e.attempts for t in a.tries]
    assert len(tries) == simulation.launches
    assert len({e.judgement.order for e in simulation.campaign_state.experiments.values() if e.judgement}) == len(
        simulation.campaign_state.experiments
    )


def test_dollars_count_what_is_in_flight() -> None:
    chosen = settings("budget.experiments=null", "budget.dollars=1", "budget.gpu_dollars_per_hour=60")
    simulation = Simulation(chosen, random.Random(1))

    simulation.play()

    assert simulation.launches == 3
    assert simulation.campaign_state.slot_seconds / 60 <= 1.0


def test_one_proposal_is_kept_ready_for_each_slot() -> None:
    simulation = Simulation(settings("executor.slots=3", "budget.experiments=20"), random.Random(2))
    for _ in range(400):
        action = plan(simulation.view(), simulation.chosen)
        if isinstance(action, Stop):
            break
        simulation.carry_out(action)
        waiting = [e for e in simulation.campaign_state.open.values() if e.number != BASELINE and not e.attempts]
        assert len(waiting) + simulation.proposing <= 3 + len([e for e in waiting if e.retry_of is not None])


def test_trouble_pauses_launching_and_proposing() -> None:
    view = replace(Simulation(settings(), random.Random(0)).view(), trouble="image cannot be pulled")

    assert plan(view, settings()) == Wait()


def test_stop_request_wins_over_everything_that_could_start() -> None:
    view = replace(Simulation(settings(), random.Random(0)).view(), stopping="interrupted")

    assert plan(view, settings()) == Stop("interrupted")


def test_an_experiment_whose_lineage_knows_the_exams_text_is_rejected_before_it_is_judged() -> None:
    simulation = Simulation(settings(), random.Random(1))
    while simulation.campaign_state.state is None:
        simulation.carry_out(plan(simulation.view(), simulation.chosen))
    while not any(e.number and e.attempts and e.attempts[-1].result for e in simulation.campaign_state.open.values()):
        simulation.carry_out(plan(simulation.view(), simulation.chosen))
    view = simulation.view()
    scored = next(e for e in view.open if e.scores)
    honest = ExamReport(freshness=0.0, asked_error=0.01, freshness_error=0.02)

    def seen_with(freshness: float) -> Action:
        result = scored.attempts[0].result
        assert result
        exam = replace(honest, freshness=freshness)
        attempts = (replace(scored.attempts[0], result=replace(result, exam=exam)),)
        return plan(replace(view, open=(replace(scored, attempts=attempts),), running=()), simulation.chosen)

    leaked, fine = seen_with(0.5), seen_with(0.05)
    assert isinstance(leaked, Conclude)
    assert leaked.verdict is Verdict.REJECT
    assert "knows the exam's text" in leaked.reason
    assert not isinstance(fine, Conclude) or fine.verdict is not Verdict.REJECT


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 4), plateau=st.integers(1, 6))
@effort(max_examples=60, deadline=None)
def test_plateau_ends_a_campaign_once_what_is_under_way_is_judged(seed: int, slots: int, plateau: int) -> None:
    chosen = settings(f"executor.slots={slots}", "budget.experiments=200", f"budget.plateau={plateau}")
    simulation = Simulation(chosen, random.Random(seed))

    ended = simulation.play()

    assert not simulation.campaign_state.open
    edits = [e for e in simulation.campaign_state.experiments.values() if e.judgement and e.doubts is None]
    order = max([e.judgement.order for e in edits if e.judgement and e.judgement.kept_as], default=0)
    later = [e for e in edits if e.judgement and e.judgement.order > order]
    ran = [e for e in later if e.attempts and e.number != BASELINE]
    if ended.reason.endswith("(budget.plateau)"):
        assert len(ran) >= plateau
        assert ended.reason.startswith(f"{len(ran)} experiments in a row without a keep")


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 4), short=st.floats(-0.1, 0.1))
@effort(max_examples=60, deadline=None)
def test_target_ends_a_campaign_when_the_incumbent_reaches_it_and_not_before(
    seed: int, slots: int, short: float
) -> None:
    plain = Simulation(settings(f"executor.slots={slots}", "budget.experiments=10"), random.Random(seed))
    plain.play()
    assert plain.campaign_state.state
    target = plain.campaign_state.state.level + short
    chosen = settings(f"executor.slots={slots}", "budget.experiments=10", f"budget.target={target}")
    simulation = Simulation(chosen, random.Random(seed))

    ended = simulation.play()

    assert simulation.campaign_state.state
    reached = simulation.campaign_state.state.level <= target
    assert ended.reason.endswith("(budget.target)") == (reached and not ended.reason.endswith("(budget)"))
    assert reached or ended.reason == "10 experiments (budget)"


def test_kept_edits_are_left_out_one_at_a_time_and_every_campaign_still_ends_by_its_budget() -> None:
    doubted = 0
    for seed in range(10):
        chosen = settings("executor.slots=3", "budget.experiments=40", "judge.doubt=always")
        simulation = Simulation(chosen, random.Random(seed), wishful=True)

        ended = simulation.play()

        doubted += simulation.doubted
        left_out = [e for e in simulation.campaign_state.experiments.values() if e.doubts is not None]
        assert ended.reason == "40 experiments (budget)"
        assert simulation.campaign_state.spent().experiments == 40
        assert simulation.campaign_state.doubts == len(left_out)
        assert simulation.campaign_state.doubts_begun == len([e for e in left_out if e.retry_of is None])
        # A program that was made before an undoing, and replaces it, has the edit once more.
        judgements = [e.judgement for e in simulation.campaign_state.experiments.values() if e.judgement]
        replaced = {number for judgement in judgements for number in judgement.replaces}
        undone = {e.doubts for e in left_out if e.judgement and e.judgement.kept_as and e.number not in replaced}
        assert not undone & simulation.campaign_state.edits_left(simulation.incumbent)
    assert doubted > 50


def test_with_several_slots_no_kept_edit_is_left_out_by_itself() -> None:
    for seed in range(10):
        simulation = Simulation(settings("executor.slots=3", "budget.experiments=40"), random.Random(seed))
        simulation.play()
        assert simulation.doubted == 0
