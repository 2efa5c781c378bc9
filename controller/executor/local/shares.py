"""Divides this machine's cores among the slots, so that no attempt takes the time of its neighbour. Pure.

Where a cgroup can limit time, the kernel grants each phase its share and no more. Elsewhere each slot is given cores of
its own by affinity. A program may undo that (sched_setaffinity), so it keeps honest programs apart and no others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def cpus_of_slot(cpus: float | None, *, slots: int, cores: int) -> float | None:
    """CPUs' worth of time of one slot: `cpus` if it is set, else an equal share; None for all that there is.

    A share is whole cores where there is one for each slot: a library starts a whole number of threads.
    """
    if cpus is not None or slots == 1:
        return cpus
    return float(cores // slots) if slots <= cores else cores / slots


def cores_of_slot(slot: int, *, slots: int, cores: Sequence[int], cpus: float | None) -> tuple[int, ...]:
    """The cores on which a slot runs where no cgroup limits its time; empty for all of them.

    cores: the numbers of those that this process may use. cpus: CPUs' worth of time of one slot. Slots share a core
    only if there are too few.
    """
    if cpus is None:
        return ()
    count = min(len(cores), max(1, math.ceil(cpus)))
    first = slot * count if slots * count <= len(cores) else slot * len(cores) // slots
    return tuple(sorted(cores[(first + number) % len(cores)] for number in range(count)))
