"""The one line that an attempt's verdict travels in, also its container's termination message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

PREFIX = "@@RESULT v1 "
LIMIT_BYTES = 3000  # a termination message holds 4096
EXPLANATION_LENGTH = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the examiner found. None stands for what was not reached; scores in bits per byte, the rest in nats."""

    attempt: str
    verdict: str
    data: str
    probes: int
    sequences: int
    seconds: Mapping[str, float | None]
    test: str | None = None
    explanation: str | None = None
    val_bpb: float | None = None
    raw_bpb: float | None = None
    holdout_bpb: float | None = None
    inflation: float | None = None
    inflation_error: float | None = None
    hits: int | None = None
    spread: float | None = None
    restart: float | None = None
    restart_error: float | None = None
    tokens: int | None = None
    bytes: int | None = None

    def line(self) -> str:
        """The result line; ASCII and below LIMIT_BYTES whatever the explanation holds."""
        fields = asdict(self) | {"explanation": self.explanation and self.explanation[:EXPLANATION_LENGTH]}
        rounded = {name: round(value, 9) if isinstance(value, float) else value for name, value in fields.items()}
        line = PREFIX + json.dumps(rounded, allow_nan=False)
        if len(line) > LIMIT_BYTES:
            line = PREFIX + json.dumps(rounded | {"explanation": None}, allow_nan=False)
        return line
