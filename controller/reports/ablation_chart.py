"""Draws what each kept edit is still worth, as a chart of points with their intervals. Pure: an SVG from values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

from controller.studies.ablation import EditWorth, Worth
from controller.text.figures import score_text

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 960, 22, 60, 24, 24, 24
"""Pixels. A row is as high as a line of the table below."""

KINDS = {Worth.HELPS: "keep", Worth.HARMS: "reject", Worth.OPEN: "discard", Worth.NEEDED: "keep"}
"""Classes of the page's style sheet, by which the colours are chosen."""

CAPTION = "What each kept edit is worth in the head, by leaving it out; bars: 95 % for all together"


def ablation_chart(worths: Sequence[EditWorth]) -> str:
    """The chart; empty if no edit has a number."""
    drawn = [worth for worth in worths if worth.effect is not None]
    ends = [0.0]
    for worth in drawn:
        ends += [end for end in (worth.effect, worth.low, worth.high) if end is not None and isfinite(end)]
    low, high = min(ends), max(ends)
    if not drawn or low == high:
        return ""
    height = TOP + ROW * len(drawn) + BOTTOM

    def place(value: float) -> float:
        # The share first: pixels for each unit would be infinite where effects lie closer than a double can divide by.
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    zero = place(0.0)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{CAPTION}">',
        f'<text class="axis" x="{LEFT}" y="15">{CAPTION}</text>',
        f'<line class="grid" x1="{zero:.1f}" x2="{zero:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>',
        f'<text class="axis" x="{zero:.1f}" y="{height - 8}" text-anchor="middle">0</text>',
    ]
    for row, worth in enumerate(drawn):
        parts.append(_row(worth, y=TOP + ROW * row + ROW / 2, place=place))
    return "".join([*parts, "</svg>"])


def _row(worth: EditWorth, *, y: float, place: Callable[[float], float]) -> str:
    effect = worth.effect or 0.0
    low = worth.low if isfinite(worth.low) else effect
    high = worth.high if isfinite(worth.high) else effect
    told = f"{worth.experiment}: {score_text(effect, worth.error)}, {worth.word.value}"
    return (
        f'<g class="dot {KINDS[worth.word]}"><title>{told}</title>'
        f'<text class="axis" x="{LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">{worth.experiment}</text>'
        f'<line x1="{place(low):.1f}" x2="{place(high):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke="currentColor" stroke-width="2"/><circle cx="{place(effect):.1f}" cy="{y:.1f}" r="4"/></g>'
    )
