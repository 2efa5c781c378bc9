"""The tries that the executor answers for, from taking on to record, and the one lock under which they change.

It also remembers trouble for longer than the try that met it, so that the next launch does not meet it at once.
It refuses to act on a try: `worker` takes the steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from controller.domain import TryRequest
from controller.executor.kubernetes.attempt import RunningTry, Step
from controller.executor.kubernetes.logs import Follower
from controller.executor.kubernetes.naming import job_name
from controller.executor.kubernetes.verdict import Ended
from controller.phases import PhaseName

TROUBLE_LASTS = 300.0
"""Seconds that a try's trouble outlives it, before another launch may find out whether it is over."""


class Tries:
    """By the names of their Jobs. `lock` is held by whoever changes one, or reads more than one thing of it."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self._one_forgotten = threading.Condition(self.lock)
        self._clock = clock
        self._tries: dict[str, RunningTry] = {}
        self._ours: set[str] = set()
        self._past_trouble = ("", 0.0)

    def take_on(self, request: TryRequest, *, adopted: bool) -> str:
        """Answer for this try, unless it is known already; returns its name."""
        name = job_name(request.id)
        with self.lock:
            self._ours.add(name)
            self._tries.setdefault(name, RunningTry(request=request, name=name, adopted=adopted))
        return name

    def forget(self, name: str) -> None:
        """It is recorded: nothing more will be asked of it."""
        with self._one_forgotten:
            self._tries.pop(name, None)
            self._one_forgotten.notify_all()

    def wait_recorded(self, seconds: float) -> None:
        """Wait until none is left that shall be recorded, but no longer than this."""
        with self._one_forgotten:
            self._one_forgotten.wait_for(self._all_recorded, timeout=seconds)

    def _all_recorded(self) -> bool:
        return not any(trial.step is Step.RECORD for trial in self._tries.values())

    def find(self, name: str) -> RunningTry | None:
        """The try of this name, or None for one that is not ours, or not any more."""
        return self._tries.get(name)

    @property
    def ours(self) -> Collection[str]:
        """Names of all that were ever taken on."""
        return self._ours

    def without_result(self) -> list[RunningTry]:
        """Those whose end is not known yet."""
        with self.lock:
            return [trial for trial in self._tries.values() if trial.result is None]

    def followers(self) -> list[Follower]:
        """Those who follow a log, or did."""
        with self.lock:
            return [trial.follower for trial in self._tries.values() if trial.follower]

    def trouble(self) -> str:
        """What a try says, or one said a moment ago, that only an operator can mend."""
        with self.lock:
            found = [trial.trouble or trial.going.trouble for trial in self.without_result()]
        said, at = self._past_trouble
        past = said if said and self._clock() - at < TROUBLE_LASTS else ""
        return next(filter(None, found), "") or past

    def keep_trouble(self, ended: Ended) -> None:
        """What this end says of trouble; a try that ran shows that an earlier trouble is over."""
        if ended.trouble or PhaseName.TRAIN in ended.phase_seconds:
            self._past_trouble = (ended.trouble, self._clock())
