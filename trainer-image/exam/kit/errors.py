"""Errors of the exam, by whose fault they are, and the settings that its phases read from the environment.

ExamError
├── DataError   the operator's data folder or settings are wrong: exit 2, no verdict
├── Unready     the model was not loaded in time: exit 75, no verdict, and the executor tries again
└── Rejection   the candidate failed: the verdict is "rejected", exit 0
"""

from __future__ import annotations

from collections.abc import Mapping

EXIT_DATA = 2
"""Exit code for wrong data or settings, the operator's to correct: there is no verdict."""

EXIT_ARTIFACT = 3
"""Exit code when the training left no usable artifact."""

EXIT_UNREADY = 75
"""Exit code when no model was loaded in time: EX_TEMPFAIL of sysexits.h, "try again later"."""

CRASH = "crash"
"""The test that a candidate fails whose process ends by itself: most often a mistake, so the attempt has crashed."""


class ExamError(Exception):
    """Base of the exam's own errors; the message is one sentence for the user."""


class DataError(ExamError):
    """The data folder or the environment is not what the exam needs."""


class Unready(ExamError):
    """No model was loaded within the start-up limit, which a busy machine can cause as well as the candidate."""


class Rejection(ExamError):
    """The candidate failed a test of the exam."""

    def __init__(self, test: str, explanation: str) -> None:
        super().__init__(explanation)
        self.test = test
        """One of inflation, hits, spread, restart, precision, freshness, withheld, repeat, answer, protocol, artifact,
        CRASH."""
        self.explanation = explanation
        """One sentence that says what was seen."""


def setting(environment: Mapping[str, str], name: str) -> str:
    """Read a variable that the executor sets; raises DataError when it is missing."""
    if not environment.get(name):
        raise DataError(f"{name} is not set: the phases of an attempt are started by an executor")
    return environment[name]


def number(environment: Mapping[str, str], name: str, *, default: float | None = None) -> float:
    """Read a variable that holds a number; raises DataError when it is no number, or missing without a default."""
    text = setting(environment, name) if default is None else environment.get(name, str(default))
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{name} must be a number (got {text!r})") from None
