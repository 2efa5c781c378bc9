"""A campaign whose controller is killed again and again, and its books afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from controller.domain import BASELINE, Experiment, LostTo
from controller.errors import LabError
from controller.lab import Lab
from tests.support.scripted import kept
from tests.support.waiting import PATIENCE_S

CHILD = Path(__file__).parent / "controller_that_dies.py"
LONGEST = 180
"""Effects of one undisturbed campaign, about; kills are drawn from the first part of it, so that each start gets on."""


def run(folder: Path, *, die_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHILD), str(folder), str(die_at)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


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
    for start in range(kills):
        say(folder, f"said before start {start}")
        ended = run(folder, die_at=draw.randint(1, LONGEST))
        if ended.returncode == 0:
            break
        assert ended.returncode == -9, ended.stderr
        killed += 1
    ended = run(folder, die_at=0)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().endswith("5 experiments (budget)")
    return killed


def say(folder: Path, text: str) -> None:
    """Tell the campaign something, as `autoresearch tell` does, once it has a lab."""
    with suppress(LabError):
        Lab.open(folder / "lab.git").leave_remark("faults", text, at=time.time())


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
    # Another run on the same machine may disturb a training, which is then run again.
    lost = [t for a in attempts for t in a.tries[:-1]]
    assert all(t.lost and (t.interrupted or t.lost_to is LostTo.DISTURBED) for t in lost)
    assert len({e.fingerprint for e in experiments}) == len(experiments)
    chain = [experiments[0].commit, *(e.judgement.kept_as for e in kept(experiments) if e.judgement)]
    followed = [(e.judgement.onto or e.base) for e in kept(experiments) if e.judgement]
    assert followed == chain[:-1]
    assert lab.incumbent("faults") == chain[-1]
    said = [int(remark.text.rpartition(" ")[2]) for remark in lab.remarks("faults")]
    assert said == [*range(min(said, default=0), 1 + max(said, default=-1))], "each is there once, in its order"
    assert lab.waiting_remarks("faults") == [], "everything that was said is in the lab"
