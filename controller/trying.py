"""Tries: what is launched, adopted after a restart, and taken in when it ends.

The intent is in the lab before a try is launched, its result before it is cleaned up. Which try comes next is the
planner's business, running it the executor's.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

from controller.actions import Launch
from controller.domain import BASELINE, Attempt, Experiment, Outcome, Result, Try, TryEnded, TryId, TryRequest
from controller.journal import Journal
from controller.notices import AttemptEnded, Launched, Observer, TryLost
from controller.ports import Executor
from controller.prices import slot_price
from controller.settings import Settings


class Trying:
    """Tries in flight. draw: chooses probe sets."""

    def __init__(
        self,
        executor: Executor,
        journal: Journal,
        *,
        settings: Settings,
        clock: Callable[[], float],
        observe: Observer,
        draw: random.Random,
    ) -> None:
        self._executor = executor
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._observe = observe
        self._draw = draw
        self._running: dict[TryId, Experiment] = {}

    @property
    def running(self) -> tuple[int, ...]:
        """Number of the experiment of each try in flight."""
        return tuple(id.experiment for id in self._running)

    def launch(self, action: Launch) -> None:
        """Start the next try of an attempt."""
        experiment = self._journal.memory.experiments[action.experiment.number]
        attempt = next((a for a in experiment.attempts if a.number == action.attempt), None)
        if attempt is None:
            attempt = Attempt(number=action.attempt, seed=self._seed(experiment.number, action.attempt))
        probe_set = self._draw.randrange(self._settings.task.probe_sets)
        newest = Try(number=len(attempt.tries) + 1, probe_set=probe_set, launched_at=self._clock())
        experiment = _with(experiment, replace(attempt, tries=(*attempt.tries, newest)))
        # The intent goes first: a kill after it leaves a try that the next start finds and adopts.
        self._journal.record(experiment)
        request = self._request(experiment, action.attempt)
        self._running[request.id] = experiment
        self._observe(Launched(experiment, request.id))
        self._executor.launch(request)

    def adopt(self) -> None:
        """Take over what an earlier controller launched and did not see end."""
        requests = []
        for experiment in self._journal.memory.open.values():
            for attempt in experiment.attempts:
                if attempt.result is None and attempt.tries and not attempt.tries[-1].lost:
                    request = self._request(experiment, attempt.number)
                    self._running[request.id] = experiment
                    requests.append(request)
        self._executor.adopt(requests)

    def ended(self, event: TryEnded) -> None:
        """Write down how a try ended; one that is not in flight is ignored."""
        if self._running.pop(event.id, None) is None:
            return
        experiment = self._journal.memory.experiments[event.id.experiment]
        attempt = next(a for a in experiment.attempts if a.number == event.id.attempt)
        result = self._without_log(event)
        price = slot_price(self._settings, result.node)
        last = replace(attempt.tries[-1], seconds=result.seconds, dollars_per_hour=price)
        if result.outcome is Outcome.LOST and self._may_try_again(attempt, result):
            lost = replace(last, lost=result.reason or "lost", interrupted=result.interrupted, lost_to=result.lost_to)
            experiment = _with(experiment, replace(attempt, tries=(*attempt.tries[:-1], lost)))
            self._journal.record(experiment)
            self._observe(TryLost(experiment, event.id, result.reason))
        else:
            attempt = replace(attempt, tries=(*attempt.tries[:-1], last), result=result)
            experiment = _with(experiment, attempt)
            self._journal.record(experiment)
            self._observe(AttemptEnded(experiment, attempt))
        self._executor.recorded(event.id)

    def _may_try_again(self, attempt: Attempt, result: Result) -> bool:
        counted = [t for t in attempt.tries if not t.interrupted]
        return result.interrupted or len(counted) < self._settings.executor.max_tries

    def _without_log(self, event: TryEnded) -> Result:
        if event.result.log_tail:
            path = f"{event.id.experiment:06d}/a{event.id.attempt}-t{event.id.number}.log"
            self._journal.attach(path, event.result.log_tail)
        return replace(event.result, log_tail="")

    def _request(self, experiment: Experiment, number: int) -> TryRequest:
        attempt = next(a for a in experiment.attempts if a.number == number)
        newest = attempt.tries[-1]
        return TryRequest(
            id=TryId(self._settings.tag, experiment.number, number, newest.number),
            commit=experiment.commit,
            files=self._journal.editable(experiment.commit),
            seed=attempt.seed,
            probe_set=newest.probe_set,
            baseline_spread=self._baseline_spread(),
        )

    def _baseline_spread(self) -> float | None:
        results = [a.result for a in self._journal.memory.experiments[BASELINE].attempts if a.result]
        spreads = [r.exam.spread for r in results if r.exam and r.exam.spread is not None]
        return max(spreads, default=None)

    def _seed(self, experiment: int, attempt: int) -> int:
        name = f"{self._settings.tag}/{experiment}/{attempt}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1


def _with(experiment: Experiment, attempt: Attempt) -> Experiment:
    """The experiment with this attempt in the place of the one of the same number, or added."""
    others = tuple(a for a in experiment.attempts if a.number != attempt.number)
    return replace(experiment, attempts=tuple(sorted((*others, attempt), key=lambda a: a.number)))
