"""Follows the levels of commits that were the incumbent a while ago, together with the level of today's.

With several slots most edits were made on an older incumbent. What their scores tell about that commit, they tell about
today's incumbent only as far as the two levels hang together: after a large gain that was seen once, the old level is
known well and the new one is not. So the levels are kept as jointly normal, and evidence about one moves the others by
Kalman's rule. Pure arithmetic.

Levels are in the metric's unit, because sigma is learned meanwhile; variances are in squared sigmas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

MOST_LEVELS = 24
"""Commits that are followed. An edit that was made on an older one is compared by the gains kept since, and what it
tells about a level it tells about the oldest of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Commits that were the incumbent, the oldest first; today's is the last one."""

    commits: tuple[str, ...]
    """The last one has no name yet: a commit is named when the branch moves on from it."""

    means: tuple[float, ...]

    covariances: tuple[tuple[float, ...], ...]
    """A row for each commit."""

    def follows(self, commit: str) -> bool:
        """True if the level of this commit is among them."""
        return bool(commit) and commit in self.commits

    def find(self, commit: str) -> int:
        """Place of a commit; that of today's incumbent for one that is not followed."""
        return self.commits.index(commit) if self.follows(commit) else len(self.commits) - 1

    def observe(self, place: int, *, moved: float, variance: float) -> Levels:
        """The levels after evidence has moved one of them by so much, in the metric's unit, to this variance."""
        before = self.covariances[place][place]
        slopes = [row[place] / before for row in self.covariances]
        lost = before - variance
        means = tuple(mean + slope * moved for mean, slope in zip(self.means, slopes, strict=True))
        covariances = []
        for row, slope in zip(self.covariances, slopes, strict=True):
            covariances.append(tuple(old - slope * other * lost for old, other in zip(row, slopes, strict=True)))
        return replace(self, means=means, covariances=tuple(covariances))

    def move_on(self, leaving: str, *, mean: float, variance: float, shared: Sequence[float]) -> Levels:
        """The levels with a new incumbent. leaving: name of the last one; shared: covariance with each of them."""
        rows = [(*row, cov) for row, cov in zip(self.covariances, shared, strict=True)]
        rows.append((*shared, variance))
        first = max(0, len(rows) - MOST_LEVELS)
        return Levels(
            commits=(*self.commits[:-1], leaving, "")[first:],
            means=(*self.means, mean)[first:],
            covariances=tuple(row[first:] for row in rows[first:]),
        )


def begin_levels(level: float, variance: float) -> Levels:
    """The incumbent's level alone."""
    return Levels(commits=("",), means=(level,), covariances=((variance,),))
