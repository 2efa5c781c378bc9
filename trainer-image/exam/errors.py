"""What can go wrong in an exam, by whose fault it is.

ExamError
├── DataError   the operator's data folder or settings: exit 2, no verdict
└── Rejection   the candidate's answers: a verdict, exit 0
"""

from __future__ import annotations

from collections.abc import Mapping

EXIT_DATA = 2  # the operator's fault: no verdict
EXIT_ARTIFACT = 3  # training left nothing that can be used


class ExamError(Exception):
    """Base of the exam's own errors; the message is one sentence for a person."""


class DataError(ExamError):
    """The data folder or the environment is not what the exam needs."""


class Rejection(ExamError):
    """The candidate failed a test of the exam.

    test: one of inflation, hits, spread, restart, precision, protocol, artifact.
    """

    def __init__(self, test: str, explanation: str) -> None:
        super().__init__(explanation)
        self.test = test
        self.explanation = explanation


def setting(environment: Mapping[str, str], name: str) -> str:
    """A variable that the executor must have set; raises DataError when it has not."""
    if not environment.get(name):
        raise DataError(f"{name} is not set: the phases of an attempt are started by an executor")
    return environment[name]


def number(environment: Mapping[str, str], name: str, *, default: float | None = None) -> float:
    """A variable that holds a number; without a default it must be there. Raises DataError."""
    text = setting(environment, name) if default is None else environment.get(name, str(default))
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{name} must be a number (got {text!r})") from None
