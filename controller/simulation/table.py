"""Writes the results of simulations as a Markdown table and as records for a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from controller.simulation.study import Case, Estimate, Reading, estimate, estimate_ratio

Measure = Callable[[Sequence[Reading]], Estimate]


def _per_run(readings: Sequence[Reading]) -> Estimate:
    return estimate_ratio(readings, lambda r: 100.0 * r.gain, lambda r: float(r.runs))


def _mean_of(name: str) -> Measure:
    return lambda readings: estimate(readings, lambda reading: float(getattr(reading, name)))


MEASURES: Mapping[str, Measure] = {
    "true gain": _mean_of("gain"),
    "inflation": _mean_of("inflation"),
    "gain per 100 runs": _per_run,
    "per GPU-hour": lambda rs: estimate_ratio(rs, lambda r: r.gain, lambda r: r.gpu_hours),
    "per wall-hour": lambda rs: estimate_ratio(rs, lambda r: r.gain, lambda r: r.hours),
    "scored per hour": lambda rs: estimate_ratio(rs, lambda r: float(r.scored), lambda r: r.hours),
    "kept": _mean_of("keeps"),
    "worthless, % of kept": lambda rs: estimate_ratio(rs, lambda r: 100.0 * r.worthless, lambda r: float(r.keeps)),
    "harmful, % of kept": lambda rs: estimate_ratio(rs, lambda r: 100.0 * r.harmful, lambda r: float(r.keeps)),
    "undone": _mean_of("undone"),
    "lost to conflicts, % of gain": lambda rs: estimate_ratio(rs, lambda r: 100.0 * r.shut_out, lambda r: r.gain),
}
"""Columns of the table. Gains are in sigma of one run; errors are standard errors over the campaigns."""


def header() -> str:
    """The first two lines of the table."""
    names = ("world", "policy", "slots", "runs", *MEASURES)
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def row(case: Case, runs: int, readings: Sequence[Reading]) -> str:
    """One line of the table: a case after so many runs."""
    name = " ".join((case.policy, *(f"{key}={value}" for key, value in case.judge)))
    cells = (case.world, name, str(case.slots), str(runs), *(str(of(readings)) for of in MEASURES.values()))
    return f"| {' | '.join(cells)} |"


def record(case: Case, runs: int, readings: Sequence[Reading]) -> dict[str, object]:
    """One line for a script: each measure with its mean and standard error."""
    measured = {name: {"mean": of(readings).mean, "error": of(readings).error} for name, of in MEASURES.items()}
    about = {"world": case.world, "policy": case.policy, "slots": case.slots, "runs": runs}
    return about | {"judge": dict(case.judge), "campaigns": len(readings)} | measured
