"""Keeps exams apart from what could hear of them and be heard: smoke tests, and programs that propose.

Programs that run at the same time can pass bits to each other (docs/exam.md). What a smoke test prints is told to the
agent, and a program that proposes is the agent. So neither runs beside a candidate, which knows what the exam asks. The
exam goes first: a smoke test under way is ended for it, and begins anew later; a program is frozen as a whole and goes
on afterwards. Where this machine cannot freeze it, they take turns: the exam waits for programs under way, and programs
that are to begin wait for the exam.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from controller.executor.local.freezer import Freezer
from controller.executor.local.process import Stop

_LOOK_S = 0.02
"""Pause between two looks whether a program stands still, or whether to give up, in seconds."""


class ProgramHours:
    """One program that proposes, as far as exams concern it; ExamHours alone changes it, under its lock."""

    def __init__(self, freezer: Freezer | None) -> None:
        self._freezer = freezer
        self._still_since: float | None = None
        self._still_before = 0.0

    @property
    def still_seconds(self) -> float:
        """Seconds so far for which it stood still; they are not counted against it."""
        since = self._still_since
        # A frozen process does not notice: its clocks go on, and its timers fire when it thaws.
        return self._still_before + (0.0 if since is None else time.monotonic() - since)

    def freeze(self) -> None:
        """Ask for it to stand still, as far as that is possible here."""
        if self._freezer is not None:
            # A process in the kernel, which waits for a disk for example, freezes when it returns from there.
            self._freezer.freeze()

    def stands_still(self) -> bool:
        """True once none of its processes runs; False for ever where none can be frozen."""
        if self._freezer is None or not self._freezer.is_frozen:
            return False
        if self._still_since is None:
            self._still_since = time.monotonic()
        return True

    def go_on(self) -> None:
        """Let it run again."""
        if self._freezer is not None:
            self._freezer.thaw()
        self._still_before, self._still_since = self.still_seconds, None


class ExamHours:
    """The exams of this process, and what keeps clear of them; safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._exams = 0
        self._smoke_tests: list[Stop] = []
        self._programs: list[ProgramHours] = []

    @contextmanager
    def hold_exam(self, *, give_up: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """End smoke tests and freeze programs; begin when nothing of them runs, and let none run until it is over.

        Gives False, with no hour held, if `give_up` said so while it waited.
        """
        with self._changed:
            self._exams += 1
            for stop in self._smoke_tests:
                stop.set()
            for program in self._programs:
                program.freeze()
        try:
            yield self._wait_until_alone(give_up)
        finally:
            with self._changed:
                self._exams -= 1
                for program in self._programs if not self._exams else ():
                    program.go_on()
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

    @contextmanager
    def hold_program(self, freezer: Freezer | None, *, give_up: Callable[[], bool]) -> Iterator[ProgramHours | None]:
        """Wait for an hour without an exam, and have the program stand still in those that follow.

        freezer: of the cgroup in which it runs, all of it; None where it cannot be frozen. Nothing of the program may
        be left when this ends. Gives None, and then no program may begin, if `give_up` said so while it waited.
        """
        program = ProgramHours(freezer)
        with self._changed:
            while (wait := self._exams > 0) and not give_up():
                self._changed.wait(_LOOK_S)
            if not wait:
                self._programs.append(program)
        try:
            yield None if wait else program
        finally:
            with self._changed:
                if not wait:
                    self._programs.remove(program)
                self._changed.notify_all()

    def _wait_until_alone(self, give_up: Callable[[], bool]) -> bool:
        """Wait until no smoke test is left and every program stands still or has ended."""
        with self._changed:
            # The kernel announces no end of freezing in version 1, so it is asked again and again.
            while self._smoke_tests or self._find_moving():
                if give_up():
                    return False
                self._changed.wait(_LOOK_S)
            return True

    def _find_moving(self) -> list[ProgramHours]:
        """The programs that do not stand still. All are asked, so that each counts its seconds from when it does."""
        return [program for program in self._programs if not program.stands_still()]


EXAM_HOURS = ExamHours()
"""Those of this process. Whatever it runs side by side meets here: its executors, and the programs that propose."""
