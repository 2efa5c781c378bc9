"""Writes the history for a researcher: one line per experiment, in blocks that hardly ever change once written.

Experiments stand in the order of their verdicts, so that a longer history begins with the shorter one, byte for byte,
and stays in a model's prompt cache. When the window moves, the old part becomes a summary, and the cache is written
anew once; also when a kept edit is undone, whose line would mislead if it stayed. `news` writes what changes with every
proposal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.agent.desk.experiment_text import format_line
from controller.agent.desk.history import Tried
from controller.agent.desk.news import count_by_category, tell_news, verdict_of
from controller.domain import Verdict
from controller.ports import ProposalRequest

CHUNK = 20
"""Experiments in one unchanging block."""

OLD_KEPT = 80
"""Most kept experiments of the summary, those with the largest gains."""

OLD_NEAR_MISSES = 30
"""Most discarded experiments that the summary lists: those that came nearest to a keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of the history that is told in full."""

    least: int = 240
    """Least number of verdicts told in full."""

    step: int = 160
    """Verdicts that move into the summary at once: the larger, the more rarely the cache is written anew."""

    def start(self, judged: int) -> int:
        """Number of verdicts that are only summed up."""
        return max(0, (judged - self.least) // self.step * self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The history as text."""

    archive: tuple[str, ...]
    """Blocks that stay the same; new ones come at the end."""

    news: str
    """The part that changes with every proposal."""


def build_digest(request: ProposalRequest, tried: Sequence[Tried], *, window: Window) -> Digest:
    """Write the history in blocks, and the news."""
    judged = sorted((t for t in tried if t.experiment.judgement), key=_order_of)
    start = window.start(len(judged))
    end = len(judged) - (len(judged) - start) % CHUNK
    chunks = [judged[place : place + CHUNK] for place in range(start, end, CHUNK)]
    archive = []
    if start:
        archive.append(_fold_old(judged[:start]))
    archive += ["\n".join(map(format_line, chunk)) for chunk in chunks]
    return Digest(archive=tuple(archive), news=tell_news(request, tried, recent=judged[end:], judged=judged))


def _fold_old(old: Sequence[Tried]) -> str:
    edits = [t for t in old if t.experiment.leaves_out is None]
    kept = [t for t in edits if verdict_of(t) is Verdict.KEEP]
    discarded = [t for t in edits if verdict_of(t) is Verdict.DISCARD]
    missed = _take_largest_gains(discarded, OLD_NEAR_MISSES)
    largest = _take_largest_gains(kept, OLD_KEPT)
    return "\n".join(
        [
            f"The first {len(old)} verdicts, summed up (search_history finds each of them):",
            count_by_category([t.experiment for t in old]),
            f"Kept ({len(largest)} of {len(kept)}, the largest gains):",
            *map(format_line, largest),
            "Near misses:",
            *map(format_line, missed),
        ]
    )


def _take_largest_gains(tried: Sequence[Tried], count: int) -> list[Tried]:
    """The experiments with the largest expected gains, in the order of their verdicts."""
    largest = sorted(tried, key=_expected_gain_of, reverse=True)[:count]
    return sorted(largest, key=_order_of)


def _order_of(tried: Tried) -> int:
    return tried.experiment.judgement.order if tried.experiment.judgement else 0


def _expected_gain_of(tried: Tried) -> float:
    judgement = tried.experiment.judgement
    return judgement.expected_gain or 0.0 if judgement else 0.0
