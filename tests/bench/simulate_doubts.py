"""Compares campaigns with doubts and without them on the same edits and the same luck, and prints the differences.

    python -m tests.bench.simulate_doubts --world harmful --runs 300 --campaigns 100

Gains and harm are in sigma of one run; harm is what the edits in the incumbent that make it worse cost together.
Errors are standard errors; that of a difference is taken over pairs of campaigns.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from controller.simulation.campaign import SimulatedCampaign
from controller.simulation.study import Case, average, make_settings
from controller.simulation.worlds import WORLDS

HELD_BACK = ("kind", "flat", "harmful", "slips", "small", "huge", "useless", "turning", "writer", "wild")
"""Worlds on which none of the judge's constants was chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One campaign after so many runs."""

    gain: float
    inflation: float
    left: int
    """Kept edits in the incumbent."""

    worthless: int
    harm: float
    undone: int
    spent: int
    """Runs without a kept edit."""


def play(case: Case, seed: int) -> list[End]:
    """One campaign, read after each number of runs."""
    campaign = SimulatedCampaign(make_settings(case), WORLDS[case.world], seed=f"{case.world} {seed}")
    ends = []
    for runs in case.runs:
        while campaign.campaign_state.attempts < runs and campaign.step() is None:
            pass
        state, effects = campaign.campaign_state, campaign.effects_left()
        level = state.state.level if state.state else 0.0
        ends.append(
            End(
                gain=campaign.truth,
                inflation=-level - campaign.truth,
                left=len(effects),
                worthless=sum(1 for effect in effects if effect <= 1e-9),
                harm=-sum(min(effect, 0.0) for effect in effects),
                undone=campaign.undone,
                spent=sum(len(e.attempts) for e in state.experiments.values() if e.doubts is not None),
            )
        )
    return ends


def row(name: str, pairs: Sequence[tuple[End, End]]) -> str:
    """One line of the table: without doubts, with them, and the difference."""

    def mean(of: Callable[[End], float], which: int) -> float:
        return fmean(of(pair[which]) for pair in pairs)

    def share(which: int) -> str:
        left = mean(lambda end: end.left, which)
        return f"{100 * mean(lambda end: end.worthless, which) / left:.0f}" if left else "-"

    cells = [
        name,
        f"{average([without.gain for without, _ in pairs])}",
        f"{average([doubting.gain - without.gain for without, doubting in pairs]):+}",
        f"{mean(lambda end: end.inflation, 0):+.2f}, {mean(lambda end: end.inflation, 1):+.2f}",
        f"{mean(lambda end: end.left, 0):.1f}, {mean(lambda end: end.left, 1):.1f}",
        f"{share(0)}, {share(1)}",
        f"{mean(lambda end: end.harm, 0):.2f}, {mean(lambda end: end.harm, 1):.2f}",
        f"{mean(lambda end: end.undone, 1):.1f}",
        f"{mean(lambda end: end.spent, 1):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Parse the flags, simulate, print; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", nargs="+", choices=sorted(WORLDS), default=[*HELD_BACK])
    parser.add_argument("--slots", nargs="+", type=int, default=[1])
    parser.add_argument("--runs", nargs="+", type=int, default=[50, 100, 300])
    parser.add_argument("--campaigns", type=int, default=100, help="pairs of campaigns for each line (default 100)")
    parser.add_argument("--policy", choices=("ledger", "gauss"), default="ledger")
    parser.add_argument("--seed", type=int, default=0, help="the first campaign's; others draw other campaigns")
    flags = parser.parse_args()
    titles = ("world, slots, runs", "gain without", "more with", "inflation", "left", "worthless, %", "harm", "undone")
    print(f"| {' | '.join((*titles, 'runs for it'))} |\n{'|---' * (len(titles) + 1)}|")
    for world in flags.world:
        for slots in flags.slots:
            began, runs = time.monotonic(), tuple(sorted(flags.runs))
            on = Case(world=world, policy=flags.policy, slots=slots, runs=runs, judge=(("doubt", "always"),))
            off = Case(world=world, policy=flags.policy, slots=slots, runs=runs, judge=(("doubt", "never"),))
            seeds = range(flags.seed, flags.seed + flags.campaigns)
            played = [list(zip(play(off, seed), play(on, seed), strict=True)) for seed in seeds]
            for place, count in enumerate(runs):
                print(row(f"{world}, {slots}, {count}", [pairs[place] for pairs in played]), flush=True)
            print(f"{world}: {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
