"""The campaign's chart as an SVG: every experiment a dot, the incumbent a step line with its sigma band.

Pure text from values; colours come from the page's style sheet, so that dark and light both work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

from controller.domain import BASELINE, Experiment, Verdict
from controller.records import mean
from controller.settings import Settings

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 76, 110, 34, 40
LABEL_GAP = 26
OUTLIER_SIGMAS = 12.0
"""Worse than the baseline by more than this is drawn at the edge: one disaster must not flatten the rest."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One mark: `value` None for an experiment without a score."""

    number: int
    verdict: str
    value: float | None
    title: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear map of a range of values onto pixels."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.first + min(1.0, max(0.0, share)) * (self.last - self.first)


def chart(experiments: Sequence[Experiment], settings: Settings, *, sigma: float | None) -> str:
    """The SVG of a campaign; a sentence in it where nothing has been scored yet."""
    dots = [dot for experiment in experiments for dot in _dots(experiment)]
    values = [dot.value for dot in dots if dot.value is not None]
    if not values:
        return _frame('<text class="axis" x="480" y="210" text-anchor="middle">no score yet</text>', settings)
    minimize = settings.task.direction == "minimize"
    low, high = _range(dots, sigma=sigma or 0.0, minimize=minimize)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    x = Scale(-0.5, max(1, experiments[-1].number) + 0.5, LEFT, WIDTH - RIGHT)
    edge = TOP if minimize else HEIGHT - BOTTOM
    parts = [
        *_grid(low, high, y),
        _numbers(experiments, x),
        _band(experiments, x, y, sigma),
        *(_mark(dot, x, y, edge) for dot in dots),
        *_labels(dots, x, y),
    ]
    return _frame("\n".join(parts), settings)


def levels(experiments: Iterable[Experiment]) -> list[tuple[int, float]]:
    """(experiment, the incumbent's estimated score from then on), in the order of the verdicts."""
    judged = sorted((e for e in experiments if e.judgement), key=lambda e: e.judgement.order if e.judgement else 0)
    steps: list[tuple[int, float]] = []
    for experiment in judged:
        if experiment.number == BASELINE and experiment.scores:
            steps.append((BASELINE, mean(experiment.scores)))
        elif experiment.judgement and experiment.judgement.verdict is Verdict.KEEP and experiment.judgement.level:
            steps.append((experiment.number, experiment.judgement.level))
    return steps


def _dots(experiment: Experiment) -> list[Dot]:
    verdict = experiment.judgement.verdict.value if experiment.judgement else "open"
    if experiment.number == BASELINE:
        return [Dot(BASELINE, "baseline", score, "baseline") for score in experiment.scores]
    scored = experiment.scores and verdict != "reject"
    return [Dot(experiment.number, verdict, mean(experiment.scores) if scored else None, experiment.title)]


def _range(dots: Sequence[Dot], *, sigma: float, minimize: bool) -> tuple[float, float]:
    values = [dot.value for dot in dots if dot.value is not None]
    start = mean([dot.value for dot in dots if dot.verdict == "baseline" and dot.value is not None] or values)
    keeps = [dot.value for dot in dots if dot.value is not None and dot.verdict == "keep"]
    best = min([start, *keeps]) if minimize else max([start, *keeps])
    reach = max(OUTLIER_SIGMAS * sigma, abs(start - best), 1e-9)
    inside = [v for v in values if abs(v - start) <= reach or abs(v - best) <= reach]
    low, high = min(inside), max(inside)
    margin = 0.08 * (high - low) or abs(low) * 0.01 or 1.0
    return low - margin, high + margin


def _grid(low: float, high: float, y: Scale) -> list[str]:
    step = _nice((high - low) / 5)
    first = (floor(low / step) + 1) * step
    ticks = [first + i * step for i in range(int((high - first) / step) + 1)]
    digits = max(0, -floor(log10(step)))
    return [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text class="axis" x="{LEFT - 8}" y="{y(t) + 4:.1f}" text-anchor="end">{t:.{digits}f}</text>'
        for t in ticks
    ]


def _nice(step: float) -> float:
    size = 10.0 ** floor(log10(step))
    return next(f * size for f in (1, 2, 5, 10) if f * size >= step)


def _numbers(experiments: Sequence[Experiment], x: Scale) -> str:
    last = experiments[-1].number
    step = max(1, int(_nice(max(1, last) / 10)))
    marks = "".join(
        f'<text class="axis" x="{x(n):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n or "base"}</text>'
        for n in range(0, last + 1, step)
    )
    return (
        marks + f'<text class="axis" x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">experiment</text>'
    )


def _band(experiments: Sequence[Experiment], x: Scale, y: Scale, sigma: float | None) -> str:
    steps = levels(experiments)
    if not steps:
        return ""
    ends = [number for number, _ in steps[1:]] + [experiments[-1].number + 0.5]
    pieces = [(x(number), x(end), level) for (number, level), end in zip(steps, ends, strict=True)]
    line = " ".join(f"L{a:.1f},{y(v):.1f} L{b:.1f},{y(v):.1f}" for a, b, v in pieces)
    band = "".join(
        f'<rect class="band" x="{a:.1f}" width="{max(0.0, b - a):.1f}" '
        f'y="{y(v + (sigma or 0)):.1f}" height="{y(v - (sigma or 0)) - y(v + (sigma or 0)):.1f}"/>'
        for a, b, v in pieces
    )
    return f'{band}<path class="level" d="M{line[1:]}"/>'


def _mark(dot: Dot, x: Scale, y: Scale, edge: float) -> str:
    at, label = x(dot.number), escape(f"{dot.number} {dot.verdict}: {dot.title}", quote=True)
    if dot.value is None:
        shape = f'<path d="M{at - 4:.1f},{edge - 4:.1f} l8,8 m0,-8 l-8,8"/>'
    else:
        radius = 5.5 if dot.verdict == "keep" else 4
        shape = f'<circle cx="{at:.1f}" cy="{y(dot.value):.1f}" r="{radius}"/>'
    return (
        f'<a class="dot {dot.verdict}" href="#e{dot.number}" data-number="{dot.number}" aria-label="{label}">'
        f"<title>{label}</title>{shape}</a>"
    )


def _labels(dots: Sequence[Dot], x: Scale, y: Scale) -> list[str]:
    """Titles below kept dots, as upstream's picture has them; one too close to its neighbour is left to the hint."""
    labels, free_from = [], 0.0
    for dot in dots:
        if dot.verdict != "keep" or dot.value is None or x(dot.number) < free_from:
            continue
        free_from = x(dot.number) + LABEL_GAP
        place = f"translate({x(dot.number) + 4:.1f},{y(dot.value) + 16:.1f}) rotate(25)"
        labels.append(f'<text class="label" transform="{place}">{escape(_short(dot.title))}</text>')
    return labels


def _short(text: str, limit: int = 34) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _frame(body: str, settings: Settings) -> str:
    better = "lower is better" if settings.task.direction == "minimize" else "higher is better"
    name = escape(f"{settings.task.metric} ({better})")
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name} of every experiment">'
        f'<text class="axis" x="{LEFT}" y="18">{name}</text>\n{body}\n</svg>'
    )
