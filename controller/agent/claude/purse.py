"""What proposals that run at the same time may spend together, so that none crosses the budget beside another.

A call is paid in advance with the most it can cost, and gets its change when it has ended. Where money is short a call
waits for the change of others, and proposals that have spent something go first: half a proposal is worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

POLL_SECONDS = 0.1


class Purse:
    """Dollars committed, and who holds them; safe to share between threads. booked: spent before this process."""

    def __init__(self, booked: float = 0.0) -> None:
        self._changed = Condition()
        self._committed = booked
        self._calls = 0
        self._begun = 0

    @contextmanager
    def opened(self, limit: Callable[[], float]) -> Iterator[Share]:
        """One proposal's share, while it runs. limit: what all calls of the campaign may cost, asked before each."""
        share = Share(self, limit)
        try:
            yield share
        finally:
            share.close()


class Share:
    """One proposal's way to the purse. begun: it has paid for a call."""

    def __init__(self, purse: Purse, limit: Callable[[], float]) -> None:
        self._purse = purse
        self._limit = limit
        self.begun = False

    def reserve(self, most: float, *, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Commit the most that a call can cost, waiting for the change of others where that helps.

        False, and nothing committed, where it could cross the limit and no change can come, or when `give_up` says so.
        """
        purse = self._purse
        with purse._changed:
            while not self._affordable(most):
                if not self._change_may_come() or give_up():
                    return False
                purse._changed.wait(POLL_SECONDS)
            purse._committed += most
            purse._calls += 1
            purse._begun += not self.begun
            self.begun = True
            return True

    def settle(self, *, most: float, actual: float) -> None:
        """Give back what a call did not cost."""
        with self._purse._changed:
            self._purse._committed += actual - most
            self._purse._calls -= 1
            self._purse._changed.notify_all()

    def close(self) -> None:
        """The proposal has ended; what it did not need is free for those that have not begun."""
        with self._purse._changed:
            self._purse._begun -= self.begun
            self.begun = False
            self._purse._changed.notify_all()

    def _affordable(self, most: float) -> bool:
        """A proposal that has not begun leaves room for one more call of each that has."""
        calls = 1 if self.begun else 1 + self._purse._begun
        return self._purse._committed + calls * most <= self._limit()

    def _change_may_come(self) -> bool:
        return self._purse._calls > 0 or (self._purse._begun > 0 and not self.begun)
