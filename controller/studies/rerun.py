"""Runs one program again, with fresh seeds, and measures the noise where an A/A study asks for it. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from controller.domain import Verdict
from controller.judge import Candidate, Decision, Judge
from controller.studies.study import Arm, Study, StudyKind

RERUN_SEEDS = 3
"""Runs of `rerun`: as many as a baseline has."""

AA_SEEDS = 15
"""Runs of `aa`: enough to know sigma to within a fifth, and to give the judge some ten edits that do nothing."""

AA_EXPERIMENTS = 40
"""Edits of each campaign that is drawn from the runs."""

AA_CAMPAIGNS = 200
"""Campaigns that are drawn; the mean number of keeps is then known to within a tenth."""

INTERVAL_TAIL = 0.025
"""Probability beyond each end of an interval, so 95 % within: for numbers on which no word depends."""


def plan_rerun(arm: Arm, *, number: int, at: float) -> Study:
    """Runs of one program again, scored as in the campaign."""
    question = f"rerun {arm.commit} {arm.seeds} seeds"
    return Study(kind=StudyKind.RERUN, number=number, question=question, arms=(arm,), began_at=at)


def plan_aa(arm: Arm, *, number: int, at: float) -> Study:
    """Runs of the unchanged program against itself."""
    question = f"aa {arm.commit} {arm.seeds} seeds"
    return Study(kind=StudyKind.AA, number=number, question=question, arms=(arm,), began_at=at)


@dataclass(frozen=True, slots=True)
class Replay:
    """The verdicts of a judge on runs of one program, taken as edits that do nothing."""

    judged: int
    kept: int


def replay(scores: Sequence[float], judge: Judge, *, baseline_runs: int) -> Replay | None:
    """Take the first runs as the baseline's and each later one as an edit's, run again as the judge asks.

    None if there are not more runs than the baseline takes. The last edit is judged by the runs that are left for it.
    """
    if len(scores) <= baseline_runs:
        return None
    state = judge.begin(scores[:baseline_runs])
    left = list(scores[baseline_runs:])
    judged = kept = 0
    while left:
        runs = [left.pop(0)]
        candidate = Candidate(scores=tuple(runs), line_change=0)
        while left and judge.assess(state, candidate).decision is Decision.RERUN:
            runs.append(left.pop(0))
            candidate = Candidate(scores=tuple(runs), line_change=0)
        keeps = judge.assess(state, candidate, may_rerun=False).decision is Decision.KEEP
        state = judge.conclude(state, candidate, Verdict.KEEP if keeps else Verdict.DISCARD)
        judged, kept = judged + 1, kept + keeps
    return Replay(judged=judged, kept=kept)


def expect_keeps(
    scores: Sequence[float], judge: Judge, *, baseline_runs: int, max_runs: int, seed: int = 0
) -> tuple[float, float]:
    """Mean keeps of 40 edits that do nothing, with its standard error, in campaigns drawn from measured runs.

    The runs are drawn with replacement, and smoothed where no two are equal (Silverman 1986, section 6.4): equal scores
    would look exact to the judge, which they are not.
    """
    draw, counts = random.Random(seed), []
    for _ in range(AA_CAMPAIGNS):
        stream = _resample(scores, AA_EXPERIMENTS * max_runs + baseline_runs, draw)
        counts.append(_count_keeps(stream, judge, baseline_runs=baseline_runs))
    return fmean(counts), stdev(counts) / sqrt(len(counts))


def _count_keeps(stream: Sequence[float], judge: Judge, *, baseline_runs: int) -> int:
    """Keeps among the first AA_EXPERIMENTS edits of a stream of runs that is long enough for all of them."""
    state, left, kept = judge.begin(stream[:baseline_runs]), iter(stream[baseline_runs:]), 0
    for _ in range(AA_EXPERIMENTS):
        candidate = Candidate(scores=(next(left),), line_change=0)
        while (assessment := judge.assess(state, candidate)).decision is Decision.RERUN:
            candidate = Candidate(scores=(*candidate.scores, next(left)), line_change=0)
        keeps = assessment.decision is Decision.KEEP
        state = judge.conclude(state, candidate, Verdict.KEEP if keeps else Verdict.DISCARD)
        kept += keeps
    return kept


def _resample(scores: Sequence[float], count: int, draw: random.Random) -> list[float]:
    mean = fmean(scores)
    if len(set(scores)) < len(scores):
        return [draw.choice(scores) for _ in range(count)]
    # A kernel as wide as h sigma would widen the spread by the root of 1 + h^2, which is taken back.
    h = len(scores) ** -0.2
    sigma, shrink = stdev(scores), 1.0 / sqrt(1.0 + h * h)
    return [mean + shrink * (draw.choice(scores) - mean + h * sigma * draw.gauss(0.0, 1.0)) for _ in range(count)]
