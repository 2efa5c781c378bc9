"""The loop of a study: what it tells of runs that find no place."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from controller.campaign.study import UNPLACED_SECONDS, StudyLoop, StudyRecorder
from controller.domain import BASELINE, Progress, TryRequest
from controller.lab.writer import LabWriter
from controller.notices import Notice, Observer, Waits
from controller.settings.file import load_settings
from controller.studies.rerun import plan_rerun
from controller.studies.study import Arm, StudyRecord, begin_record
from tests.support.ended_campaign import make_ended_campaign
from tests.support.scripted import InstantExecutor, scored


class Full(InstantExecutor):
    """A cluster without a place for the first run until somebody has been told of it, and then ends it."""

    def __init__(self) -> None:
        super().__init__(lambda _: scored(2.0))
        self.waiting: list[TryRequest] = []
        self.is_full = True

    def launch(self, request: TryRequest) -> None:
        """Keep the first one waiting."""
        if self.is_full:
            self.waiting.append(request)
        else:
            super().launch(request)

    def make_room(self) -> None:
        """Let what waits run to its end."""
        self.is_full = False
        while self.waiting:
            super().launch(self.waiting.pop())

    def progress(self) -> Sequence[Progress]:
        """Since long ago."""
        since = time.time() - 2 * UNPLACED_SECONDS
        return [
            Progress(id=request.id, phase="unschedulable", started_at=since, phase_seconds=0, line="0/3 nodes")
            for request in self.waiting
        ]


def run_study(folder: Path, executor: InstantExecutor, *, observe: Observer) -> StudyRecord:
    """Run the baseline of a new campaign again, twice."""
    experiments = make_ended_campaign(folder / "lab.git", "t", "A = 1\n", [], levels=[2.0])
    arm = Arm(name="baseline", commit=experiments[0].commit, seeds=2)
    record = begin_record(plan_rerun(arm, number=1, at=1e9))
    lab, settings = LabWriter.open(folder / "lab.git"), load_settings(None, ["tag=t"])
    with lab.lock(now=1e9):
        lab.begin_study("t", record, at=1e9)
        recorder = StudyRecorder(lab, settings, record, baseline=experiments[BASELINE], clock=time.time)
        loop = StudyLoop(
            recorder, executor, settings=settings, place="", clock=time.time, observe=observe, wait_seconds=0.02
        )
        assert loop.run() == ""
    return recorder.study_record


def test_a_run_without_a_place_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    executor, told = Full(), list[Notice]()

    def observe(notice: Notice) -> None:
        told.append(notice)
        if isinstance(notice, Waits):
            executor.make_room()

    run_study(tmp_path, executor, observe=observe)

    assert [notice.reason for notice in told if isinstance(notice, Waits)] == ["unschedulable: 0/3 nodes", ""]
