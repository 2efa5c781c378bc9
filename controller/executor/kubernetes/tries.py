"""Holds the tries that the executor is responsible for, from taking on to recording, and the lock for changing them.

A trouble that only an operator can mend is remembered for longer than the try that met it; otherwise the next launch
would meet the same trouble at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from controller.domain import TryRequest
from controller.executor.kubernetes.logs import Follower
from controller.executor.kubernetes.naming import job_name
from controller.executor.kubernetes.observation import TryEnd
from controller.executor.kubernetes.running_try import RunningTry, Step
from controller.executor.phases import PhaseName

PAST_TROUBLE_SECONDS = 300.0
"""Seconds for which the trouble of an ended try counts. After five minutes another launch may find out whether it is
over; a failed pod every five minutes does no harm."""


class RunningTries:
    """The tries, by the names of their Jobs. Hold `lock` to change one, or to read several things of one."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self._one_forgotten = threading.Condition(self.lock)
        self._clock = clock
        self._tries: dict[str, RunningTry] = {}
        self._names_ever: set[str] = set()
        self._past_trouble = ""
        self._past_trouble_at = 0.0

    def take_on(self, request: TryRequest, *, adopted: bool) -> str:
        """Become responsible for this try, unless it is known already; returns its name."""
        name = job_name(request.id)
        with self.lock:
            self._names_ever.add(name)
            self._tries.setdefault(name, RunningTry(request=request, name=name, adopted=adopted))
        return name

    def forget(self, name: str) -> None:
        """Drop a try that is recorded."""
        with self._one_forgotten:
            self._tries.pop(name, None)
            self._one_forgotten.notify_all()

    def wait_recorded(self, seconds: float) -> None:
        """Wait until no try is left whose Job has to be marked as recorded, but at most `seconds`."""
        with self._one_forgotten:
            self._one_forgotten.wait_for(self._all_recorded, timeout=seconds)

    def _all_recorded(self) -> bool:
        return not any(running.step is Step.RECORD for running in self._tries.values())

    def find(self, name: str) -> RunningTry | None:
        """The try of this name; None if it is not ours, or was recorded and forgotten."""
        return self._tries.get(name)

    @property
    def names_ever(self) -> Collection[str]:
        """Names of all tries that were ever taken on."""
        return self._names_ever

    def without_result(self) -> list[RunningTry]:
        """The tries whose end is not known yet."""
        with self.lock:
            return [running for running in self._tries.values() if running.result is None]

    def followers(self) -> list[Follower]:
        """All log followers, those that ended included."""
        with self.lock:
            return [running.follower for running in self._tries.values() if running.follower]

    def trouble(self) -> str:
        """One sentence on a trouble of a running or a lately ended try that only an operator can mend; else empty."""
        with self.lock:
            for running in self.without_result():
                trouble = running.request_trouble or running.progress.trouble
                if trouble:
                    return trouble
            if self._clock() - self._past_trouble_at < PAST_TROUBLE_SECONDS:
                return self._past_trouble
            return ""

    def keep_trouble(self, ended: TryEnd) -> None:
        """Remember the trouble that ended a try. A try whose training ran shows that an earlier trouble is over."""
        if ended.trouble or PhaseName.TRAIN in ended.phase_seconds:
            self._past_trouble = ended.trouble
            self._past_trouble_at = self._clock()
