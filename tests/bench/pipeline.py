"""Measures the duty of four slots in a campaign: the agent thinks for a minute, attempts take 20 s.

The campaign, its threads and its lab are real. Agent and executor only wait, on a clock that is four times faster.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock, Timer

from controller.campaign.loop import WAIT_SECONDS, Campaign
from controller.domain import Proposal, Result, TryEnded, TryId, TryRequest
from controller.judge import make_judge
from controller.lab.writer import LabWriter
from controller.ports import Abandoned, ProposalRequest
from tests.support.scripted import TRAIN, InstantExecutor, NumberAgent, scored, settings

FASTER = 4.0
"""Simulated seconds in a real one. At a higher factor the loop's own work would count too much."""

SLOTS = 4
THINKING = (45.0, 75.0)
"""Shortest and longest proposal, in simulated seconds."""

TRAINING = (18.0, 22.0)
"""Shortest and longest attempt, in simulated seconds."""

WARM_UP = 60.0
"""Simulated seconds that are left out: the first proposals take that long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The measurements of one campaign."""

    duty: float
    """Share of slot time in which an attempt ran."""
    thinking: int
    """Most proposals that were being written at once."""
    experiments: int
    """Experiments that ran."""
    unrun: int
    """Experiments that were discarded before they ran."""


class Clock:
    """Simulated wall-clock time, FASTER than the real one."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self) -> float:
        return 1_700_000_000.0 + (time.monotonic() - self._began) * FASTER


@dataclass
class Thinker(NumberAgent):
    """An agent that waits for about a minute and then changes a constant."""

    draw: random.Random = field(default_factory=lambda: random.Random(0))
    stopped: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    thinking: int = 0
    most: int = 0

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """Wait, then propose a new value of one constant."""
        self._count(1)
        stopped = self.stopped.wait(self.draw.uniform(*THINKING) / FASTER)
        self._count(-1)
        return Abandoned(reason="the campaign is stopping") if stopped else super().propose(request)

    def _count(self, change: int) -> None:
        with self.lock:
            self.thinking += change
            self.most = max(self.most, self.thinking)

    def stop(self) -> None:
        """End all waits."""
        self.stopped.set()


class Slots(InstantExecutor):
    """An executor whose tries only wait, for about 20 s. Every tenth edit gets a better score."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(self._score)
        self._clock = clock
        self._lock = Lock()
        self._spans: dict[TryId, tuple[float, float]] = {}
        self._timers: list[Timer] = []
        self._draw = random.Random(1)

    def launch(self, request: TryRequest) -> None:
        """Start a try, which ends by a timer."""
        self.launched.append(request)
        began, seconds = self._clock(), self._draw.uniform(*TRAINING)
        timer = Timer(seconds / FASTER, self._end, (request, began))
        self._timers.append(timer)
        with self._lock:
            self._spans[request.id] = (began, float("inf"))
        timer.start()

    def stop(self) -> None:
        """Cancel the timers of running tries."""
        for timer in self._timers:
            timer.cancel()

    def duty(self, *, since: float, until: float) -> float:
        """Share of slot time in which a try ran."""
        with self._lock:
            spans = list(self._spans.values())
        busy = sum(max(0.0, min(end, until) - max(began, since)) for began, end in spans)
        return busy / (SLOTS * (until - since))

    def _end(self, request: TryRequest, began: float) -> None:
        ended = self._clock()
        with self._lock:
            self._spans[request.id] = (began, ended)
        self._ended(TryEnded(id=request.id, result=replace(self._score(request), seconds=ended - began)))

    def _score(self, request: TryRequest) -> Result:
        number = request.id.experiment
        level = 2.0 if not number else 1.98 if number % 10 == 0 else 2.4
        return scored(random.Random(request.seed).gauss(level, 0.01))


def measure(folder: Path) -> dict[str, float]:
    """Measure the duty with the adaptive pipeline, and with one proposal at a time per slot; takes four minutes."""
    adaptive = _campaign(folder / "adaptive", minutes=10)
    single = _campaign(folder / "single", f"agent.max_in_flight={SLOTS}", minutes=4)
    return {
        "duty": adaptive.duty,
        "duty, one at a time per slot": single.duty,
        "ratio": adaptive.duty / single.duty,
        "most proposals thought about at once": adaptive.thinking,
        "experiments, 11 minutes": adaptive.experiments,
        "discarded unrun": adaptive.unrun,
    }


def _campaign(folder: Path, *overrides: str, minutes: float) -> Measured:
    """Run a campaign on a real lab and stop it `minutes` after its first minute."""
    chosen = settings(f"executor.slots={SLOTS}", "budget.experiments=100000", *overrides)
    clock, agent = Clock(), Thinker()
    executor = Slots(clock)
    ran = Campaign(
        settings=chosen,
        lab=LabWriter.open(folder / "lab.git", create=True),
        executor=executor,
        agent=agent,
        judge=make_judge(chosen.judge, minimize=True),
        task_files={"train.py": TRAIN, "program.md": "Lower it.\n"},
        brief="Lower it.\n",
        clock=clock,
        observe=lambda _: None,
        wait_seconds=WAIT_SECONDS / FASTER,
    )
    began = clock()
    until = WARM_UP + 60 * minutes
    end = Timer(until / FASTER, ran.stop, ("measured",))
    end.start()
    ran.run()
    end.join()
    experiments = [e for e in ran.campaign_state.experiments.values() if e.number]
    return Measured(
        duty=executor.duty(since=began + WARM_UP, until=began + until),
        thinking=agent.most,
        experiments=sum(1 for e in experiments if e.attempts),
        unrun=sum(1 for e in experiments if e.judgement and not e.attempts),
    )
