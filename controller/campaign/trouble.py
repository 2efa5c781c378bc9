"""Decides when a change of the trouble that an operator must mend is worth telling. Pure."""

from __future__ import annotations

RETOLD_SECONDS = 300.0
"""Seconds between two tellings of one lasting trouble whose words change. A cluster's message can change with every
try, and a terminal that repeats it every few seconds hides everything else."""


class TroubleTeller:
    """Remembers the trouble that was told last."""

    def __init__(self) -> None:
        self.told = ""
        """The sentence that was told last; empty if there is no trouble, or its end was told."""
        self._told_at = 0.0

    def is_news(self, trouble: str, *, now: float) -> bool:
        """True if `trouble` (empty: none) has to be told now; it then counts as told.

        The beginning and the end of trouble are always told, another wording of it at most every five minutes.
        now: clock seconds.
        """
        began_or_ended = bool(trouble) != bool(self.told)
        reworded = trouble != self.told and now >= self._told_at + RETOLD_SECONDS
        if not began_or_ended and not reworded:
            return False
        self.told = trouble
        self._told_at = now
        return True
