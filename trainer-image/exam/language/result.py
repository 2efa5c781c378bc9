"""The fields of a language exam's result line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from exam.kit.result import format_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The fields of the result line. None in a number means that the exam did not get so far."""

    attempt: str
    """Name of the try, as the executor gave it: its reader can tell that the line belongs to it."""
    verdict: str
    """`scored` or `rejected`."""
    data: str
    """Identity of the data folder."""
    probes: int
    """Cuts of the probe set."""
    sequences: int
    """Sequences of the validation set."""
    fresh: int
    """Sequences that were never asked before."""
    seconds: Mapping[str, float | None]
    """Wall-clock seconds by step."""
    test: str | None = None
    """The failed test, as in errors.Rejection; None for `scored`."""
    explanation: str | None = None
    """One sentence on the failed test; None for `scored`."""
    val_bpb: float | None = None
    """The score, corrected upwards, in bits per byte."""
    raw_bpb: float | None = None
    """The same before the correction."""
    holdout_bpb: float | None = None
    """The holdout's score, corrected upwards, in bits per byte; None unless the exam was one for a claim."""
    # The measurements, as in integrity.Measurements: in nats, hits is a count.
    inflation: float | None = None
    inflation_error: float | None = None
    hits: int | None = None
    spread: float | None = None
    restart: float | None = None
    restart_error: float | None = None
    freshness: float | None = None
    asked_error: float | None = None
    freshness_error: float | None = None
    tokens: int | None = None
    """Scored targets of the validation set."""
    bytes: int | None = None
    """Raw bytes that these stand for."""
    seconds_per_answer: float | None = None
    """Mean wall-clock seconds of one answer, by the examiner's clock; for a language model, of one token's logits."""
    answer_memory_gb: float | None = None
    """Largest resident set of one of the candidate's processes, in GiB, by its supervisor."""

    def line(self) -> str:
        """Format the result line."""
        return format_line(asdict(self))
