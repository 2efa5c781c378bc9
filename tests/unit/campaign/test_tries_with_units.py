"""Scores of a program that prints `1.2 s` for slow runs and `980 ms` for fast ones, as benchmarks do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.domain import BASELINE, Experiment, Outcome, Result, TryRequest, Verdict
from controller.lab.reader import Lab
from tests.support.scripted import InstantExecutor, campaign, scored, settings


def in_unit(value: float, unit: str) -> Result:
    result = scored(value)
    assert result.score is not None
    return replace(result, score=replace(result.score, unit=unit))


def first_experiment(folder: Path, result: Result, *chosen: str) -> Experiment:
    """The first experiment of a campaign whose baseline scores 1.2 s, and which itself ends like this."""

    def outcome(request: TryRequest) -> Result:
        return in_unit(1.2, "s") if request.id.experiment == BASELINE else result

    campaign(folder, InstantExecutor(outcome), chosen=settings("budget.experiments=1", *chosen)).run()
    return Lab.open(folder / "lab.git").experiments("t")[1]


def test_score_is_recorded_in_the_unit_of_the_baseline(tmp_path: Path) -> None:
    experiment = first_experiment(tmp_path, in_unit(980.0, "ms"))

    assert experiment.scores == pytest.approx([0.98] * len(experiment.scores))
    assert experiment.judgement is not None
    assert experiment.judgement.verdict is Verdict.KEEP


def test_number_without_a_unit_stays_as_it_is(tmp_path: Path) -> None:
    assert first_experiment(tmp_path, scored(1.1)).scores[0] == 1.1


def test_score_in_a_unit_of_another_kind_is_none(tmp_path: Path) -> None:
    (attempt,) = first_experiment(tmp_path, in_unit(3.0, "MB")).attempts

    assert attempt.result is not None
    assert attempt.result.outcome is Outcome.CRASHED
    assert attempt.result.reason == (
        "train printed 3 MB, and the baseline's score is in s: print one unit, or set task.score_line to a line without"
    )


def test_bounds_count_in_the_unit_of_the_baseline(tmp_path: Path) -> None:
    experiment = first_experiment(tmp_path, in_unit(980.0, "ms"), "task.most=10")

    assert experiment.scores == pytest.approx([0.98] * len(experiment.scores))


def test_score_out_of_bounds_in_the_unit_of_the_baseline_is_none(tmp_path: Path) -> None:
    chosen = ("task.metric=time", "task.direction=minimize", "task.least=0.5")
    (attempt,) = first_experiment(tmp_path, in_unit(30.0, "ms"), *chosen).attempts

    assert attempt.result is not None
    assert attempt.result.outcome is Outcome.CRASHED
    assert attempt.result.reason == ("train printed 30 ms, or 0.03 s, which is no score: it must be at least 0.5 s")
