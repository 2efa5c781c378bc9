"""SIGINT and SIGTERM as a request to stop, for as long as a loop runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_signals(stop: Callable[[str], None]) -> Iterator[None]:
    """SIGINT and SIGTERM end the loop cleanly; a second one is the system's own business."""

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        stop("interrupted" if number == signal.SIGINT else "terminated")

    # Read before the first is changed, as a signal may come between the two changes.
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
