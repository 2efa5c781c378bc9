"""kill -9 of the controller between any two effects: the next start goes on and the books are right."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from controller.domain import BASELINE, Experiment
from controller.lab import Lab
from tests.scripted import kept

CHILD = Path(__file__).parent / "controller_that_dies.py"
LONGEST = 180
"""Effects of one undisturbed campaign, about; kills are drawn from the first part of it, so that each start gets on."""


def run(folder: Path, *, die_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHILD), str(folder), str(die_at)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def processes_in(folder: Path) -> list[str]:
    """Command lines of living processes that mention the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def campaign_under_fire(folder: Path, *, kills: int, draw: random.Random) -> int:
    """Start again and again, killed at a drawn effect, then let it finish; returns how often it was killed."""
    killed = 0
    for _ in range(kills):
        ended = run(folder, die_at=draw.randint(1, LONGEST))
        if ended.returncode == 0:
            break
        assert ended.returncode == -9, ended.stderr
        killed += 1
    ended = run(folder, die_at=0)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().endswith("5 experiments (budget)")
    return killed


def check_books(experiments: list[Experiment], lab: Lab) -> None:
    """Nothing lost, nothing twice, the branch is the chain of kept commits."""
    assert [e.number for e in experiments] == list(range(len(experiments)))
    assert sum(1 for e in experiments if e.number != BASELINE and e.attempts) == 5
    assert all(e.judgement for e in experiments)
    orders = [e.judgement.order for e in experiments if e.judgement]
    assert sorted(orders) == list(range(1, len(experiments) + 1))
    attempts = [a for e in experiments for a in e.attempts]
    assert all(a.result for a in attempts)
    assert all([t.number for t in a.tries] == list(range(1, len(a.tries) + 1)) for a in attempts)
    assert all(t.lost and t.interrupted for a in attempts for t in a.tries[:-1])
    assert len({e.fingerprint for e in experiments}) == len(experiments)
    chain = [experiments[0].commit, *(e.judgement.kept_as for e in kept(experiments) if e.judgement)]
    assert [e.base for e in kept(experiments)] == chain[:-1]
    assert lab.incumbent("faults") == chain[-1]


@pytest.mark.parametrize("seed", range(6))
def test_kill_between_any_two_effects_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    killed = campaign_under_fire(tmp_path, kills=10, draw=random.Random(seed))

    lab = Lab.open(tmp_path / "lab.git")
    assert killed, "no kill fell inside the campaign"
    check_books(lab.experiments("faults"), lab)
    assert processes_in(tmp_path) == []
    subprocess.run(["git", "-C", str(lab.path), "fsck", "--full", "--no-dangling"], check=True, capture_output=True)


def test_seconds_of_a_killed_try_are_charged(tmp_path: Path) -> None:
    run(tmp_path, die_at=40)
    run(tmp_path, die_at=0)

    tries = [t for e in Lab.open(tmp_path / "lab.git").experiments("faults") for a in e.attempts for t in a.tries]
    assert all(t.seconds >= 0 for t in tries)
    assert all(t.seconds > 0 for t in tries if not t.lost)
    results = [json.loads(path.read_text()) for path in (tmp_path / "work").glob("*/result.json")]
    assert len(results) <= len(tries)
