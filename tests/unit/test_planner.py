"""The planner under simulation: random outcomes, orders of events and restarts never break the books."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from controller.actions import Conclude, Launch, Propose, Rebase, Requeue, Stop, View, Wait
from controller.budget import may_launch
from controller.domain import BASELINE, Attempt, Experiment, Judgement, Outcome, Result, Try, Verdict
from controller.judge import make_judge
from controller.memory import Memory
from controller.planner import plan
from controller.settings import Settings
from tests.scripted import scored, settings


@dataclass
class Simulation:
    """Plays the campaign's part with plain values: no git, no threads, every order of events possible."""

    chosen: Settings
    draw: random.Random
    memory: Memory = field(init=False)
    incumbent: str = "c0"
    running: list[tuple[int, int]] = field(default_factory=list)
    proposing: int = 0
    elapsed: float = 0.0
    launches: int = 0
    most_running: int = 0
    overdrawn: bool = False

    def __post_init__(self) -> None:
        baseline = Experiment(number=BASELINE, commit="c0", base="c0", title="baseline")
        self.memory = Memory(make_judge(self.chosen.judge, minimize=True), [baseline], self.chosen)

    def view(self) -> View:
        return View(
            open=tuple(self.memory.open[n] for n in sorted(self.memory.open)),
            running=tuple(number for number, _ in self.running),
            incumbent=self.incumbent,
            judge=make_judge(self.chosen.judge, minimize=True),
            state=self.memory.state,
            spent=self.memory.spent(elapsed_seconds=self.elapsed),
            proposing=self.proposing,
            gains=self.memory.gains,
        )

    def play(self, *, steps: int = 3000) -> Stop:
        """Until the planner stops; fails when it never does."""
        for _ in range(steps):
            action = plan(self.view(), self.chosen)
            if isinstance(action, Stop):
                return action
            self.carry_out(action)
        raise AssertionError("the campaign never stopped")

    def carry_out(self, action: object) -> None:
        match action:
            case Launch():
                self.launch(action)
            case Conclude():
                self.conclude(action)
            case Rebase(experiment) | Requeue(experiment, _):
                self.rebase(experiment, again=isinstance(action, Requeue))
            case Propose():
                self.proposing += 1
            case Wait():
                self.something_ends()
            case _:
                raise AssertionError(f"unknown action {action}")

    def launch(self, action: Launch) -> None:
        self.overdrawn |= not may_launch(self.view(), self.chosen)
        experiment = self.memory.experiments[action.experiment.number]
        attempt = next((a for a in experiment.attempts if a.number == action.attempt), None)
        attempt = attempt or Attempt(number=action.attempt, seed=action.attempt)
        tries = (*attempt.tries, Try(number=len(attempt.tries) + 1, probe_set=0, launched_at=self.elapsed))
        assert (experiment.number, action.attempt) not in self.running, "launched twice at once"
        self.put(experiment, replace(attempt, tries=tries))
        self.running.append((experiment.number, action.attempt))
        self.launches += 1
        self.most_running = max(self.most_running, len(self.running))

    def something_ends(self) -> None:
        choices = [*range(len(self.running)), *(["thought"] if self.proposing else [])]
        assert choices, "told to wait for nothing"
        chosen = self.draw.choice(choices)
        if isinstance(chosen, str):
            self.proposing -= 1
            self.admit()
        else:
            self.end(*self.running.pop(chosen))

    def end(self, number: int, attempt_number: int) -> None:
        self.elapsed += 20
        experiment = self.memory.experiments[number]
        attempt = next(a for a in experiment.attempts if a.number == attempt_number)
        last = replace(attempt.tries[-1], seconds=20.0)
        roll = self.draw.random() if number != BASELINE else 0.9
        if roll < 0.1 and len(attempt.tries) < 3:
            self.put(experiment, replace(attempt, tries=(*attempt.tries[:-1], replace(last, lost="drained"))))
            return
        outcomes = {0.15: Outcome.LOST, 0.2: Outcome.CRASHED, 0.25: Outcome.TIMED_OUT, 0.3: Outcome.REJECTED}
        failed = next((outcome for limit, outcome in outcomes.items() if roll < limit), None)
        level = 2.0 - 0.05 * (number % 4)
        result = Result(outcome=failed, reason="failed") if failed else scored(self.draw.gauss(level, 0.05))
        self.put(experiment, replace(attempt, tries=(*attempt.tries[:-1], last), result=result))

    def put(self, experiment: Experiment, attempt: Attempt) -> None:
        others = tuple(a for a in experiment.attempts if a.number != attempt.number)
        self.memory.put(replace(experiment, attempts=tuple(sorted((*others, attempt), key=lambda a: a.number))))

    def admit(self, strategy: str = "") -> None:
        number = max(self.memory.experiments) + 1
        self.memory.put(
            Experiment(number=number, commit=f"c{number}", base=self.incumbent, title="edit", strategy=strategy)
        )

    def rebase(self, experiment: Experiment, *, again: bool) -> None:
        if again:
            self.admit(strategy=f"again:{experiment.number}")
            self.conclude(Conclude(experiment, Verdict.DISCARD, "moved"))
        else:
            self.memory.put(replace(experiment, base=self.incumbent))

    def conclude(self, action: Conclude) -> None:
        number = action.experiment.number
        assert number not in [n for n, _ in self.running], "judged while it runs"
        kept_as = f"k{number}" if action.verdict is Verdict.KEEP and number != BASELINE else ""
        if kept_as:
            assert action.experiment.base == self.incumbent, "kept on an incumbent that has moved"
        order = self.memory.order + 1
        judgement = Judgement(verdict=action.verdict, reason=action.reason, order=order, kept_as=kept_as)
        self.memory.put(replace(self.memory.experiments[number], judgement=judgement))
        self.incumbent = kept_as or self.incumbent

    def restart(self) -> None:
        """A new controller: what ran is lost, memory is folded anew from the records."""
        for number, attempt_number in self.running:
            experiment = self.memory.experiments[number]
            attempt = next(a for a in experiment.attempts if a.number == attempt_number)
            lost = replace(attempt.tries[-1], lost="the controller stopped", seconds=5.0)
            self.put(experiment, replace(attempt, tries=(*attempt.tries[:-1], lost)))
        self.running, self.proposing = [], 0
        self.memory = Memory(
            make_judge(self.chosen.judge, minimize=True), list(self.memory.experiments.values()), self.chosen
        )


