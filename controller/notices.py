"""Tells the loop's observers what happens: the terminal, the metrics, the live page, another process.

A notice is an event. `Activity` holds the facts of one moment, and `Activity.doing` says what they amount to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import TypeAdapter

from controller.domain import Attempt, Cost, Experiment, Progress, Remark, TryId
from controller.judge import State
from controller.ports import RESTS, Waiting, WaitReason
from controller.text.safe_text import SENTENCE, one_line


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
    """The infrastructure took a try away. The attempt goes on with the next one."""

    experiment: Experiment
    id: TryId
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt ended, and the lab holds its result."""

    experiment: Experiment
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Concluded:
    """An experiment ended, and the lab holds its verdict."""

    experiment: Experiment

    state: State
    """The judge's state after this verdict."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A proposal was sent back, or the agent gave up, before anything ran."""

    reason: str
    cost: Cost


@dataclass(frozen=True, slots=True)
class Troubled:
    """The campaign is held up by something that only an operator can mend, or no longer is."""

    reason: str
    """One sentence; empty when it is over."""


@dataclass(frozen=True, slots=True)
class Waits:
    """A run of a study has waited for room in the cluster for a while, or none does any more."""

    reason: str
    """What it waits for; empty if it waits no more."""


@dataclass(frozen=True, slots=True)
class Told:
    """The operator told the agent something, and the lab holds it."""

    remark: Remark


@dataclass(frozen=True, slots=True)
class Inseparable:
    """A kept edit is in doubt, and what was kept after it changes the same lines, so that it cannot be left out."""

    number: int
    title: str


Notice = Admitted | Launched | TryLost | AttemptEnded | Concluded | Refused | Troubled | Waits | Told | Inseparable
Observer = Callable[[Notice], None]
"""Called with each notice, on the loop's thread: it must return at once."""


class Doing(StrEnum):
    """The state of a campaign at one moment. Each value is a series of a metric, so they are few."""

    STARTS = "starts"
    """A process holds the lab, and its loop has not turned yet."""
    RUNS = "runs"
    """At least one try is in flight."""
    THINKS = "thinks"
    """No try is in flight, and the agent works on a proposal."""
    WAITS = "waits"
    """No try is in flight, and every proposal waits for the model API, or the agent asked for a pause."""
    PAUSED = "paused"
    """The campaign cannot go on until an operator helps."""
    IDLE = "idle"
    """None of these, for the moment between two of them."""
    ENDED = "ended"
    """The budget is used, or the agent has nothing left to propose."""
    STOPPED = "stopped"
    """No process holds the lab, and the campaign has not ended."""


