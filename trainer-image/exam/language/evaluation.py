"""Turn the answers of an exam into measurements and scores.

All functions are pure: examine.py asks the questions, and integrity.py judges the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exam.kit.rounds import Plan
from exam.language import freshness, integrity
from exam.language.dataset import ExamData, Floats
from exam.language.integrity import Limits, Measurements
from exam.language.scoring import Nats, bits_per_byte


@dataclass(frozen=True, slots=True)
class Answers:
    """The nll that the answers give to the targets, in nats."""

    probed: Nats
    """Of the label at each cut, withheld from the model, (N,)."""
    whole: Nats
    """Of every target of the pool, (S, T)."""
    fresh: Nats
    """Of the targets of the short round, by another process, (M, T)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The scores of an exam. Only scored targets count."""

    val: float
    """Of the validation set, corrected upwards, in bits per byte."""
    raw: float
    """Of the validation set as answered, in bits per byte."""
    holdout: float | None
    """Of the holdout, corrected upwards, in bits per byte; None if it was not asked."""
    tokens: int
    """Targets of the validation set."""
    bytes: int
    """Raw bytes that these stand for."""


def evaluate(data: ExamData, plan: Plan, answers: Answers, limits: Limits) -> tuple[Measurements, Score]:
    """Compute the measurements that the tests judge, and the scores."""
    byte_counts = data.token_bytes[data.sequences[:, 1:]].astype(np.int64)
    scored = byte_counts > 0
    withheld = answers.probed.astype(np.float64) - answers.whole[data.probed, data.cuts]
    drift = answers.fresh.astype(np.float64) - answers.whole[plan.repeats]
    counts = scored[plan.repeats].sum(axis=1)
    repeated = (drift * scored[plan.repeats]).sum(axis=1)[counts > 0] / counts[counts > 0]
    validation, fresh, holdout = data.parts
    asked_advantages, fresh_advantages = freshness.advantages(
        asked=mean_nll(answers.whole[validation], scored[validation]),
        fresh=mean_nll(answers.whole[fresh], scored[fresh]),
        asked_reference=data.validation_nll,
        fresh_reference=data.fresh_nll,
    )
    seen = integrity.measure(
        at_cuts=withheld,
        weights=data.weights,
        repeated=repeated,
        asked=asked_advantages,
        fresh=fresh_advantages,
        limits=limits,
    )

    def score_part(part: slice, added: float) -> float:
        nats = float(answers.whole[part][scored[part]].sum(dtype=np.float64))
        return bits_per_byte(nats + added * int(scored[part].sum()), int(byte_counts[part].sum()))

    added = integrity.correct_upwards(seen)
    return seen, Score(
        val=score_part(validation, added),
        raw=score_part(validation, 0.0),
        holdout=score_part(holdout, added) if len(data.holdout) else None,
        tokens=int(scored[validation].sum()),
        bytes=int(byte_counts[validation].sum()),
    )


def mean_nll(nats: Nats, scored: npt.NDArray[np.bool_]) -> Floats:
    """Mean nll of each sequence over its scored targets, (S,); 0 for a sequence without any."""
    means: Floats = (nats.astype(np.float64) * scored).sum(axis=1) / np.maximum(1, scored.sum(axis=1))
    return means
