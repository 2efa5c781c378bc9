"""The lab: one writer, nothing lost between two effects, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pygit2
import pytest

from controller.domain import Attempt, Experiment, Judgement, Outcome, Result, Verdict
from controller.errors import LabError, Moved
from controller.lab import Lab
from controller.lab.records import experiment_from_json, experiment_to_json
from controller.lab.writer import LabWriter
from controller.reports.exports import results_tsv
from tests.support.labs import FILES, admit
from tests.support.scripted import scored


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabWriter]:
    opened = LabWriter.open(tmp_path / "lab.git", create=True)
    with opened.lock(now=0.0):
        opened.begin("t", FILES, fingerprint="f", settings="tag: t\n", at=1e9)
        yield opened


def keep(lab: LabWriter, experiment: Experiment) -> Experiment:
    commit = lab.kept_commit(experiment, onto=experiment.base, message="A 1 → 2\n", at=1e9)
    judgement = Judgement(verdict=Verdict.KEEP, reason="better", order=2, kept_as=commit)
    judged = replace(experiment, judgement=judgement)
    lab.record("t", judged, at=1e9)
    return judged


def git(lab: LabWriter, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(lab.path), *arguments], check=True, capture_output=True, text=True).stdout


def test_records_come_back_as_they_were_written(lab: LabWriter) -> None:
    experiment = admit(lab)
    attempt = Attempt(number=1, seed=7, result=scored(1.25, phase_seconds={"train": 20.0}, summary={"depth": 3.0}))
    lab.record("t", replace(experiment, attempts=(attempt,)), at=1e9)

    assert Lab.open(lab.path).experiments("t")[1] == replace(experiment, attempts=(attempt,))


def test_git_notes_shows_the_record_of_a_commit(lab: LabWriter) -> None:
    experiment = admit(lab)

    note = json.loads(git(lab, "notes", "--ref", "autoresearch/t", "show", experiment.commit))

    assert note["title"] == "A 1 → 2"


def test_failures_stay_reachable_for_ever(lab: LabWriter) -> None:
    experiment = admit(lab)

    assert git(lab, "rev-parse", "refs/experiments/t/1").strip() == experiment.commit
    assert "+A = 2" in lab.diff(experiment)
    assert git(lab, "fsck", "--full", "--strict", "--no-dangling") == ""


def test_keep_moves_the_branch_once_and_only_from_its_base(lab: LabWriter) -> None:
    first, second = admit(lab), admit(lab, 2, text="A = 1\n\n\n\nB = 3\n")
    kept = keep(lab, first)

    lab.advance("t", kept)
    lab.advance("t", kept)

    assert lab.incumbent("t") == kept.judgement.kept_as if kept.judgement else False
    with pytest.raises(Moved, match="another writer"):
        lab.advance("t", keep(lab, second))


def test_branch_that_a_crash_left_behind_is_moved_by_repair(lab: LabWriter) -> None:
    kept = keep(lab, admit(lab))
    before = lab.incumbent("t")

    lab.repair("t")

    assert before != lab.incumbent("t")
    assert kept.judgement is not None
    assert lab.incumbent("t") == kept.judgement.kept_as


def test_experiment_ref_that_a_crash_left_out_comes_back(lab: LabWriter) -> None:
    experiment = admit(lab)
    git(lab, "update-ref", "-d", "refs/experiments/t/1")

    lab.repair("t")

    assert git(lab, "rev-parse", "refs/experiments/t/1").strip() == experiment.commit


def test_campaign_half_begun_is_begun_again_to_the_same_commit(tmp_path: Path) -> None:
    lab = LabWriter.open(tmp_path / "lab.git", create=True)
    first = lab.begin("t", FILES, fingerprint="f", settings="", at=1e9)
    git(lab, "update-ref", "-d", "refs/heads/autoresearch/t")

    assert lab.begin("t", FILES, fingerprint="f", settings="", at=1e9) == first
    assert lab.incumbent("t") == first.commit


def test_rebase_moves_an_experiment_with_its_record(lab: LabWriter) -> None:
    first, second = admit(lab), admit(lab, 2, text="A = 1\n\n\n\nB = 3\n")
    lab.advance("t", keep(lab, first))
    head = lab.incumbent("t")
    merged = lab.merge(base=second.base, ours=head, theirs=second.commit, paths=["train.py"])
    assert merged == {"train.py": "A = 2\n\n\n\nB = 3\n"}

    moved = lab.rebase("t", second, merged, onto=head, fingerprint="moved", at=1e9)

    assert [e.number for e in lab.experiments("t")] == [0, 1, 2]
    assert lab.experiments("t")[2] == moved
    assert lab.source(moved.commit, "train.py") == "A = 2\n\n\n\nB = 3\n"


def test_edits_of_neighbouring_lines_merge_and_both_are_there(tmp_path: Path) -> None:
    lab = LabWriter.open(tmp_path / "lab.git", create=True)
    lab.begin("t", {"train.py": "A = 1\nB = 1\n"}, fingerprint="f", settings="", at=1e9)
    first, second = admit(lab, text="A = 2\nB = 1\n"), admit(lab, 2, text="A = 1\nB = 3\n")

    merged = lab.merge(base=second.base, ours=first.commit, theirs=second.commit, paths=["train.py"])

    assert merged == {"train.py": "A = 2\nB = 3\n"}


def test_edits_of_the_same_line_conflict(lab: LabWriter) -> None:
    first, second = admit(lab), admit(lab, 2, text="A = 9\n\n\n\nB = 1\n")

    assert lab.merge(base=second.base, ours=first.commit, theirs=second.commit, paths=["train.py"]) is None


def test_stale_ref_lock_is_removed_by_the_next_holder(tmp_path: Path) -> None:
    lab = LabWriter.open(tmp_path / "lab.git", create=True)
    stale = lab.path / "refs" / "heads" / "autoresearch" / "t.lock"
    stale.parent.mkdir(parents=True)
    stale.touch()

    with lab.lock(now=0.0):
        lab.begin("t", FILES, fingerprint="f", settings="", at=1e9)

    assert not stale.exists()


def test_lab_of_a_newer_version_is_refused(lab: LabWriter) -> None:
    git(lab, "config", "autoresearch.format", "99")

    with pytest.raises(LabError, match="has format 99, this version reads 1: upgrade"):
        Lab.open(lab.path)


def test_other_repository_is_no_lab(tmp_path: Path) -> None:
    pygit2.init_repository(str(tmp_path / "code.git"), bare=True)

    with pytest.raises(LabError, match="is a git repository but no lab"):
        Lab.open(tmp_path / "code.git")


def test_missing_lab_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no lab at .*: start one with `autoresearch run`"):
        Lab.open(tmp_path / "lab.git")


@pytest.mark.parametrize("part", ["objects", "refs", "HEAD"])
def test_lab_of_which_a_part_is_missing_says_what_brings_it_back(lab: LabWriter, part: str) -> None:
    (lab.path / part).rename(lab.path.with_name("taken"))

    with pytest.raises(
        LabError, match=r"lab\.git is damaged \(.*\): put its mirror \(lab\.remote\) or a copy in its pl"
    ):
        Lab.open(lab.path).experiments("t")


def test_damaged_record_is_named(lab: LabWriter) -> None:
    experiment = admit(lab)
    git(
        lab,
        "-c",
        "user.name=x",
        "-c",
        "user.email=x",
        "notes",
        "--ref",
        "autoresearch/t",
        "add",
        "-f",
        "-m",
        "{",
        experiment.commit,
    )

    with pytest.raises(LabError, match="holds a damaged record of t"):
        lab.experiments("t")


def test_results_have_upstreams_columns(lab: LabWriter) -> None:
    experiment = admit(lab)
    attempt = Attempt(number=1, seed=1, result=scored(0.9979, summary={"peak_vram_mb": 45060.2}))
    kept = replace(experiment, attempts=(attempt,), judgement=Judgement(verdict=Verdict.KEEP, reason="", order=1))
    failed = Attempt(number=1, seed=1, result=Result(outcome=Outcome.CRASHED, reason="OOM"))
    crash = replace(experiment, attempts=(failed,), judgement=Judgement(verdict=Verdict.CRASH, reason="OOM", order=2))

    lines = results_tsv([kept, crash]).splitlines()

    assert lines == [
        "commit\tval_bpb\tmemory_gb\tstatus\tdescription",
        f"{experiment.commit[:7]}\t0.997900\t44.0\tkeep\tA 1 → 2",
        f"{experiment.commit[:7]}\t0.000000\t0.0\tcrash\tA 1 → 2 (OOM)",
    ]


def test_record_of_an_older_version_says_in_its_strategy_which_edit_it_repeats() -> None:
    old = b'{"number": 7, "commit": "c7", "base": "c3", "title": "deeper", "strategy": "again:4"}'

    assert experiment_from_json(old).retry_of == 4
    assert experiment_from_json(experiment_to_json(experiment_from_json(old))).retry_of == 4


@pytest.mark.parametrize("strategy", ["", "again", "again:", "again: deeper", "replay:0007-wider.patch"])
def test_any_other_strategy_repeats_no_edit(strategy: str) -> None:
    experiment = Experiment(number=7, commit="c7", base="c3", title="deeper", strategy=strategy)

    assert experiment_from_json(experiment_to_json(experiment)).retry_of is None
