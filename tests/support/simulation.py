"""A campaign of plain values: it does what the planner says, in any order of events."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Attempt, Experiment, Judgement, Outcome, Result, Try, Verdict
from controller.judge import Assessment, make_judge
from controller.planning.actions import (
    Conclude,
    Conflict,
    Doubt,
    Launch,
    Propose,
    Rebase,
    Retry,
    Settle,
    Stop,
    View,
    Wait,
)
from controller.planning.budget import Room
from controller.planning.campaign_state import CampaignState
from controller.planning.planner import plan
from controller.settings import Settings
from tests.support.scripted import scored


@dataclass
class Simulation:
    """Plays the campaign's part with plain values: no git, no threads, every order of events possible."""

    chosen: Settings
    draw: random.Random
    campaign_state: CampaignState = field(init=False)
    incumbent: str = "c0"
    running: list[tuple[int, int]] = field(default_factory=list)
    proposing: int = 0
    elapsed: float = 0.0
    launches: int = 0
    most_running: int = 0
    overdrawn: bool = False
    conflicts: dict[int, Conflict] = field(default_factory=dict)
    inseparable: set[int] = field(default_factory=set)
    doubted: int = 0
    wishful: bool = False
    """True if an agent wants each kept edit left out once, whatever later runs tell about it."""

    def __post_init__(self) -> None:
        baseline = Experiment(number=BASELINE, commit="c0", base="c0", title="baseline")
        self.campaign_state = CampaignState(
            make_judge(self.chosen.judge, minimize=True), [baseline], SlotPrices.of(self.chosen)
        )

    def view(self) -> View:
        return View(
            open=tuple(self.campaign_state.open[n] for n in sorted(self.campaign_state.open)),
            running=tuple(number for number, _ in self.running),
            incumbent=self.incumbent,
            judge=make_judge(self.chosen.judge, minimize=True),
            state=self.campaign_state.state,
            spent=self.campaign_state.spent(elapsed_seconds=self.elapsed),
            without_keep=self.campaign_state.without_keep,
            proposing=self.proposing,
            conflicts=dict(self.conflicts),
            gains=self.campaign_state.gains,
            doubtable=self.campaign_state.doubtable - self.inseparable,
            wished=self.campaign_state.doubtable if self.wishful else frozenset(),
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
            case Rebase(experiment):
                self.rebase(experiment, again=False)
            case Settle(experiment, assessment, keep):
                self.settle(experiment, assessment, keep=keep)
            case Retry(experiment, _):
                self.rebase(experiment, again=True)
            case Doubt(number):
                self.doubt(number)
            case Propose():
                self.proposing += 1
            case Wait():
                self.something_ends()
            case _:
                raise AssertionError(f"unknown action {action}")

    def launch(self, action: Launch) -> None:
        self.overdrawn |= not Room(self.view(), self.chosen.budget, SlotPrices.of(self.chosen)).fits_attempt()
        experiment = self.campaign_state.experiments[action.experiment.number]
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
        experiment = self.campaign_state.experiments[number]
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
        self.campaign_state.put(replace(experiment, attempts=tuple(sorted((*others, attempt), key=lambda a: a.number))))

    def admit(self, retry_of: int | None = None, doubts: int | None = None) -> None:
        number = max(self.campaign_state.experiments) + 1
        self.campaign_state.put(
            Experiment(
                number=number,
                commit=f"c{number}",
                base=self.incumbent,
                title="edit",
                retry_of=retry_of,
                doubts=doubts,
            )
        )

    def doubt(self, number: int) -> None:
        """One edit of three shares its lines with a later one."""
        assert number in self.campaign_state.edits_left(self.incumbent), "doubts what is not in the incumbent"
        assert not any(e.doubts is not None for e in self.campaign_state.open.values()), "leaves out two at once"
        if self.draw.random() < 0.33:
            self.inseparable.add(number)
        else:
            self.admit(doubts=number)
            self.doubted += 1

    def rebase(self, experiment: Experiment, *, again: bool) -> None:
        if again:
            self.admit(retry_of=experiment.number, doubts=experiment.doubts)
            self.conclude(Conclude(experiment, Verdict.DISCARD, "moved"))
        else:
            self.campaign_state.put(replace(experiment, base=self.incumbent))

    def settle(self, experiment: Experiment, assessment: Assessment, *, keep: bool) -> None:
        """One merge of three conflicts."""
        if self.draw.random() < 0.33:
            carries = self.choose_carried(experiment)
            self.conflicts[experiment.number] = Conflict(carries=carries, gain=self.campaign_state.find_credit(carries))
        elif keep:
            self.conclude(Conclude(experiment, Verdict.KEEP, "merged", assessment), merged=True)
        else:
            self.rebase(experiment, again=True)

    def choose_carried(self, experiment: Experiment) -> tuple[int, ...]:
        """All but the newest of what was kept since its base, for a judge whose gains add up."""
        return tuple(e.number for e in self.campaign_state.edits_to_carry(experiment.base, self.incumbent)[:-1])

    def conclude(self, action: Conclude, *, merged: bool = False) -> None:
        number = action.experiment.number
        assert number not in [n for n, _ in self.running], "judged while it runs"
        kept_as = f"k{number}" if action.verdict is Verdict.KEEP and number != BASELINE else ""
        if kept_as:
            moved = action.experiment.base != self.incumbent
            assert not moved or action.replaces or merged, "kept on an incumbent that has moved"
        order = self.campaign_state.order + 1
        onto = self.incumbent if kept_as else ""
        replaces: tuple[int, ...] = ()
        if action.replaces:
            before = set(self.campaign_state.edits_in(self.incumbent))
            gone = before - set(self.campaign_state.edits_in(action.experiment.base)) - set(action.carries)
            replaces = tuple(sorted(gone))
        judgement = Judgement(
            verdict=action.verdict,
            reason=action.reason,
            order=order,
            kept_as=kept_as,
            onto=onto,
            replaces=replaces,
            carries=action.carries,
        )
        self.campaign_state.put(replace(self.campaign_state.experiments[number], judgement=judgement))
        self.incumbent = kept_as or self.incumbent
        if kept_as:
            self.conflicts, self.inseparable = {}, set()

    def restart(self) -> None:
        """A new controller: what ran is lost, memory is folded anew from the records."""
        for number, attempt_number in self.running:
            experiment = self.campaign_state.experiments[number]
            attempt = next(a for a in experiment.attempts if a.number == attempt_number)
            lost = replace(attempt.tries[-1], lost="the controller stopped", seconds=5.0)
            self.put(experiment, replace(attempt, tries=(*attempt.tries[:-1], lost)))
        self.running, self.proposing = [], 0
        self.campaign_state = CampaignState(
            make_judge(self.chosen.judge, minimize=True),
            list(self.campaign_state.experiments.values()),
            SlotPrices.of(self.chosen),
        )
