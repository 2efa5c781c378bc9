"""Scores in, decisions out: run again, keep or discard, knowing what noise can do.

Three policies behind one interface: `ledger` (with its variant `gauss`), `confirm` and `greedy`. Pure: no I/O,
no clock, no randomness. Refuses to see anything but scores, line counts and recorded verdicts; what a score is
worth trusting is the exam's business. docs/judging.md tells the rules and how they did in simulation.
"""

from __future__ import annotations

from controller.judge.confirm import Confirm
from controller.judge.greedy import Greedy
from controller.judge.interface import Assessment, Candidate, Decision, Judge, Kept, State
from controller.judge.ledger import Ledger, gauss
from controller.settings import JudgeSettings

__all__ = ["Assessment", "Candidate", "Decision", "Judge", "Kept", "State", "make_judge"]


def make_judge(settings: JudgeSettings, *, minimize: bool) -> Judge:
    """The policy that the settings name, for a metric of which less (or more) is better."""
    sign = -1.0 if minimize else 1.0
    match settings.policy:
        case "ledger":
            return Ledger(sign=sign, max_runs=settings.max_runs)
        case "gauss":
            return Ledger(sign=sign, max_runs=settings.max_runs, density=gauss, price_factor=1.5)
        case "confirm":
            return Confirm(sign=sign, max_runs=settings.max_runs)
        case "greedy":
            return Greedy(sign=sign)
