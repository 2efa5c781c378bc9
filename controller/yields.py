"""What each way of thinking brought: proposals, verdicts, kept gain and dollars by strategy. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.domain import BASELINE, Experiment, Verdict

UNNAMED = "open"
"""Strategy of an edit whose agent names none and itself neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """What one strategy brought so far.

    gain: sum of its kept expected gains, in sigma of one run. dollars: as whoever counts prices them.
    """

    strategy: str
    proposed: int = 0
    verdicts: Mapping[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    gain: float = 0.0
    dollars: float = 0.0

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
    """One of few names: what stands before the colon, as in `replay:0007-wider.patch`; else the agent's own."""
    return experiment.strategy.partition(":")[0] or experiment.agent.partition("/")[0] or UNNAMED


def with_experiments(
    known: Mapping[str, Yield], experiments: Iterable[Experiment], *, dollars: Callable[[Experiment], float]
) -> dict[str, Yield]:
    """`known` and these experiments, each counted once by whoever calls; the baseline is nobody's.

    dollars: what one of them cost.
    """
    found = dict(known)
    for experiment in experiments:
        if experiment.number != BASELINE:
            name = strategy_of(experiment)
            found[name] = _with(found.get(name, Yield(strategy=name)), experiment, dollars=dollars(experiment))
    return found


def _with(before: Yield, experiment: Experiment, *, dollars: float) -> Yield:
    judgement, verdicts, gain = experiment.judgement, dict(before.verdicts), before.gain
    if judgement:
        verdicts[judgement.verdict] += 1
        gain += (judgement.expected_gain or 0.0) if judgement.verdict is Verdict.KEEP else 0.0
    return replace(
        before,
        proposed=before.proposed + 1,
        verdicts=verdicts,
        gain=gain,
        dollars=before.dollars + dollars,
    )
