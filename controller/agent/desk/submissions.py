"""Submissions of proposals that are written side by side, and the number of these proposals.

A conversation is told the history once, at its start. Only from here does it learn what others have submitted since. In
memory alone, because the lab stores each submission a moment later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from controller.agent.desk.history import ChangedLines

REMEMBERED = 64
"""Submissions remembered: several for each proposal that may be under way during one conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """One submission."""

    program: str
    """Fingerprint of the whole edited program (`novelty.fingerprint`)."""

    title: str
    edit: ChangedLines


class Submissions:
    """Submissions of this process, the newest last; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._submitted: deque[Submitted] = deque(maxlen=REMEMBERED)
        self._present = 0

    @contextmanager
    def join(self) -> Iterator[int]:
        """Count one more proposal while it is written; gives the number of others."""
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
        """The remembered submissions, the newest last."""
        with self._lock:
            return tuple(self._submitted)

    def submit(self, submission: Submitted) -> bool:
        """Remember a submission; false if the same program was submitted already."""
        with self._lock:
            if any(known.program == submission.program for known in self._submitted):
                return False
            self._submitted.append(submission)
            return True
