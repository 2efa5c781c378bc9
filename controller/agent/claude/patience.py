"""How long to wait before asking again; pure.

A rate limit or an overload is waited out for as long as it says, but never beyond a cap: the API may say days.
"""

from __future__ import annotations

from random import Random

LONGEST_TOLD = 300.0
LONGEST_OWN = 60.0


def delay(*, failures: int, retry_after: float | None, random: Random) -> float:
    """Seconds to wait after so many failures in a row (1, 2, ...), with jitter, so that many do not return at once."""
    if retry_after is not None:
        return min(retry_after, LONGEST_TOLD) * (1 + random.uniform(0, 0.1))
    return min(LONGEST_OWN, 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)
