"""The metrics tell events, and never a perfect zero or a counter that goes back."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from controller.costs.slots import SlotPrices
from controller.costs.strategies import strategy_of
from controller.domain import (
    BASELINE,
    INTERRUPTIONS,
    Attempt,
    Experiment,
    Judgement,
    LostTo,
    Outcome,
    Result,
    Try,
    TryId,
    TryRequest,
    Verdict,
    Witness,
)
from controller.judge import make_judge
from controller.lab.records import experiment_from_json, experiment_to_json
from controller.monitoring.metrics import Metrics
from controller.notices import Activity, AttemptEnded, Concluded, Launched, TryLost
from controller.planning.campaign_state import CampaignState
from controller.reports.snapshot import Snapshot, Tally, take_snapshot
from tests.support.counting import count_calls
from tests.support.scripted import InstantExecutor, campaign, scored, settings

CHOSEN = settings("budget.dollars=1000", "budget.gpu_dollars_per_hour=3600")
JUDGE = make_judge(CHOSEN.judge, minimize=True)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"autoresearch_{name}", {"campaign": "t", **labels})


def experiment(number: int, *attempts: Attempt, verdict: Verdict | None = None, strategy: str = "") -> Experiment:
    judgement = Judgement(verdict=verdict, reason="", order=number + 1) if verdict else None
    return Experiment(
        number=number,
        commit=f"{number:040d}",
        base="b",
        title="",
        strategy=strategy,
        proposed_at=1000.0,
        attempts=attempts,
        judgement=judgement,
    )


def attempt(*tries: Try, result: Result | None = None, number: int = 1) -> Attempt:
    return Attempt(number=number, seed=1, tries=tries, result=result)


def tried(number: int = 1, *, at: float = 1010.0, seconds: float = 0.0, lost: str = "") -> Try:
    return Try(number=number, probe_set=0, launched_at=at, seconds=seconds, lost=lost)


def baseline() -> Experiment:
    runs = [attempt(tried(seconds=20.0), result=scored(2.0 + n / 100), number=n) for n in (1, 2, 3)]
    return experiment(BASELINE, *runs, verdict=Verdict.KEEP)


def shown(*experiments: Experiment) -> Snapshot:
    state = CampaignState(JUDGE, experiments, SlotPrices.of(CHOSEN))
    return take_snapshot(state, Tally(experiments, SlotPrices.of(CHOSEN)), CHOSEN, Activity(tag="t"))


def test_time_before_a_machine_took_the_try_is_queueing_and_what_phases_leave_over_is_starting() -> None:
    metrics = Metrics(CHOSEN, clock=lambda: 1100.0)
    result = replace(scored(2.0), seconds=60.0, phase_seconds={"train": 40.0, "candidate": 9.0, "examine": 10.0})

    metrics.notice(AttemptEnded(experiment(1), attempt(tried(at=1010.0), result=result)))

    spent = {
        phase: value(metrics, "phase_duration_seconds_sum", phase=phase)
        for phase in ("queue", "start", "train", "examine")
    }
    assert spent == {"queue": 30.0, "start": 10.0, "train": 40.0, "examine": 10.0}
    assert value(metrics, "last_attempt_end_timestamp_seconds") == 1100.0


def test_wait_for_a_slot_is_measured_once_for_each_experiment() -> None:
    metrics = Metrics(CHOSEN)
    first = experiment(1, attempt(tried(at=1007.0)))
    rerun = experiment(1, attempt(tried(at=1007.0)), attempt(tried(at=1500.0), number=2))

    metrics.notice(Launched(first, TryId("t", 1, 1, 1)))
    metrics.notice(Launched(rerun, TryId("t", 1, 2, 1)))
    metrics.notice(Launched(first, TryId("t", 1, 1, 2)))
    metrics.notice(Launched(experiment(BASELINE, attempt(tried(at=1009.0))), TryId("t", BASELINE, 1, 1)))

    assert value(metrics, "experiment_wait_seconds_count") == 1
    assert value(metrics, "experiment_wait_seconds_sum") == 7.0


def test_every_slot_second_is_booked_under_an_outcome_whether_counted_live_or_after_a_restart() -> None:
    lost = experiment(1, attempt(tried(1, seconds=4.0, lost="drained"), tried(2, seconds=20.0)))
    ended = replace(lost, attempts=(replace(lost.attempts[0], result=scored(1.9)),))
    live = Tally([baseline()], SlotPrices.of(CHOSEN))
    live.take(TryLost(replace(lost, attempts=(attempt(lost.attempts[0].tries[0]),)), TryId("t", 1, 1, 1), "drained"))
    live.take(AttemptEnded(ended, ended.attempts[0]))

    restarted = Tally([baseline(), ended], SlotPrices.of(CHOSEN))

    assert live.seconds == restarted.seconds
    assert sum(live.seconds.values()) == CampaignState(JUDGE, [baseline(), ended], SlotPrices.of(CHOSEN)).slot_seconds
    assert live.seconds[Outcome.LOST] == 4.0


def test_counters_of_a_campaign_never_fall(tmp_path: Path) -> None:
    seen: dict[str, float] = {}
    metrics = Metrics(CHOSEN)

    def turned() -> None:
        metrics.publish(take_snapshot(ran.campaign_state, tally, CHOSEN, ran.activity()))
        for family in metrics.registry.collect():
            for sample in family.samples:
                key = f"{sample.name}{sample.labels}"
                if family.type == "counter":
                    assert sample.value >= seen.get(key, 0.0), key
                    seen[key] = sample.value

    def outcome(request: TryRequest) -> Result:
        turned()
        return scored(2.0 - request.id.experiment / 10 + request.seed % 97 / 1e4)

    ran = campaign(tmp_path, InstantExecutor(outcome), chosen=CHOSEN, observe=lambda notice: tally.take(notice))
    tally = Tally(ran.campaign_state.experiments.values(), SlotPrices.of(CHOSEN))
    ran.run()
    turned()

    assert seen["autoresearch_experiments_total{'campaign': 't', 'verdict': 'keep'}"] > 0
    assert sum(n for key, n in seen.items() if key.startswith("autoresearch_strategy_experiments_total")) == sum(
        n for key, n in seen.items() if key.startswith(("autoresearch_experiments_total", "autoresearch_doubts_total"))
    )


def test_kept_edits_in_doubt_are_counted_from_their_beginning_and_once_however_often_they_are_tried() -> None:
    kept = experiment(1, attempt(tried(), result=scored(1.9)), verdict=Verdict.KEEP)
    verdicts = (Verdict.KEEP, Verdict.DISCARD, Verdict.CRASH, Verdict.DISCARD, None)
    doubts = [replace(experiment(n, verdict=verdict), doubts=1) for n, verdict in enumerate(verdicts, start=2)]
    assert doubts[3].judgement
    doubts[3] = replace(doubts[3], judgement=replace(doubts[3].judgement, retried_as=6))
    doubts[4] = replace(doubts[4], retry_of=5)
    metrics = Metrics(CHOSEN)

    metrics.publish(shown(baseline(), kept, *doubts))

    assert value(metrics, "doubts_begun_total") == 4
    results = {name: value(metrics, "doubts_total", result=name) for name in ("undone", "stays", "crash", "reject")}
    assert results == {"undone": 1, "stays": 1, "crash": 1, "reject": 0}, "the fourth runs"
    assert value(metrics, "experiments_total", verdict="keep") == 1


def test_money_in_flight_may_fall_so_it_is_a_gauge() -> None:
    metrics = Metrics(CHOSEN)
    metrics.publish(replace(shown(baseline()), call_dollars=1.5))
    metrics.publish(replace(shown(baseline()), call_dollars=1.1))

    kinds = {family.name: family.type for family in metrics.registry.collect()}
    assert kinds["autoresearch_spent_dollars"] == "gauge"
    assert value(metrics, "spent_dollars", kind="model") == 1.1
    assert value(metrics, "spent_dollars", kind="gpu") == 60.0
    assert value(metrics, "budget_used_ratio", limit="dollars") == pytest.approx(0.0611)


def test_open_experiments_and_missing_baseline_runs_want_slots() -> None:
    unfinished = replace(baseline(), attempts=baseline().attempts[:1], judgement=None)

    assert shown(unfinished).wanted == 2
    assert shown(baseline(), experiment(1), experiment(2, attempt(tried()))).wanted == 2
    assert shown(baseline(), experiment(1, verdict=Verdict.DISCARD)).wanted == 0


def test_oldest_launch_is_of_a_try_that_still_runs() -> None:
    running = experiment(1, attempt(tried(1, at=5.0, lost="drained"), tried(2, at=30.0)))
    lost = experiment(2, attempt(tried(1, at=10.0, lost="drained")))

    assert shown(baseline(), running, lost).oldest_launch == 30.0
    assert shown(baseline(), lost).oldest_launch is None


def test_rejected_score_is_never_the_best() -> None:
    forged = experiment(1, attempt(tried(), result=scored(0.1)), verdict=Verdict.REJECT)
    honest = experiment(2, attempt(tried(), result=scored(1.9)), verdict=Verdict.DISCARD)

    assert shown(baseline(), forged, honest).best == 1.9


def test_best_of_a_score_to_maximize_is_the_highest() -> None:
    chosen = settings("task.direction=maximize")
    better = experiment(1, attempt(tried(), result=scored(2.5)), verdict=Verdict.DISCARD)
    campaign_state = CampaignState(
        make_judge(chosen.judge, minimize=False), [baseline(), better], SlotPrices.of(chosen)
    )

    assert (
        take_snapshot(
            campaign_state, Tally([baseline(), better], SlotPrices.of(chosen)), chosen, Activity(tag="t")
        ).best
        == 2.5
    )


@pytest.mark.parametrize(
    ("strategy", "agent", "name"),
    [
        ("replay:0007-wider.patch", "replay", "replay"),
        ("again:12", "claude/claude-opus-5-5", "again"),
        ("bolder", "claude/claude-opus-5-5", "bolder"),
        ("", "claude/claude-opus-5-5", "claude"),
        ("", "", "open"),
    ],
)
def test_strategy_label_has_few_values(strategy: str, agent: str, name: str) -> None:
    assert strategy_of(replace(experiment(1, strategy=strategy), agent=agent)) == name


def test_lost_tries_are_counted_by_what_took_them_also_those_of_older_records() -> None:
    tries = (
        replace(tried(1, lost="lost with its node"), lost_to=LostTo.NODE_LOST),
        replace(tried(2, lost="preempted"), lost_to=LostTo.PREEMPTED, interrupted=True),
        replace(tried(3, lost="stopped"), interrupted=True),
        tried(4, lost="of a version that gave no cause"),
    )
    read = experiment_from_json(experiment_to_json(experiment(1, attempt(*tries, tried(5)))))
    metrics = Metrics(CHOSEN)
    metrics.publish(shown(baseline(), read))

    def lost(cause: LostTo) -> float | None:
        reason = "interrupted" if cause in INTERRUPTIONS else "infrastructure"
        return value(metrics, "tries_lost_total", reason=reason, cause=cause)

    counted = {LostTo.NODE_LOST, LostTo.PREEMPTED, LostTo.STOPPED, LostTo.UNKNOWN}
    assert {cause: lost(cause) for cause in LostTo} == {cause: float(cause in counted) for cause in LostTo}
    assert b"lost_to" not in experiment_to_json(experiment(1, attempt(tries[2], tries[3])))


def test_what_the_machine_did_is_added_up_over_the_time_of_trainings() -> None:
    witnesses = (Witness(waited=0.5, taken=0.25), Witness(waited=0.25), None)
    attempts = []
    for number, witness in enumerate(witnesses, start=1):
        result = replace(scored(1.9), witness=witness, phase_seconds={"train": 20.0, "examine": 9.0})
        attempts.append(attempt(tried(), result=result, number=number))
    metrics = Metrics(CHOSEN)
    metrics.publish(shown(baseline(), experiment(1, *attempts)))

    assert value(metrics, "observed_training_seconds_total") == 40.0
    assert value(metrics, "witnessed_seconds_total", share="waited") == 15.0
    assert value(metrics, "witnessed_seconds_total", share="taken") == 5.0
    assert value(metrics, "witnessed_seconds_total", share="stolen") == 0.0


def test_series_exist_before_the_first_event_so_that_an_increase_misses_none() -> None:
    metrics = Metrics(CHOSEN)

    assert value(metrics, "experiments_total", verdict="reject") == 0
    assert value(metrics, "attempts_total", outcome="rejected") == 0
    assert value(metrics, "tries_lost_total", reason="infrastructure", cause="node_lost") == 0
    assert value(metrics, "tries_lost_total", reason="interrupted", cause="preempted") == 0
    assert value(metrics, "proposals_total", result="refused") == 0
    assert value(metrics, "phase_duration_seconds_count", phase="queue") == 0
    assert value(metrics, "spent_dollars", kind="model") == 0


def test_scrape_of_ten_thousand_experiments_does_no_more_than_one_of_a_hundred() -> None:
    """tests/bench measures the time that it takes."""
    assert _calls_of_a_scrape(10_000) <= 1.01 * _calls_of_a_scrape(100)


def _calls_of_a_scrape(experiments: int) -> int:
    run = attempt(tried(seconds=20.0), result=scored(1.9))
    many = [experiment(n, run, verdict=Verdict.DISCARD, strategy="bolder") for n in range(1, experiments + 1)]
    lab = [baseline(), *many]
    metrics, tally = Metrics(CHOSEN), Tally(lab, SlotPrices.of(CHOSEN))
    campaign_state = CampaignState(JUDGE, lab, SlotPrices.of(CHOSEN))

    def scrape() -> None:
        metrics.publish(take_snapshot(campaign_state, tally, CHOSEN, Activity(tag="t")))
        assert len(generate_latest(metrics.registry)) < 50_000

    calls = count_calls(scrape)
    assert value(metrics, "experiments_total", verdict="discard") == experiments
    return calls


def test_experiment_without_a_score_of_its_own_does_not_show_the_one_before_it() -> None:
    metrics, state = Metrics(CHOSEN), JUDGE.begin((2.0, 2.01, 2.02))
    scored_once = experiment(1, attempt(tried(), result=scored(1.9)), verdict=Verdict.DISCARD)
    forged = experiment(3, attempt(tried(), result=scored(0.1)), verdict=Verdict.REJECT)

    metrics.notice(Concluded(scored_once, state))
    assert value(metrics, "last_score", metric="val_bpb", verdict="discard") == 1.9
    metrics.notice(Concluded(experiment(2, verdict=Verdict.DISCARD), state))
    metrics.notice(Concluded(forged, state))

    assert value(metrics, "last_score", metric="val_bpb", verdict="discard") is None
    assert value(metrics, "last_score", metric="val_bpb", verdict="reject") is None


def test_watch_that_is_over_has_no_age_that_could_grow() -> None:
    metrics = Metrics(CHOSEN)
    metrics.watched(resource="pods", at=1000.0)
    assert value(metrics, "watch_last_event_timestamp_seconds", resource="pods") == 1000.0

    metrics.unwatched()

    assert value(metrics, "watch_last_event_timestamp_seconds", resource="pods") is None


def test_every_metric_is_explained() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "observability.md").read_text()
    suffixes = {"counter": "_total", "info": "_info"}
    names = {family.name + suffixes.get(family.type, "") for family in Metrics(CHOSEN).registry.collect()}
    explained = set(re.findall(r"^\| `(autoresearch_\w+)`", page, flags=re.MULTILINE))

    assert explained == names


def test_refusals_are_counted_by_category_and_each_has_a_series_from_the_start() -> None:
    metrics = Metrics(CHOSEN)
    snapshot = Snapshot(settings=CHOSEN, activity=Activity(tag="t"))
    metrics.publish(snapshot)
    assert value(metrics, "refusals_total", category="frontier_llm") == 0

    metrics.publish(replace(snapshot, refusals={"frontier_llm": 3}))

    assert value(metrics, "refusals_total", category="frontier_llm") == 3
    assert value(metrics, "refusals_total", category="other") == 0
