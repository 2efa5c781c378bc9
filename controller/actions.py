"""The words between planner and loop: what the planner is shown, and the actions that it may answer with.

Frozen values, no rules and no I/O: the planner chooses an action, the loop carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.domain import Experiment, Verdict
from controller.judge import Assessment, Judge, State
from controller.pipeline import Pace

AGAIN = "again:"
"""Strategy of an edit that is tried again on a newer incumbent, followed by the first experiment's number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the campaign has used up: experiments admitted, slots and ended runs, dollars of model calls, the clock."""

    experiments: int = 0
    slot_seconds: float = 0.0
    slot_dollars: float = 0.0
    runs: int = 0
    dollars: float = 0.0
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything the planner may know.

    open: admitted experiments without a judgement, by number; the baseline is the first until it is judged.
    running: numbers of the experiments that have a try in flight (an experiment runs one try at a time,
    the baseline as many as there are slots).
    gains: sum of kept expected gains when each commit became the incumbent, in the metric's unit.
    pace: how fast proposals come and are used up.
    resting: the agent asked to be left alone for a while.
    unable: only an operator can help the agent; one question at a time finds out whether that has happened.
    """

    open: tuple[Experiment, ...]
    running: tuple[int, ...]
    incumbent: str
    judge: Judge
    state: State | None
    spent: Spent
    proposing: int = 0
    exhausted: bool = False
    stopping: str = ""
    trouble: str = ""
    gains: Mapping[str, float] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    resting: bool = False
    unable: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """Run the next try of an attempt: a new attempt where `attempt` is one more than there are."""

    experiment: Experiment
    attempt: int


@dataclass(frozen=True, slots=True)
class Conclude:
    """Write down the verdict. `assessment` is None where no score was judged."""

    experiment: Experiment
    verdict: Verdict
    reason: str
    assessment: Assessment | None = None


@dataclass(frozen=True, slots=True)
class Rebase:
    """The incumbent moved before this experiment ran: put its edit on the new one."""

    experiment: Experiment


@dataclass(frozen=True, slots=True)
class Requeue:
    """Good enough to keep, but measured on an incumbent that has moved: try the edit again on the new one."""

    experiment: Experiment
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask the agent for one more proposal."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something ends."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The campaign is over for now. failed: the operator must act before it can go on."""

    reason: str
    failed: bool = False


Action = Launch | Conclude | Rebase | Requeue | Propose | Wait | Stop
