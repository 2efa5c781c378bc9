"""Ablates the heads of simulated campaigns, prunes them, and prints what is left that is worth nothing.

    python -m tests.bench.simulate_pruning --runs 100 300 --campaigns 100

Worthless: kept, and truly worth nothing or less. Gains are in sigma of one run; errors are standard errors. The
ablation and the choice of what goes are those of `autoresearch ablate --prune`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

from controller.domain import Attempt, Outcome, Provenance, Result, Score
from controller.simulation.campaign import SimulatedCampaign
from controller.simulation.study import Case, average, estimate_ratio, make_settings
from controller.simulation.worlds import WORLDS
from controller.studies.ablation import SEEDS, choose_pruned, plan_ablation, weigh_edits
from controller.studies.study import Arm, begin_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """One campaign before and after its pruning."""

    gain: float
    kept: int
    worthless: int
    gain_left: float
    left: int
    worthless_left: int
    runs: int
    """Runs of the ablation."""


def prune(campaign: SimulatedCampaign, luck: Random, *, seeds: int) -> Pruned:
    """Leave each edit out, weigh it, and leave out together what does not stay."""
    head = campaign.programs[campaign.incumbent]
    edits = sorted(campaign.campaign_state.edits_left(campaign.incumbent))
    without = {number: left for number in edits if (left := campaign.leave_out(number, head)) is not None}
    arms = [Arm(name=f"without {n}", commit=f"{n:040x}", seeds=seeds, experiment=n) for n in without]
    first = Arm(name="head", commit="head", seeds=seeds)
    record = begin_record(plan_ablation(first, arms, seeds=seeds, notes=(), number=1, at=0.0))
    for run, arm in zip(record.runs, record.study.arms, strict=True):
        program = head if arm.experiment is None else without[arm.experiment]
        values = [luck.gauss(-program.worth, 1.0) for _ in range(arm.seeds)]
        scores = [Score(value=value, provenance=Provenance.SEALED) for value in values]
        results = [Result(outcome=Outcome.SCORED, score=score) for score in scores]
        attempts = tuple(Attempt(number=n, seed=n, result=each) for n, each in enumerate(results, start=1))
        record = record.with_run(replace(run, attempts=attempts))
    pruned = head
    for number in choose_pruned(weigh_edits(record, sign=-1.0)) if without else []:
        left = campaign.leave_out(number, pruned)
        if left is not None:
            pruned = left
            edits.remove(number)
    before = campaign.effects_left()
    after = [campaign.edit_of(number).effect or 0.0 for number in edits]
    return Pruned(
        gain=head.worth,
        kept=len(before),
        worthless=sum(1 for effect in before if effect <= 1e-9),
        gain_left=pruned.worth,
        left=len(after),
        worthless_left=sum(1 for effect in after if effect <= 1e-9),
        runs=sum(len(run.attempts) for run in record.runs),
    )


def share(found: Sequence[Pruned], part: Callable[[Pruned], float], whole: Callable[[Pruned], float]) -> str:
    """Share of the sums in percent, with its standard error over campaigns."""
    ratio = estimate_ratio(found, part, whole)
    return f"{100 * ratio.mean:.0f} ± {100 * ratio.error:.0f}"


def main() -> None:
    """Parse the flags, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", nargs="+", choices=sorted(WORLDS), default=["early"])
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--runs", nargs="+", type=int, default=[100, 300])
    parser.add_argument("--campaigns", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each program without an edit")
    parser.add_argument("--seed", type=int, default=0, help="the first campaign's; others draw other campaigns")
    flags = parser.parse_args()
    titles = ("world, runs", "kept", "worthless, %", "left", "worthless, %", "gain", "more after", "runs for it")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    for world in flags.world:
        case = Case(world=world, policy="ledger", slots=flags.slots)
        rows: dict[int, list[Pruned]] = {runs: [] for runs in sorted(flags.runs)}
        for seed in range(flags.seed, flags.seed + flags.campaigns):
            campaign = SimulatedCampaign(make_settings(case), WORLDS[world], seed=f"{world} {seed}")
            for runs, found in rows.items():
                while campaign.campaign_state.attempts < runs and campaign.step() is None:
                    pass
                found.append(prune(campaign, Random(f"{world} {seed} {runs} ablation"), seeds=flags.seeds))
        for runs, found in rows.items():
            cells = [
                f"{world}, {runs}",
                f"{fmean(each.kept for each in found):.1f}",
                share(found, lambda each: each.worthless, lambda each: each.kept),
                f"{fmean(each.left for each in found):.1f}",
                share(found, lambda each: each.worthless_left, lambda each: each.left),
                f"{average([each.gain for each in found])}",
                f"{average([each.gain_left - each.gain for each in found]):+}",
                f"{fmean(each.runs for each in found):.0f}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
