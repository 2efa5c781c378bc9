"""Writes the results of simulations as a Markdown table and as records for a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from controller.simulation.study import Case, Estimate, Reading, estimate, estimate_difference, estimate_ratio

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


PAIRED = "more true gain than the first"
"""Column with the difference from the first policy of the same world and width, on the same edits and luck."""


def header() -> str:
    """The first two lines of the table."""
    names = ("world", "policy", "slots", "runs", *MEASURES, PAIRED)
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def _compare(readings: Sequence[Reading], first: Sequence[Reading]) -> Estimate:
    return estimate_difference(readings, first, lambda reading: reading.gain)


def row(case: Case, runs: int, readings: Sequence[Reading], first: Sequence[Reading] | None = None) -> str:
    """One line of the table: a case after so many runs. first: the readings of the first policy; None if it is this."""
    name = " ".join((case.policy, *(f"{key}={value}" for key, value in case.judge)))
    measured = [str(of(readings)) for of in MEASURES.values()]
    compared = str(_compare(readings, first)) if first else "-"
    cells = (case.world, name, str(case.slots), str(runs), *measured, compared)
    return f"| {' | '.join(cells)} |"


def record(
    case: Case, runs: int, readings: Sequence[Reading], first: Sequence[Reading] | None = None
) -> dict[str, object]:
    """One line for a script: each measure with its mean and standard error."""
    estimates = {name: of(readings) for name, of in MEASURES.items()}
    if first:
        estimates[PAIRED] = _compare(readings, first)
    measured = {name: {"mean": each.mean, "error": each.error} for name, each in estimates.items()}
    about = {"world": case.world, "policy": case.policy, "slots": case.slots, "runs": runs}
    return about | {"judge": dict(case.judge), "campaigns": len(readings)} | measured
