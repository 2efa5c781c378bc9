"""The result line: the examiner prints it last, and writes it as its container's termination message."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exam.kit.errors import EXIT_DATA, EXIT_UNREADY, DataError, Unready, setting

PREFIX = "@@RESULT v1 "
LIMIT_BYTES = 3000
"""Longest line, in bytes: Kubernetes keeps 4,096 bytes of a termination message."""

EXPLANATION_LENGTH = 600
"""Characters of an explanation that are kept. JSON in ASCII takes up to twelve bytes for one."""


def format_line(fields: Mapping[str, Any]) -> str:
    """Format the result line: ASCII, and shorter than LIMIT_BYTES whatever `explanation` holds.

    fields: with a text or None as `explanation`; fractions are rounded to nine digits.
    """
    explanation = fields["explanation"]
    shown = {**fields, "explanation": explanation and explanation[:EXPLANATION_LENGTH]}
    rounded = {name: round(value, 9) if isinstance(value, float) else value for name, value in shown.items()}
    line = PREFIX + json.dumps(rounded, allow_nan=False)
    if len(line) > LIMIT_BYTES:
        line = PREFIX + json.dumps(rounded | {"explanation": None}, allow_nan=False)
    return line


def deliver(hold_exam: Callable[[], str], environment: Mapping[str, str]) -> int:
    """Hold an exam, write its line to AUTORESEARCH_RESULT and print it; returns the exit code of the phase `examine`.

    That is 0 for any verdict, 2 if data or settings are wrong, and 75 if the model was not loaded in time.
    """
    try:
        target = Path(setting(environment, "AUTORESEARCH_RESULT"))
        line = hold_exam()
    except DataError as error:
        print(f"examine: {error}", file=sys.stderr)
        return EXIT_DATA
    except Unready as unready:
        print(f"examine: {unready}; the machine may be busy, so the try does not count", file=sys.stderr)
        return EXIT_UNREADY
    # kubelet reads this file when the container has ended.
    target.write_text(line + "\n")
    # Where the output is no terminal, Python keeps it until it is flushed.
    print(line, flush=True)
    return 0
