"""Scripted parts for the loop's tests: an agent that proposes numbers and an executor that ends tries at once.

Both keep the ports' contracts and nothing more; the lab beneath them is a real git repository.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controller.campaign import Campaign
from controller.domain import (
    BASELINE,
    Experiment,
    Outcome,
    Progress,
    Proposal,
    Provenance,
    Result,
    Score,
    TryEnded,
    TryId,
    TryRequest,
    Verdict,
)
from controller.judge import make_judge
from controller.lab.writer import LabWriter
from controller.notices import Notice
from controller.ports import Abandoned, ProposalRequest, Waiting
from controller.settings import Settings
from controller.settings.file import load_settings

CONSTANTS = 30
TRAIN = "".join(f"K{n} = 0\n\n# constant {n} stands alone\n\n" for n in range(CONSTANTS))
"""Constants far enough apart that edits of different ones merge."""


def settings(*overrides: str) -> Settings:
    """Settings of a log-scored campaign with six experiments, changed by `key=value`."""
    defaults = ["tag=t", "task.score=log", "budget.experiments=6", "judge.policy=ledger"]
    return load_settings(None, [*defaults, *overrides])


def scored(value: float, **fields: object) -> Result:
    """A scored result."""
    score = Score(value=value, provenance=Provenance.LOG)
    return Result(outcome=Outcome.SCORED, score=score, seconds=20.0, **fields)  # type: ignore[arg-type]  # test values


def kept(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Kept experiments in the order of the branch, the baseline left out."""
    chosen = [e for e in experiments if e.number != BASELINE and e.judgement and e.judgement.verdict is Verdict.KEEP]
    return sorted(chosen, key=lambda e: e.judgement.order if e.judgement else 0)


@dataclass
class NumberAgent:
    """Sets one constant after another to a number of its own: always new, always parses."""

    name: str = "numbers"
    proposals: int | None = None
    asked: list[ProposalRequest] = field(default_factory=list)

    def check(self) -> list[str]:
        """Nothing to warn of."""
        return []

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Nothing is ever waited for."""
        return ()

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The next number, until `proposals` are used up."""
        self.asked.append(request)
        if self.proposals is not None and len(self.asked) > self.proposals:
            return Abandoned(reason="no more numbers", exhausted=True)
        name = f"K{request.number % CONSTANTS}"
        text = re.sub(rf"^{name} = .*$", f"{name} = {request.number}", request.files["train.py"], flags=re.MULTILINE)
        return Proposal(
            base=request.base,
            files={"train.py": text},
            title=f"{name} → {request.number}",
            hypothesis=f"{name} is too small",
            agent=self.name,
        )

    def stop(self) -> None:
        """Nothing is ever waited for."""


class InstantExecutor:
    """Ends every try when it is launched, with what `outcome` says; keeps what it was asked to do."""

    def __init__(self, outcome: Callable[[TryRequest], Result]) -> None:
        self._outcome = outcome
        self.launched: list[TryRequest] = []
        self.adopted: list[TryId] = []
        self.cleaned: list[TryId] = []
        self._ended: Callable[[TryEnded], None] = lambda _: None

    def start(self, ended: Callable[[TryEnded], None]) -> None:
        """Report to `ended` from now on."""
        self._ended = ended

    def launch(self, request: TryRequest) -> None:
        """End the try at once."""
        self.launched.append(request)
        self._ended(TryEnded(id=request.id, result=self._outcome(request)))

    def adopt(self, requests: Sequence[TryRequest]) -> None:
        """Tries of a dead controller are lost, as the local executor has it."""
        for request in requests:
            self.adopted.append(request.id)
            lost = Result(outcome=Outcome.LOST, reason="the controller stopped while it ran", seconds=3.0)
            self._ended(TryEnded(id=request.id, result=lost))

    def progress(self) -> Sequence[Progress]:
        """Nothing ever runs long enough to be seen."""
        return ()

    def trouble(self) -> str:
        """Never any."""
        return ""

    def ready(self) -> bool:
        """Always."""
        return True

    def watch_ages(self) -> Mapping[str, float]:
        """Nothing is watched."""
        return {}

    def recorded(self, id: TryId) -> None:
        """Note what may be cleaned up."""
        self.cleaned.append(id)

    def stop(self) -> None:
        """Nothing to stop."""


def campaign(
    folder: Path,
    executor: InstantExecutor,
    *,
    agent: NumberAgent | None = None,
    chosen: Settings | None = None,
    observe: Callable[[Notice], None] = lambda _: None,
    turned: Callable[[], None] = lambda: None,
) -> Campaign:
    """A campaign on the lab in `folder`, made where there is none."""
    chosen = chosen or settings()
    return Campaign(
        settings=chosen,
        lab=LabWriter.open(folder / "lab.git", create=True),
        executor=executor,
        agent=agent or NumberAgent(),
        judge=make_judge(chosen.judge, minimize=chosen.task.direction == "minimize"),
        task_files={"train.py": TRAIN, "program.md": "Lower it.\n"},
        brief="Lower it.\n",
        clock=_Clock(),
        observe=observe,
        turned=turned,
        wait_seconds=0.02,
    )


class _Clock:
    """Seconds that pass only when somebody looks."""

    def __init__(self) -> None:
        self._now = 1_700_000_000.0

    def __call__(self) -> float:
        self._now += 1.0
        return self._now
