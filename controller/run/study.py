"""Runs a study for a person at a terminal: refuses what cannot work, goes on with what was begun, tells the answer.

A study needs the lab to itself, as a campaign does. Asked the same question again, it goes on where a kill, Ctrl-C or
an empty budget ended it; once answered, it prints the answer again and runs nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from rich.console import Console

from controller.campaign.preflight import check_start, require_disk
from controller.campaign.study import StudyLoop, StudyRecorder
from controller.costs.model_calls import sum_calls
from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Attempt, Experiment
from controller.errors import SettingsError
from controller.folder import CampaignFolder
from controller.lab import Lab
from controller.lab.booked_calls import read_calls
from controller.lab.writer import LabWriter
from controller.notices import (
    Activity,
    AttemptEnded,
    Notice,
    Troubled,
    TryLost,
    Waits,
    activity_to_json,
    current_activity,
)
from controller.reports.report import write_closing_report
from controller.run.signals import on_signals
from controller.run.study_checks import charge_campaign, check_place, refuse_busy_lab, require_campaign
from controller.run.warnings import print_warning
from controller.run.wiring import build_executor
from controller.settings import Settings, TaskSettings
from controller.studies.bill import Charged, charge, find_overdraft, mean_seconds
from controller.studies.schedule import count_runs, is_finished
from controller.studies.study import Study, StudyRecord, begin_record, find_answered, find_unfinished, score_of
from controller.text.figures import score_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The facts from which a study is planned."""

    lab: LabWriter
    settings: Settings
    experiments: Sequence[Experiment]
    """All of the campaign, the baseline first."""

    number: int
    """Number of the study, if it is a new one."""

    at: float
    """Unix time in seconds."""

    find: Callable[[str], StudyRecord | None]
    """The study that was begun with a question, or has answered it; None if it is to be asked anew."""


Planner = Callable[[Asked], Study]
"""Makes the plan of a study. Raises SettingsError or LabError where nothing can be asked."""


AtPlace = Callable[[str], tuple[CampaignFolder, Settings]]
"""Folder and settings of a place, by the text that names it in the plan. Raises SettingsError."""


class Teller(Protocol):
    """Lines to say before the first run."""

    def __call__(self, record: StudyRecord, task: TaskSettings, *, slots: int, seconds: float) -> Sequence[str]:
        """seconds: what a run takes, about."""


def run_study(
    folder: CampaignFolder,
    settings: Settings,
    make_plan: Planner,
    tell_plan: Teller,
    *,
    again: bool,
    err: Console,
    at_place: AtPlace | None = None,
) -> StudyRecord:
    """Run a study to its end and return it; one that was interrupted, or has no budget left, has no `ended_at`.

    again: ask anew what was answered before. at_place: folder and settings of each place; by default the campaign's.
    """
    if settings.executor.kind == "local":
        check_start(folder, settings)
    else:
        # On a cluster no file of the task is read here: the programs are in the lab, the rest in the image.
        require_disk(folder.path, settings.executor)
    lab = LabWriter.open(folder.lab)
    since = float(round(time.time()))
    refuse_busy_lab(lab, settings.tag, now=since)
    with lab.lock(now=since):
        experiments = require_campaign(lab, settings, err)
        records = lab.studies(settings.tag)

        def find(question: str) -> StudyRecord | None:
            unfinished = find_unfinished(records, question)
            return unfinished if unfinished or again else find_answered(records, question)

        number = len(records) + 1
        study = make_plan(
            Asked(lab=lab, settings=settings, experiments=experiments, number=number, at=since, find=find)
        )
        known = find(study.question)
        if known is not None and known.study.ended_at is not None:
            err.print(f"  {known.study.name} has answered this; --again asks anew, with fresh seeds", markup=False)
            # A kill after the answer may have left the report without it.
            _write_report(folder, settings, lab, experiments, err)
            return known
        places = {arm.place: at_place(arm.place) if at_place else (folder, settings) for arm in study.arms}
        for there, settings_there in places.values():
            check_place(there, settings_there, study, err, is_new=known is None)
        record = known or begin_record(study)
        return _StudyRun(folder, settings, lab, record, experiments, places, since=since, err=err).to_its_end(
            tell_plan, is_new=known is None
        )


