"""The campaign at one moment: what the loop prepares for those who scrape or look. No I/O, no libraries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.domain import BASELINE, Attempt, Experiment, LostTo, Outcome, Try, Verdict
from controller.judge import State
from controller.memory import Memory
from controller.notices import AttemptEnded, Concluded, Notice, TryLost
from controller.records import mean
from controller.settings import Settings

UNNAMED = "open"
"""Strategy of an edit whose agent names none and itself neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The campaign at one moment, prepared by the loop for whoever scrapes or looks.

    seconds: slot seconds of ended tries by how their attempt ended, lost tries under `lost`.
    strategies: judged experiments by (strategy, verdict). best: the best mean score of an experiment, which noise
    flatters. wanted: slots that could be put to use now. oldest_launch: Unix time of the oldest try that runs.
    """

    settings: Settings
    verdicts: Mapping[Verdict, int] = field(default_factory=dict)
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    losses: Mapping[LostTo, int] = field(default_factory=dict)
    seconds: Mapping[Outcome, float] = field(default_factory=dict)
    strategies: Mapping[tuple[str, Verdict], int] = field(default_factory=dict)
    state: State | None = None
    baseline: float | None = None
    best: float | None = None
    holdout: float | None = None
    inflation: float | None = None
    slot_seconds: float = 0.0
    slot_dollars: float = 0.0
    experiments: int = 0
    waiting: int = 0
    wanted: int = 0
    oldest_launch: float | None = None
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
        self.losses = dict.fromkeys(LostTo, 0)
        self.seconds = dict.fromkeys(Outcome, 0.0)
        self.strategies: dict[tuple[str, Verdict], int] = {}
        self.extremes: tuple[float, float] | None = None
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
        if experiment.judgement is None:
            return
        verdict = experiment.judgement.verdict
        if experiment.scores and verdict is not Verdict.REJECT:
            score = mean(experiment.scores)
            lowest, highest = self.extremes or (score, score)
            self.extremes = min(lowest, score), max(highest, score)
        if experiment.number == BASELINE:
            return
        self.verdicts[verdict] += 1
        strategy = strategy_of(experiment)
        for each in Verdict:
            self.strategies.setdefault((strategy, each), 0)
        self.strategies[strategy, verdict] += 1

    def _ended(self, attempt: Attempt) -> None:
        if attempt.result:
            self.outcomes[attempt.result.outcome] += 1
            self.seconds[attempt.result.outcome] += attempt.tries[-1].seconds

    def _lost(self, tried: Try) -> None:
        if tried.lost:
            self.losses[tried.cause] += 1
            self.seconds[Outcome.LOST] += tried.seconds


def strategy_of(experiment: Experiment) -> str:
    """One of few names: what stands before the colon, as in `replay:0007-wider.patch`; else the agent's own."""
    return experiment.strategy.partition(":")[0] or experiment.agent.partition("/")[0] or UNNAMED


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
        seconds=dict(tally.seconds),
        strategies=dict(tally.strategies),
        state=memory.state,
        baseline=mean(baseline) if baseline else None,
        best=_best(tally, settings),
        holdout=mean(holdouts) if holdouts else None,
        inflation=max(inflations, default=None),
        slot_seconds=memory.slot_seconds,
        slot_dollars=memory.slot_dollars,
        experiments=memory.spent().experiments,
        waiting=sum(1 for e in memory.open.values() if e.number != BASELINE and not e.attempts),
        wanted=sum(_slots_wanted(e, settings) for e in memory.open.values()),
        oldest_launch=min(_launches(memory.open.values()), default=None),
    )


def _best(tally: Tally, settings: Settings) -> float | None:
    if tally.extremes is None:
        return None
    lowest, highest = tally.extremes
    return lowest if settings.task.direction == "minimize" else highest


def _slots_wanted(experiment: Experiment, settings: Settings) -> int:
    """The baseline runs side by side, every other experiment one try at a time."""
    missing = settings.judge.baseline_runs - len(experiment.scores)
    return max(0, missing) if experiment.number == BASELINE else 1


def _launches(experiments: Iterable[Experiment]) -> Iterable[float]:
    """When each try was launched that has not ended."""
    unfinished = [a for e in experiments for a in e.attempts if a.result is None and a.tries]
    return [a.tries[-1].launched_at for a in unfinished if not a.tries[-1].lost]
