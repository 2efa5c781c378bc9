"""Totals for each strategy, and for each proposer: proposals, verdicts, kept gain and dollars. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.domain import BASELINE, Experiment, Verdict

MOST_NAMES = 40
"""Most strategies that are counted by name: each is a series of three metrics, and an agent may invent one for each
proposal. The agents of this project have twelve."""

OTHERS = "others"
"""Name of all further strategies together."""

UNNAMED = "open"
"""Strategy counted when neither the proposal nor its agent has a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyTotals:
    """Totals of one strategy so far, or of one proposer."""

    strategy: str
    """Its name, or the proposer's."""

    proposed: int = 0
    """Experiments, judged or not."""

    verdicts: Mapping[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))

    gain: float = 0.0
    """Sum of the expected gains of its keeps, in sigma of one attempt."""

    dollars: float = 0.0
    """Dollars of its experiments, as the caller prices them."""

    @property
    def judged(self) -> int:
        """Experiments with a verdict."""
        return sum(self.verdicts.values())

    @property
    def kept(self) -> int:
        """Experiments that became part of the branch."""
        return self.verdicts[Verdict.KEEP]

    @property
    def failed(self) -> int:
        """Experiments that crashed or were rejected."""
        return self.verdicts[Verdict.CRASH] + self.verdicts[Verdict.REJECT]


def strategy_of(experiment: Experiment) -> str:
    """Name of an experiment's strategy, one of few: metrics keep a series for each.

    The part before the colon counts, as in `replay:0007-wider.patch`. A proposal without a strategy counts for its
    agent, without the model's name.
    """
    strategy, _, _ = experiment.strategy.partition(":")
    agent, _, _ = experiment.agent.partition("/")
    return strategy or agent or UNNAMED


def proposer_of(experiment: Experiment) -> str:
    """Whoever proposed it, with the model: `claude/MODEL`, `command/PROGRAM/MODEL`, `perturb`."""
    return experiment.agent or UNNAMED


def add_experiments(
    known: Mapping[str, StrategyTotals],
    experiments: Iterable[Experiment],
    *,
    dollars: Callable[[Experiment], float],
    name_of: Callable[[Experiment], str] = strategy_of,
) -> dict[str, StrategyTotals]:
    """Totals with these experiments added; the baseline is skipped, for it was not proposed.

    The caller adds each experiment once. dollars: prices one experiment. name_of: what the totals are kept by.
    """
    totals = dict(known)
    for experiment in experiments:
        if experiment.number == BASELINE:
            continue
        name = name_of(experiment)
        if name not in totals and len(totals) >= MOST_NAMES:
            name = OTHERS
        before = totals.get(name, StrategyTotals(strategy=name))
        totals[name] = _add_experiment(before, experiment, dollars=dollars(experiment))
    return totals


def _add_experiment(before: StrategyTotals, experiment: Experiment, *, dollars: float) -> StrategyTotals:
    verdicts = dict(before.verdicts)
    gain = before.gain
    judgement = experiment.judgement
    if judgement:
        verdicts[judgement.verdict] += 1
        if judgement.verdict is Verdict.KEEP:
            gain += judgement.expected_gain or 0.0
    return replace(
        before,
        proposed=before.proposed + 1,
        verdicts=verdicts,
        gain=gain,
        dollars=before.dollars + dollars,
    )
