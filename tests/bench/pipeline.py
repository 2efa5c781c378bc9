"""A whole campaign on four times faster time: an agent of a minute, attempts of 20 s, four slots. How busy are they?"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock, Timer

from controller.campaign import WAIT_SECONDS, Campaign
from controller.domain import Proposal, Result, TryEnded, TryId, TryRequest
from controller.judge import make_judge
from controller.ports import Abandoned, ProposalRequest
from controller.writer import LabWriter
from tests.scripted import TRAIN, InstantExecutor, NumberAgent, scored, settings

FASTER = 4.0
"""Simulated seconds in a real one: fast enough to wait for, slow enough that the loop's own work hardly counts."""

SLOTS = 4
THINKING = (45.0, 75.0)
TRAINING = (18.0, 22.0)
WARM_UP = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One campaign. thinking: most proposals thought about at once. unrun: discarded before they ran."""

    duty: float
    thinking: int
    experiments: int
    unrun: int


class Clock:
    """Simulated time on the real clock, so that real threads and a real lab take part."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self) -> float:
        return 1_700_000_000.0 + (time.monotonic() - self._began) * FASTER


@dataclass
class Thinker(NumberAgent):
    """Thinks for about a minute, and sets one constant after another."""

    draw: random.Random = field(default_factory=lambda: random.Random(0))
    stopped: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    thinking: int = 0
    most: int = 0

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """One constant with a number of its own."""
        self._count(1)
        stopped = self.stopped.wait(self.draw.uniform(*THINKING) / FASTER)
        self._count(-1)
        return Abandoned(reason="the campaign is stopping") if stopped else super().propose(request)

    def _count(self, change: int) -> None:
        with self.lock:
            self.thinking += change
            self.most = max(self.most, self.thinking)

    def stop(self) -> None:
        """Wake up."""
        self.stopped.set()


class Slots(InstantExecutor):
    """Ends a try after about 20 s, and adds up how long any ran. A tenth of the edits is worth a rerun or a keep."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(self._score)
        self._clock = clock
        self._lock = Lock()
        self._spans: dict[TryId, tuple[float, float]] = {}
        self._timers: list[Timer] = []
        self._draw = random.Random(1)

    def launch(self, request: TryRequest) -> None:
        """Begin a try."""
        self.launched.append(request)
        began, seconds = self._clock(), self._draw.uniform(*TRAINING)
        timer = Timer(seconds / FASTER, self._end, (request, began))
        self._timers.append(timer)
        with self._lock:
            self._spans[request.id] = (began, float("inf"))
        timer.start()

    def stop(self) -> None:
        """End what runs."""
        for timer in self._timers:
            timer.cancel()

    def duty(self, *, since: float, until: float) -> float:
        """Share of slot time in which something ran."""
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
    """Duty after the first minute as it is, and with one proposal thought about per slot; about four minutes."""
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
    """A campaign on a real lab, stopped so long after its first minute."""
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
    experiments = [e for e in ran.memory.experiments.values() if e.number]
    return Measured(
        duty=executor.duty(since=began + WARM_UP, until=began + until),
        thinking=agent.most,
        experiments=sum(1 for e in experiments if e.attempts),
        unrun=sum(1 for e in experiments if e.judgement and not e.attempts),
    )
