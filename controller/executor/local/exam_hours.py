"""Keeps smoke tests and exams apart in time.

What a smoke test prints is told to the agent, and programs that run at the same time can pass bits to each other
(docs/exam.md). So none runs beside a probe or a candidate, which know what the exam asks. The exam goes first: a smoke
test under way is ended for it, and begins anew later.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from controller.executor.local.process import Stop


class ExamHours:
    """The exams and the smoke tests of one executor; safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._exams = 0
        self._smoke_tests: list[Stop] = []

    @contextmanager
    def hold_exam(self) -> Iterator[None]:
        """End the smoke tests under way, wait until they are gone, and let none begin until the exam is over."""
        with self._changed:
            self._exams += 1
            for stop in self._smoke_tests:
                stop.set()
            self._changed.wait_for(lambda: not self._smoke_tests)
        try:
            yield
        finally:
            with self._changed:
                self._exams -= 1
                self._changed.notify_all()

    @contextmanager
    def hold_smoke_test(self, *, seconds: float) -> Iterator[Stop | None]:
        """Wait for an hour without an exam; gives what tells that one begins. None if there is none for so long."""
        stop = Stop()
        with self._changed:
            free = self._changed.wait_for(lambda: not self._exams, timeout=seconds)
            if free:
                self._smoke_tests.append(stop)
        try:
            yield stop if free else None
        finally:
            with self._changed:
                if free:
                    self._smoke_tests.remove(stop)
                self._changed.notify_all()
