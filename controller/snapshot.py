"""The campaign at one moment: what the loop prepares for those who scrape or look. No I/O, no libraries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.domain import BASELINE, Attempt, Experiment, Outcome, Try, Verdict
from controller.judge import State
from controller.memory import Memory
from controller.notices import AttemptEnded, Concluded, Notice, TryLost
from controller.settings import Settings

LOSSES = ("interrupted", "infrastructure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The campaign at one moment, prepared by the loop for whoever scrapes or looks."""

    settings: Settings
    verdicts: Mapping[Verdict, int] = field(default_factory=dict)
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    losses: Mapping[str, int] = field(default_factory=dict)
    state: State | None = None
    baseline: float | None = None
    holdout: float | None = None
    inflation: float | None = None
    slot_seconds: float = 0.0
    experiments: int = 0
    waiting: int = 0
    running: int = 0
    proposing: int = 0
    call_dollars: float = 0.0
    tokens: Mapping[str, int] = field(default_factory=dict)
    elapsed_seconds: float = 0.0
    turned_at: float = 0.0
    paused: bool = False


class Tally:
    """Counts of verdicts, outcomes and losses, kept current notice by notice."""

    def __init__(self, experiments: Iterable[Experiment]) -> None:
        self.verdicts = dict.fromkeys(Verdict, 0)
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.losses = dict.fromkeys(LOSSES, 0)
        for experiment in experiments:
            self._judged(experiment)
            for attempt in experiment.attempts:
                self._ended(attempt)
                for tried in attempt.tries:
                    self._lost(tried)

    def take(self, notice: Notice) -> None:
        """Count what has just happened."""
        match notice:
            case Concluded(experiment, _):
                self._judged(experiment)
            case AttemptEnded(_, attempt):
                self._ended(attempt)
            case TryLost(experiment, id, _):
                attempt = next(a for a in experiment.attempts if a.number == id.attempt)
                self._lost(attempt.tries[-1])
            case _:
                pass

    def _judged(self, experiment: Experiment) -> None:
        if experiment.judgement and experiment.number != BASELINE:
            self.verdicts[experiment.judgement.verdict] += 1

    def _ended(self, attempt: Attempt) -> None:
        if attempt.result:
            self.outcomes[attempt.result.outcome] += 1

    def _lost(self, tried: Try) -> None:
        if tried.lost:
            self.losses["interrupted" if tried.interrupted else "infrastructure"] += 1


def take_snapshot(memory: Memory, tally: Tally, settings: Settings) -> Snapshot:
    """What the loop's memory says; the loop adds what only it knows with `dataclasses.replace`."""
    exams = [a.result.exam for a in memory.incumbent.attempts if a.result and a.result.exam]
    holdouts = [exam.holdout for exam in exams if exam.holdout is not None]
    inflations = [exam.inflation for exam in exams if exam.inflation is not None]
    baseline = memory.experiments[BASELINE].scores
    return Snapshot(
        settings=settings,
        verdicts=dict(tally.verdicts),
        outcomes=dict(tally.outcomes),
        losses=dict(tally.losses),
        state=memory.state,
        baseline=sum(baseline) / len(baseline) if baseline else None,
        holdout=sum(holdouts) / len(holdouts) if holdouts else None,
        inflation=max(inflations, default=None),
        slot_seconds=memory.slot_seconds,
        experiments=memory.spent().experiments,
        waiting=sum(1 for e in memory.open.values() if e.number != BASELINE and not e.attempts),
    )
