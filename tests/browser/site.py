"""A campaign with everything that can happen in one, served by the real server while it runs in a real lab.

Experiments up to `HELD` end when they are launched; later ones run until the test lets them end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from controller.campaign import Campaign
from controller.costs.slots import SlotPrices
from controller.domain import (
    Cost,
    ExamReport,
    Outcome,
    Progress,
    Proposal,
    Provenance,
    Result,
    Score,
    TryEnded,
    TryRequest,
)
from controller.judge import make_judge
from controller.lab.writer import LabWriter
from controller.monitoring.metrics import Metrics
from controller.monitoring.server import Server, Sources
from controller.notices import Notice
from controller.ports import Abandoned, ProposalRequest, Waiting, WaitReason
from controller.reports.snapshot import Tally, take_snapshot
from controller.settings import Settings
from tests.support.scripted import CONSTANTS, InstantExecutor, NumberAgent, scored, settings
from tests.support.waiting import wait_until

HELD = 40
"""The first experiment that does not end by itself."""

IDEAS = (
    (
        "optimizer: raise the matrix learning rate",
        "The loss still falls steeply at the end, so larger steps should pay.",
    ),
    ("schedule: warm down over 60 % of the run", "A longer decay averages the noise of the last steps away."),
    ("model: replace ReLU² by a gated unit with the same number of parameters, as wider networks prefer it", "Gating."),
    ("data: pack documents without crossing borders", "Attention over a border is noise."),
    ("simplify: drop the value embeddings", "They cost time and bring little at this size."),
)


STRATEGIES = ("open", "bolder", "delete", "combine")
WAITING = Waiting(reason=WaitReason.RATE_LIMIT, text="rate_limit_error: too many <b>tokens</b>", until=1_900_000_000.0)


class Researcher(NumberAgent):
    """NumberAgent with titles and hypotheses like those of real campaigns, one of them hostile."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The next edit."""
        proposal = super().propose(request)
        if isinstance(proposal, Abandoned):
            return proposal
        title, hypothesis = IDEAS[request.number % len(IDEAS)]
        if request.number % 17 == 0:
            title, hypothesis = "<script>alert(1)</script>", "<img src=http://elsewhere.example/x onerror=alert(1)>"
        strategy = STRATEGIES[request.number // 7 % len(STRATEGIES)]
        cost = Cost(dollars=0.01 * (request.number % 9), calls=3)
        return replace(proposal, title=title, hypothesis=hypothesis, strategy=strategy, cost=cost)


class HeldExecutor(InstantExecutor):
    """Ends tries at once, later ones only when told to; shows what runs meanwhile."""

    def __init__(self) -> None:
        super().__init__(outcome)
        self.held: list[TryRequest] = []

    def launch(self, request: TryRequest) -> None:
        """End the try, or hold it."""
        if request.id.experiment < HELD:
            super().launch(request)
        else:
            self.held.append(request)

    def release(self) -> int:
        """Let the oldest held try end; the number of its experiment."""
        request = self.held.pop(0)
        self._ended(TryEnded(id=request.id, result=outcome(request)))
        return request.id.experiment

    def progress(self) -> Sequence[Progress]:
        """Held tries are twelve seconds into their training."""
        now = time.time()
        return [
            Progress(id=r.id, phase="train", started_at=now - 12, phase_seconds=50, line="step 412   loss 1.91")
            for r in self.held
        ]


def outcome(request: TryRequest) -> Result:
    """Slow progress with noise; every ninth crashes, every fifteenth is caught by the exam, one is a disaster."""
    number, luck = request.id.experiment, (request.seed % 1000 / 1000 - 0.5) * 0.004
    phases = {"train": 20.0, "examine": 3.3}
    exam = ExamReport(
        raw=0.4127 if number % 15 == 0 else 2.0,
        inflation=1.38 if number % 15 == 0 else 0.0001,
        inflation_error=0.02 if number % 15 == 0 else 0.0001,
        freshness=0.003,
        asked_error=0.006,
        freshness_error=0.02,
        hits=0,
        probes=512,
    )
    if number % 9 == 0 and number:
        reason = "CUDA out of memory in train, step 3 (peak 79.2 of 80.0 GB)"
        return Result(outcome=Outcome.CRASHED, reason=reason, seconds=5.0, log_tail="Traceback …\nOutOfMemoryError\n")
    if number % 15 == 0 and number:
        reason = "looks ahead: nll is 1.38 ± 0.02 nats lower when the next token is in the input"
        return Result(outcome=Outcome.REJECTED, reason=reason, exam=replace(exam, test="inflation"), seconds=24.0)
    worse = 0.9 if number == 13 else 0.02 if number % 4 else 0.0
    value = 2.14 - 0.004 * (number - number % 4) + worse + luck
    ended = scored(value, exam=exam, phase_seconds=phases, node="gpu-node-7", accelerator="NVIDIA H100")
    return replace(ended, score=Score(value=value, provenance=Provenance.SEALED))


@dataclass(frozen=True)
class Site:
    """A served campaign."""

    campaign: Campaign
    executor: HeldExecutor
    settings: Settings
    lab: Path
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end_one(self) -> int:
        """Let one running experiment end and wait for its verdict; its number."""
        number = self.executor.release()
        self.wait_for_verdict(number)
        return number

    def wait_for_verdict(self, number: int) -> None:
        """Wait until the lab holds a judgement, or until it runs again."""
        wait_until(
            lambda: (
                self.campaign.campaign_state.experiments[number].judgement is not None
                or any(r.id.experiment == number for r in self.executor.held)
            ),
            what=f"a verdict on experiment {number}",
        )


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """The campaign, its experiments below HELD judged, its next ones running."""
    chosen = settings(
        "tag=mar8",
        "task.score=exam",
        "server.enabled=true",
        "server.port=0",
        "budget.experiments=200",
        "budget.gpu_dollars_per_hour=2",
        "executor.slots=2",
    )
    executor, metrics = HeldExecutor(), Metrics(chosen)

    def observe(notice: Notice) -> None:
        tally.take(notice)
        metrics.notice(notice)

    task = {"train.py": _task(), "program.md": "Lower it.\n"}
    ran = Campaign(
        settings=chosen,
        lab=LabWriter.open(folder / "lab.git", create=True),
        executor=executor,
        agent=Researcher(),
        judge=make_judge(chosen.judge, minimize=True),
        task_files=task,
        brief="Lower it.\n",
        clock=time.time,
        observe=observe,
        turned=lambda: metrics.publish(
            replace(
                take_snapshot(ran.campaign_state, tally, chosen, replace(ran.activity(), waiting=(WAITING,))),
                turned_at=time.time(),
                call_dollars=0.25 + sum(e.cost.dollars for e in ran.campaign_state.experiments.values()),
            )
        ),
    )
    tally = Tally(ran.campaign_state.experiments.values(), SlotPrices.of(chosen))
    loop = threading.Thread(target=ran.run, name="loop")
    loop.start()
    server = Server(_sources(ran, executor, metrics, chosen, folder / "lab.git"))
    try:
        wait_until(lambda: len(executor.held) == 2, what="two experiments that run")
        yield Site(ran, executor, chosen, folder / "lab.git", server.port)
    finally:
        ran.stop("the test is over")
        loop.join()
        server.close()


def _task() -> str:
    constants = "".join(f"K{n} = 0\n\n# constant {n} stands alone\n\n" for n in range(CONSTANTS))
    return f"{constants}\ndef load_model(folder):\n    return None\n"


def _sources(ran: Campaign, executor: HeldExecutor, metrics: Metrics, chosen: Settings, lab: Path) -> Sources:
    return Sources(
        settings=chosen,
        metrics=metrics,
        lab=lab,
        experiments=lambda: tuple(ran.campaign_state.experiments.values()),
        progress=executor.progress,
        ready=lambda: True,
        clock=time.time,
        say=print,
    )
