"""The vocabulary as frozen values: experiments, attempts, tries, outcomes, scores, verdicts.

No I/O, no clock, no libraries. Every other room speaks in these words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

BASELINE = 0
"""Number of the experiment that changes nothing: its attempts give sigma."""


class Outcome(StrEnum):
    """How one attempt ended."""

    SCORED = "scored"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"
    LOST = "lost"


class Verdict(StrEnum):
    """How one experiment ended."""

    KEEP = "keep"
    DISCARD = "discard"
    CRASH = "crash"
    REJECT = "reject"


class Provenance(StrEnum):
    """Who vouches for a score: the exam in a sandbox, the exam without one, or only the training's own log."""

    SEALED = "sealed"
    UNSEALED = "unsealed"
    LOG = "log"


class LostTo(StrEnum):
    """What took a try away; a closed set, so that it can be counted."""

    STOPPED = "stopped"
    PREEMPTED = "preempted"
    EVICTED = "evicted"
    DRAINED = "drained"
    NODE_LOST = "node_lost"
    ADMISSION = "admission"
    UNSCHEDULABLE = "unschedulable"
    IMAGE = "image"
    QUOTA = "quota"
    CONFIG = "config"
    DELETED = "deleted"
    EXAMINER = "examiner"
    UNKNOWN = "unknown"


INTERRUPTIONS = frozenset({LostTo.STOPPED, LostTo.PREEMPTED})
"""Taken away on purpose: by the controller's own end, or for work of higher priority. Nothing is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamReport:
    """What the examiner measured; nll differences in nats, None where the exam did not get that far."""

    raw: float | None = None
    holdout: float | None = None
    inflation: float | None = None
    inflation_error: float | None = None
    hits: int | None = None
    spread: float | None = None
    restart: float | None = None
    restart_error: float | None = None
    probes: int | None = None
    tokens: int | None = None
    data: str | None = None
    test: str | None = None
    flag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The campaign's metric with its provenance; `value` is in the metric's own unit."""

    value: float
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How an attempt ended. `reason` is one sentence, empty when scored; `seconds` is the executor's wall clock.

    interrupted: lost because the controller itself stopped, or to work of higher priority; that counts against nobody.
    lost_to: what took it away, where that is known.
    """

    outcome: Outcome
    reason: str = ""
    interrupted: bool = False
    lost_to: LostTo | None = None
    score: Score | None = None
    exam: ExamReport | None = None
    seconds: float = 0.0
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    node: str = ""
    accelerator: str = "cpu"
    summary: Mapping[str, float] = field(default_factory=dict)
    log_tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One launch of an attempt. An infrastructure failure ends it with `lost`, its reason, and a next try.

    interrupted: lost on purpose (INTERRUPTIONS), so that it does not count against the most tries there may be.
    lost_to: what took it away; None where it was not lost, or by a version that did not say.
    dollars_per_hour: the price of its slot that applied when it ended; None before, and where none was booked.
    """

    number: int
    probe_set: int
    launched_at: float
    seconds: float = 0.0
    dollars_per_hour: float | None = None
    lost: str = ""
    interrupted: bool = False
    lost_to: LostTo | None = None

    @property
    def cause(self) -> LostTo:
        """What took this lost try away, also where its record does not say."""
        return self.lost_to or (LostTo.STOPPED if self.interrupted else LostTo.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One training of one commit with one seed; `result` is None until it ended."""

    number: int
    seed: int
    tries: tuple[Try, ...] = ()
    result: Result | None = None

    @property
    def seconds(self) -> float:
        """Wall seconds of all its tries, lost ones included: what the budget is charged."""
        return sum(t.seconds for t in self.tries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a proposal cost: dollars and tokens by kind (input, output, cache_write, cache_read)."""

    dollars: float = 0.0
    tokens: Mapping[str, int] = field(default_factory=dict)
    calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An edit that an agent wants tried: the whole new text of the files it changed, on `base`."""

    base: str
    files: Mapping[str, str]
    title: str
    hypothesis: str
    agent: str
    strategy: str = ""
    expected_effect: str = ""
    cost: Cost = field(default_factory=Cost)
    transcript: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict and why. Gain and spread are in sigma of one run; `price` is what a rerun had to be worth.

    order: place of this judgement in the campaign (1, 2, ...), so that a replay folds in the same order.
    kept_as: the commit that the branch moved to, for `keep`.
    """

    verdict: Verdict
    reason: str
    order: int
    expected_gain: float | None = None
    spread: float | None = None
    price: float | None = None
    level: float | None = None
    kept_as: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One proposal as one commit, with its attempts and, at the end, its judgement.

    line_change: lines added minus lines removed against `base`; negative is simpler.
    fingerprint: of the whole edited program, normalised (`novelty.fingerprint`).
    """

    number: int
    commit: str
    base: str
    title: str
    hypothesis: str = ""
    agent: str = ""
    strategy: str = ""
    expected_effect: str = ""
    line_change: int = 0
    fingerprint: str = ""
    cost: Cost = field(default_factory=Cost)
    proposed_at: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    judgement: Judgement | None = None

    @property
    def scores(self) -> tuple[float, ...]:
        """Values of its scored attempts, in order."""
        results = (a.result for a in self.attempts)
        return tuple(r.score.value for r in results if r and r.outcome is Outcome.SCORED and r.score)

    @property
    def hits(self) -> int:
        """Exam probes beyond 0.5 nats, added up over its attempts; two of them reject."""
        results = (a.result for a in self.attempts)
        return sum(r.exam.hits or 0 for r in results if r and r.exam)

    @property
    def open_attempt(self) -> Attempt | None:
        """The attempt that has not ended, or None."""
        return next((a for a in self.attempts if a.result is None), None)


@dataclass(frozen=True, slots=True, order=True)
class TryId:
    """The name of one try; deterministic, so that a lost reply or a restart finds it again."""

    tag: str
    experiment: int
    attempt: int
    number: int

    def __str__(self) -> str:
        return f"{self.tag}-e{self.experiment:04d}-a{self.attempt}-t{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRequest:
    """Everything an executor needs to run one try; `files` are the editable files at `commit`."""

    id: TryId
    commit: str
    files: Mapping[str, str]
    seed: int
    probe_set: int
    baseline_spread: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TryEnded:
    """An executor's report: `result` has outcome LOST when the infrastructure took the try away."""

    id: TryId
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a running try is, for people to watch; never for the score."""

    id: TryId
    phase: str
    started_at: float
    phase_seconds: float
    line: str = ""
