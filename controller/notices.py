"""What the loop tells those who watch: the terminal, the metrics, the live page. Values only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.domain import Attempt, Cost, Experiment, TryId
from controller.judge import State


@dataclass(frozen=True, slots=True)
class Admitted:
    """A proposal became an experiment."""

    experiment: Experiment


@dataclass(frozen=True, slots=True)
class Launched:
    """A try was started."""

    experiment: Experiment
    id: TryId


@dataclass(frozen=True, slots=True)
class TryLost:
    """The infrastructure took a try away; the attempt goes on with the next."""

    experiment: Experiment
    id: TryId
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt has its result in the lab."""

    experiment: Experiment
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Concluded:
    """An experiment has its verdict in the lab; `state` is the judge's view after it."""

    experiment: Experiment
    state: State


@dataclass(frozen=True, slots=True)
class Refused:
    """A proposal was sent back, or given up, before anything ran."""

    reason: str
    cost: Cost


@dataclass(frozen=True, slots=True)
class Troubled:
    """Something waits for an operator: one sentence; empty when that is over."""

    reason: str


Notice = Admitted | Launched | TryLost | AttemptEnded | Concluded | Refused | Troubled
Observer = Callable[[Notice], None]
