"""The machines of a world: what a slow drift and bursts of disturbance add to a score.

A burst hits all slots alike, as a neighbour on the same host or a full network does.
"""

from __future__ import annotations

from math import cos, pi
from random import Random

from controller.simulation.worlds import World

BURST_SECONDS = 600.0
"""Mean length of a burst."""

DAY_SECONDS = 86_400.0


class Machine:
    """Harm at each moment of the virtual clock; bursts are drawn as the clock gets there."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._phase = random.uniform(0.0, 2.0 * pi)
        self._bursts: list[tuple[float, float, float]] = []
        """Begin, end and size of each burst so far."""
        self._drawn_until = 0.0

    def measure_harm(self, began: float, ended: float) -> float:
        """Mean harm over one attempt, in sigma; positive is worse."""
        world = self._world
        harm = 0.0
        if world.drift:
            # A wave of one day with this standard deviation: sqrt(2) is the ratio of its height to that.
            harm += world.drift * 2.0**0.5 * cos(self._phase + 2.0 * pi * ended / DAY_SECONDS)
        if world.bursts_per_hour:
            self._draw_bursts(until=ended)
            for begin, end, size in reversed(self._bursts):
                if end < began - DAY_SECONDS:
                    break
                harm += size * max(0.0, min(end, ended) - max(begin, began)) / (ended - began)
        return harm

    def share_disturbed(self, began: float, ended: float) -> float:
        """Part of one attempt's time in which a neighbour took the CPUs, as the witness sees it; from 0 to 1."""
        if not self._world.bursts_per_hour:
            return 0.0
        self._draw_bursts(until=ended)
        share = 0.0
        for begin, end, _ in reversed(self._bursts):
            if end < began - DAY_SECONDS:
                break
            share += max(0.0, min(end, ended) - max(begin, began)) / (ended - began)
        return min(1.0, share)

    def busy_for(self, now: float) -> float:
        """Seconds for which the bursts of this moment go on; 0 on a calm machine."""
        if not self._world.bursts_per_hour:
            return 0.0
        self._draw_bursts(until=now)
        return max((end - now for begin, end, _ in self._bursts[-50:] if begin <= now < end), default=0.0)

    def _draw_bursts(self, *, until: float) -> None:
        while self._drawn_until < until:
            self._drawn_until += self._random.expovariate(self._world.bursts_per_hour / 3600.0)
            length = self._random.expovariate(1.0 / BURST_SECONDS)
            size = self._random.expovariate(1.0 / self._world.burst_size)
            self._bursts.append((self._drawn_until, self._drawn_until + length, size))
