"""The campaign at one moment: what the loop prepares for those who scrape or look. No I/O, no libraries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial

from controller.costs.slots import SlotPrices, dollars_of
from controller.costs.strategies import StrategyTotals, add_experiments, proposer_of
from controller.domain import BASELINE, Attempt, Experiment, LostTo, Outcome, Provenance, Remark, Try, Verdict, Witness
from controller.judge import State, pool
from controller.notices import Activity, AttemptEnded, Concluded, Notice, TryLost
from controller.planning.campaign_state import CampaignState
from controller.planning.pacing import count_ready
from controller.settings import Settings
from controller.studies.study import StudyRecord

WEAKEST_FIRST = (Provenance.LOG, Provenance.UNSEALED, Provenance.SEALED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The campaign at one moment, prepared by the loop for whoever scrapes or looks.

    doubts: verdicts about kept edits that the judge left out, a keep for one that was undone; none is in `verdicts`.
    doubts_begun: kept edits that were left out, those without a verdict yet included.
    seconds: slot seconds of ended tries by how their attempt ended, lost tries under `lost`.
    best: the best mean score of an experiment, which noise flatters. provenance: the weakest of any score, as one
    unsealed run makes the whole ranking unsealed. freshness: mean over the exams of all kept edits that are in the
    incumbent, in nats, with its standard error. reserve_left: slices that no try was given yet. experiments: as the
    budget counts them; proposed: all of them. refusals: model calls that were refused, by the API's category.
    wanted: slots that could be put to use now. oldest_launch: Unix time of the oldest try that runs. turned_at:
    Unix time of the loop's last turn. remarks: what the operator told the agent, oldest first.
    studies: claims and others; their cost is in slot_seconds and slot_dollars. observed_seconds: of trainings of ended
    attempts that a witness saw; witnessed: those seconds times each share that it tells, by the share's name.
    """

    settings: Settings
    activity: Activity
    verdicts: Mapping[Verdict, int] = field(default_factory=dict)
    doubts: Mapping[Verdict, int] = field(default_factory=dict)
    doubts_begun: int = 0
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    losses: Mapping[LostTo, int] = field(default_factory=dict)
    seconds: Mapping[Outcome, float] = field(default_factory=dict)
    yields: tuple[StrategyTotals, ...] = ()
    proposers: tuple[StrategyTotals, ...] = ()
    state: State | None = None
    baseline: float | None = None
    best: float | None = None
    freshness: float | None = None
    freshness_error: float | None = None
    reserve_left: int | None = None
    inflation: float | None = None
    incumbent: int = BASELINE
    provenance: Provenance | None = None
    slot_seconds: float = 0.0
    slot_dollars: float = 0.0
    experiments: int = 0
    proposed: int = 0
    ready: int = 0
    wanted: int = 0
    oldest_launch: float | None = None
    call_dollars: float = 0.0
    tokens: Mapping[str, int] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)
    elapsed_seconds: float = 0.0
    turned_at: float = 0.0
    remarks: tuple[Remark, ...] = ()
    studies: tuple[StudyRecord, ...] = ()
    observed_seconds: float = 0.0
    witnessed: Mapping[str, float] = field(default_factory=dict)


