"""kill -9 of a claim or a pruning between any two effects: the next start goes on, and the books are right."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from controller.domain import Outcome
from controller.lab import Lab
from controller.studies.study import StudyKind, StudyRecord
from tests.faults.campaign_under_fire import processes_in
from tests.support.waiting import PATIENCE_S

CLAIM = Path(__file__).parent / "study_that_dies.py"
PRUNE = Path(__file__).parent / "prune_that_dies.py"
LONGEST = 60
"""Effects of a part of the claim, so that each start gets on before it is killed."""

BETWEEN = (190, 235)
"""Effects of a pruning, about, from the last run of its ablation to the first of its claim: the pruned head is made,
gets its branch, and is claimed."""

WITHIN_THE_CLAIM = 300
"""An effect of a pruning, about in the middle of its claim."""

PRUNED = "refs/heads/pruned/faults/"


def start(child: Path, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(child), str(folder), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def kill_often(child: Path, folder: Path, moments: list[int]) -> None:
    """Start and kill it, at an effect of each start, and start it once more until it ends."""
    killed = 0
    for moment in moments:
        ended = start(child, folder, moment)
        assert ended.returncode in (0, -9), ended.stderr
        killed += ended.returncode == -9
    assert killed, "no kill fell inside the study"

    ended = start(child, folder, 0)

    assert ended.returncode == 0, ended.stderr
    assert processes_in(folder) == []


def require_right_books(record: StudyRecord) -> None:
    """Every run that was wanted has ended once, with a seed of its own."""
    assert record.study.ended_at is not None
    for run, arm in zip(record.runs, record.study.arms, strict=True):
        outcomes = [attempt.result.outcome for attempt in run.attempts if attempt.result]
        assert outcomes.count(Outcome.SCORED) == arm.seeds
        # An attempt during which the controller died three times is given up, and another seed takes its place.
        assert len(run.attempts) == arm.seeds + outcomes.count(Outcome.LOST)
        for attempt in run.attempts:
            assert [tried.number for tried in attempt.tries] == list(range(1, len(attempt.tries) + 1))
            assert all(tried.lost and tried.interrupted for tried in attempt.tries[:-1])
    seeds = [attempt.seed for run in record.runs for attempt in run.attempts]
    assert len(set(seeds)) == len(seeds) >= sum(arm.seeds for arm in record.study.arms)


@pytest.mark.parametrize("seed", range(3))
def test_kill_between_any_two_effects_of_a_claim_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)

    kill_often(CLAIM, tmp_path, [draw.randint(1, LONGEST) for _ in range(6)])

    lab = Lab.open(tmp_path / "lab.git")
    [record] = lab.studies("faults")
    require_right_books(record)
    assert [e.number for e in lab.experiments("faults")] == [0, 1], "no run of the claim is an experiment"


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([(1, 150)] * 5, id="anywhere"),
        pytest.param([BETWEEN, (1, 40), (1, 40), (1, 40)], id="between ablation and claim"),
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_kill_between_any_two_effects_of_a_pruning_proposes_one_head_and_claims_it_once(
    tmp_path: Path, seed: int, moments: list[tuple[int, int]]
) -> None:
    draw = random.Random(seed)

    kill_often(PRUNE, tmp_path, [draw.randint(*among) for among in moments])

    lab = Lab.open(tmp_path / "lab.git")
    ablated, claimed = lab.studies("faults")
    assert (ablated.study.kind, claimed.study.kind) == (StudyKind.ABLATE, StudyKind.CLAIM)
    require_right_books(ablated)
    require_right_books(claimed)
    experiments = lab.experiments("faults")
    head = lab.incumbent("faults")
    assert [e.number for e in experiments] == [0, 1, 2, 3]
    first, last = experiments[1].judgement, experiments[-1].judgement
    assert first
    assert last
    assert head == last.kept_as, "no campaign's branch was moved"
    pruned, baseline, whole = (arm.commit for arm in claimed.study.arms)
    assert (baseline, whole) == (experiments[0].commit, head)
    assert [line for line in refs(tmp_path) if PRUNED in line] == [f"{pruned}\t{PRUNED}claim-2"]
    assert lab.source(pruned, "train.py") == lab.source(first.kept_as, "train.py")
    report = (tmp_path / "report.md").read_text()
    assert "**better: pruned" in report, "the report has the answer"


def test_an_answered_question_runs_nothing_more(tmp_path: Path) -> None:
    start(CLAIM, tmp_path, 0)
    before = refs(tmp_path)

    assert start(CLAIM, tmp_path, 0).stdout.strip() == "ended"

    assert refs(tmp_path) == before


def test_a_kill_before_the_report_leaves_it_to_the_next_start(tmp_path: Path) -> None:
    assert start(CLAIM, tmp_path, 0, "write_closing_report").returncode == -9
    assert not (tmp_path / "report.md").exists()

    assert start(CLAIM, tmp_path, 0).stdout.strip() == "ended"

    assert "**better: head" in (tmp_path / "report.md").read_text()


def test_asked_anew_a_pruning_that_was_killed_goes_on_and_ablates_nothing_again(tmp_path: Path) -> None:
    assert start(PRUNE, tmp_path, WITHIN_THE_CLAIM).returncode == -9
    _, claim = Lab.open(tmp_path / "lab.git").studies("faults")
    assert claim.study.ended_at is None

    assert start(PRUNE, tmp_path, 0, "--again").returncode == 0

    studies = Lab.open(tmp_path / "lab.git").studies("faults")
    assert [each.study.name for each in studies] == ["ablate-1", "claim-2"]
    assert all(each.study.ended_at for each in studies)


def refs(folder: Path) -> list[str]:
    """The lab's refs, as git lists them to a client."""
    return Lab.open(folder / "lab.git").list_refs().decode().splitlines()
