"""Adds up the exam's freshness over a lineage: a leak too small for one exam shows in many.

Freshness is the advantage over a reference model on text that every exam asks, less that on text never asked before.
It is zero for honest code, whatever the code has learnt, up to the choice of the texts. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, hypot, sqrt
from statistics import fmean

from controller.domain import ExamReport, Experiment

FLOOR = 0.02
"""Nats. A mean that is not above this always passes, as in exam/language/integrity.py."""

ERRORS = 5.0
"""Standard errors beyond which a mean does not count as chance: one honest mean in 3.5 million lies there, and a
campaign makes thousands."""


def find_staleness(experiment: Experiment, kept: Sequence[Experiment]) -> str:
    """One sentence if this experiment and what it stands on know text that exams ask often; empty if not.

    kept: the baseline, then every kept experiment in the order of the branch. The experiment's own exams are judged,
    then these with its base's, and so on back to the baseline, because the leak may have begun anywhere.
    """
    if not _measured(experiment):
        return ""
    exams: list[ExamReport] = []
    numbers: list[int] = []
    for member in (experiment, *reversed(_ancestors(experiment, kept))):
        exams += _measured(member)
        numbers.append(member.number)
        mean, error = pool(exams)
        if mean > max(FLOOR, ERRORS * error):
            whose = f", over experiments {', '.join(map(str, sorted(numbers)))}" if len(numbers) > 1 else ""
            if experiment.exams[0].questions is not None:
                return (
                    f"knows what every exam asks: it is {mean:.2f} ± {error:.2f} standard deviations better on that "
                    f"than on items that were never asked (n = {len(exams)}{whose})"
                )
            return (
                f"knows the exam's text: against a reference model it is {mean:.3f} ± {error:.3f} nats better on text "
                f"that every exam asks than on text that was never asked (n = {len(exams)}{whose})"
            )
    return ""


def pool(exams: Sequence[ExamReport]) -> tuple[float, float]:
    """Mean freshness of exams with its standard error; 0 and 0 without exams.

    The text that every exam asks is the same one, so that its part of the error does not shrink with more exams.
    """
    if not exams:
        return 0.0, 0.0
    asked = fmean(exam.asked_error or 0.0 for exam in exams)
    fresh = [exam.freshness_error or 0.0 for exam in exams]
    error = hypot(asked, sqrt(fsum(each * each for each in fresh)) / len(exams))
    return fmean(exam.freshness or 0.0 for exam in exams), error


def _measured(experiment: Experiment) -> list[ExamReport]:
    return [exam for exam in experiment.exams if exam.freshness is not None]


def _ancestors(experiment: Experiment, kept: Sequence[Experiment]) -> list[Experiment]:
    """The kept experiments that its base holds, the baseline left out: people wrote that."""
    found: list[Experiment] = []
    for each in kept[1:]:
        if each.judgement and each.judgement.replaces:
            found = [other for other in found if other.number not in each.judgement.replaces]
        found.append(each)
        if each.judgement and each.judgement.kept_as == experiment.base:
            return found
    return []
