"""What the lab says, folded once and kept current: the judge's state, what is open, what is spent.

It holds no truth of its own: built again from the lab's experiments, it is the same. It does no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from controller.actions import AGAIN, Spent
from controller.domain import BASELINE, Experiment, Outcome
from controller.judge import Judge, State
from controller.pipeline import NEWEST
from controller.planner import candidate_of
from controller.prices import slot_dollars
from controller.settings import Settings


class Memory:
    """The campaign as the loop sees it. uses: slot seconds of the newest judged proposals (`pipeline.Pace`)."""

    def __init__(self, judge: Judge, experiments: Sequence[Experiment], settings: Settings) -> None:
        self._judge = judge
        self._settings = settings
        self.experiments: dict[int, Experiment] = {e.number: e for e in experiments}
        self.open: dict[int, Experiment] = {e.number: e for e in experiments if e.judgement is None}
        self.fingerprints: set[str] = {e.fingerprint for e in experiments}
        self.state: State | None = None
        self.gains: dict[str, float] = {}
        self.uses: deque[float] = deque(maxlen=NEWEST)
        self.order = 0
        self._incumbent = BASELINE
        self.slot_seconds, self.runs = _slots(experiments)
        self.slot_dollars = sum(slot_dollars(e, settings) for e in experiments)
        self._admitted = sum(_counts(e) for e in experiments)
        for experiment in sorted((e for e in experiments if e.judgement), key=_order):
            self._fold(experiment)

    @property
    def incumbent(self) -> Experiment:
        """The experiment whose code is at the head of the branch."""
        return self.experiments[self._incumbent]

    def put(self, experiment: Experiment) -> None:
        """Take in one changed or new experiment, after the lab has it."""
        known = self.experiments.get(experiment.number)
        seconds, runs = _slots([experiment])
        before_seconds, before_runs = _slots([known] if known else [])
        self.slot_seconds += seconds - before_seconds
        self.runs += runs - before_runs
        before_dollars = slot_dollars(known, self._settings) if known else 0.0
        self.slot_dollars += slot_dollars(experiment, self._settings) - before_dollars
        self._admitted += _counts(experiment) - (_counts(known) if known else 0)
        self.experiments[experiment.number] = experiment
        self.fingerprints.add(experiment.fingerprint)
        if experiment.judgement is None:
            self.open[experiment.number] = experiment
        else:
            self.open.pop(experiment.number, None)
            self._fold(experiment)

    def spent(self, *, elapsed_seconds: float = 0.0, dollars: float = 0.0) -> Spent:
        """What is used up so far; clock and model calls are the caller's to know."""
        return Spent(
            experiments=self._admitted,
            slot_seconds=self.slot_seconds,
            slot_dollars=self.slot_dollars,
            runs=self.runs,
            dollars=dollars,
            elapsed_seconds=elapsed_seconds,
        )

    def _fold(self, experiment: Experiment) -> None:
        judgement = experiment.judgement
        if judgement is None:
            return
        self.order = max(self.order, judgement.order)
        if experiment.number == BASELINE:
            self.state = self._judge.begin(experiment.scores)
            self.gains[experiment.commit] = self.state.gain
        elif self.state is not None:
            self._use(experiment)
            since = self.state.gain - self.gains.get(experiment.base, self.state.gain)
            candidate = candidate_of(experiment, gain_since=since)
            self.state = self._judge.conclude(self.state, candidate, judgement.verdict)
            if judgement.kept_as:
                self._incumbent = experiment.number
                self.gains[judgement.kept_as] = self.state.gain

    def _use(self, experiment: Experiment) -> None:
        """A second go on a newer incumbent belongs to a proposal that was counted already."""
        seconds = sum(attempt.seconds for attempt in experiment.attempts)
        if experiment.strategy.startswith(AGAIN) and self.uses:
            self.uses[-1] += seconds
        else:
            self.uses.append(seconds)


def _counts(experiment: Experiment) -> int:
    """1 where it uses up the budget's count: not the baseline, a second go, nor an edit that never came to run."""
    counted = experiment.number != BASELINE and not experiment.strategy.startswith(AGAIN)
    return int(counted and (experiment.judgement is None or bool(experiment.attempts)))


def _order(experiment: Experiment) -> int:
    return experiment.judgement.order if experiment.judgement else -1


def _slots(experiments: Iterable[Experiment]) -> tuple[float, int]:
    """Slot seconds of all tries, and how many runs ended otherwise than lost."""
    attempts = [attempt for experiment in experiments for attempt in experiment.attempts]
    ended = [a for a in attempts if a.result and a.result.outcome is not Outcome.LOST]
    return sum(a.seconds for a in attempts), len(ended)
