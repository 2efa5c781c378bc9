"""On a simulated clock no slot waits for a proposal, and none is thought of without need."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Attempt, Result
from controller.planning.actions import Launch, Propose, Stop, View, Wait
from controller.planning.budget import Room
from controller.planning.pacing import NEWEST, Pace, expect_thinking_seconds, find_depth
from controller.planning.planner import plan
from controller.planning.stopping import count_surplus
from tests.support.scripted import scored, settings
from tests.support.simulation import Simulation

Seconds = tuple[float, float]
"""Shortest and longest, drawn evenly."""


@dataclass
class Timed(Simulation):
    """The planner with durations: an agent that thinks, slots that train, a clock that jumps from event to event."""

    thinks: Seconds = (45.0, 75.0)
    trains: Seconds = (18.0, 22.0)
    refused: float = 0.0
    most_thinking: int = 0
    busy: list[tuple[float, int]] = field(default_factory=list)
    pending: list[tuple[float, int, tuple[int, int] | None]] = field(default_factory=list)
    asked: dict[int, float] = field(default_factory=dict)
    answers: list[tuple[float, bool]] = field(default_factory=list)
    events: int = 0

    def view(self) -> View:
        newest = self.answers[-NEWEST:]
        pace = Pace(
            thinking=tuple(seconds for seconds, _ in newest),
            admitted=tuple(admitted for _, admitted in newest),
            uses=tuple(self.campaign_state.uses),
            ages=tuple(self.elapsed - asked for asked in self.asked.values()),
        )
        return replace(super().view(), pace=pace)

    def until(self, seconds: float) -> None:
        """Play for so long; the campaign must not end before."""
        while self.elapsed < seconds:
            action = plan(self.view(), self.chosen)
            assert not isinstance(action, Stop), action
            match action:
                case Wait():
                    self.wait()
                case Launch():
                    self.launch(action)
                    self.later(self.trains, self.running[-1])
                    self.busy.append((self.elapsed, len(self.running)))
                case Propose():
                    self.later(self.thinks, None)
                    self.proposing += 1
                    self.most_thinking = max(self.most_thinking, self.proposing)
                case _:
                    self.carry_out(action)

    def later(self, seconds: Seconds, what: tuple[int, int] | None) -> None:
        self.events += 1
        if what is None:
            self.asked[self.events] = self.elapsed
        heapq.heappush(self.pending, (self.elapsed + self.draw.uniform(*seconds), self.events, what))

    def wait(self) -> None:
        """To the next event, or for the second after which the loop looks again."""
        if not self.pending or self.pending[0][0] > self.elapsed + 1.0:
            self.elapsed += 1.0
            return
        self.elapsed, number, what = heapq.heappop(self.pending)
        if what is None:
            self.thought(number)
        else:
            self.running.remove(what)
            self.busy.append((self.elapsed, len(self.running)))
            self.scored(*what)

    def thought(self, number: int) -> None:
        admitted = self.draw.random() >= self.refused
        self.answers.append((self.elapsed - self.asked.pop(number), admitted))
        self.proposing -= 1
        if admitted:
            self.admit()

    def scored(self, number: int, attempt_number: int) -> None:
        """Nine of ten edits are far worse; the tenth is worth a rerun, and some of those are kept."""
        experiment = self.campaign_state.experiments[number]
        attempt: Attempt = next(a for a in experiment.attempts if a.number == attempt_number)
        level = 2.0 if number == BASELINE else 1.98 if number % 10 == 0 else 2.4
        result: Result = scored(self.draw.gauss(level, 0.01))
        last = replace(attempt.tries[-1], seconds=self.elapsed - attempt.tries[-1].launched_at)
        self.put(experiment, replace(attempt, tries=(*attempt.tries[:-1], last), result=result))

    def duty(self, *, since: float) -> float:
        """Share of slot time from `since` on in which something ran."""
        steps = [*self.busy, (self.elapsed, 0)]
        seconds = 0.0
        for (start, count), (end, _) in pairwise(steps):
            seconds += count * max(0.0, end - max(start, since))
        return seconds / (self.chosen.executor.slots * (self.elapsed - since))


def played(seed: int, *overrides: str, minutes: float = 20, **durations: Seconds | float) -> Timed:
    chosen = settings("budget.experiments=5000", *overrides)
    simulation = Timed(chosen, random.Random(seed), **durations)  # type: ignore[arg-type]  # its own fields
    simulation.until(60 * minutes)
    return simulation


@pytest.mark.parametrize("seed", range(3))
def test_four_slots_of_20_s_never_wait_for_an_agent_of_60_s(seed: int) -> None:
    simulation = played(seed, "executor.slots=4")

    assert simulation.duty(since=60.0) >= 0.97
    assert simulation.most_thinking <= 16


def test_one_slot_never_waits_for_an_agent_that_is_three_times_slower() -> None:
    assert played(5, "executor.slots=1").duty(since=120.0) >= 0.97


def test_proposals_that_are_sent_back_are_made_up_for() -> None:
    simulation = played(1, "executor.slots=2", refused=0.4)

    assert simulation.duty(since=300.0) >= 0.95


def test_agent_that_becomes_slower_is_asked_earlier() -> None:
    simulation = played(2, "executor.slots=2", minutes=10, thinks=(8.0, 12.0))
    before = simulation.most_thinking
    simulation.thinks = (80.0, 120.0)
    simulation.until(1800)

    assert before <= 5
    assert simulation.duty(since=900.0) >= 0.95


def test_agent_that_answers_at_once_has_one_proposal_ready_for_each_slot() -> None:
    simulation = Timed(settings("executor.slots=4", "budget.experiments=5000"), random.Random(1), thinks=(0.001, 0.01))
    waiting = []
    for second in range(60, 600):
        simulation.until(second)
        waiting.append(
            sum(1 for e in simulation.campaign_state.open.values() if e.number != BASELINE and not e.attempts)
        )

    assert max(waiting) <= 4
    assert simulation.most_thinking <= 4
    assert simulation.duty(since=60.0) >= 0.99


def test_long_trainings_want_no_more_than_one_ready_for_each_slot() -> None:
    simulation = played(3, "executor.slots=4", "budget.train_seconds=300", minutes=120, trains=(300.0, 330.0))

    assert simulation.most_thinking <= 6
    assert simulation.duty(since=600.0) >= 0.97


def test_settings_limit_how_many_are_thought_of_at_once() -> None:
    assert played(4, "executor.slots=4", "agent.max_in_flight=3", minutes=10).most_thinking == 3


def test_client_from_outside_is_asked_no_more_than_once_beyond_the_slots() -> None:
    # All that wait for it go to the fallback at once when it stays away.
    assert played(4, "executor.slots=2", "agent.kind=claude", minutes=20).most_thinking > 3
    assert played(4, "executor.slots=2", "agent.kind=mcp", minutes=20).most_thinking == 3


def test_no_more_is_asked_for_than_the_experiments_left() -> None:
    chosen = settings("executor.slots=4", "budget.experiments=6")
    simulation = Timed(chosen, random.Random(0))
    asked = 0
    for _ in range(5000):
        action = plan(simulation.view(), chosen)
        if isinstance(action, Stop):
            break
        asked += isinstance(action, Propose)
        if isinstance(action, Wait):
            simulation.wait()
        elif isinstance(action, Launch):
            simulation.launch(action)
            simulation.later(simulation.trains, simulation.running[-1])
        elif isinstance(action, Propose):
            simulation.later(simulation.thinks, None)
            simulation.proposing += 1
        else:
            simulation.carry_out(action)

    assert action == Stop("6 experiments (budget)")
    assert asked == 6


def test_no_proposal_is_asked_for_whose_run_could_not_be_paid() -> None:
    chosen = settings("executor.slots=4", "budget.dollars=1", "budget.gpu_dollars_per_hour=36", "budget.experiments=50")
    simulation = Timed(chosen, random.Random(0))

    view = simulation.view()
    asked = 0
    while isinstance(plan(replace(view, open=(), proposing=asked), chosen), Propose):
        asked += 1

    assert asked == 4
    assert not isinstance(plan(replace(view, open=(), proposing=1, running=(0, 1, 2, 3)), chosen), Propose)


def test_no_proposal_is_asked_for_that_would_come_after_the_end() -> None:
    chosen = settings("budget.hours=1", "executor.slots=4")
    view = replace(Timed(chosen, random.Random(0)).view(), open=(), pace=Pace(thinking=(60.0,), admitted=(True,)))

    assert isinstance(plan(replace(view, spent=replace(view.spent, elapsed_seconds=3500.0)), chosen), Propose)
    assert isinstance(plan(replace(view, spent=replace(view.spent, elapsed_seconds=3550.0)), chosen), Stop)


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        pytest.param(("executor.slots=4",), 3, id="a model is asked for as many as the setting allows"),
        pytest.param(("executor.slots=2",), 2, id="and never for more than there are slots"),
        pytest.param(("executor.slots=1",), 1, id="with one slot for one"),
        pytest.param(("executor.slots=4", "budget.experiments=2"), 2, id="nor for more than the budget runs"),
        pytest.param(("executor.slots=4", "agent.claude.submissions=1"), 1, id="the setting turns it off"),
        pytest.param(("executor.slots=4", "agent.kind=perturb"), 1, id="other agents bring one"),
    ],
)
def test_a_question_asks_for_as_many_proposals_as_are_wanted(overrides: tuple[str, ...], count: int) -> None:
    chosen = settings("budget.experiments=50", "agent.kind=claude", *overrides)
    view = replace(Timed(chosen, random.Random(0)).view(), open=())

    assert plan(view, chosen) == Propose(count)


def test_what_a_question_may_bring_counts_as_under_way() -> None:
    chosen = settings("budget.experiments=50", "agent.kind=claude", "executor.slots=4")
    view = replace(Timed(chosen, random.Random(0)).view(), open=())

    assert plan(replace(view, proposing=1, more=2), chosen) == Propose(1)
    assert plan(replace(view, proposing=2, more=2), chosen) == Wait()


def surplus(view: View, *overrides: str) -> int:
    chosen = settings("budget.experiments=50", "agent.kind=claude", "executor.slots=4", *overrides)
    return count_surplus(view, chosen, Room(view, chosen.budget, SlotPrices.of(chosen)))


def test_what_is_wanted_no_more_is_counted_but_for_the_next_of_each_question() -> None:
    view = replace(Timed(settings("executor.slots=4"), random.Random(0)).view(), open=(), proposing=2, more=2)

    assert surplus(view) == 0
    assert surplus(view, "budget.experiments=3") == 1
    assert surplus(view, "budget.experiments=1") == 2
    assert surplus(replace(view, stopping="a person asked")) == 2
    assert surplus(replace(view, without_keep=9), "budget.plateau=9") == 2


SECONDS = st.floats(0.001, 2000)
WINDOW = st.lists(SECONDS, min_size=1, max_size=NEWEST).map(tuple)


@given(thinking=WINDOW, uses=WINDOW, slots=st.integers(1, 64), factor=st.floats(1, 10))
@effort(max_examples=200, deadline=None)
def test_depth_is_never_below_one_a_slot_and_grows_with_thinking(
    thinking: tuple[float, ...], uses: tuple[float, ...], slots: int, factor: float
) -> None:
    admitted = (True,) * len(thinking)
    pace = Pace(thinking=thinking, admitted=admitted, uses=uses)
    slower = replace(pace, thinking=tuple(factor * seconds for seconds in thinking))

    asked = find_depth(pace, slots=slots, attempt_seconds=20)

    assert asked >= slots
    assert find_depth(slower, slots=slots, attempt_seconds=20) >= asked
    assert find_depth(replace(pace, admitted=(False, *admitted[1:])), slots=slots, attempt_seconds=20) >= asked


@given(slots=st.integers(1, 64), seconds=SECONDS, use=st.floats(1, 2000))
def test_steady_durations_give_littles_law_and_one_ready_a_slot(slots: int, seconds: float, use: float) -> None:
    pace = Pace(thinking=(seconds,) * 8, admitted=(True,) * 8, uses=(use,) * 8)

    assert find_depth(pace, slots=slots, attempt_seconds=1) == round(slots * seconds / use + slots)


def test_before_the_first_answer_the_oldest_question_tells_how_long_one_takes_at_least() -> None:
    assert expect_thinking_seconds(Pace()) == 0.0
    assert expect_thinking_seconds(Pace(ages=(40.0, 5.0))) == 40.0


def test_one_straggler_does_not_make_the_agent_slow() -> None:
    assert expect_thinking_seconds(Pace(thinking=(60.0,) * 5, ages=(900.0, 30.0, 10.0))) == 60.0
    assert expect_thinking_seconds(Pace(thinking=(60.0,) * 5, ages=(300.0, 280.0, 10.0))) == 280.0
