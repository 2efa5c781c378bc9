"""Times `status` and the planner on a lab of 10,000 experiments."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pygit2

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Attempt, Experiment, Judgement, Outcome, Provenance, Result, Score, Try, Verdict
from controller.judge import make_judge
from controller.lab import ref_files
from controller.lab.reader import EXPERIMENT, MAIN, NOTES, Lab
from controller.lab.records import experiment_to_json
from controller.lab.writer import LabWriter
from controller.planning.actions import View
from controller.planning.campaign_state import CampaignState
from controller.planning.planner import plan
from tests.support.scripted import TRAIN, settings

EXPERIMENTS = 10_000


def measure(folder: Path) -> dict[str, float]:
    """Build the lab, then time its readers; takes about a minute and 100 MB of disk."""
    make_lab(folder)
    (folder / "campaign.yaml").write_text("tag: t\ntask: {score: log}\n")
    cold = _seconds([sys.executable, "-m", "controller.cli", "status", "-C", str(folder)])
    bare = _seconds([sys.executable, "-m", "controller.cli", "--version"])
    step, megabytes = _planner(folder)
    return {
        "status cold, s": cold,
        "of it starting Python, s": bare,
        "planner step, ms": step * 1e3,
        "RSS, MB": megabytes,
    }


def make_lab(folder: Path) -> None:
    """Create a campaign of 10,000 judged experiments, one in fifty kept, packed as after `git gc`."""
    lab = LabWriter.open(folder / "lab.git", create=True)
    baseline = lab.begin("t", {"train.py": TRAIN}, fingerprint="f0", settings="tag: t\n", at=1e9)
    pygit2.option(pygit2.enums.Option.ENABLE_FSYNC_GITDIR, False)
    repository = pygit2.Repository(str(lab.path))
    changes: dict[str, bytes | None] = {}
    base, refs = baseline.commit, []
    for number in range(EXPERIMENTS + 1):
        experiment = _experiment(number, base=base, commit=baseline.commit if number == BASELINE else "")
        if number != BASELINE:
            who = ref_files.make_signature(1e9 + number)
            tree = repository[baseline.commit].tree.id
            commit = str(repository.create_commit(None, who, who, f"edit {number}\n", tree, [base]))
            experiment = _experiment(number, base=base, commit=commit)
            refs.append(f"create {EXPERIMENT.format(tag='t', number=number)} {commit}\n")
        changes[f"{experiment.commit[:2]}/{experiment.commit[2:]}"] = experiment_to_json(experiment)
        if experiment.judgement and experiment.judgement.kept_as:
            base = experiment.judgement.kept_as
    ref_files.put_files(repository, ref=NOTES.format(tag="t"), changes=changes, at=1e9)
    repository.references.create(MAIN.format(tag="t"), base, force=True)
    update = ["git", "-C", str(lab.path), "update-ref", "--stdin"]
    subprocess.run(update, input="".join(refs), text=True, check=True)
    subprocess.run(["git", "-C", str(lab.path), "gc", "--quiet"], check=True)


def _experiment(number: int, *, base: str, commit: str) -> Experiment:
    keep = number != BASELINE and number % 50 == 0
    runs = 3 if number == BASELINE else 1
    results = [
        Result(
            outcome=Outcome.SCORED,
            score=Score(value=2.0 - number / 1e5 + (i + number % 7) / 1e3, provenance=Provenance.SEALED),
            seconds=33.0,
            phase_seconds={"train": 20.0, "examine": 13.0},
            node="node-1",
            summary={"peak_vram_mb": 900.0, "num_steps": 400.0},
        )
        for i in range(runs)
    ]
    tried = Try(number=1, probe_set=number % 64, launched_at=1e9 + number, seconds=33.0)
    return Experiment(
        number=number,
        commit=commit,
        base=base or commit,
        title=f"LEARNING_RATE 0.{number} → 0.{number + 1}",
        hypothesis="A higher rate may help while the schedule is short.",
        agent="perturb",
        fingerprint=f"f{number}",
        proposed_at=1e9 + number,
        attempts=tuple(Attempt(number=i + 1, seed=i, tries=(tried,), result=r) for i, r in enumerate(results)),
        judgement=Judgement(
            verdict=Verdict.KEEP if keep or number == BASELINE else Verdict.DISCARD,
            reason="expected gain -0.30 σ after 1 run",
            order=number + 1,
            expected_gain=0.4 if keep else -0.3,
            kept_as=commit if keep else "",
            at=1e9 + number,
        ),
    )


def _planner(folder: Path) -> tuple[float, float]:
    """Measure a planner step in a process that has read the whole lab: seconds, and peak memory (RSS) in MB."""
    chosen = settings("budget.experiments=20000")
    judge = make_judge(chosen.judge, minimize=True)
    lab = Lab.open(folder / "lab.git")
    campaign_state = CampaignState(judge, lab.experiments("t"), SlotPrices.of(chosen))
    incumbent = lab.incumbent("t")
    steps = 200
    began = time.perf_counter()
    for _ in range(steps):
        view = View(
            open=tuple(campaign_state.open.values()),
            running=(),
            incumbent=incumbent,
            judge=judge,
            state=campaign_state.state,
            spent=campaign_state.spent(elapsed_seconds=1.0),
            gains=campaign_state.gains,
        )
        plan(view, chosen)
    return (time.perf_counter() - began) / steps, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
