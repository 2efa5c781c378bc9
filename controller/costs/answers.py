"""Tells what an answer of an experiment's model costs: time by the examiner's clock, memory by its supervisor. Pure.

Training has a budget, inference has none: an ensemble of a hundred models, or a search through the training text for
each token, would be a gain that nobody wants to pay for. So the cost stands beside every score, and a guard bounds it
(`planning/guards.py`).
"""

from __future__ import annotations

from controller.domain import Experiment, Outcome
from controller.text.figures import seconds_text


def seconds_per_answer(experiment: Experiment) -> float | None:
    """Least seconds of one answer among its scored runs, as neighbours only add to them; None where none measured."""
    return min(_measured(experiment, "seconds_per_answer"), default=None)


def answer_memory_gb(experiment: Experiment) -> float | None:
    """Most memory that one process of its model held in a scored run, in GiB; None where nobody told."""
    return max(_measured(experiment, "answer_memory_gb"), default=None)


def answer_text(experiment: Experiment) -> str:
    """`41 µs, 0.61 GB`, or what is known of it; empty if nothing is."""
    seconds, memory = seconds_per_answer(experiment), answer_memory_gb(experiment)
    parts = ["" if seconds is None else seconds_text(seconds), "" if memory is None else f"{memory:.2f} GB"]
    return ", ".join(filter(None, parts))


def _measured(experiment: Experiment, name: str) -> list[float]:
    values = []
    for attempt in experiment.attempts:
        result = attempt.result
        value = getattr(result.exam, name) if result and result.exam and result.outcome is Outcome.SCORED else None
        if value is not None:
            values.append(value)
    return values
