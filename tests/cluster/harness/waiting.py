"""Waiting for a condition until a deadline: the only place of the harness that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class ClusterError(Exception):
    """The test cluster could not do what it was asked; the message says what, where and what to do."""


class DeadlineError(ClusterError):
    """A condition did not come true in time; the message names it."""


def wait_until(condition: Callable[[], T | None], *, what: str, seconds: float, interval: float = 0.1) -> T:
    """Ask `condition` every `interval` seconds until it returns something true, and return that.

    seconds: the deadline. Raises DeadlineError, naming `what` was awaited. What the condition raises passes through.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise DeadlineError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(interval)
