"""A lab that an earlier version filled with numbers of any size still opens, is shown, and goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controller.domain import BASELINE, Experiment, Outcome, Result, Score
from controller.lab.reader import Lab
from controller.lab.writer import LabWriter
from controller.settings.file import load_settings
from tests.support.scripted import InstantExecutor, campaign, scored, settings

HUGE = -1e300


def with_score(experiment: Experiment, value: float, *, judged: bool) -> Experiment:
    """The experiment as a version without bounds recorded it."""
    first = experiment.attempts[0]
    assert first.result is not None
    assert first.result.score is not None
    result = replace(first.result, score=Score(value=value, provenance=first.result.score.provenance))
    judgement = experiment.judgement if judged else None
    if judgement:
        judgement = replace(judgement, level=value, expected_gain=-value)
    attempts = (replace(first, result=result), *experiment.attempts[1:])
    return replace(experiment, attempts=attempts, judgement=judgement)


def old_lab(folder: Path, number: int, *, judged: bool) -> None:
    """A lab of two experiments in which the first score of one is out of all bounds."""
    campaign(folder, InstantExecutor(lambda request: score_of(request.id.experiment)), chosen=CHOSEN).run()
    lab = LabWriter.open(folder / "lab.git")
    experiments = lab.experiments("t")
    with lab.lock(now=0.0):
        lab.record("t", with_score(experiments[number], HUGE, judged=judged), at=0.0)
    (folder / "task").mkdir()
    (folder / "task" / "train.py").write_text("K = 1\n")
    (folder / "campaign.yaml").write_text("tag: t\ntask: {score: log, folder: task}\nbudget: {experiments: 2}\n")


CHOSEN = settings("budget.experiments=2")


def score_of(number: int) -> Result:
    return scored(1.0 - number / 100 if number else 1.0)


@pytest.mark.parametrize(
    ("number", "judged", "commands"),
    [
        (1, True, ("status", "log", "report", "export", "best")),
        (1, False, ("status", "report")),
        (BASELINE, True, ("status", "report", "export")),
    ],
)
def test_every_command_reads_it(tmp_path: Path, number: int, judged: bool, commands: Sequence[str]) -> None:
    old_lab(tmp_path, number, judged=judged)

    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "controller.cli", command, "-C", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )

        assert (done.returncode, done.stderr) == (0, ""), command
        assert "0000000000" not in done.stdout, command


@pytest.mark.parametrize("judged", [True, False])
def test_campaign_goes_on_and_counts_it_as_a_crash(tmp_path: Path, judged: bool) -> None:
    old_lab(tmp_path, 1, judged=judged)

    chosen = settings("budget.experiments=3")
    ended = campaign(tmp_path, InstantExecutor(lambda request: score_of(request.id.experiment)), chosen=chosen).run()

    assert not ended.failed
    first = Lab.open(tmp_path / "lab.git").experiments("t")[1]
    assert first.attempts[0].result is not None
    assert first.attempts[0].result.outcome is Outcome.CRASHED
    assert "it scored -1e+300, beyond 1e+100" in first.attempts[0].result.reason
    assert load_settings(tmp_path / "campaign.yaml").tag == "t"


def test_unbounded_baseline_stops_the_campaign_with_its_reason(tmp_path: Path) -> None:
    old_lab(tmp_path, BASELINE, judged=True)

    ended = campaign(tmp_path, InstantExecutor(lambda request: score_of(request.id.experiment)), chosen=CHOSEN).run()

    assert ended.failed
    assert ended.reason.startswith("the unchanged code cannot be scored: it scored -1e+300, beyond 1e+100")
