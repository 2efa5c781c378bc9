"""Studies in the lab: what was written is read again, apart from experiments, and damage is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.domain import Attempt, Try
from controller.errors import LabError
from controller.lab.study_records import RECORDS
from controller.lab.writer import LabWriter
from controller.studies.study import Arm, Study, StudyKind, begin_record, find_answered, find_unfinished
from tests.support.labs import FILES
from tests.support.scripted import scored

ARMS = (Arm(name="head", commit="a" * 40, seeds=2), Arm(name="baseline", commit="b" * 40, seeds=2, place="a100"))
STUDY = Study(kind=StudyKind.CLAIM, number=1, question="better?", arms=ARMS, holdout=True, began_at=1e9)


@pytest.fixture
def lab(tmp_path: Path) -> LabWriter:
    opened = LabWriter.open(tmp_path / "lab.git", create=True)
    opened.begin("t", FILES, fingerprint="f0", settings="", at=1e9)
    return opened


def test_a_study_is_read_as_it_was_written_and_is_no_experiment(lab: LabWriter) -> None:
    record = begin_record(STUDY)
    lab.begin_study("t", record, at=1e9)
    run = Attempt(number=1, seed=5, tries=(Try(number=1, probe_set=0, launched_at=1e9),), result=scored(1.5))
    changed = record.with_run(replace(record.runs[1], attempts=(run,)))
    lab.record_arm("t", STUDY, changed.runs[1], at=1e9)

    assert lab.studies("t") == [changed]
    assert lab.studies("other") == []
    assert [experiment.number for experiment in lab.experiments("t")] == [0]
    assert lab.tags() == ["t"]


def test_a_question_is_found_again_until_it_is_answered(lab: LabWriter) -> None:
    lab.begin_study("t", begin_record(STUDY), at=1e9)

    assert find_unfinished(lab.studies("t"), "better?") is not None
    assert find_answered(lab.studies("t"), "better?") is None

    lab.end_study("t", replace(STUDY, ended_at=2e9), at=2e9)

    assert find_unfinished(lab.studies("t"), "better?") is None
    found = find_answered(lab.studies("t"), "better?")
    assert found is not None
    assert found.study.ended_at == 2e9


def test_a_damaged_study_is_told_in_one_sentence(lab: LabWriter) -> None:
    lab.begin_study("t", begin_record(STUDY), at=1e9)
    lab._put(RECORDS.format(tag="t"), {"000001/arm-002.json": None}, at=1e9)  # as an operator's git might

    with pytest.raises(LabError, match="damaged study of t"):
        lab.studies("t")


def test_a_proposed_head_is_a_branch_of_its_own_and_may_be_proposed_again(lab: LabWriter) -> None:
    head = lab.incumbent("t")
    for text in ("A = 2\n", "A = 3\n"):
        commit = lab.write_program({"train.py": text}, parent=head, message="pruned\n", at=1e9)
        branch = lab.propose_head("t", "claim-2", commit)

    proposed = lab.find_commit(branch)
    assert proposed == commit
    assert lab.source(proposed, "train.py") == "A = 3\n"
    assert lab.incumbent("t") == head
