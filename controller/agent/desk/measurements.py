"""Tells what the runs of an experiment measured: steps, speed, memory, phases, the exam, the curve of the loss. Pure.

The numbers are the training's own, so they say how it ran and never how good it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from controller.domain import ExamReport, Experiment, Result
from controller.text.figures import seconds_text

CURVE_POINTS = 12
"""Points of a loss curve: enough to see warm-up, kinks and divergence."""

OTHER_NUMBERS = 3
"""Numbers of a summary that a line tells if it knows none of their names."""

STEPS = ("num_steps", "steps")
PEAK_MEGABYTES = ("peak_vram_mb", "peak_memory_mb", "peak_mem_mb")
MILLION_TOKENS = "total_tokens_M"
TRAINING_SECONDS = "training_seconds"

_NUMBER = r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf"
_LOSS = re.compile(rf"\b(?:train[_ ])?loss\b[\"']?\s*[:= ]\s*({_NUMBER})", re.IGNORECASE)
_STEP = re.compile(rf"\b(?:step|iter|iteration|epoch|it)\b[\"']?\s*[:= #]?\s*({_NUMBER})", re.IGNORECASE)


def newest_result(experiment: Experiment) -> Result | None:
    """The result of its last attempt that ended; None if none has."""
    results = [attempt.result for attempt in experiment.attempts if attempt.result]
    return results[-1] if results else None


def tell_speed(experiment: Experiment) -> str:
    """`129 steps, 45k tok/s, 3.1 GB` of its last run; of another task's summary the first few numbers."""
    result = newest_result(experiment)
    if result is None or not result.summary:
        return ""
    summary = result.summary
    parts = []
    steps, peak = _first(summary, STEPS), _first(summary, PEAK_MEGABYTES)
    if steps is not None:
        parts.append(f"{steps:.0f} steps")
    seconds = summary.get(TRAINING_SECONDS)
    if seconds and MILLION_TOKENS in summary:
        parts.append(f"{_shorten(summary[MILLION_TOKENS] * 1e6 / seconds)} tok/s")
    elif seconds and steps:
        parts.append(f"{1000 * seconds / steps:.0f} ms/step")
    if peak:
        parts.append(f"{peak / 1024:.1f} GB")
    if not parts:
        parts = [f"{name} {value:.6g}" for name, value in list(summary.items())[:OTHER_NUMBERS]]
    return ", ".join(parts)


def tell_runs(experiment: Experiment, *, log: str) -> list[str]:
    """Lines on its newest run: summary, seconds of the phases, exam, curve. log: the end of that run's log."""
    result = newest_result(experiment)
    if result is None:
        return ["no run has ended yet"]
    lines = []
    if result.reason:
        lines.append(f"ended: {result.outcome.value}")
    if result.summary:
        lines.append("summary: " + ", ".join(f"{name} {value:.6g}" for name, value in result.summary.items()))
    if result.phase_seconds:
        lines.append("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in result.phase_seconds.items()))
    if result.exam is not None:
        lines.append(tell_exam(result.exam))
    curve = read_curve(log)
    if curve:
        points = ", ".join(f"{step}: {loss}" for step, loss in curve)
        lines.append(f"loss by step, as far as the log's end reaches: {points}")
    return lines


def tell_exam(exam: ExamReport) -> str:
    """The exam's report in words, without the holdout, which no agent may see."""
    if exam.test is not None:
        return f"exam: failed its test {exam.test}"
    parts = []
    if exam.inflation is not None:
        error = f" ± {exam.inflation_error:.4f}" if exam.inflation_error is not None else ""
        parts.append(f"{exam.inflation:+.4f}{error} nats better where a label was in sight (0 if nothing looks ahead)")
    if exam.hits is not None and exam.probes is not None:
        parts.append(f"{exam.hits} of {exam.probes} probes differ by more than 0.5 nats")
    if exam.restart is not None:
        parts.append(f"{exam.restart:+.4f} nats after a restart")
    if exam.score_error is not None:
        parts.append(f"{exam.questions} questions, standard error of the score {exam.score_error:.4g}")
    parts += [f"{name} {value:.4g}" for name, value in exam.numbers.items()]
    if exam.seconds_per_answer is not None:
        parts.append(f"{seconds_text(exam.seconds_per_answer)} for an answer, which a guard bounds")
    return "exam: " + ("; ".join(parts) if parts else "passed")


def read_curve(log: str, *, points: int = CURVE_POINTS) -> list[tuple[str, str]]:
    """Step and loss of `points` progress lines, spread evenly over the log."""
    found: list[tuple[str, str]] = []
    for number, line in enumerate(log.splitlines(), start=1):
        losses = _LOSS.findall(line)
        if losses:
            step = _STEP.search(line)
            found.append((step[1].lstrip("0") or "0" if step else f"line {number}", losses[-1]))
    return _spread(found, points)


def _spread(found: Sequence[tuple[str, str]], points: int) -> list[tuple[str, str]]:
    if len(found) <= points:
        return list(found)
    return [found[round(place * (len(found) - 1) / (points - 1))] for place in range(points)]


def _first(summary: Mapping[str, float], names: Sequence[str]) -> float | None:
    return next((summary[name] for name in names if name in summary), None)


def _shorten(value: float) -> str:
    """`812`, `45k` or `1.2M`."""
    if value >= 1e6:
        return f"{value / 1e6:.1f}M"
    return f"{value / 1e3:.0f}k" if value >= 1e4 else f"{value:.0f}"
