"""The part of the lab's writer that keeps studies: plans, arms, logs, and the programs that they make.

A plan is written with all of its arms in one step, before anything runs; from then on only arms change, and at last the
plan's end. Programs are shown under refs before the plan that names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pygit2

from controller.domain import Experiment
from controller.folder.ballast import Ballast
from controller.lab import commits, ref_files
from controller.lab.full_disk import write_patiently
from controller.lab.reader import Lab
from controller.lab.records import experiment_to_json
from controller.lab.repository import translate_errors
from controller.lab.study_records import (
    LOGS,
    PROGRAM,
    PRUNED,
    RECORDS,
    arm_path,
    plan_path,
    record_to_files,
    study_log_path,
    study_to_json,
)
from controller.studies.study import Study, StudyRecord


class StudyWriter(Lab):
    """An open lab for writing studies. Every method needs the lock, and raises LabError if git or the disk refuses."""

    def __init__(self, repository: pygit2.Repository, path: Path) -> None:
        super().__init__(repository, path)
        self._ballast = Ballast(path / "ballast")

    def begin_study(self, tag: str, record: StudyRecord, *, at: float) -> None:
        """Write a new study: its plan and its arms without a run, in one step."""
        with translate_errors(self.path):
            self._put(RECORDS.format(tag=tag), record_to_files(record), at=at)

    def record_arm(self, tag: str, study: Study, run: Experiment, *, at: float) -> None:
        """Write the runs of one arm, durably."""
        with translate_errors(self.path):
            self._put(RECORDS.format(tag=tag), {arm_path(study, run.number): experiment_to_json(run)}, at=at)
            self._ballast.restore()

    def end_study(self, tag: str, study: Study, *, at: float) -> None:
        """Write a plan that has its end."""
        with translate_errors(self.path):
            self._put(RECORDS.format(tag=tag), {plan_path(study): study_to_json(study)}, at=at)

    def attach_to_study(self, tag: str, study: Study, path: str, data: bytes, *, at: float) -> None:
        """Keep a file with a study, durably."""
        with translate_errors(self.path):
            self._put(LOGS.format(tag=tag), {study_log_path(study, path): data}, at=at)

    def write_program(self, files: Mapping[str, str], *, parent: str, message: str, at: float) -> str:
        """Commit a program that a study made, without a ref; `show_program` gives it one."""
        with translate_errors(self.path):
            return write_patiently(
                lambda: commits.write_commit(self._repository, files, message=message, parent=parent, at=at),
                self._ballast,
            )

    def show_program(self, tag: str, study: str, name: str, commit: str) -> None:
        """Keep a program of a study under a name, in place of what a crash may have left there."""
        self._set_ref(PROGRAM.format(tag=tag, study=study, name=name), commit)

    def propose_head(self, tag: str, study: str, commit: str) -> str:
        """Make a program a branch of its own, which no campaign moves; returns the branch's name."""
        name = PRUNED.format(tag=tag, study=study)
        self._set_ref(name, commit)
        return name.removeprefix("refs/heads/")

    def _set_ref(self, name: str, commit: str) -> None:
        with translate_errors(self.path):
            write_patiently(lambda: self._repository.references.create(name, commit, force=True), self._ballast)

    def _put(self, ref: str, changes: Mapping[str, bytes | None], *, at: float) -> None:
        write_patiently(lambda: ref_files.put_files(self._repository, ref=ref, changes=changes, at=at), self._ballast)
