"""Writes the loop's newest activity beside the lab, for commands that run in another process."""

from __future__ import annotations

import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from controller.errors import AutoresearchError
from controller.lab.writer import LabWriter
from controller.notices import Activity, Cause, End, activity_to_json

REWRITTEN_SECONDS = 10.0
"""Seconds after which an unchanged activity is written again. A longer silence means that the loop is stuck."""


class ActivityWriter:
    """A context for the time in which this process holds the lab; an error that ends it is written as its end.

    pid, since: this process, and the Unix time that the lab's lock file holds.
    """

    def __init__(self, lab: LabWriter, *, tag: str, pid: int, since: float) -> None:
        self._lab = lab
        self._start = Activity(tag=tag, pid=pid, since=since)
        self._last: Activity | None = None

    def __enter__(self) -> Self:
        self.write(self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, AutoresearchError):
            self.write_end(End(cause=Cause.FAILURE, reason=str(error), at=time.time()))

    def write(self, activity: Activity) -> Activity:
        """Write the activity if it has changed or is due, and return it with process and time filled in."""
        activity = replace(activity, pid=self._start.pid, since=self._start.since, heard_at=time.time())
        if self._last is None or self._is_news(activity, self._last):
            self._lab.write_activity(activity_to_json(activity))
            self._last = activity
        return activity

    def write_end(self, end: End) -> None:
        """Write that the loop has ended."""
        self.write(replace(self._start, turned=True, end=end))

    def _is_news(self, activity: Activity, last: Activity) -> bool:
        changed = replace(activity, heard_at=last.heard_at) != last
        return changed or activity.heard_at >= last.heard_at + REWRITTEN_SECONDS
