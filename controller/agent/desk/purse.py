"""The dollars that proposals spend side by side, kept within one limit.

A call reserves what it may cost, and gives the rest back when it has ended, also if it ended in an exception. Between
the least that it asks for (what a reply takes as a rule) and the most that it could use, it gets its share of what is
free, so that long replies are possible while there is money and many proposals still fit when there is little.
If too little is left, a call waits for what others give back. Proposals that have paid for a call go first, because
half a proposal is worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

POLL_SECONDS = 0.1
"""Longest wait before asking again whether to give up: short for a person who stops a campaign."""


class Reservation:
    """Dollars set aside for one call."""

    def __init__(self, granted: float) -> None:
        self.granted = granted
        # Dollars that stay committed when the call is over: none, if nobody says otherwise.
        self.charge = 0.0


class Purse:
    """Dollars committed by all proposals of this process; safe to share between threads."""

    def __init__(self, booked: float = 0.0) -> None:
        """booked: dollars spent before this process."""
        self._changed = Condition()
        self._committed = booked
        # Calls that run now.
        self._calls = 0
        # Proposals under way, and those of them that have paid for a call.
        self._open = 0
        self._begun = 0

    @contextmanager
    def open_share(self, limit: Callable[[], float]) -> Iterator[Share]:
        """One proposal's share, while it runs. limit: dollars that all calls together may cost, asked before each."""
        share = Share(self, limit)
        with self._changed:
            self._open += 1
        try:
            yield share
        finally:
            with self._changed:
                self._open -= 1
                self._begun -= share.begun
                share.begun = False
                self._changed.notify_all()

    @contextmanager
    def reserve(
        self, share: Share, *, least: float, most: float, give_up: Callable[[], bool]
    ) -> Iterator[Reservation | None]:
        """See Share.reserve."""
        granted = self._commit(share, least=least, most=most, give_up=give_up)
        if granted is None:
            yield None
            return
        reservation = Reservation(granted)
        try:
            yield reservation
        finally:
            with self._changed:
                self._committed += reservation.charge - granted
                self._calls -= 1
                self._changed.notify_all()

    def left_for(self, share: Share) -> float:
        """See Share.left."""
        with self._changed:
            return share.limit() - self._committed

    def _commit(self, share: Share, *, least: float, most: float, give_up: Callable[[], bool]) -> float | None:
        with self._changed:
            while not self._can_afford(share, least):
                if not self._may_get_change(share) or give_up():
                    return None
                self._changed.wait(POLL_SECONDS)
            fair = (share.limit() - self._committed) / max(1, self._open - self._calls)
            granted = min(most, max(least, fair))
            self._committed += granted
            self._calls += 1
            if not share.begun:
                self._begun += 1
                share.begun = True
            return granted

    def _can_afford(self, share: Share, least: float) -> bool:
        """True if the call fits. A proposal that has not begun leaves room for one more call of each that has."""
        calls = 1 if share.begun else 1 + self._begun
        return self._committed + calls * least <= share.limit()

    def _may_get_change(self, share: Share) -> bool:
        """True if there may be room later: when a running call, or a proposal that has begun, has ended."""
        return self._calls > 0 or (self._begun > 0 and not share.begun)


class Share:
    """One proposal's access to the purse."""

    def __init__(self, purse: Purse, limit: Callable[[], float]) -> None:
        self._purse = purse
        self.limit = limit
        # True after the proposal has paid for a call.
        self.begun = False

    @property
    def left(self) -> float:
        """Dollars that are neither spent nor set aside now; below 0 if more was spent than there was."""
        return self._purse.left_for(self)

    @contextmanager
    def reserve(
        self, *, least: float, most: float, give_up: Callable[[], bool] = lambda: False
    ) -> Iterator[Reservation | None]:
        """Set dollars aside for one call: at least `least`, at most `most`; wait for what others give back if need be.

        None, with nothing set aside, if the call could cross the limit and no room can come, or if `give_up` says so.
        """
        with self._purse.reserve(self, least=least, most=most, give_up=give_up) as reservation:
            yield reservation
