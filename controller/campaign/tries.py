"""Launches tries, adopts those of an earlier controller, and records how they end.

A try is written to the lab before it is launched, and its result before it is cleaned up. The planner decides which
try comes next; the executor runs it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from controller.campaign.reserve import Reserve, measure_noise
from controller.costs.slots import SlotPrices
from controller.domain import (
    BASELINE,
    Attempt,
    Calm,
    Experiment,
    LostTo,
    Outcome,
    Result,
    Try,
    TryEnded,
    TryId,
    TryRequest,
)
from controller.executor.attempt_end import in_unit_of
from controller.executor.disturbance import (
    PATIENCE,
    QUIET,
    describe_disturbance,
    may_run_again,
    measure_calm,
    was_disturbed,
)
from controller.lab.attachments import log_path
from controller.notices import AttemptEnded, Launched, Observer, TryLost
from controller.planning.actions import Launch
from controller.ports import Executor
from controller.settings import Settings
from controller.text.safe_text import SENTENCE, one_line, safe_text

MOST_DEATHS = 3
"""Deaths of the controller during one attempt after which the attempt is lost. A controller is killed by chance too,
by a reboot or for lack of memory: three times in a row during one attempt, and it is the attempt that kills it, at
every new start."""


class Known(Protocol):
    """The experiments of a campaign, or the arms of a study with the campaign's baseline."""

    @property
    def experiments(self) -> Mapping[int, Experiment]:
        """All of them by number."""

    @property
    def open(self) -> Mapping[int, Experiment]:
        """Those that have not ended."""


class AttemptRecords(Protocol):
    """The recorder of attempts: a campaign's `Recorder`, or a study's."""

    @property
    def campaign_state(self) -> Known:
        """The newest records."""

    def record(self, experiment: Experiment) -> None:
        """Write an experiment that has changed."""

    def attach(self, path: str, text: str) -> None:
        """Keep a text with the records."""

    def editable_files(self, commit: str) -> dict[str, str]:
        """The files that an agent may change, at a commit."""

    def used_reserve(self) -> frozenset[int]:
        """Slices of the reserve that some try in this lab may have been asked."""


