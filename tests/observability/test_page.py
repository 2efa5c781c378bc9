"""What the live page costs in a large lab, and what its chart does with scores that are better when higher."""

from __future__ import annotations

import re
import time
from dataclasses import replace

from controller.chart import chart
from controller.domain import BASELINE, Attempt, Experiment, Judgement, Try, Verdict
from controller.report import Now, live_page, summary
from tests.scripted import scored, settings

CHOSEN = settings()


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
    facts = summary(experiments, CHOSEN, now=0.0, dollars=0.0)

    began = time.perf_counter()
    facts = summary(tuple(experiments), CHOSEN, now=3.0, dollars=0.5)
    page = live_page(experiments, CHOSEN, facts=facts, now=Now(at=3.0, progress=[]))

    assert time.perf_counter() - began < 0.5
    assert len(page) < 500_000
    assert facts.dollars == 0.5
    assert page.count('class="dot ') == 300


def test_facts_are_new_as_soon_as_one_experiment_is() -> None:
    experiments = lab(60)
    before = summary(experiments, CHOSEN, now=0.0, dollars=0.0)
    opened = replace(experiments[60], judgement=None)

    after = summary([*experiments[:60], opened], CHOSEN, now=0.0, dollars=0.0)

    assert (before.verdicts["discard"], before.verdicts["keep"]) == (59, 1)
    assert (after.verdicts["discard"], after.verdicts["keep"]) == (58, 1)


def test_labels_approach_their_dots_from_where_no_experiment_can_be() -> None:
    lower, higher = (
        chart(lab(400, sign=sign), settings(f"task.direction={direction}"), sigma=0.002)
        for sign, direction in ((-1, "minimize"), (1, "maximize"))
    )

    assert re.findall(r'class="label" .*?rotate\(([-\d]+)\)', lower) == ["-18"] * 8
    assert re.findall(r'class="label" .*?rotate\(([-\d]+)\)', higher) == ["18"] * 8
