"""What an exam asks in which order, and what the answers are worth. Pure: asks nobody and judges nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exam import integrity
from exam.dataset import ExamData
from exam.integrity import Limits, Measurements
from exam.scoring import Nats, bits_per_byte

REPEATS = 512


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked in which order: `order` is all of the pool, `repeats` the part that a fresh process is asked.

    short_first: whether the short round comes before the restart or after it. A process cannot tell which
    round it is in, for both begin alike.
    """

    order: npt.NDArray[np.int64]
    repeats: npt.NDArray[np.int64]
    short_first: bool


def draw_plan(total: int, generator: np.random.Generator) -> Plan:
    """Draw the plan for a pool of `total` sequences, validation and holdout mixed.

    The short round is at most a quarter of the pool: a memory that has filled by the end of a short round
    would show in both rounds alike.
    """
    repeats = generator.permutation(total)[: max(2, min(REPEATS, total // 4))]
    return Plan(generator.permutation(total), repeats, bool(generator.integers(2)))


@dataclass(frozen=True, slots=True)
class Answers:
    """The nll of every target, in nats: probed (N,) with the label withheld; whole (S, T); fresh (M, T)."""

    probed: Nats
    whole: Nats
    fresh: Nats


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Bits per byte, corrected upwards but for `raw`; tokens and bytes of the validation set."""

    val: float
    raw: float
    holdout: float
    tokens: int
    bytes: int


def weigh(data: ExamData, plan: Plan, answers: Answers, limits: Limits) -> tuple[Measurements, Score]:
    """Pure: from nats to what the tests judge, and to the scores."""
    byte_counts = data.token_bytes[data.sequences[:, 1:]].astype(np.int64)
    scored = byte_counts > 0
    withheld = answers.probed.astype(np.float64) - answers.whole[data.probed, data.cuts]
    drift = answers.fresh.astype(np.float64) - answers.whole[plan.repeats]
    counts = scored[plan.repeats].sum(axis=1)
    repeated = (drift * scored[plan.repeats]).sum(axis=1)[counts > 0] / counts[counts > 0]
    seen = integrity.measure(at_cuts=withheld, repeated=repeated, limits=limits)

    def bpb(part: slice, added: float) -> float:
        nats = float(answers.whole[part][scored[part]].sum(dtype=np.float64))
        return bits_per_byte(nats + added * int(scored[part].sum()), int(byte_counts[part].sum()))

    validation, holdout = slice(0, len(data.validation)), slice(len(data.validation), None)
    added = integrity.correction(seen)
    return seen, Score(
        val=bpb(validation, added),
        raw=bpb(validation, 0.0),
        holdout=bpb(holdout, added),
        tokens=int(scored[validation].sum()),
        bytes=int(byte_counts[validation].sum()),
    )
