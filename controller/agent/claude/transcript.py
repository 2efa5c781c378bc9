"""The whole exchange of one proposal as JSON lines, kept with the experiment.

What was sent is written once: the opening, then only what each turn added. The key is in no message; it is
struck out all the same, should a log or a gateway have echoed it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


class Transcript:
    """Lines in the order of events."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._lines: list[str] = []

    def add(self, event: str, **values: Any) -> None:
        """One event with its values."""
        self._lines.append(json.dumps({"event": event, **values}, ensure_ascii=False, sort_keys=False))

    def text(self) -> str:
        """All lines, ending in a newline."""
        return self._redact("".join(f"{line}\n" for line in self._lines))
