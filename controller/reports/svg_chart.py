"""The campaign's chart as an SVG: every experiment a dot, the incumbent a step line with its sigma band.

Pure text from values; colours come from the page's style sheet, so that dark and light both work.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import cos, floor, log10, radians, sin
from statistics import fmean

from rich.cells import cell_len, set_cell_size

from controller.domain import BASELINE, Experiment, Verdict, find_undone
from controller.reports.text import verdict_words
from controller.settings import TaskSettings
from controller.text.figures import tick_text

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 16, 72, 34, 40
"""The scale stands on the right, beside the newest experiments: there a phone, which shows a part, shows it."""

TICKS, TICK_GAP, DIGIT_PIXELS = 5, 8, 7.0
LEAST_SPAN = 1e-12
"""Smallest range of the scale as a share of its values: doubles that are closer cannot be told apart by ticks."""

SMALLEST_SPAN = 1e-290
"""Smallest range at all: a hundredth of it is still a normal double, so that ticks can be computed."""

SLANT = 18.0
"""Degrees by which labels climb towards their dots, through the corner where no experiment can be."""

LABEL_LETTERS, LETTER_PIXELS, LABEL_GAP = 32, 6.0, 12.0
OUTLIER_SIGMAS = 12.0
"""Scores worse than the baseline by more than this are drawn at the edge, so that one does not flatten the rest."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One mark: `value` None for an experiment without a score. words: the verdict as people read it."""

    number: int
    verdict: str
    value: float | None
    words: str
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
    experiments: Sequence[Experiment], task: TaskSettings, *, sigma: float | None, linked: Container[int] | None = None
) -> str:
    """The SVG of a campaign; a sentence in it where nothing has been scored yet.

    linked: experiments that have a row on the page, all by default; others are drawn as bare dots, which take a
    hundredth of the space.
    """
    dots: list[Dot] = []
    undone = find_undone(experiments)
    for experiment in experiments:
        dots += _dots(experiment, undone)
    if all(dot.value is None for dot in dots):
        return _frame('<text class="axis" x="480" y="210" text-anchor="middle">no score yet</text>', task)
    minimize = task.direction == "minimize"
    low, high = _range(dots, sigma=sigma, minimize=minimize)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    ticks = _ticks(low, high)
    x = Scale(-0.5, max(1, experiments[-1].number) + 0.5, LEFT, WIDTH - _margin(ticks))
    edge = TOP if minimize else HEIGHT - BOTTOM
    with_row: list[Dot] = []
    bare: list[Dot] = []
    for dot in dots:
        (with_row if linked is None or dot.number in linked else bare).append(dot)
    parts = [
        *_grid(ticks, x, y),
        _numbers(experiments, x),
        _band(experiments, x, y, sigma),
        *_bare(bare, x, y),
        *_labels(dots, x, y, minimize=minimize),
        *(_mark(dot, x, y, edge) for dot in with_row),
    ]
    return _frame("\n".join(parts), task)


def levels(experiments: Iterable[Experiment]) -> list[tuple[int, float]]:
    """(experiment, the incumbent's estimated score from then on), in the order of the verdicts."""
    judged = sorted((e for e in experiments if e.judgement), key=lambda e: e.judgement.order if e.judgement else 0)
    steps: list[tuple[int, float]] = []
    for experiment in judged:
        if experiment.number == BASELINE and experiment.mean_score is not None:
            steps.append((BASELINE, experiment.mean_score))
        elif (
            experiment.judgement
            and experiment.judgement.verdict is Verdict.KEEP
            and experiment.judgement.level is not None
        ):
            steps.append((experiment.number, experiment.judgement.level))
    return steps


def _dots(experiment: Experiment, undone: Mapping[int, int]) -> list[Dot]:
    verdict = experiment.judgement.verdict.value if experiment.judgement else "open"
    if experiment.number == BASELINE:
        return [Dot(BASELINE, "baseline", score, "baseline", "baseline") for score in experiment.scores]
    value = None if verdict == "reject" else experiment.mean_score
    words = f"{verdict}, {verdict_words(experiment, undone)}" if experiment.number in undone else verdict
    return [Dot(experiment.number, verdict, value, words, experiment.title)]


