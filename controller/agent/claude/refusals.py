"""Chooses the model to ask while models refuse: a second one answers what the first refused.

A request that was refused is refused again by the same model as a rule, and billed. So the second model is asked at
once, and goes on for a while; then one proposal finds out whether the first answers again. Benign work on language
models, which is what campaigns are about, can be refused as work on a competing one.
"""

from __future__ import annotations

from threading import Lock

STICKY_SECONDS = 3600.0
"""Seconds for which the second model goes on before the first is tried again: a refused try is paid for."""

TOLD_AFTER = 3
"""Proposals in a row that no model took, after which the operator is told."""


class Refusals:
    """The newest refusals; safe to share between threads."""

    def __init__(self, second: str | None) -> None:
        """second: the model that answers what another refuses; None if there is none."""
        self._second = second
        self._avoided_until: dict[str, float] = {}
        self._in_a_row = 0
        self._last = ""
        self._lock = Lock()

    def choose_models(self, wanted: str, *, now: float) -> tuple[str, ...]:
        """The models to ask for one proposal, in turn while they refuse. Of many proposals only one tries `wanted`
        again when its time has come."""
        second = self._second
        if second is None or second == wanted:
            return (wanted,)
        with self._lock:
            until = self._avoided_until.get(wanted)
            if until is None:
                return (wanted, second)
            if now < until:
                return (second,)
            self._avoided_until[wanted] = now + STICKY_SECONDS
            return (wanted, second)

    def note_refusal(self, model: str, *, wanted: str, now: float) -> None:
        """A model refused a proposal for which `wanted` was the first choice."""
        with self._lock:
            if model == wanted:
                self._avoided_until[wanted] = now + STICKY_SECONDS
            else:
                # The second is no better, so there is no reason to avoid the first.
                self._avoided_until.pop(wanted, None)

    def note_answer(self, model: str) -> None:
        """A model took a proposal on."""
        with self._lock:
            self._avoided_until.pop(model, None)
            self._in_a_row = 0

    def avoid_second(self, wanted: str) -> None:
        """The second model cannot be asked at all: the first one is again."""
        with self._lock:
            self._avoided_until.pop(wanted, None)

    def note_proposal_refused(self, reason: str) -> None:
        """No model took a proposal on."""
        with self._lock:
            self._in_a_row += 1
            self._last = reason

    @property
    def trouble(self) -> str:
        """One sentence for the operator after several proposals in a row that no model took; else empty."""
        with self._lock:
            if self._in_a_row < TOLD_AFTER:
                return ""
            more = "set agent.claude.refusal_model to a second model" if self._second is None else "try other models"
            return (
                f"{self._in_a_row} proposals in a row were refused ({self._last}): "
                f"say in the brief what the work is for, or {more}"
            )