class _StudyRun:
    """One go at a study."""

    def __init__(
        self,
        folder: CampaignFolder,
        settings: Settings,
        lab: LabWriter,
        record: StudyRecord,
        experiments: Sequence[Experiment],
        places: Mapping[str, tuple[CampaignFolder, Settings]],
        *,
        since: float,
        err: Console,
    ) -> None:
        self._places, self._since = places, since
        self._folder, self._settings, self._lab, self._err = folder, settings, lab, err
        self._record, self._experiments = record, experiments
        others = [each for each in lab.studies(settings.tag) if each.study.number != record.study.number]
        self._unfinished = [each.study.name for each in others if each.study.ended_at is None]
        self._model_dollars = sum_calls(read_calls(lab, settings.tag)).dollars
        self._prices = SlotPrices.of(settings)
        self._campaign = charge_campaign(experiments, self._prices)
        studied = charge(others, self._prices)
        self._others = self._campaign.plus(studied).plus(Charged(dollars=self._model_dollars))
        self._seconds = mean_seconds(self._campaign, train_seconds=settings.budget.train_seconds)
        """Seconds that a run is expected to take."""

    def to_its_end(self, tell_plan: Teller, *, is_new: bool) -> StudyRecord:
        """Run what is left, one place after the other, and return the record."""
        ended, wanted = count_runs(self._record)
        overdraft = self._find_overdraft(self._record, runs=wanted - ended)
        if overdraft:
            raise SettingsError(overdraft)
        slots = self._settings.executor.slots
        for line in tell_plan(self._record, self._settings.task, slots=slots, seconds=self._seconds):
            self._err.print(line, markup=False)
        if is_new:
            self._lab.begin_study(self._settings.tag, self._record, at=self._record.study.began_at)
        self._tell_activity()
        places = list(dict.fromkeys(arm.place for arm in self._record.study.arms))
        left = [place for place in places if not is_finished(self._record, place=place)]
        # A kill right after the last run has left its tries as they were: only an executor can put them away.
        for place in left or places[-1:]:
            if why := self._run_place(place):
                self._err.print(f"stopped: {why}; the same command goes on from here", markup=False)
                return self._record
        ended_study = replace(self._record.study, ended_at=time.time())
        self._lab.end_study(self._settings.tag, ended_study, at=time.time())
        _write_report(self._folder, self._settings, self._lab, self._experiments, self._err)
        return replace(self._record, study=ended_study)

    def _tell_activity(self) -> None:
        """Say beside the lab who holds it and what for, so that `status` of another process can tell."""
        tag = self._settings.tag
        before = current_activity(tag, self._lab.read_activity(), holder=None)
        told = Activity(
            tag=tag, turned=True, pid=os.getpid(), since=self._since, end=before.end, study=self._record.study.name
        )
        self._lab.write_activity(activity_to_json(told))

    def _run_place(self, place: str) -> str:
        """Run the arms of one place; returns why it stopped early, or nothing."""
        folder, settings = self._places[place]
        recorder = StudyRecorder(
            self._lab, settings, self._record, baseline=self._experiments[BASELINE], clock=time.time
        )
        executor = build_executor(
            folder,
            settings,
            warn=partial(print_warning, self._err),
            work=folder.work / "studies",
            studies=True,
            unfinished=self._unfinished,
        )
        loop = StudyLoop(
            recorder,
            executor,
            settings=settings,
            place=place,
            clock=time.time,
            observe=self._tell,
            may_launch=lambda record, running: self._find_overdraft(record, runs=running + 1),
            # A study that ended by itself has recorded the end of its local tries. Of Jobs nobody can tell.
            died=self._settings.executor.kind == "local",
        )
        try:
            with on_signals(loop.stop):
                return loop.run()
        finally:
            self._record = recorder.study_record

    def _find_overdraft(self, record: StudyRecord, *, runs: int) -> str:
        charged = self._others.plus(charge([record], self._prices))
        return find_overdraft(charged, self._settings.budget, self._prices, runs=runs, seconds=self._seconds)

    def _tell(self, notice: Notice) -> None:
        """Print what a person should read now."""
        match notice:
            case AttemptEnded(experiment, attempt):
                said = self._outcome_text(attempt)
                self._err.print(f"  {experiment.title}  run {attempt.number}  {said}", markup=False)
            case TryLost(experiment, id, reason):
                self._err.print(f"  {experiment.title}  run {id.attempt} again: {reason}", markup=False)
            case Troubled(reason):
                said = f"waits for you because {reason}" if reason else "waits for you no more"
                self._err.print(f"  {said}", markup=False)
            case Waits(reason):
                said = f"waits for a place in the cluster ({reason})" if reason else "waits for a place no more"
                self._err.print(f"  {said}", markup=False)
            case _:
                pass

    def _outcome_text(self, attempt: Attempt) -> str:
        """Score of a run, or what became of it."""
        score, result = score_of(attempt, holdout=self._record.study.holdout), attempt.result
        if score is not None:
            return score_text(score)
        return f"{result.outcome}: {result.reason}" if result else ""


def _write_report(
    folder: CampaignFolder, settings: Settings, lab: Lab, experiments: Sequence[Experiment], err: Console
) -> None:
    """Write the campaign's report anew, with the answers of all studies in it."""
    tag = settings.tag
    write_closing_report(
        experiments,
        settings,
        diff=lab.diff,
        folder=folder.path,
        dollars=sum_calls(read_calls(lab, tag)).dollars,
        activity=current_activity(tag, lab.read_activity(), holder=None),
        remarks=lab.remarks(tag),
        studies=lab.studies(tag),
        say=lambda line: err.print(line, markup=False),
    )
