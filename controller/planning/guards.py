"""Guards: numbers beside the metric that an experiment must keep within bounds, whatever its score is. Pure.

A number is one that the examiner measured, the seconds of a phase, or one that the training printed. What the training
prints is as trustworthy as the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import fmean, stdev

from controller.domain import Experiment, Outcome, Result
from controller.settings import GuardSettings
from controller.text.figures import score_text

NEAR = 2.0
"""Standard errors. A mean that is nearer to its bound is measured again before a keep."""

TIMES = frozenset({"seconds_per_answer"})
"""Wall-clock times. Neighbours on the machine only make them longer, so the least of an experiment's runs counts, and
one run alone breaks no guard while there may be another."""

DEAREST = 4.0
"""Most that an answer may cost as a multiple of the unchanged code's, in time and in memory. Ideas of a real campaign
took up to 1.8 times the time, and neighbours that keep every core busy make a time 2.1 times as long: 3.8 together
(docs/exam.md)."""

MILLISECOND = 0.001
"""Seconds that an answer may take in any case where it is no token: of shorter ones the most is the way to and fro."""

GIBIBYTE = 1.0
"""GiB that a candidate may hold in any case: a library that is loaded takes half of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A guard that an experiment breaks, or comes too near to tell."""

    reason: str

    breaks: bool
    """True if it is beyond the bound, as far as was measured."""

    near: bool
    """True if noise could have put it on this side of the bound."""


def guards_in_force(wanted: Mapping[str, GuardSettings], baseline: Experiment) -> Mapping[str, GuardSettings]:
    """The guards of the settings, and the default ones for the costs that each exam of the baseline measured.

    A record of a version that did not measure them, and a task without an exam, have no default guard.
    """
    guards = dict(wanted)
    for name, always_allowed in (("seconds_per_answer", MILLISECOND), ("answer_memory_gb", GIBIBYTE)):
        if baseline.exams and all(getattr(exam, name) for exam in baseline.exams):
            # The exam of a language model counts no questions: its answers are tokens.
            per_token = name in TIMES and baseline.exams[0].questions is None
            least = 0.0 if per_token else always_allowed
            guards.setdefault(name, GuardSettings(max=max(least, DEAREST * fmean(read_values(baseline, name)))))
    return guards


def find_baseline_fault(baseline: Experiment, guards: Mapping[str, GuardSettings]) -> str:
    """One sentence if the unchanged code cannot be guarded so; empty if it can."""
    for name, guard in guards.items():
        values = read_values(baseline, name)
        if not values:
            form = f"(in a log it stands as '{name}: 0.5')"
            return f"task.guards names {name}, and the unchanged code reports no number of that name {form}"
        if (guard.max_ratio or guard.min_ratio) and fmean(values) <= 0.0:
            return f"task.guards: {name} of the unchanged code is not above zero, so no ratio to it is a bound: use max"
    found = find_breach(baseline, baseline, guards)
    return f"the unchanged code itself {found.reason}: choose another bound" if found and not found.near else ""


def find_breach(experiment: Experiment, baseline: Experiment, guards: Mapping[str, GuardSettings]) -> Finding | None:
    """The first guard that the experiment breaks; else the first whose bound it comes near to; else None."""
    near = None
    for name, guard in guards.items():
        values, usual = read_values(experiment, name), read_values(baseline, name)
        if not values:
            return Finding(f"breaks the guard {name}: it reports no such number", breaks=True, near=False)
        error = stdev(usual) / sqrt(len(values)) if len(usual) > 1 and name not in TIMES else 0.0
        level = min(values) if name in TIMES else fmean(values)
        for excess, words in _excesses(guard, level, fmean(usual)):
            if excess > NEAR * error:
                alone = name in TIMES and len(values) == 1
                return Finding(f"breaks the guard {name}: {words}", breaks=True, near=alone)
            if excess > -NEAR * error and error:
                breaks = excess > 0.0
                verb = "breaks" if breaks else "comes near to"
                near = near or Finding(f"{verb} the guard {name}: {words}", breaks=breaks, near=True)
    return near


def read_values(experiment: Experiment, name: str) -> list[float]:
    """The number of this name of each scored attempt that has it."""
    values = []
    for attempt in experiment.attempts:
        if attempt.result is not None and attempt.result.outcome is Outcome.SCORED:
            value = _read_value(attempt.result, name)
            if value is not None and isfinite(value):
                values.append(value)
    return values


def _excesses(guard: GuardSettings, level: float, usual: float) -> Sequence[tuple[float, str]]:
    """For each bound how far the level is beyond it, negative if it is within, and words for both numbers."""
    most = (guard.max, None if guard.max_ratio is None else guard.max_ratio * usual)
    least = (guard.min, None if guard.min_ratio is None else guard.min_ratio * usual)
    shown = score_text(level)
    return [
        *(
            (level - bound, f"{shown}, and its bound is at most {score_text(bound)}")
            for bound in most
            if bound is not None
        ),
        *(
            (bound - level, f"{shown}, and its bound is at least {score_text(bound)}")
            for bound in least
            if bound is not None
        ),
    ]


def _read_value(result: Result, name: str) -> float | None:
    if result.exam is not None:
        measured = getattr(result.exam, name, None)
        if isinstance(measured, int | float):
            return float(measured)
        if name in result.exam.numbers:
            return result.exam.numbers[name]
    if name.endswith("_seconds") and name.removesuffix("_seconds") in result.phase_seconds:
        return result.phase_seconds[name.removesuffix("_seconds")]
    if name == "peak_memory_gb" and name not in result.summary and "peak_vram_mb" in result.summary:
        return result.summary["peak_vram_mb"] / 1024
    return result.summary.get(name)
