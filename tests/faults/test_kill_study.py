"""kill -9 of a claim between any two effects: the next start goes on, and the books are right."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from controller.domain import Outcome
from controller.lab import Lab
from tests.faults.campaign_under_fire import processes_in
from tests.support.waiting import PATIENCE_S

CHILD = Path(__file__).parent / "study_that_dies.py"
SEEDS = 3
LONGEST = 60
"""Effects of a part of the claim, so that each start gets on before it is killed."""


def claim(folder: Path, *, die_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHILD), str(folder), str(die_at)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3))
def test_kill_between_any_two_effects_of_a_claim_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    draw, killed = random.Random(seed), 0
    for _ in range(6):
        ended = claim(tmp_path, die_at=draw.randint(1, LONGEST))
        assert ended.returncode in (0, -9), ended.stderr
        killed += ended.returncode == -9

    ended = claim(tmp_path, die_at=0)

    assert ended.stdout.strip() == "ended", ended.stderr
    assert killed, "no kill fell inside the claim"
    lab = Lab.open(tmp_path / "lab.git")
    [record] = lab.studies("faults")
    for run in record.runs:
        outcomes = [attempt.result.outcome for attempt in run.attempts if attempt.result]
        assert outcomes.count(Outcome.SCORED) == SEEDS
        # An attempt during which the controller died three times is given up, and another seed takes its place.
        assert len(run.attempts) == SEEDS + outcomes.count(Outcome.LOST)
        for attempt in run.attempts:
            assert [tried.number for tried in attempt.tries] == list(range(1, len(attempt.tries) + 1))
            assert all(tried.lost and tried.interrupted for tried in attempt.tries[:-1])
    seeds = [attempt.seed for run in record.runs for attempt in run.attempts]
    assert len(set(seeds)) == len(seeds) >= 2 * SEEDS, "every run has a seed of its own"
    assert [e.number for e in lab.experiments("faults")] == [0, 1], "no run of the claim is an experiment"
    assert processes_in(tmp_path) == []


def test_an_answered_question_runs_nothing_more(tmp_path: Path) -> None:
    claim(tmp_path, die_at=0)
    refs = Lab.open(tmp_path / "lab.git").list_refs()

    assert claim(tmp_path, die_at=0).stdout.strip() == "ended"

    assert Lab.open(tmp_path / "lab.git").list_refs() == refs
