"""The books of a campaign's model calls: every call written down durably before its reply is used.

Calls come from agents' threads, so this keeps a ref of its own, and opens the lab anew for each of them; the process
that writes here holds the lab's lock.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock

from pydantic import TypeAdapter

from controller import money
from controller.domain import Cost
from controller.errors import LabError
from controller.lab import Lab
from controller.writer import LabWriter

_ADAPTER = TypeAdapter(money.CallRecord)

PATIENCE_SECONDS = (0.1, 0.4, 1.5, 3.0)
"""Housekeeping by others takes a folder or a lock away from under a writer for a moment."""


class Booking:
    """Books calls into the lab and knows what they cost so far; safe to use from several threads."""

    def __init__(self, lab: Path, tag: str) -> None:
        self._path = lab
        self._tag = tag
        self._lock = Lock()
        self._calls = {call.id: call for call in read_calls(Lab.open(lab), tag)}
        self._cost = money.total(self._calls.values())

    def book(self, call: money.CallRecord) -> None:
        """Write one record; it is on disk when this returns. Raises LabError."""
        with self._lock:
            self._store(call)
            self._calls[call.id] = call
            self._cost = money.total(self._calls.values())

    def _store(self, call: money.CallRecord) -> None:
        line = _ADAPTER.dump_json(call)
        for seconds in PATIENCE_SECONDS:
            try:
                self._add(call.proposal, line, at=call.at)
            except LabError:
                time.sleep(seconds)
            else:
                return
        self._add(call.proposal, line, at=call.at)

    def _add(self, proposal: int, line: bytes, *, at: float) -> None:
        # A handle remembers packed refs, and may not notice that they were packed again within the same second.
        LabWriter.open(self._path).add_call(self._tag, proposal, line, at=at)

    @property
    def cost(self) -> Cost:
        """Of all calls; one that never ended counts as the most it can have cost."""
        with self._lock:
            return self._cost


def read_calls(lab: Lab, tag: str) -> list[money.CallRecord]:
    """Every booked record, oldest first within a proposal; the last of an id counts."""
    return [_ADAPTER.validate_json(line) for line in lab.calls(tag)]
