"""What proposals that are thought of at the same time let each other know: who is at work, and what was submitted.

A history is told once, at the start of a conversation; what others submit meanwhile is only known here. In memory
alone: the lab knows it a moment later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from controller.agent.claude.history import Edit

REMEMBERED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A submission. program: its fingerprint (`novelty.fingerprint`)."""

    program: str
    title: str
    edit: Edit


class Board:
    """Submissions of this process, the newest last; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._submitted: deque[Submitted] = deque(maxlen=REMEMBERED)
        self._present = 0

    @contextmanager
    def joined(self) -> Iterator[int]:
        """While one proposal is thought of; how many others are."""
        with self._lock:
            others = self._present
            self._present += 1
        try:
            yield others
        finally:
            with self._lock:
                self._present -= 1

    @property
    def submitted(self) -> tuple[Submitted, ...]:
        """What was submitted."""
        with self._lock:
            return tuple(self._submitted)

    def submit(self, submission: Submitted) -> bool:
        """Put a submission up; False where its very program hangs there already."""
        with self._lock:
            if any(known.program == submission.program for known in self._submitted):
                return False
            self._submitted.append(submission)
            return True
