"""The campaign at one moment: what the loop prepares for those who scrape or look. No I/O, no libraries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from controller.domain import BASELINE, Attempt, Experiment, LostTo, Outcome, Provenance, Try, Verdict
from controller.judge import State
from controller.memory import Memory
from controller.notices import AttemptEnded, Concluded, Notice, TryLost
from controller.pipeline import ready
from controller.ports import Waiting
from controller.prices import dollars_of
from controller.records import mean
from controller.settings import Settings
from controller.yields import Yield, with_experiments

ENDS = ("budget", "agent", "failure")
"""What a campaign ended by: all it was given is used, nothing is left to propose, or something must be mended."""

WEAKEST_FIRST = (Provenance.LOG, Provenance.UNSEALED, Provenance.SEALED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The campaign at one moment, prepared by the loop for whoever scrapes or looks.

    seconds: slot seconds of ended tries by how their attempt ended, lost tries under `lost`.
    best: the best mean score of an experiment, which noise flatters. provenance: the weakest of any score, as one
    unsealed run makes the whole ranking unsealed. experiments: as the budget counts them; proposed: all of them.
    wanted: slots that could be put to use now. oldest_launch: Unix time of the oldest try that runs.
    running: tries; trying: numbers of the experiments that have one. waiting: what proposals wait for.
    ended: one of ENDS once the campaign is over.
    """

    settings: Settings
    verdicts: Mapping[Verdict, int] = field(default_factory=dict)
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    losses: Mapping[LostTo, int] = field(default_factory=dict)
    seconds: Mapping[Outcome, float] = field(default_factory=dict)
    yields: tuple[Yield, ...] = ()
    state: State | None = None
    baseline: float | None = None
    best: float | None = None
    holdout: float | None = None
    inflation: float | None = None
    incumbent: int = BASELINE
    provenance: Provenance | None = None
    slot_seconds: float = 0.0
    slot_dollars: float = 0.0
    experiments: int = 0
    proposed: int = 0
    trying: tuple[int, ...] = ()
    ready: int = 0
    wanted: int = 0
    oldest_launch: float | None = None
    running: int = 0
    proposing: int = 0
    waiting: tuple[Waiting, ...] = ()
    call_dollars: float = 0.0
    tokens: Mapping[str, int] = field(default_factory=dict)
    elapsed_seconds: float = 0.0
    turned_at: float = 0.0
    paused: bool = False
    ended: str = ""


class Tally:
    """Counts of verdicts, outcomes and losses, kept current notice by notice."""

    def __init__(self, experiments: Iterable[Experiment], settings: Settings) -> None:
        self.dollars_of = partial(dollars_of, settings=settings)
        self.verdicts = dict.fromkeys(Verdict, 0)
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.losses = dict.fromkeys(LostTo, 0)
        self.seconds = dict.fromkeys(Outcome, 0.0)
        self.yields: dict[str, Yield] = {}
        self.provenances: set[Provenance] = set()
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
        self.yields = with_experiments(self.yields, [experiment], dollars=self.dollars_of)

    def _ended(self, attempt: Attempt) -> None:
        if attempt.result:
            self.outcomes[attempt.result.outcome] += 1
            self.seconds[attempt.result.outcome] += attempt.tries[-1].seconds
            if attempt.result.score:
                self.provenances.add(attempt.result.score.provenance)

    def _lost(self, tried: Try) -> None:
        if tried.lost:
            self.losses[tried.cause] += 1
            self.seconds[Outcome.LOST] += tried.seconds


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
        yields=tuple(with_experiments(tally.yields, memory.open.values(), dollars=tally.dollars_of).values()),
        state=memory.state,
        baseline=mean(baseline) if baseline else None,
        best=_best(tally, settings),
        holdout=mean(holdouts) if holdouts else None,
        inflation=max(inflations, default=None),
        incumbent=memory.incumbent.number,
        provenance=next((p for p in WEAKEST_FIRST if p in tally.provenances), None),
        slot_seconds=memory.slot_seconds,
        slot_dollars=memory.slot_dollars,
        experiments=memory.spent().experiments,
        proposed=len(memory.experiments) - 1,
        trying=tuple(e.number for e in memory.open.values() if _is_tried(e)),
        ready=ready(memory.open.values()),
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


def _is_tried(experiment: Experiment) -> bool:
    attempt = experiment.open_attempt
    return bool(attempt and attempt.tries and not attempt.tries[-1].lost)


def _launches(experiments: Iterable[Experiment]) -> Iterable[float]:
    """When each try was launched that has not ended."""
    unfinished = [a for e in experiments for a in e.attempts if a.result is None and a.tries]
    return [a.tries[-1].launched_at for a in unfinished if not a.tries[-1].lost]