class Tries:
    """The tries in flight. draw: chooses the probe set of each try, and its slice of the reserve.

    study: name of the study whose arms are run, if it is one; such tries take nothing from the reserve, which is the
    campaign's. holdout: their exams ask the holdout as well.
    """

    def __init__(
        self,
        executor: Executor,
        recorder: AttemptRecords,
        *,
        settings: Settings,
        clock: Callable[[], float],
        observe: Observer,
        draw: random.Random,
        study: str = "",
        holdout: bool = False,
    ) -> None:
        self._executor = executor
        self._recorder = recorder
        self._settings = settings
        self._prices = SlotPrices.of(settings)
        self._clock = clock
        self._observe = observe
        self._draw = draw
        self._study, self._holdout = study, holdout
        slices = settings.task.reserve_slices if settings.task.score == "exam" and not study else 0
        self._reserve = Reserve(recorder.used_reserve(), slices=slices, draw=draw)
        self._running: dict[TryId, Experiment] = {}
        """Each try in flight, with its experiment as of the launch."""
        self._given_up: dict[TryId, str] = {}
        """Why the end of a try in flight is not looked at."""
        self._stays_busy = False
        """True if the last attempt to end was disturbed in every try. Running the next one again would hardly help."""

    @property
    def running(self) -> tuple[int, ...]:
        """Number of the experiment of each try in flight."""
        return tuple(id.experiment for id in self._running)

    @property
    def ids(self) -> tuple[TryId, ...]:
        """The tries in flight."""
        return tuple(self._running)

    def launch(self, action: Launch) -> None:
        """Start the next try of an attempt."""
        experiment = self._recorder.campaign_state.experiments[action.experiment.number]
        attempt = next((a for a in experiment.attempts if a.number == action.attempt), None)
        if attempt is None:
            attempt = Attempt(number=action.attempt, seed=self._seed_of(experiment.number, action.attempt))
        probe_set = self._draw.randrange(self._settings.task.probe_sets)
        newest = Try(
            number=len(attempt.tries) + 1,
            probe_set=probe_set,
            launched_at=self._clock(),
            reserve=self._reserve.take(),
            reserve_left=self._reserve.left,
        )
        experiment = _with_attempt(experiment, replace(attempt, tries=(*attempt.tries, newest)))
        # Recorded first: after a kill in between, the next start finds the try in the lab and adopts it.
        self._recorder.record(experiment)
        request = self._build_request(experiment, action.attempt)
        self._running[request.id] = experiment
        self._observe(Launched(experiment, request.id))
        self._executor.launch(request)

    def adopt(self, *, died: bool) -> None:
        """Take over the tries that an earlier controller launched and whose end it did not record.

        died: that controller did not end by itself.
        """
        requests = []
        for experiment in list(self._recorder.campaign_state.open.values()):
            for attempt in experiment.attempts:
                if attempt.result is None and attempt.tries and not attempt.tries[-1].lost:
                    adopted = self._count_death(experiment, attempt) if died else experiment
                    request = self._build_request(adopted, attempt.number)
                    self._running[request.id] = adopted
                    requests.append(request)
        self._executor.adopt(requests)

    def _count_death(self, experiment: Experiment, attempt: Attempt) -> Experiment:
        """Record that the controller died during an attempt. This comes first, because touching it may kill again."""
        newest = replace(attempt.tries[-1], deaths=attempt.tries[-1].deaths + 1)
        attempt = replace(attempt, tries=(*attempt.tries[:-1], newest))
        experiment = _with_attempt(self._recorder.campaign_state.experiments[experiment.number], attempt)
        self._recorder.record(experiment)
        deaths = sum(t.deaths for t in attempt.tries)
        # Without a baseline there is no campaign, and its code is the operator's own.
        if deaths >= MOST_DEATHS and experiment.number != BASELINE:
            id = self._id(experiment, attempt, newest)
            self._given_up[id] = f"the controller died {deaths} times while it ran"
        return experiment

    def take_in_end(self, event: TryEnded) -> None:
        """Record how a try ended. The end of a try that is not in flight is ignored: it was recorded before."""
        if self._running.pop(event.id, None) is None:
            return
        experiment = self._recorder.campaign_state.experiments[event.id.experiment]
        attempt = next(a for a in experiment.attempts if a.number == event.id.attempt)
        event = self._without_what_kills(event)
        result = in_unit_of(self._baseline_unit, _make_safe(event.result), self._settings.task)
        result = self._attach_log(replace(event, result=result))
        price = self._prices.on_node(result.node)
        last = replace(attempt.tries[-1], seconds=result.seconds, dollars_per_hour=price)
        given_up = self._given_up.pop(event.id, None) is not None
        if result.outcome is Outcome.LOST and not given_up and self._may_try_again(attempt, result):
            lost = replace(last, lost=result.reason or "lost", interrupted=result.interrupted, lost_to=result.lost_to)
            experiment = _with_attempt(experiment, replace(attempt, tries=(*attempt.tries[:-1], lost)))
            self._recorder.record(experiment)
            self._observe(TryLost(experiment, event.id, result.reason))
        else:
            result = self._mark_disturbed(experiment, result)
            attempt = replace(attempt, tries=(*attempt.tries[:-1], last), result=result)
            experiment = _with_attempt(experiment, attempt)
            self._recorder.record(experiment)
            self._observe(AttemptEnded(experiment, attempt))
        self._executor.recorded(event.id)

    @property
    def _baseline_unit(self) -> str:
        """The unit of the campaign's first score, in which all others are recorded."""
        baseline = self._recorder.campaign_state.experiments.get(BASELINE)
        results = [attempt.result for attempt in baseline.attempts if attempt.result] if baseline else []
        return next((result.score.unit for result in results if result.score and result.score.unit), "")

    def _without_what_kills(self, event: TryEnded) -> TryEnded:
        """The event; if its attempt is given up, with a result that holds only what the try has cost."""
        reason = self._given_up.get(event.id)
        if reason is None:
            return event
        seconds, node = event.result.seconds, event.result.node
        lost = Result(outcome=Outcome.LOST, reason=reason, lost_to=LostTo.STOPPED, seconds=seconds, node=node)
        return replace(event, result=lost)

    def _may_try_again(self, attempt: Attempt, result: Result) -> bool:
        """True if a lost try is followed by another one. Interruptions and a busy machine do not use up the tries."""
        counted = [t for t in attempt.tries if not t.interrupted and t.lost_to is not LostTo.DISTURBED]
        not_broken = result.interrupted or result.lost_to is LostTo.DISTURBED
        return not_broken or len(counted) < self._settings.executor.max_tries

    def _mark_disturbed(self, experiment: Experiment, result: Result) -> Result:
        """The result that ends an attempt, with a remark if the machine was busy, on which the next tries depend."""
        if result.outcome is Outcome.TIMED_OUT:
            why = describe_disturbance(result.witness, self._entitled(experiment))
            return replace(result, reason=f"{result.reason}; {why}") if why else result
        if result.outcome is not Outcome.SCORED:
            return result
        why = describe_disturbance(result.witness, self._normal())
        self._stays_busy = bool(why)
        return replace(result, disturbed=why)

    def _normal(self) -> Calm | None:
        """The machine as the baseline found it; None before its first score."""
        return measure_calm(self._recorder.campaign_state.experiments[BASELINE])

    def _entitled(self, experiment: Experiment) -> Calm | None:
        """The machine that a training of this experiment may expect."""
        # A baseline that is late tells nothing of what is normal.
        return QUIET if experiment.number == BASELINE else self._normal()

    def _calm_for(self, experiment: Experiment) -> Calm | None:
        """The machine that a training is entitled to; None where a busy one disturbs nothing, or is there to stay."""
        if self._stays_busy:
            return None
        return self._entitled(experiment)

    def _attach_log(self, event: TryEnded) -> Result:
        """Attach the log's end to the campaign, and return the result without it: records stay small."""
        if event.result.log_tail:
            path = log_path(event.id.experiment, event.id.attempt, event.id.number)
            self._recorder.attach(path, event.result.log_tail)
        return replace(event.result, log_tail="")

    def _build_request(self, experiment: Experiment, number: int) -> TryRequest:
        attempt = next(a for a in experiment.attempts if a.number == number)
        newest, calm = attempt.tries[-1], self._calm_for(experiment)
        final = calm is None or not may_run_again(attempt)
        return TryRequest(
            id=self._id(experiment, attempt, newest),
            commit=experiment.commit,
            files=self._recorder.editable_files(experiment.commit),
            seed=attempt.seed,
            probe_set=newest.probe_set,
            reserve=newest.reserve,
            holdout=self._holdout,
            baseline=measure_noise(self._recorder.campaign_state.experiments[BASELINE]),
            calm=calm,
            counts=final or experiment.number == BASELINE,
            late_counts=final,
            patience_s=PATIENCE * self._settings.budget.train_seconds if was_disturbed(attempt) else 0.0,
        )

    def _id(self, experiment: Experiment, attempt: Attempt, newest: Try) -> TryId:
        return TryId(self._settings.tag, experiment.number, attempt.number, newest.number, study=self._study)

    def _seed_of(self, experiment: int, attempt: int) -> int:
        """Seed of an attempt: from 0 to 2^31 - 1, the range that every library takes, and the same after a restart.

        A study's differ from all of the campaign's: what a campaign has selected by them is asked about by fresh ones.
        """
        within = f"{self._settings.tag}/{self._study}" if self._study else self._settings.tag
        name = f"{within}/{experiment}/{attempt}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1


def _with_attempt(experiment: Experiment, attempt: Attempt) -> Experiment:
    """The experiment with `attempt` added, or in place of its attempt of the same number."""
    others = tuple(a for a in experiment.attempts if a.number != attempt.number)
    return replace(experiment, attempts=tuple(sorted((*others, attempt), key=lambda a: a.number)))


def _make_safe(result: Result) -> Result:
    """A result with text that is safe to show: its words may come from a cluster, a driver or the training itself."""
    return replace(
        result,
        reason=one_line(result.reason, SENTENCE),
        node=one_line(result.node),
        accelerator=one_line(result.accelerator),
        log_tail=safe_text(result.log_tail),
    )