class Tally:
    """Counts of verdicts, outcomes and losses, kept current notice by notice."""

    def __init__(self, experiments: Iterable[Experiment], prices: SlotPrices) -> None:
        self.dollars_of = partial(dollars_of, prices=prices)
        self.verdicts = dict.fromkeys(Verdict, 0)
        self.doubts = dict.fromkeys(Verdict, 0)
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.losses = dict.fromkeys(LostTo, 0)
        self.seconds = dict.fromkeys(Outcome, 0.0)
        self.yields: dict[str, StrategyTotals] = {}
        self.proposers: dict[str, StrategyTotals] = {}
        self.observed_seconds = 0.0
        self.witnessed = dict.fromkeys((each.name for each in fields(Witness)), 0.0)
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
        score = experiment.mean_score
        if score is not None and verdict is not Verdict.REJECT:
            lowest, highest = self.extremes or (score, score)
            self.extremes = min(lowest, score), max(highest, score)
        if experiment.number == BASELINE:
            return
        if experiment.doubts is None:
            self.verdicts[verdict] += 1
        elif experiment.judgement.retried_as is None:
            self.doubts[verdict] += 1
        self.yields = add_experiments(self.yields, [experiment], dollars=self.dollars_of)
        self.proposers = add_experiments(self.proposers, [experiment], dollars=self.dollars_of, name_of=proposer_of)

    def _ended(self, attempt: Attempt) -> None:
        if attempt.result:
            self.outcomes[attempt.result.outcome] += 1
            self.seconds[attempt.result.outcome] += attempt.tries[-1].seconds
            if attempt.result.witness:
                self._witnessed(attempt.result.witness, attempt.result.phase_seconds.get("train", 0.0))
            if attempt.result.score:
                self.provenances.add(attempt.result.score.provenance)

    def _witnessed(self, witness: Witness, seconds: float) -> None:
        self.observed_seconds += seconds
        for name, share in asdict(witness).items():
            self.witnessed[name] += 0.0 if share is None else share * seconds

    def _lost(self, tried: Try) -> None:
        if tried.lost:
            self.losses[tried.cause] += 1
            self.seconds[Outcome.LOST] += tried.seconds


def take_snapshot(campaign_state: CampaignState, tally: Tally, settings: Settings, activity: Activity) -> Snapshot:
    """The snapshot of a campaign's state. The loop adds what only it knows with `dataclasses.replace`."""
    exams = campaign_state.incumbent.exams
    fresh = [exam for e in campaign_state.kept[1:] for exam in e.exams if exam.freshness is not None]
    freshness, error = pool(fresh)
    inflations = [exam.inflation for exam in exams if exam.inflation is not None]
    return Snapshot(
        settings=settings,
        activity=activity,
        verdicts=dict(tally.verdicts),
        doubts=dict(tally.doubts),
        doubts_begun=campaign_state.doubts_begun,
        outcomes=dict(tally.outcomes),
        observed_seconds=tally.observed_seconds,
        witnessed=dict(tally.witnessed),
        losses=dict(tally.losses),
        seconds=dict(tally.seconds),
        yields=tuple(add_experiments(tally.yields, campaign_state.open.values(), dollars=tally.dollars_of).values()),
        proposers=tuple(
            add_experiments(
                tally.proposers, campaign_state.open.values(), dollars=tally.dollars_of, name_of=proposer_of
            ).values()
        ),
        state=campaign_state.state,
        baseline=campaign_state.experiments[BASELINE].mean_score,
        best=_best(tally, minimize=settings.task.direction == "minimize"),
        freshness=freshness if fresh else None,
        freshness_error=error if fresh else None,
        reserve_left=campaign_state.reserve_left,
        inflation=max(inflations, default=None),
        incumbent=campaign_state.incumbent.number,
        provenance=next((p for p in WEAKEST_FIRST if p in tally.provenances), None),
        slot_seconds=campaign_state.slot_seconds,
        slot_dollars=campaign_state.slot_dollars,
        experiments=campaign_state.spent().experiments,
        proposed=len(campaign_state.experiments) - 1 - campaign_state.doubts,
        ready=count_ready(campaign_state.open.values()),
        wanted=sum(_slots_wanted(e, baseline_runs=settings.judge.baseline_runs) for e in campaign_state.open.values()),
        oldest_launch=min(_launches(campaign_state.open.values()), default=None),
    )


def _best(tally: Tally, *, minimize: bool) -> float | None:
    if tally.extremes is None:
        return None
    lowest, highest = tally.extremes
    return lowest if minimize else highest


def _slots_wanted(experiment: Experiment, *, baseline_runs: int) -> int:
    """The baseline runs side by side, every other experiment one try at a time."""
    missing = baseline_runs - len(experiment.scores)
    return max(0, missing) if experiment.number == BASELINE else 1


def _launches(experiments: Iterable[Experiment]) -> Iterable[float]:
    """Unix times at which the tries were launched that have not ended."""
    for experiment in experiments:
        for attempt in experiment.attempts:
            if attempt.result is None and attempt.tries and not attempt.tries[-1].lost:
                yield attempt.tries[-1].launched_at
