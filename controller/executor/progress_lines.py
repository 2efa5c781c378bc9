"""Thins the progress lines of a training's log, so that its end still holds the whole curve. Pure.

A training that rewrites one line with carriage returns, or prints a line for each step, fills a log with states of the
same line. Of a long run of them, some are kept, spread evenly, the first and the last among them. Programs that draw
their progress by moving the cursor rewrite lines as well.
"""

from __future__ import annotations

import re
from itertools import groupby

MOST_STATES = 48
"""States kept of one progress line: four times the points of the curve that an agent is shown."""

_NUMBERS = re.compile(rb"[-+]?(?:\d[\d.,]*(?:[eE][-+]?\d+)?|\bnan\b|\binf\b)")


_MOVES = re.compile(rb"(?:\x1b\[[0-9;]*[ABDEFGHfJu]|\x1b[78MD])+|\x08{2,}")
"""Moves of the cursor to another place, and a cleared screen: what follows does not stand behind what came before."""

_AHEAD = re.compile(rb"\x1b\[[0-9]*C")
"""A move to the right, which leaves a gap."""


def thin_progress(log: bytes) -> bytes:
    """The log with few states of each progress line, each on a line of its own; other lines stay as they are."""
    lines: list[bytes] = []
    for line in _AHEAD.sub(b" ", _MOVES.sub(b"\r", log)).replace(b"\r\n", b"\n").split(b"\n"):
        states = [state for state in line.split(b"\r") if state.strip()]
        lines += _spread(states) or [b""]
    thinned: list[bytes] = []
    # Lines that differ in their numbers alone are states of one line.
    for _, alike in groupby(lines, key=lambda line: _NUMBERS.sub(b"#", line)):
        thinned += _spread(list(alike))
    return b"\n".join(thinned)


def _spread(states: list[bytes]) -> list[bytes]:
    if len(states) <= MOST_STATES:
        return states
    last = len(states) - 1
    return [states[round(place * last / (MOST_STATES - 1))] for place in range(MOST_STATES)]
