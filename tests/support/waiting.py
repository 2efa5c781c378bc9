"""Waiting for a condition until a deadline: the only place in tests/ that sleeps while it waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 200.0
"""For what takes seconds even beside busy neighbours, where the alternative would never end."""

LONGEST_PAUSE_S = 1.0
"""Between two questions of which each takes long."""


class DeadlineError(AssertionError):
    """A condition did not come true in time; the message names it."""


def wait_until(
    condition: Callable[[], T | None],
    *,
    what: str | Callable[[], str],
    seconds: float = PATIENCE_S,
    interval: float = 0.05,
) -> T:
    """Ask `condition` every `interval` seconds until it returns something true, and return that.

    A question that takes long is asked less often, because asking must not slow the thing that is waited for: kubectl
    needs .15 s of CPU for one. seconds: the deadline. Raises DeadlineError, naming `what` was awaited; a function is
    asked for it only then, so that it can read a log. What the condition raises passes through.
    """
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        if now >= deadline:
            named = what if isinstance(what, str) else what()
            raise DeadlineError(f"waited {seconds:g} s in vain for {named}")
        time.sleep(max(interval, min(LONGEST_PAUSE_S, 2 * (now - asked))))