class Cause(StrEnum):
    """The cause of a loop's end."""

    BUDGET = "budget"
    AGENT = "agent"
    FAILURE = "failure"
    SIGNAL = "signal"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of a loop."""

    cause: Cause

    reason: str
    """One sentence for people."""

    at: float
    """Unix time."""


@dataclass(frozen=True, slots=True)
class RunningTry:
    """A try in flight."""

    experiment: int

    attempt: int

    phase: str = ""
    """The phase by its executor's name; empty until the executor has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """The facts of one moment, as the campaign's loop gathers them. `doing` says what they amount to."""

    tag: str

    alive: bool = True
    """True if a process holds the lab."""

    turned: bool = False
    """True once the loop has turned."""

    pid: int = 0
    """The process that holds, or held, the lab; 0 if it is not known."""

    since: float = 0.0
    """Unix time at which that process took the lab."""

    tries: tuple[RunningTry, ...] = ()

    proposing: int = 0
    """Questions to the agent that have no answer yet."""

    asked_at: float | None = None
    """Unix time of the oldest of these questions; None if there is none."""

    waiting: tuple[Waiting, ...] = ()

    trouble: str = ""
    """One sentence on what only an operator can mend; empty if there is nothing."""

    end: End | None = None

    study: str = ""
    """Name of the study for which that process holds, or held, the lab; empty for the campaign itself. The end is then
    that of the campaign, from before."""

    retry_at: float | None = None
    """Unix time at which a campaign that failed is tried again; None if it is not."""

    heard_at: float = 0.0
    """Unix time at which these facts were gathered."""

    @property
    def doing(self) -> Doing:
        """The state that the facts amount to. Of several the first in this order counts."""
        if not self.alive:
            over = self.end is not None and self.end.cause in (Cause.BUDGET, Cause.AGENT)
            return Doing.ENDED if over else Doing.STOPPED
        if self.end is not None:
            return Doing.PAUSED if self.end.cause is Cause.FAILURE else Doing.ENDED
        if not self.turned:
            return Doing.STARTS
        if self.tries:
            return Doing.RUNS
        if self.trouble:
            return Doing.PAUSED
        if self.thinking:
            return Doing.THINKS
        return Doing.WAITS if self.waits else Doing.IDLE

    @property
    def waits(self) -> tuple[Waiting, ...]:
        """The waits that end by themselves. What an operator must mend is told as trouble."""
        return tuple(each for each in self.waiting if each.reason is not WaitReason.OPERATOR)

    @property
    def thinking(self) -> int:
        """Proposals that the agent works on, without those that wait for the model API."""
        asleep = [each for each in self.waits if each.reason not in RESTS]
        return max(0, self.proposing - len(asleep))

    @property
    def running(self) -> list[int]:
        """Numbers of the experiments that have a try in flight; empty if the loop is gone."""
        return sorted({each.experiment for each in self.tries}) if self.alive else []

    @property
    def needs(self) -> str:
        """One sentence on what an operator must mend; empty if there is nothing, or the loop is gone."""
        if not self.alive:
            return ""
        if self.end is not None and self.end.cause is Cause.FAILURE:
            return self.end.reason
        return self.trouble


def with_phases(activity: Activity, progress: Sequence[Progress]) -> Activity:
    """Return the activity with the phases that its tries have reached by now."""
    phases = {(each.id.experiment, each.id.attempt): each.phase for each in progress}
    tries = [replace(each, phase=phases.get((each.experiment, each.attempt), each.phase)) for each in activity.tries]
    return replace(activity, tries=tuple(tries))


_ADAPTER = TypeAdapter(Activity)


def activity_to_json(activity: Activity) -> bytes:
    """The facts as JSON, for another process."""
    return _ADAPTER.dump_json(activity, exclude_defaults=True)


def activity_from_json(data: bytes) -> Activity | None:
    """The activity that `activity_to_json` wrote; None for anything else, such as the file of a later version."""
    try:
        return _make_safe(_ADAPTER.validate_json(data))
    except ValueError:
        return None


def _make_safe(activity: Activity) -> Activity:
    """The activity with texts that are safe to show, whoever wrote the file."""
    end = activity.end
    return replace(
        activity,
        waiting=tuple(replace(each, text=one_line(each.text, SENTENCE)) for each in activity.waiting),
        tries=tuple(replace(each, phase=one_line(each.phase)) for each in activity.tries),
        trouble=one_line(activity.trouble, SENTENCE),
        study=one_line(activity.study),
        end=replace(end, reason=one_line(end.reason, SENTENCE)) if end else None,
    )


def not_running(tag: str) -> Activity:
    """The activity of a campaign whose lab is free and holds no activity of it."""
    return Activity(tag=tag, alive=False)


def current_activity(tag: str, written: bytes | None, *, holder: tuple[int, float] | None) -> Activity:
    """The activity as a process outside the loop may tell it.

    written: the newest activity that a loop wrote beside the lab; None if there is none.
    holder: pid of the process that holds the lab now, and the Unix time since when; None if the lab is free.
    If the writer holds the lab no more, its activity tells how it ended, and never that something runs.
    """
    last = activity_from_json(written) if written else None
    ours = last is not None and last.tag == tag
    if holder is None:
        return replace(last, alive=False) if last and ours else not_running(tag)
    if last is None or (last.pid, last.since) != holder:
        pid, since = holder
        return Activity(tag=tag, pid=pid, since=since)
    return last if ours else not_running(tag)
