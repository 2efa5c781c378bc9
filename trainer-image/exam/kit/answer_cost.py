"""Add up the cost of a candidate's answers: its time by the examiner's clock, its memory by its supervisor.

Covered: time that a candidate takes for an answer, whatever it does with it and in however many processes; memory that
its processes held, freed or not.
Not covered: what it does while its model is loaded or at its first question, which may compile (both have limits of
their own); memory spread over processes that ended before the exam did (the sandbox's limit bounds their sum); memory
of a GPU; a process that gives memory back and then resets its own mark in /proc.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class AnswerCost:
    """The cost so far of the answers of all candidates of one exam."""

    seconds: float = 0.0
    """Wall seconds between questions and their whole answers. An answer that is there before the examiner has scored
    the one before counts as long as that scoring."""
    answers: int = 0
    """Answers in that time; for a language model, one for each token asked."""
    peak_bytes: int | None = None
    """Most memory that its processes held, in bytes; None until a supervisor has told."""

    @property
    def seconds_each(self) -> float | None:
        """Mean seconds of one answer; None if none was timed."""
        return self.seconds / self.answers if self.answers else None

    @property
    def memory_gb(self) -> float | None:
        """The same memory in GiB."""
        return None if self.peak_bytes is None else self.peak_bytes / 2**30

    def add(self, seconds: float, *, answers: int) -> None:
        """Add the time of one question."""
        self.seconds += seconds
        self.answers += answers

    def add_peak(self, peak_bytes: int | None) -> None:
        """Take in what the supervisor of one process told at its end."""
        if peak_bytes is not None:
            self.peak_bytes = max(self.peak_bytes or 0, peak_bytes)