POLICIES = st.sampled_from(["ledger", "gauss", "confirm", "greedy"])


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 6), experiments=st.integers(1, 12), policy=POLICIES)
@effort(max_examples=60, deadline=None)
def test_every_campaign_ends_with_all_experiments_judged_within_slots(
    seed: int, slots: int, experiments: int, policy: str
) -> None:
    chosen = settings(f"executor.slots={slots}", f"budget.experiments={experiments}", f"judge.policy={policy}")
    simulation = Simulation(chosen, random.Random(seed))

    ended = simulation.play()

    counted = simulation.memory.spent(elapsed_seconds=0).experiments
    assert ended.reason == f"{experiments} experiments (budget)"
    assert counted == experiments
    assert not simulation.memory.open
    assert simulation.most_running <= slots


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 6), minutes=st.floats(2, 30))
@effort(max_examples=60, deadline=None)
def test_slot_hours_are_never_exceeded(seed: int, slots: int, minutes: float) -> None:
    chosen = settings(f"executor.slots={slots}", "budget.experiments=null", f"budget.gpu_hours={minutes / 60}")
    simulation = Simulation(chosen, random.Random(seed))

    simulation.play()

    assert simulation.memory.slot_seconds <= minutes * 60 + 1e-6
    assert not simulation.overdrawn


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 4), restarts=st.lists(st.integers(1, 60), max_size=4))
@effort(max_examples=60, deadline=None)
def test_restarts_lose_nothing_and_count_nothing_twice(seed: int, slots: int, restarts: list[int]) -> None:
    simulation = Simulation(settings(f"executor.slots={slots}"), random.Random(seed))
    for steps in restarts:
        for _ in range(steps):
            action = plan(simulation.view(), simulation.chosen)
            if isinstance(action, Stop):
                break
            simulation.carry_out(action)
        before = simulation.memory
        simulation.restart()
        assert simulation.memory.state == before.state
        assert simulation.memory.slot_seconds == before.slot_seconds
        assert simulation.memory.runs == before.runs

    simulation.play()

    tries = [t for e in simulation.memory.experiments.values() for a in e.attempts for t in a.tries]
    assert len(tries) == simulation.launches
    assert len({e.judgement.order for e in simulation.memory.experiments.values() if e.judgement}) == len(
        simulation.memory.experiments
    )


def test_dollars_count_what_is_in_flight() -> None:
    chosen = settings("budget.experiments=null", "budget.dollars=1", "budget.gpu_dollars_per_hour=60")
    simulation = Simulation(chosen, random.Random(1))

    simulation.play()

    assert simulation.launches == 3
    assert simulation.memory.slot_seconds / 60 <= 1.0


def test_one_proposal_is_kept_ready_for_each_slot() -> None:
    simulation = Simulation(settings("executor.slots=3", "budget.experiments=20"), random.Random(2))
    for _ in range(400):
        action = plan(simulation.view(), simulation.chosen)
        if isinstance(action, Stop):
            break
        simulation.carry_out(action)
        waiting = [e for e in simulation.memory.open.values() if e.number != BASELINE and not e.attempts]
        assert len(waiting) + simulation.proposing <= 3 + len([e for e in waiting if e.strategy])


def test_trouble_pauses_launching_and_proposing() -> None:
    view = replace(Simulation(settings(), random.Random(0)).view(), trouble="image cannot be pulled")

    assert plan(view, settings()) == Wait()


def test_stop_request_wins_over_everything_that_could_start() -> None:
    view = replace(Simulation(settings(), random.Random(0)).view(), stopping="interrupted")

    assert plan(view, settings()) == Stop("interrupted")
