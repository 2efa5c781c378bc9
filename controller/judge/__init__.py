"""Decides from scores: run a candidate again, keep it or discard it. Pure: no I/O, no clock, no randomness.

A judge sees scores, line counts and recorded verdicts only. The exam decides which scores count.
docs/judging.md describes the rules and their results in simulation.

interface  the values that go in and out of a judge, and the Judge protocol
ledger     the default: every attempt is evidence; `gauss` is its variant
belief     the ledger's arithmetic: from scores to a belief, by Bayes' rule
levels     the levels of former incumbents, and how far they hang together with today's
kept_edits  what later runs tell about kept edits, and the worth of a run without one
doubt      leaves a kept edit out when that is worth its price, and undoes it if it fails
confirm    a candidate must beat the incumbent in two attempts
chance     the keeps that a policy has where no edit does anything
greedy     upstream's rule: one attempt that beats the best on record is kept
freshness  adds up what the exams of a lineage tell about known text
"""

from __future__ import annotations

from controller.judge.belief import weigh_by_gauss
from controller.judge.confirm import Confirm
from controller.judge.freshness import find_staleness, pool
from controller.judge.greedy import Greedy
from controller.judge.interface import Assessment, Candidate, Decision, Judge, State, make_candidate
from controller.judge.ledger import Ledger
from controller.settings import JudgeSettings

__all__ = [
    "Assessment",
    "Candidate",
    "Decision",
    "Judge",
    "State",
    "find_staleness",
    "make_candidate",
    "make_judge",
    "pool",
]

GAUSS_PRICE_FACTOR = 1.5
"""Times what an attempt normally earns: half of the ledger's factor. Chosen by simulation (docs/judging.md)."""


def make_judge(settings: JudgeSettings, *, minimize: bool) -> Judge:
    """Build the policy that the settings name; `minimize` is true if a lower score is better."""
    sign = -1.0 if minimize else 1.0
    match settings.policy:
        case "ledger":
            return Ledger(
                sign=sign,
                max_attempts=settings.max_runs,
                line_price=settings.line_price,
                doubts=settings.doubt != "never",
            )
        case "gauss":
            return Ledger(
                sign=sign,
                max_attempts=settings.max_runs,
                weigh=weigh_by_gauss,
                price_factor=GAUSS_PRICE_FACTOR,
                line_price=settings.line_price,
                doubts=settings.doubt != "never",
            )
        case "confirm":
            return Confirm(sign=sign, max_attempts=settings.max_runs)
        case "greedy":
            return Greedy(sign=sign)
