"""SIGINT and SIGTERM as a request to stop, or as the end of a block that has to clear away after itself."""

from __future__ import annotations

import os
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


class _Ended(BaseException):
    """A signal that came. Derived as KeyboardInterrupt is, so that nobody takes it for an error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def clearing_away_on_signals() -> Iterator[None]:
    """SIGINT and SIGTERM unwind the block, which may clear away, and then end the process.

    A second one ends it at once. One that is ignored, as by a shell for its background, stays ignored.
    """

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _Ended(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in heard:
            signal.signal(number, handle)
        yield
    except _Ended as ended:
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)
    finally:
        for number in heard:
            signal.signal(number, before[number])
