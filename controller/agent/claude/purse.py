"""What proposals that run at the same time may spend together, so that none crosses the budget beside another.

Each request tells what was left when it was made; with several at once the smallest promise holds for all.
A call is paid in advance with the most it can cost, and gets its change when it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from threading import Lock


class Purse:
    """Dollars committed and the limit; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._committed = 0.0
        self._limit = inf
        self._proposals = 0

    @contextmanager
    def opened(self, left: float | None) -> Iterator[None]:
        """While one proposal runs that was told how many dollars are left (None: no budget)."""
        with self._lock:
            told = inf if left is None else self._committed + left
            self._limit = min(self._limit, told) if self._proposals else told
            self._proposals += 1
        try:
            yield
        finally:
            with self._lock:
                self._proposals -= 1

    @property
    def shared(self) -> bool:
        """Another proposal runs beside this one, whose change may come back."""
        with self._lock:
            return self._proposals > 1

    def reserve(self, most: float) -> bool:
        """Commit the most that a call can cost; False, and nothing committed, where that could cross the limit."""
        with self._lock:
            affordable = self._committed + most <= self._limit
            self._committed += most if affordable else 0.0
            return affordable

    def settle(self, *, most: float, actual: float) -> None:
        """Give back what a call did not cost."""
        with self._lock:
            self._committed += actual - most
