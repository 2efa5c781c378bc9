"""Simulates whole campaigns and prints the true gain of each judging policy as a Markdown table.

    python -m tests.bench.simulate_judging --repeats 200

One score is the true level plus normal noise of sd 1, less is better; each proposal adds a fixed true effect in
units of that noise. Every run is charged, the baseline's, the reruns and the crashes included. A cell is the true
gain, then how much the recorded level flatters it (recorded minus true), each with its standard error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from controller.domain import Verdict
from controller.judge import Candidate, Decision, Judge, State, make_judge
from controller.settings import JudgeSettings
from controller.simulation.study import average
from controller.simulation.worlds import Effect, early, jumps, normal, nothing, outlying, plateau

Policy = Literal["ledger", "gauss", "confirm", "greedy"]
POLICIES: tuple[Policy, ...] = ("greedy", "confirm", "ledger", "gauss")
CHECKPOINTS = (50, 100, 300)


@dataclass(frozen=True, slots=True)
class World:
    """The effects of proposals, and the noise of a run."""

    effect: Effect
    noise: Callable[[Random], float] = normal


WORLDS: Mapping[str, World] = {
    "early": World(early),
    "plateau": World(plateau),
    "jumps": World(jumps),
    "nothing": World(nothing),
    "outliers": World(early, outlying),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """State of a campaign, in sd of one run: the incumbent's true gain, and the excess of its recorded level."""

    gain: float
    flattery: float


def know_sigma(state: State) -> State:
    """The same state, certain that sigma is 1 (in the world of outliers it is 1.19, and 1 is believed)."""
    return replace(state, squares=1e9, freedom=10**9)


def simulate(
    judge: Judge,
    world: World,
    *,
    seed: str,
    baseline_runs: int,
    checkpoints: Sequence[int] = CHECKPOINTS,
    sigma_known: bool = True,
) -> list[Reading]:
    """One campaign of one slot; a reading for each number of runs in `checkpoints`.

    Proposals and luck are drawn apart, so that under one seed every policy is offered the same edits.
    """
    proposals, luck = Random(f"{seed} proposals"), Random(f"{seed} luck")

    def run(level: float) -> float:
        return level + world.noise(luck)

    level, number, readings = 0.0, 0, list[Reading]()
    state = judge.begin([run(level) for _ in range(baseline_runs)])
    while True:
        state = know_sigma(state) if sigma_known else state
        while len(readings) < len(checkpoints) and state.attempts >= checkpoints[len(readings)]:
            readings.append(Reading(gain=-level, flattery=level - state.level))
        if len(readings) == len(checkpoints):
            return readings
        change = world.effect(proposals, number)
        number += 1
        if change is None:
            state = judge.conclude(state, Candidate(scores=(), line_change=0), Verdict.CRASH)
            continue
        candidate = Candidate(scores=(run(level - change),), line_change=0)
        while (assessment := judge.assess(state, candidate)).decision is Decision.RERUN:
            candidate = replace(candidate, scores=(*candidate.scores, run(level - change)))
        if assessment.decision is Decision.KEEP:
            level -= change
        state = judge.conclude(state, candidate, Verdict(assessment.decision.value))


def repeat(
    policy: Policy, world: str, *, repeats: int, seed: int, sigma_known: bool, checkpoints: Sequence[int] = CHECKPOINTS
) -> list[list[Reading]]:
    """Readings of many campaigns: one list for each checkpoint. Greedy has one baseline run, as upstream."""
    settings = JudgeSettings(policy=policy)
    judge = make_judge(settings, minimize=True)
    campaigns = [
        simulate(
            judge,
            WORLDS[world],
            seed=f"{seed} {world} {number}",
            baseline_runs=1 if policy == "greedy" else settings.baseline_runs,
            checkpoints=checkpoints,
            sigma_known=sigma_known,
        )
        for number in range(repeats)
    ]
    return [list(readings) for readings in zip(*campaigns, strict=True)]


def row(policy: Policy, worlds: Sequence[str], *, repeats: int, seed: int, sigma_known: bool) -> str:
    """One line of the table."""
    cells = [
        f"{average([r.gain for r in readings])} ({average([r.flattery for r in readings])})"
        for world in worlds
        for readings in repeat(policy, world, repeats=repeats, seed=seed, sigma_known=sigma_known)
    ]
    return f"| {policy} | {' | '.join(cells)} |"


def main() -> None:
    """Parse the flags, simulate, print; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200, help="campaigns for each cell (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worlds", nargs="+", choices=[*WORLDS], default=["early", "plateau"])
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=[*POLICIES])
    parser.add_argument("--sigma", choices=("known", "estimated"), default="known", help="estimated: from the runs")
    flags = parser.parse_args()
    print("| policy |" + "".join(f" {world}, {runs} runs |" for world in flags.worlds for runs in CHECKPOINTS))
    print("|---" * (1 + len(flags.worlds) * len(CHECKPOINTS)) + "|")
    for policy in flags.policies:
        started = time.monotonic()
        known = flags.sigma == "known"
        print(row(policy, flags.worlds, repeats=flags.repeats, seed=flags.seed, sigma_known=known), flush=True)
        print(f"{policy}: {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
