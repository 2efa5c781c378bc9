"""Many simulated campaigns of one world, policy and width, on all cores, and what they measured with its errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import sqrt
from multiprocessing import get_context
from statistics import fmean, stdev
from typing import TypeVar

from controller.errors import SettingsError
from controller.settings import JudgeSettings, Settings
from controller.settings.file import load_settings
from controller.simulation.campaign import SimulatedCampaign
from controller.simulation.worlds import WORLDS

T = TypeVar("T")

HARM = 0.3
"""Sigmas. A kept edit that is truly worse by more than this counts as harmful."""

BATCH = 10
"""Campaigns that a process simulates at a time: enough to hide what handing them over costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The set-up of the campaigns that are simulated for one line of the table."""

    world: str
    """Key of WORLDS."""

    policy: str
    slots: int = 1
    runs: tuple[int, ...] = (300,)
    """Attempts after which a campaign is read, rising; baseline, reruns and crashes are included."""

    judge: tuple[tuple[str, object], ...] = ()
    """Other settings of the judge, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One simulated campaign after so many runs. Gains are in sigma of one run."""

    gain: float
    """True gain of the incumbent over the unchanged program."""

    inflation: float
    """Recorded gain minus the true one."""

    hours: float
    """Hours on the clock."""

    gpu_hours: float
    """Hours of all slots together."""

    runs: int
    """Attempts that ended."""

    scored: int
    """Attempts that got a score."""

    keeps: int
    """Kept edits that are still in the incumbent."""

    worthless: int
    """Those of them that are truly worth nothing or less."""

    harmful: int
    """Those of them that are truly worse by more than HARM."""

    undone: int
    """Kept edits that were left out again."""

    shut_out: float
    """True gain that conflicts shut out after it had been measured."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over campaigns with its standard error."""

    mean: float
    error: float

    def __str__(self) -> str:
        return format(self)

    def __format__(self, sign: str) -> str:
        """Two decimals each. sign: `+` shows it on a gain too."""
        return f"{self.mean:{sign}.2f} ± {self.error:.2f}"


def choose_cases(
    *,
    worlds: Sequence[str],
    policies: Sequence[str],
    slots: Sequence[int],
    runs: Sequence[int],
    overrides: Sequence[str],
) -> list[Case]:
    """Every combination. Raises SettingsError for an unknown world, policy or setting."""
    for world in worlds:
        if world not in WORLDS:
            raise SettingsError(f"there is no world {world!r} to simulate: choose among {', '.join(WORLDS)}")
    foreign = [override for override in overrides if not override.startswith("judge.")]
    if foreign:
        raise SettingsError(f"--set {foreign[0]}: only settings of the judge are simulated, such as judge.max_runs=4")
    cases = []
    for world, policy, width in product(worlds, policies, slots):
        chosen = load_settings(None, [f"judge.policy={policy}", f"executor.slots={width}", *overrides])
        default = JudgeSettings(policy=chosen.judge.policy).model_dump()
        changed = {key: value for key, value in chosen.judge.model_dump().items() if value != default[key]}
        cases.append(
            Case(world=world, policy=policy, slots=width, runs=tuple(sorted(runs)), judge=tuple(changed.items()))
        )
    return cases


def make_settings(case: Case) -> Settings:
    """Settings of a campaign that only the number of runs ends. Greedy has one baseline run, as upstream has."""
    world = WORLDS[case.world]
    judge = {"policy": case.policy, **({"baseline_runs": 1} if case.policy == "greedy" else {}), **dict(case.judge)}
    values = {
        "tag": "simulated",
        "budget": {"train_seconds": world.train_seconds, "experiments": 10**9},
        "judge": judge,
        "executor": {"slots": case.slots},
    }
    return Settings.model_validate(values)


def simulate_campaign(case: Case, *, seed: int, settings: Settings) -> list[Reading]:
    """One campaign, read after each number of runs. Under one seed every policy is offered the same edits."""
    campaign = SimulatedCampaign(settings, WORLDS[case.world], seed=f"{case.world} {seed}")
    readings = []
    for runs in case.runs:
        while campaign.campaign_state.attempts < runs and campaign.step() is None:
            pass
        readings.append(_read(campaign))
    return readings


def _read(campaign: SimulatedCampaign) -> Reading:
    level = campaign.campaign_state.state.level if campaign.campaign_state.state else 0.0
    effects = campaign.effects_left()
    return Reading(
        gain=campaign.truth,
        inflation=-level - campaign.truth,
        hours=campaign.now / 3600.0,
        gpu_hours=campaign.campaign_state.slot_seconds / 3600.0,
        runs=campaign.campaign_state.attempts,
        scored=campaign.scored,
        keeps=len(effects),
        worthless=sum(1 for effect in effects if effect <= 1e-9),
        harmful=sum(1 for effect in effects if effect < -HARM),
        undone=campaign.undone,
        shut_out=campaign.shut_out,
    )


def _simulate_batch(case: Case, seeds: Sequence[int]) -> list[list[Reading]]:
    settings = make_settings(case)
    return [simulate_campaign(case, seed=seed, settings=settings) for seed in seeds]


def simulate(case: Case, *, campaigns: int, seed: int = 0, processes: int | None = None) -> list[list[Reading]]:
    """For each number of runs the readings of so many campaigns, in the order of their seeds."""
    first = seed * 1_000_000
    seeds = range(first, first + campaigns)
    batches = [seeds[start : start + BATCH] for start in range(0, campaigns, BATCH)]
    processes = min(processes or os.cpu_count() or 1, len(batches))
    played: list[list[Reading]] = []
    if processes == 1:
        played = _simulate_batch(case, seeds)
    else:
        # spawn: a forked child of a process with threads may wait for a lock that nobody holds any more.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for batch in pool.map(partial(_simulate_batch, case), batches):
                played.extend(batch)
    return [list(readings) for readings in zip(*played, strict=True)]


def estimate(readings: Sequence[Reading], value: Callable[[Reading], float]) -> Estimate:
    """Mean of one number over the campaigns, with its standard error."""
    return average([value(reading) for reading in readings])


def estimate_difference(
    readings: Sequence[Reading], others: Sequence[Reading], value: Callable[[Reading], float]
) -> Estimate:
    """How much larger one number is than in other campaigns on the same edits and luck, with the error of the pairs."""
    return average([value(reading) - value(other) for reading, other in zip(readings, others, strict=True)])


def average(values: Sequence[float]) -> Estimate:
    """Mean of numbers, one a campaign, with its standard error; 0 for that of a single one."""
    return Estimate(fmean(values), stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0)


def estimate_ratio(readings: Sequence[T], part: Callable[[T], float], whole: Callable[[T], float]) -> Estimate:
    """Sum of one number over the sum of another, with the standard error of a ratio of means."""
    total = fmean(whole(reading) for reading in readings)
    if not total:
        return Estimate(0.0, 0.0)
    ratio = fmean(part(reading) for reading in readings) / total
    rests = [part(reading) - ratio * whole(reading) for reading in readings]
    return Estimate(ratio, stdev(rests) / sqrt(len(rests)) / abs(total) if len(rests) > 1 else 0.0)
