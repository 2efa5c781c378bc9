"""The live page is quick in a large lab, and its chart shows scores that are better when higher."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import pytest

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Attempt, Experiment, Judgement, Try, Verdict
from controller.judge import make_judge
from controller.notices import Activity, AttemptEnded, Concluded
from controller.planning.campaign_state import CampaignState
from controller.reports.page import Now, live_page
from controller.reports.report import markdown
from controller.reports.snapshot import Tally, take_snapshot
from controller.reports.summary import summarise, summary
from controller.reports.svg_chart import chart
from tests.support.scripted import scored, settings

CHOSEN = settings()
IDLE = Activity(tag="t", turned=True)


def lab(experiments: int, *, sign: int = -1) -> list[Experiment]:
    """A baseline and experiments of which every 50th is kept, each gain twice sigma."""
    found = []
    for number in range(experiments + 1):
        kept = number % 50 == 0
        value = 2.0 + sign * number / 1e4 - (0 if kept else sign * 0.01)
        run = Attempt(number=1, seed=1, tries=(Try(number=1, probe_set=0, launched_at=0.0),), result=scored(value))
        runs = tuple(replace(run, number=n) for n in (1, 2, 3)) if number == BASELINE else (run,)
        verdict = Verdict.KEEP if kept else Verdict.DISCARD
        judgement = Judgement(verdict=verdict, reason="", order=number + 1, level=value)
        found.append(
            Experiment(
                number=number, commit=f"{number:040d}", base="b", title="t" * 40, attempts=runs, judgement=judgement
            )
        )
    return found


def test_page_of_ten_thousand_experiments_can_be_asked_for_every_three_seconds() -> None:
    experiments = lab(10_000)
    campaign_state = CampaignState(make_judge(CHOSEN.judge, minimize=True), experiments, SlotPrices.of(CHOSEN))
    tally = Tally(experiments, SlotPrices.of(CHOSEN))

    began = time.thread_time()
    facts = summarise(replace(take_snapshot(campaign_state, tally, CHOSEN, IDLE), call_dollars=0.5), now=3.0)
    page = live_page(experiments, CHOSEN.task, train_seconds=20.0, facts=facts, now=Now(at=3.0, progress=[]))

    assert time.thread_time() - began < 0.5
    assert len(page) < 500_000
    assert facts.dollars == 0.5
    assert page.count('class="dot ') == 300


def test_what_a_campaign_does_not_have_leaves_no_trace_on_its_page() -> None:
    experiments = lab(3)
    facts = summary(experiments, CHOSEN, activity=IDLE, now=0.0, dollars=0.0)

    page = live_page(experiments, CHOSEN.task, train_seconds=20.0, facts=facts, now=Now(at=0.0, progress=[]))

    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\(\)|\[\]|\bNone\b", text)


def test_a_run_that_counts_although_it_was_disturbed_is_marked_in_its_row_alone() -> None:
    experiments = lab(3)
    [attempt] = experiments[2].attempts
    assert attempt.result is not None
    disturbed = replace(attempt, result=replace(attempt.result, disturbed="other programs took 50% of the CPUs"))
    experiments[2] = replace(experiments[2], attempts=(disturbed,))
    facts = summary(experiments, CHOSEN, activity=IDLE, now=0.0, dollars=0.0)

    page = live_page(experiments, CHOSEN.task, train_seconds=20.0, facts=facts, now=Now(at=0.0, progress=[]))
    report = markdown(experiments, facts=facts)

    marked = re.findall(r'id="e(\d+)"><summary>(?:(?!</summary>).)*class="mark">disturbed<', page)
    assert marked == ["2"]
    assert [line[:4] for line in report.splitlines() if "disturbed by other programs" in line] == ["- 2."]


def test_facts_are_new_as_soon_as_one_experiment_is() -> None:
    experiments = lab(60)
    before = summary(experiments, CHOSEN, activity=IDLE, now=0.0, dollars=0.0)
    opened = replace(experiments[60], judgement=None)

    after = summary([*experiments[:60], opened], CHOSEN, activity=IDLE, now=0.0, dollars=0.0)

    assert (before.verdicts["discard"], before.verdicts["keep"]) == (59, 1)
    assert (after.verdicts["discard"], after.verdicts["keep"]) == (58, 1)


def test_facts_of_a_running_loop_are_those_of_its_lab_folded_anew() -> None:
    experiments = lab(60)
    judge = make_judge(CHOSEN.judge, minimize=True)
    campaign_state, tally = (
        CampaignState(judge, experiments[:1], SlotPrices.of(CHOSEN)),
        Tally(experiments[:1], SlotPrices.of(CHOSEN)),
    )
    for experiment in experiments[1:]:
        opened = replace(experiment, judgement=None)
        campaign_state.put(replace(opened, attempts=()))
        campaign_state.put(opened)
        tally.take(AttemptEnded(opened, opened.attempts[0]))
        campaign_state.put(experiment)
        tally.take(Concluded(experiment, judge.begin((2.0, 2.0, 2.0))))

    snapshot = take_snapshot(campaign_state, tally, CHOSEN, IDLE)
    live = summarise(replace(snapshot, call_dollars=0.5, elapsed_seconds=7.0), now=7.0)

    assert live == summary(experiments, CHOSEN, activity=IDLE, now=7.0, dollars=0.5)


@pytest.mark.parametrize(
    ("verdicts", "model_dollars", "words"),
    [
        pytest.param((), 0.1, "No experiment has been judged yet, so none has a price.", id="nothing judged"),
        pytest.param(
            (Verdict.DISCARD, Verdict.CRASH),
            1.5,
            "$1.50 for each experiment ($1.50 in all for the baseline and calls without an experiment); "
            "nothing was kept, so an improvement has no price yet.",
            id="nothing kept",
        ),
        pytest.param(
            (Verdict.KEEP, Verdict.DISCARD, Verdict.KEEP, Verdict.REJECT),
            1.0,
            "$1.00 for each experiment, $2.00 and 0.75 slot-hours for each one kept "
            "($1.00 in all for the baseline and calls without an experiment).",
            id="two kept",
        ),
    ],
)
def test_price_of_an_improvement_is_said_and_never_divided_by_nothing(
    verdicts: tuple[Verdict, ...], model_dollars: float, words: str
) -> None:
    baseline, one = lab(1)
    run = replace(one.attempts[0], tries=(replace(one.attempts[0].tries[0], seconds=1350.0, dollars_per_hour=2.0),))
    judged = [
        replace(one, number=n, attempts=(run,), judgement=Judgement(verdict=verdict, reason="", order=n + 1))
        for n, verdict in enumerate(verdicts, start=1)
    ]

    facts = summary([baseline, *judged], CHOSEN, activity=IDLE, now=0.0, dollars=model_dollars)

    assert facts.costs() == words
    assert json.loads(json.dumps(facts.as_dict()))["gpu_dollars"] == pytest.approx(0.75 * len(judged))


def test_labels_approach_their_dots_from_where_no_experiment_can_be() -> None:
    lower, higher = (
        chart(lab(400, sign=sign), settings(f"task.direction={direction}").task, sigma=0.002)
        for sign, direction in ((-1, "minimize"), (1, "maximize"))
    )

    assert re.findall(r'class="label" .*?rotate\(([-\d]+)\)', lower) == ["-18"] * 8
    assert re.findall(r'class="label" .*?rotate\(([-\d]+)\)', higher) == ["18"] * 8