def _range(dots: Sequence[Dot], *, sigma: float | None, minimize: bool) -> tuple[float, float]:
    """The values that the scale shows; sigma None: not measured yet, and then nothing counts as an outlier."""
    values, runs, keeps = [], [], []
    for dot in dots:
        if dot.value is None:
            continue
        values.append(dot.value)
        if dot.verdict == "baseline":
            runs.append(dot.value)
        elif dot.verdict == "keep":
            keeps.append(dot.value)
    start = fmean(runs or values)
    best = min([start, *keeps]) if minimize else max([start, *keeps])
    if sigma is not None:
        reach = max(OUTLIER_SIGMAS * sigma, abs(start - best))
        values = [start, best, *(v for v in values if abs(v - start) <= reach or abs(v - best) <= reach)]
    low, high = min(values), max(values)
    span = _span(low, high)
    worse, better = 0.06 * span, (0.28 if keeps else 0.06) * span
    return (low - better, high + worse) if minimize else (low - worse, high + better)


def _span(low: float, high: float) -> float:
    """The range of the scale. If all values are equal, it is a tenth of the value wide, or 1 wide around zero."""
    largest = max(abs(low), abs(high))
    if high - low > max(LEAST_SPAN * largest, SMALLEST_SPAN):
        return high - low
    return 0.1 * largest if 0.1 * largest > SMALLEST_SPAN else 1.0


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round values within the range, with their texts."""
    step = _nice((high - low) / TICKS)
    first = floor(low / step) + 1
    ticks = []
    for index in range(first, first + TICKS + 1):
        mark = index * step
        if mark <= high:
            ticks.append((mark, tick_text(mark, step)))
    return ticks


def _margin(ticks: Sequence[tuple[float, str]]) -> float:
    """Pixels on the right that hold the longest tick."""
    longest = max((len(text) for _, text in ticks), default=0)
    return max(RIGHT, 2 * TICK_GAP + DIGIT_PIXELS * longest)


def _grid(ticks: Sequence[tuple[float, str]], x: Scale, y: Scale) -> list[str]:
    lines = []
    for mark, text in ticks:
        line = f'<line class="grid" x1="{LEFT}" x2="{x.last:g}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>'
        lines.append(f'{line}<text class="axis" x="{x.last + TICK_GAP:g}" y="{y(mark) + 4:.1f}">{text}</text>')
    return lines


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
    return marks + f'<text class="axis" x="{x.last:g}" y="{HEIGHT - 4}" text-anchor="end">experiment</text>'


def _band(experiments: Sequence[Experiment], x: Scale, y: Scale, sigma: float | None) -> str:
    steps = levels(experiments)
    if not steps:
        return ""
    ends = [number for number, _ in steps[1:]] + [experiments[-1].number + 0.5]
    band, line, noise = [], [], sigma or 0.0
    for (number, level), end in zip(steps, ends, strict=True):
        left, right, top = x(number), x(end), y(level + noise)
        line.append(f"L{left:.1f},{y(level):.1f} L{right:.1f},{y(level):.1f}")
        band.append(
            f'<rect class="band" x="{left:.1f}" width="{max(0.0, right - left):.1f}" '
            f'y="{top:.1f}" height="{y(level - noise) - top:.1f}"/>'
        )
    return f'{"".join(band)}<path class="level" d="M{" ".join(line)[1:]}"/>'


def _bare(dots: Sequence[Dot], x: Scale, y: Scale) -> list[str]:
    """Dots without a row, one path for each verdict: a line of no length with round ends."""
    verdicts = {dot.verdict: "" for dot in dots if dot.value is not None}
    for dot in dots:
        if dot.value is not None:
            verdicts[dot.verdict] += f"M{x(dot.number):.1f} {y(dot.value):.1f}h0"
    return [f'<path class="bare {verdict}" d="{path}"/>' for verdict, path in verdicts.items()]


def _mark(dot: Dot, x: Scale, y: Scale, edge: float) -> str:
    label = escape(f"{dot.number} {dot.words}: {dot.title}", quote=True)
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
    """Cut to so many cells; a Chinese character or an emoji takes two."""
    return text if cell_len(text) <= limit else set_cell_size(text, limit - 1).rstrip() + "…"


def _frame(body: str, task: TaskSettings) -> str:
    better = "lower is better" if task.direction == "minimize" else "higher is better"
    name = escape(f"{task.metric} ({better})")
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name} of every experiment">'
        f'<text class="axis" x="{WIDTH - 4}" y="14" text-anchor="end">{name}</text>\n{body}\n</svg>'
    )
