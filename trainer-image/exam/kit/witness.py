"""Measure what the machine did while a training ran, and tell it in one line at the end of the training's log.

In a pod only the training's supervisor stands close enough to see: the executor asks for it by AUTORESEARCH_WITNESS_KEY
and reads the line from the log. Where it can measure from outside, it does not ask. All numbers come from the kernel's
counters of this container's cgroup (version 2 or 1), of the threads in it, and of the node. What the kernel does not
tell is null.

The line is written to the stream that carried the training's output, when every process of the training is dead, so
nothing of the training's can follow it. It repeats the key, which is kept from the training: nothing of the training's
can stand in for it either, should the supervisor not come to write it.

A training beyond both AUTORESEARCH_WITNESS_MOST_WAITED and AUTORESEARCH_WITNESS_MOST_TAKEN was disturbed. If its exit
code is one of those in AUTORESEARCH_WITNESS_RUN_AGAIN, it is run again before its exam. A training can make itself
wait. It cannot add to what others took: of that as much is taken off as the campaign's other pods may use at most, and
AUTORESEARCH_WITNESS_OWN_CPUS says how much. Stolen time does not count there, because on a machine with a limited share
of its hardware a training can bring it about.

Not covered: a kernel that counts the node's user time by ticks but a cgroup's exactly, under which a training that runs
for a moment around each tick looks smaller than it is.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from exam.kit.counters import Counters, Waits, read_counters
from exam.kit.errors import number
from exam.kit.processes import list_descendants

MARK = "@@WITNESS v1"
KEY = "AUTORESEARCH_WITNESS_KEY"
RUN_AGAIN = "AUTORESEARCH_WITNESS_RUN_AGAIN"
NUMBERS = {
    "own_cpus": "AUTORESEARCH_WITNESS_OWN_CPUS",
    "most_waited": "AUTORESEARCH_WITNESS_MOST_WAITED",
    "most_taken": "AUTORESEARCH_WITNESS_MOST_TAKEN",
}
"""Variables that the training is not shown, as the other two are not."""

EVERY_S = 1.0
"""Shortest pause between two looks at the threads, in seconds. What a thread did after the last look is not known."""

COST = 400
"""A look that took t seconds of a CPU is followed by a pause of 400 t: looking then costs at most a quarter percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the executor asks for. key: shows that a line is ours.

    own_cpus: CPUs that the campaign's other pods on this node, and the node on their behalf, may use at most.
    most_waited, most_taken: shares beyond which a training was disturbed; None where it counts in any case.
    run_again: exit codes of the supervisor after which a disturbed training does not count.
    """

    key: str
    own_cpus: float = 0.0
    most_waited: float | None = None
    most_taken: float | None = None
    run_again: tuple[str, ...] = ()

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Order | None:
        """The order in this environment; None if there is none. Raises DataError if it cannot be read."""
        if not (key := environment.get(KEY)):
            return None
        given = {name: number(environment, variable) for name, variable in NUMBERS.items() if variable in environment}
        return cls(key=key, run_again=tuple(environment.get(RUN_AGAIN, "").split()), **given)


def without_order(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment that the training may see."""
    hidden = {KEY, RUN_AGAIN, *NUMBERS.values()}
    return {name: value for name, value in environment.items() if name not in hidden}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one training, as shares from 0 to 1. Their names stand in the line."""

    waited: float | None
    throttled: float | None
    contended: float | None
    starved: float | None
    stolen: float | None
    taken: float | None
    others: float | None
    """The part of `taken` that programs computed; the rest was stolen."""

    def is_beyond(self, order: Order) -> bool:
        """True if the training waited, and others took its CPUs, more than the order allows."""
        if self.waited is None or self.others is None or order.most_waited is None or order.most_taken is None:
            return False
        return self.waited > order.most_waited and self.others > order.most_taken


def seen_between(start: Counters, end: Counters, *, waited: float | None, own_cpus: float) -> Seen:
    """The shares between two moments."""
    seconds, total, stolen = end.at - start.at, end.total - start.total, max(0.0, end.stolen - start.stolen)
    others = None
    if start.own is not None and end.own is not None:
        # Ticks of the node and microseconds of a cgroup are counted apart, so the difference can be below 0.
        others = max(0.0, (end.user - start.user) - (end.own - start.own) - own_cpus * seconds)
    return Seen(
        waited=waited,
        throttled=_share(end.throttled - start.throttled, end.periods - start.periods),
        contended=_growth(start.cpu_pressure, end.cpu_pressure, seconds),
        starved=_growth(start.memory_pressure, end.memory_pressure, seconds),
        # Stolen is time in which this machine had work and the hypervisor ran others.
        stolen=_share(stolen, total),
        taken=None if others is None else _share(others + stolen, total),
        others=None if others is None else _share(others, total),
    )


class Observer:
    """Observes one training on a thread of its own, so that looking never delays the end of its budget."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._waits = Waits()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="witness", daemon=True)
        self._start = read_counters()
        self._thread.start()

    def _look(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            # The CPU time of this thread: on a busy machine a look mostly waits.
            began = time.thread_time()
            self._waits.look(list_descendants())
            pause = max(EVERY_S, COST * (time.thread_time() - began))

    def note(self, process: int) -> None:
        """Look at the training's own process, which is cheap: call it before that is waited for."""
        self._waits.note(process)

    def end(self) -> Seen:
        """What was seen since the making of this observer."""
        end = read_counters()
        self._over.set()
        self._thread.join()
        ran, waited = self._waits.totals()
        return seen_between(self._start, end, waited=_share(waited, ran + waited), own_cpus=self._order.own_cpus)


def line_of(seen: Seen, order: Order, *, again: bool) -> bytes:
    """The line for the log, on a line of its own whatever was printed before. again: the training is not to count."""
    told = {name: None if share is None else round(share, 4) for name, share in asdict(seen).items()}
    return f"\n{MARK} {order.key} {json.dumps({**told, 'again': again})}\n".encode()


def _share(part: float, whole: float) -> float | None:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else None


def _growth(start: float | None, end: float | None, seconds: float) -> float | None:
    return None if start is None or end is None else _share(end - start, seconds)
