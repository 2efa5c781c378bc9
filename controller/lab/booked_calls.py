"""Books a campaign's model calls: each one is written to the lab before its reply is used, so a crash loses no cost.

Agents call from threads of their own. The calls therefore have a ref of their own, which the loop's writes never
touch, and each booking opens the lab anew, because threads cannot share an open repository. The process that books
holds the lab's lock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock

from pydantic import TypeAdapter

from controller.costs import model_calls
from controller.costs.call_totals import CallTotals
from controller.domain import Cost
from controller.errors import LabError
from controller.lab import Lab
from controller.lab.writer import LabWriter

_ADAPTER = TypeAdapter(model_calls.CallRecord)

RETRY_SECONDS = (0.1, 0.4, 1.5, 3.0)
"""Seconds between two attempts to book. Another program's `git gc` may hold a lock file or remove an empty folder for
a moment; after five seconds in all the fault is a lasting one."""


class BookedCalls:
    """The calls of one campaign and what they cost; safe to use from several threads."""

    def __init__(self, lab: Path, tag: str) -> None:
        self._path = lab
        self._tag = tag
        self._lock = Lock()
        self._totals = CallTotals()
        for call in {call.id: call for call in read_calls(Lab.open(lab), tag)}.values():
            # A call without an end was under way when another process was killed: nobody knows what it cost.
            self._totals.put(replace(call, expected=None))

    def book(self, call: model_calls.CallRecord) -> None:
        """Write one record; it is on disk when this returns. Raises LabError."""
        with self._lock:
            self._store_call(call)
            self._totals.put(call)

    def _store_call(self, call: model_calls.CallRecord) -> None:
        line = _ADAPTER.dump_json(call)
        for seconds in RETRY_SECONDS:
            try:
                self._append_line(call.proposal, line, at=call.at)
            except LabError:
                time.sleep(seconds)
            else:
                return
        self._append_line(call.proposal, line, at=call.at)

    def _append_line(self, proposal: int, line: bytes, *, at: float) -> None:
        # libgit2 caches packed-refs by its time stamp, and misses a second packing within the same second.
        LabWriter.open(self._path).add_call(self._tag, proposal, line, at=at)

    @property
    def cost(self) -> Cost:
        """Cost of all calls; what one under way is expected to cost is in it."""
        with self._lock:
            return self._totals.cost

    @property
    def refusals(self) -> Mapping[str, int]:
        """Number of calls that the model refused, by the API's category."""
        with self._lock:
            return dict(self._totals.refusals)


def read_calls(lab: Lab, tag: str) -> list[model_calls.CallRecord]:
    """Every booked record, oldest first within a proposal. Of several records with one id the last counts."""
    return [_ADAPTER.validate_json(line) for line in lab.calls(tag)]
