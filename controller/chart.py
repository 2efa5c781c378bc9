"""The campaign's chart as an SVG: every experiment a dot, the incumbent a step line with its sigma band.

Pure text from values; colours come from the page's style sheet, so that dark and light both work.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import cos, floor, log10, radians, sin

from controller.domain import BASELINE, Experiment, Verdict
from controller.records import mean
from controller.settings import Settings

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 16, 72, 34, 40
"""The scale stands on the right, beside the newest experiments: there a phone, which shows a part, shows it."""

SLANT = 18.0
"""Degrees by which labels climb towards their dots, through the corner where no experiment can be."""

LABEL_LETTERS, LETTER_PIXELS, LABEL_GAP = 32, 6.0, 12.0
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


def chart(
    experiments: Sequence[Experiment], settings: Settings, *, sigma: float | None, linked: Container[int] | None = None
) -> str:
    """The SVG of a campaign; a sentence in it where nothing has been scored yet.

    linked: experiments that have a row on the page, all by default; others are drawn as bare dots, which take a
    hundredth of the space.
    """
    dots = [dot for experiment in experiments for dot in _dots(experiment)]
    values = [dot.value for dot in dots if dot.value is not None]
    if not values:
        return _frame('<text class="axis" x="480" y="210" text-anchor="middle">no score yet</text>', settings)
    minimize = settings.task.direction == "minimize"
    low, high = _range(dots, sigma=sigma or 0.0, minimize=minimize)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    x = Scale(-0.5, max(1, experiments[-1].number) + 0.5, LEFT, WIDTH - RIGHT)
    edge = TOP if minimize else HEIGHT - BOTTOM
    has_row = [dot for dot in dots if linked is None or dot.number in linked]
    parts = [
        *_grid(low, high, y),
        _numbers(experiments, x),
        _band(experiments, x, y, sigma),
        *_bare([dot for dot in dots if not (linked is None or dot.number in linked)], x, y),
        *_labels(dots, x, y, minimize=minimize),
        *(_mark(dot, x, y, edge) for dot in has_row),
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
    span = high - low or abs(low) * 0.1 or 1.0
    worse, better = 0.06 * span, (0.28 if keeps else 0.06) * span
    return (low - better, high + worse) if minimize else (low - worse, high + better)


def _grid(low: float, high: float, y: Scale) -> list[str]:
    step = _nice((high - low) / 5)
    first = (floor(low / step) + 1) * step
    ticks = [first + i * step for i in range(int((high - first) / step) + 1)]
    digits = max(0, -floor(log10(step)))
    return [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text class="axis" x="{WIDTH - RIGHT + 8}" y="{y(t) + 4:.1f}">{t:.{digits}f}</text>'
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
    return marks + f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">experiment</text>'


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


def _bare(dots: Sequence[Dot], x: Scale, y: Scale) -> list[str]:
    """Dots without a row, one path for each verdict: a line of no length with round ends."""
    verdicts = {dot.verdict: "" for dot in dots if dot.value is not None}
    for dot in dots:
        if dot.value is not None:
            verdicts[dot.verdict] += f"M{x(dot.number):.1f} {y(dot.value):.1f}h0"
    return [f'<path class="bare {verdict}" d="{path}"/>' for verdict, path in verdicts.items()]


def _mark(dot: Dot, x: Scale, y: Scale, edge: float) -> str:
    label = escape(f"{dot.number} {dot.verdict}: {dot.title}", quote=True)
    return (
        f'<a class="dot {dot.verdict}" href="#e{dot.number}" data-number="{dot.number}" aria-label="{label}">'
        f"<title>{label}</title>{_shape(dot, x(dot.number), y, edge)}</a>"
    )


def _shape(dot: Dot, at: float, y: Scale, edge: float) -> str:
    """A dot; at the edge a triangle for what is off the scale, a cross for a failure, a point for what still runs."""
    if dot.value is None and dot.verdict == "open":
        return f'<circle cx="{at:.1f}" cy="{edge:.1f}" r="2.5"/>'
    if dot.value is None:
        return f'<path d="M{at - 4:.1f},{edge - 4:.1f} l8,8 m0,-8 l-8,8"/>'
    if not y.low <= dot.value <= y.high:
        tip = -4 if dot.value > y.high else 4
        return f'<path class="beyond" d="M{at - 5:.1f},{edge - tip:.1f} h10 L{at:.1f},{edge + tip:.1f} z"/>'
    radius = 5.5 if dot.verdict == "keep" else 4
    return f'<circle cx="{at:.1f}" cy="{y(dot.value):.1f}" r="{radius}"/>'


def _labels(dots: Sequence[Dot], x: Scale, y: Scale, *, minimize: bool) -> list[str]:
    """Titles of kept dots, ending at them: before and beyond a best score there is never another dot.

    Neighbouring labels are parallel; one too close to the last, or without room before it, is left to the hint.
    """
    side, slant = (1, radians(SLANT)) if minimize else (-1, radians(SLANT))
    labels, last = [], (float("-inf"), 0.0)
    for dot in dots:
        if dot.verdict != "keep" or dot.value is None:
            continue
        at, height = x(dot.number), y(dot.value)
        distance = (at - last[0]) * sin(slant) + side * (height - last[1]) * cos(slant)
        room = min(LABEL_LETTERS, int((at - LEFT) / cos(slant) / LETTER_PIXELS) - 2)
        if distance < LABEL_GAP or room < 8:
            continue
        last = (at, height)
        place = f"translate({at - 7:.1f},{height + (10 if minimize else -6):.1f}) rotate({-side * SLANT:g})"
        labels.append(
            f'<text class="label" text-anchor="end" transform="{place}">{escape(_short(dot.title, room))}</text>'
        )
    return labels


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _frame(body: str, settings: Settings) -> str:
    better = "lower is better" if settings.task.direction == "minimize" else "higher is better"
    name = escape(f"{settings.task.metric} ({better})")
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name} of every experiment">'
        f'<text class="axis" x="{WIDTH - 4}" y="14" text-anchor="end">{name}</text>\n{body}\n</svg>'
    )
