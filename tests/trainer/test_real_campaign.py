"""A whole campaign for real: text, torch, sandboxes, the sealed exam, the lab, and Claude's agent over HTTP.

Only the model behind the API is scripted. The training that it improves is one that a user might bring: the task
that ships, with 1e-4 for every learning rate: usual where a trained model is tuned, hundreds of times too little for
one that has seconds to start from nothing. What is to be gained is then far beyond the noise, however many steps the
load of a machine allows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from math import hypot
from pathlib import Path

import pytest

from controller.domain import Attempt, ExamReport, Experiment, Outcome, Provenance, Result, Verdict
from controller.lab import Lab
from tests.standin import KEY, Idea, PlannedResearcher, StandIn
from tests.trainer.small_task import TASK

TIMID = {"MATRIX_LR": "0.04", "EMBEDDING_LR": "0.8", "UNEMBEDDING_LR": "0.03", "SCALAR_LR": "0.05"}
"""Learning rates of the shipped CPU preset; the user's file has 1e-4 in place of each."""

FASTER = Idea(
    category="optimizer",
    title="Learn embeddings and unembedding a thousand times faster",
    hypothesis="Tables see few gradients each; at 1e-4 a run of seconds ends before they have moved.",
    expected_effect="lower by far more than the noise",
    edits=(
        (" EMBEDDING_LR = 0.0001 ", " EMBEDDING_LR = 0.8 "),
        (" UNEMBEDDING_LR = 0.0001 ", " UNEMBEDDING_LR = 0.03 "),
    ),
)
CAPPED = Idea(
    category="regularization",
    title="Cap logits at one",
    hypothesis="Overconfident answers are expensive; a tight cap forbids them.",
    expected_effect="a little lower",
    edits=((" LOGIT_SOFTCAP = 0.0 ", " LOGIT_SOFTCAP = 1.0 "),),
)


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign that has ended: its folder, its lab, what `autoresearch run` printed."""

    folder: Path
    lab: Lab
    printed: str

    @property
    def experiments(self) -> tuple[Experiment, Experiment, Experiment]:
        """Baseline, the good idea, the bad one."""
        baseline, good, bad = self.lab.experiments("timid")
        return baseline, good, bad


def timid_task(folder: Path) -> Path:
    """The task that ships, with the user's learning rates in the CPU's block of train.py."""
    shutil.copytree(TASK, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    head, found, tail = (folder / "train.py").read_text().partition("# Two CPU cores")
    for name, rate in TIMID.items():
        assert f" {name} = {rate} " in tail
        tail = tail.replace(f" {name} = {rate} ", f" {name} = 0.0001 ")
    (folder / "train.py").write_text(head + found + tail)
    return folder


def enough_seconds() -> int:
    """A budget of sixteen seconds; more on a machine so busy that importing torch alone takes two and more."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return round(max(16.0, 4 + 6 * (time.monotonic() - start)))


def autoresearch(*arguments: str | Path) -> str:
    """Run a command to its end; returns what it printed."""
    command = [sys.executable, "-m", "controller.cli", *map(str, arguments)]
    environment = {**os.environ, "ANTHROPIC_API_KEY": KEY}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """`autoresearch run` with the scripted researcher, to the end of its budget of two experiments."""
    root = tmp_path_factory.mktemp("real")
    with StandIn(PlannedResearcher([FASTER, CAPPED])) as standin:
        settings = {
            "tag": "timid",
            "task": {
                "folder": str(timid_task(root / "task")),
                "prepare": ["--vocabulary", "512", "--sequence-length", "32", "--sequences", "128", "--probes", "64"],
            },
            "budget": {"train_seconds": enough_seconds(), "experiments": 2, "dollars": 5.0},
            "judge": {"baseline_runs": 2},
            "agent": {"kind": "claude", "claude": {"base_url": standin.url}},
        }
        (root / "settings.yaml").write_text(json.dumps(settings))
        printed = autoresearch("run", root / "campaign", "--settings", root / "settings.yaml")
    return Campaign(root / "campaign", Lab.open(root / "campaign" / "lab.git"), printed)


def results_of(experiment: Experiment) -> list[Result]:
    """The results of its attempts."""
    return [attempt.result for attempt in experiment.attempts if attempt.result]


def spread(*scores: float) -> float:
    """Distance of the best from the worst."""
    return max(scores) - min(scores)


# One campaign of two minutes serves both tests; the first waits for it.
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_researchers_real_gain_is_kept_and_its_bad_idea_is_not(campaign: Campaign) -> None:
    baseline, good, bad = campaign.experiments
    assert good.judgement
    assert bad.judgement
    assert good.judgement.verdict is Verdict.KEEP, campaign.printed
    assert bad.judgement.verdict is Verdict.DISCARD, campaign.printed
    head = campaign.lab.incumbent("timid")
    assert head == good.judgement.kept_as != baseline.commit
    kept = campaign.lab.source(head, "train.py").partition("# Two CPU cores")[2]
    assert " EMBEDDING_LR = 0.8 " in kept
    assert " LOGIT_SOFTCAP = 0.0 " in kept
    assert (good.judgement.expected_gain or 0) > 3  # sigma
    before, after = baseline.scores, good.scores
    assert min(before) - max(after) > max(0.2, spread(*before), spread(*after)), (before, after)
    assert min(bad.scores) > max(good.scores)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_attempt_is_trained_with_a_seed_of_its_own_examined_and_told(campaign: Campaign) -> None:
    attempts: list[Attempt] = [attempt for e in campaign.experiments for attempt in e.attempts]
    results = [result for e in campaign.experiments for result in results_of(e)]
    assert len({attempt.seed for attempt in attempts}) == len(attempts) >= 5
    assert {result.outcome for result in results} == {Outcome.SCORED}
    assert {result.score.provenance for result in results if result.score} == {Provenance.SEALED}
    exams: list[ExamReport] = [result.exam for result in results if result.exam]
    assert all(exam.holdout is None for exam in exams), "the holdout is for claims"
    for exam in exams:
        error = hypot(exam.asked_error or 0.0, exam.freshness_error or 0.0)
        assert 0 < error < 0.3
        assert abs(exam.freshness or 9.0) < 5 * error
    slices = [each.reserve for attempt in attempts for each in attempt.tries]
    assert len(set(slices)) == len(slices), "no slice of the reserve is asked twice"
    assert [(exam.inflation, exam.hits, exam.probes) for exam in exams] == [(0.0, 0, 64)] * len(attempts)
    assert re.search(r"exam ok, inflation 0\s", campaign.printed)
    assert "stopped: 2 experiments (budget)" in campaign.printed
    assert KEY not in campaign.printed
    shown = autoresearch("show", "0", "-C", campaign.folder)
    assert "hits 0 of 64 probes" in shown
    assert "num_steps" in shown
    assert sorted(path.name for path in (campaign.folder / "work").glob("*/logs/*"))[-1] == "train.log"
    assert list((campaign.folder / "work").glob("*/artifact")) == []
