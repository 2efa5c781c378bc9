"""The values between planner and loop: the view that the planner sees, and the actions that it answers with.

Frozen values, no rules and no I/O: the planner chooses an action, the loop carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.domain import Experiment, Verdict
from controller.judge import Assessment, Judge, State
from controller.planning.pacing import Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The used part of the budget."""

    experiments: int = 0
    """Experiments as the budget counts them."""

    slot_seconds: float = 0.0
    """Wall seconds of all tries, lost ones included."""

    slot_dollars: float = 0.0
    """Dollars of those seconds."""

    attempts: int = 0
    """Attempts that ended otherwise than lost."""

    dollars: float = 0.0
    """Dollars of model calls."""

    elapsed_seconds: float = 0.0
    """Seconds since the campaign began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """An edit that cannot be merged with the incumbent."""

    carries: tuple[int, ...] = ()
    """Kept experiments since its base whose edits can be merged onto its own program, the oldest first."""

    gain: float = 0.0
    """Gain that these are credited with, in the metric's unit, positive is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that the planner may know."""

    open: tuple[Experiment, ...]
    """Admitted experiments without a verdict, by number; the baseline comes first until it is judged."""

    running: tuple[int, ...]
    """Experiment number of each try in flight: an experiment runs one try at a time, the baseline several."""

    incumbent: str
    """Commit at the head of the branch."""

    judge: Judge

    state: State | None
    """The judge's state; None until the baseline is judged."""

    spent: Spent

    without_keep: int = 0
    """Judged experiments since the last keep, those not counted that ended without an attempt."""

    baseline: Experiment | None = None
    """Experiment 0, with whose numbers guards are compared; None in a test that has no guards."""

    proposing: int = 0
    """Requests to the agent that have no answer yet."""

    more: int = 0
    """Proposals that these requests may bring beyond one each."""

    exhausted: bool = False
    """True if the agent has nothing left to propose."""

    short_of_money: bool = False
    """True if what is left of the dollars pays no call of the agent's model."""

    stopping: str = ""
    """Reason why somebody asked the campaign to stop; empty if it goes on."""

    trouble: str = ""
    """What only an operator can repair about the executor, as one sentence; empty if there is nothing."""

    broken: Experiment | None = None
    """A merged keep at the head of the branch on which every edit crashes; None if there is none."""

    conflicts: Mapping[int, Conflict] = field(default_factory=dict)
    """Experiments whose edits cannot be merged with this incumbent, as far as that was tried."""

    gains: Mapping[str, float] = field(default_factory=dict)
    """For each commit that was the incumbent: the kept expected gains up to then, in the metric's unit."""

    doubtable: frozenset[int] = frozenset()
    """Kept experiments that may be left out of this incumbent to test them, as far as that is known."""

    wished: frozenset[int] = frozenset()
    """Kept experiments that an agent wants left out."""

    kept: tuple[Experiment, ...] = ()
    """The baseline once it is judged, then every kept experiment in the order of the branch."""

    pace: Pace = field(default_factory=Pace)
    """How fast proposals come and are used up."""

    resting: bool = False
    """True if the agent must not be asked now: it asked for a pause, or only an operator can help it."""

    unable: bool = False
    """True if only an operator can help the agent; then one request at a time finds out whether it works again."""

    @property
    def expected(self) -> int:
        """Proposals that the requests under way may bring."""
        return self.proposing + self.more


@dataclass(frozen=True, slots=True)
class Launch:
    """Launch the next try of an attempt."""

    experiment: Experiment

    attempt: int
    """Number of the attempt, from 1; one more than there are begins a new attempt."""


@dataclass(frozen=True, slots=True)
class Conclude:
    """Record a verdict."""

    experiment: Experiment
    verdict: Verdict
    reason: str

    assessment: Assessment | None = None
    """The judge's numbers; None if no score was judged."""

    replaces: bool = False
    """True for a keep whose own program takes the incumbent's place, because both cannot be merged."""

    carries: tuple[int, ...] = ()
    """Kept experiments whose edits are merged onto that program."""


@dataclass(frozen=True, slots=True)
class Rebase:
    """Put the edit on the new incumbent: the branch moved before this experiment had an attempt."""

    experiment: Experiment


@dataclass(frozen=True, slots=True)
class Settle:
    """Bring an edit that is good enough to keep, but was measured on an older incumbent, together with the new one."""

    experiment: Experiment
    assessment: Assessment

    keep: bool
    """True if the edit is kept as soon as it merges; false if the merged program must be tried first."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try the edit on the new incumbent, with its own lines where the two conflict."""

    experiment: Experiment
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Take a kept experiment back: every edit on the program that its merge made crashes."""

    kept: Experiment


@dataclass(frozen=True, slots=True)
class Doubt:
    """Run the incumbent without a kept edit, to learn what that is worth by now."""

    kept: int
    """Number of the kept experiment."""


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask the agent once more."""

    count: int = 1
    """Proposals that this question may bring, one after another."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until something ends."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End this run of the campaign."""

    reason: str

    failed: bool = False
    """True if the operator must act before the campaign can go on."""


Action = Launch | Conclude | Rebase | Settle | Retry | TakeBack | Doubt | Propose | Wait | Stop
