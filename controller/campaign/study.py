"""Runs a study: launches its runs in their order, and records how they end, by the same tries as a campaign.

The lab is written before a try is launched, and before it is cleaned up. So after a kill the next start goes on with
what the lab says, and adopts the tries that are still running.
"""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.campaign.tries import Tries
from controller.campaign.trouble import TroubleTeller
from controller.domain import BASELINE, Experiment, TryEnded
from controller.errors import TaskError
from controller.lab.writer import LabWriter
from controller.notices import Observer, Troubled, Waits
from controller.planning.actions import Launch
from controller.ports import Executor
from controller.settings import Settings
from controller.studies.schedule import Run, is_finished, next_run
from controller.studies.study import StudyRecord, score_of
from controller.text.safe_text import SENTENCE, one_line

UNPLACED = frozenset({"quota", "unschedulable", "queued"})
"""Phases of a try that has no place yet."""

UNPLACED_SECONDS = 10.0
"""Seconds without a place after which a person is told. A scheduler often needs a few in any case."""

WAIT_SECONDS = 1.0
"""Longest time between two turns: troubles come and go without an event."""


@dataclass(frozen=True, slots=True)
class _Arms:
    """The arms of a study by number, and the campaign's baseline, whose noise every exam allows for."""

    experiments: Mapping[int, Experiment]
    open: Mapping[int, Experiment]


class StudyRecorder:
    """Writes every change of a study's arms, to the lab first and then to the record in memory."""

    def __init__(
        self,
        lab: LabWriter,
        settings: Settings,
        record: StudyRecord,
        *,
        baseline: Experiment,
        clock: Callable[[], float],
    ) -> None:
        self._lab = lab
        self._settings = settings
        self._baseline = baseline
        self._clock = clock
        self.study_record = record
        """The study as the lab has it."""

    @property
    def campaign_state(self) -> _Arms:
        """The arms."""
        arms = {run.number: run for run in self.study_record.runs}
        return _Arms(experiments={BASELINE: self._baseline, **arms}, open=arms)

    def record(self, experiment: Experiment) -> None:
        """Write an arm that has changed."""
        self._lab.record_arm(self._settings.tag, self.study_record.study, experiment, at=self._clock())
        self.study_record = self.study_record.with_run(experiment)

    def attach(self, path: str, text: str) -> None:
        """Keep a text with the study."""
        self._lab.attach_to_study(self._settings.tag, self.study_record.study, path, text.encode(), at=self._clock())

    def editable_files(self, commit: str) -> dict[str, str]:
        """The files that an agent may change, at a commit."""
        return self._lab.files(commit, self._settings.task.editable)

    def used_reserve(self) -> frozenset[int]:
        """Nothing: a study takes no slice."""
        return frozenset()


class StudyLoop:
    """The runs of a study at one place. The caller holds the lab's lock while `run` lasts.

    may_launch: says why the budget has no room for another run with so many in flight; empty if it has.
    died: the controller before this one did not end by itself, as far as is known.
    """

    def __init__(
        self,
        recorder: StudyRecorder,
        executor: Executor,
        *,
        settings: Settings,
        place: str,
        clock: Callable[[], float],
        observe: Observer,
        may_launch: Callable[[StudyRecord, int], str] = lambda _record, _running: "",
        died: bool = True,
        draw: random.Random | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        study = recorder.study_record.study
        self._recorder, self._executor, self._settings = recorder, executor, settings
        self._place, self._clock, self._observe = place, clock, observe
        self._may_launch, self._died, self._wait_seconds = may_launch, died, wait_seconds
        self._events: queue.SimpleQueue[TryEnded | None] = queue.SimpleQueue()
        self._stop_reason = ""
        self._trouble_teller, self._waiting_teller = TroubleTeller(), TroubleTeller()
        self._tries = Tries(
            executor,
            recorder,
            settings=settings,
            clock=clock,
            observe=observe,
            draw=draw or random.SystemRandom(),
            study=study.name,
            holdout=study.holdout,
        )

    def run(self) -> str:
        """Run until all runs at this place have ended; returns why it stopped before that, or nothing."""
        self._executor.start(self._events.put)
        try:
            self._tries.adopt(died=self._died)
            return self._loop()
        finally:
            self._executor.stop()
            while not self._events.empty():
                self._take_in(self._events.get())

    def stop(self, reason: str) -> None:
        """Ask the loop to end soon. May be called from a signal handler or another thread."""
        self._stop_reason = reason
        self._events.put(None)

    def _loop(self) -> str:
        while not self._stop_reason:
            self._require_holdout()
            if is_finished(self._recorder.study_record, place=self._place):
                return ""
            overdraft = self._launch_what_fits()
            if overdraft and not self._tries.ids:
                return overdraft
            self._tell_waiting()
            try:
                self._take_in(self._events.get(timeout=self._wait_seconds))
            except queue.Empty:
                continue
        return self._stop_reason

    def _launch_what_fits(self) -> str:
        """Launch runs until the slots are busy; returns why the budget has no room for the next one, or nothing."""
        trouble = one_line(self._executor.trouble(), SENTENCE)
        if self._trouble_teller.is_news(trouble, now=self._clock()):
            self._observe(Troubled(trouble))
        while not trouble and len(self._tries.ids) < self._settings.executor.slots:
            record, running = self._recorder.study_record, [Run(id.experiment, id.attempt) for id in self._tries.ids]
            chosen = next_run(record, place=self._place, running=running)
            if chosen is None:
                break
            if overdraft := self._may_launch(record, len(running)):
                return overdraft
            self._tries.launch(Launch(record.runs[chosen.arm - 1], chosen.attempt))
        return ""

    def _tell_waiting(self) -> None:
        """Tell what a run waits for that found no place: nothing else would be said until its deadline."""
        now = self._clock()
        unplaced = [each for each in self._executor.progress() if each.phase in UNPLACED]
        waiting = next((each for each in unplaced if now - each.started_at >= UNPLACED_SECONDS), None)
        reason = one_line(f"{waiting.phase}: {waiting.line}", SENTENCE) if waiting else ""
        if self._waiting_teller.is_news(reason, now=now):
            self._observe(Waits(reason))

    def _take_in(self, event: TryEnded | None) -> None:
        if event is not None:
            self._tries.take_in_end(event)

    def _require_holdout(self) -> None:
        """Raise TaskError at the first scored exam that says nothing about the holdout: no later one would."""
        if not self._recorder.study_record.study.holdout:
            return
        for run in self._recorder.study_record.runs:
            for attempt in run.attempts:
                scored = attempt.result is not None and attempt.result.score is not None
                if scored and score_of(attempt, holdout=True) is None:
                    raise TaskError(
                        "the examiner reported no holdout although it was asked (AUTORESEARCH_HOLDOUT): mend it "
                        "(docs/tasks.md), or compare by the campaign's own score with --validation"
                    )
