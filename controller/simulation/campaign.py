"""One campaign on a virtual clock: it does what the real planner says, with the real judge and the real records.

Only git, threads, executor and agent are left out. What they would report is drawn from a world.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from random import Random

from controller.costs.slots import SlotPrices
from controller.domain import (
    BASELINE,
    Attempt,
    Experiment,
    Judgement,
    LostTo,
    Outcome,
    Provenance,
    Result,
    Score,
    Try,
    Verdict,
)
from controller.executor.disturbance import BEYOND, PATIENCE, may_run_again, was_disturbed
from controller.judge import make_judge
from controller.planning.actions import (
    Action,
    Conclude,
    Conflict,
    Doubt,
    Launch,
    Propose,
    Rebase,
    Retry,
    Settle,
    Stop,
    TakeBack,
    View,
    Wait,
)
from controller.planning.campaign_state import CampaignState
from controller.planning.pacing import NEWEST, Pace
from controller.planning.planner import plan
from controller.planning.settlement import carry_over
from controller.settings import Settings
from controller.simulation.machine import Machine
from controller.simulation.programs import Program, merge
from controller.simulation.worlds import Edit, World, draw_edit

SLOW_SHARE, SLOWER = 0.1, 5.0
"""Share of proposals that take so many times as long."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One move of the branch, with its truth."""

    experiment: int

    worth: float
    """True gain of the new incumbent over the one before, in sigma."""

    gpu_seconds: float
    """Slot seconds of the campaign up to this keep."""

    runs: int
    """Attempts of the campaign up to this keep."""


class SimulatedCampaign:
    """A campaign in memory. `step` carries out one action of the planner; the clock moves when it waits."""

    def __init__(self, settings: Settings, world: World, *, seed: str) -> None:
        self._settings = settings
        self._world = world
        # Proposals, their durations and the luck of each run are drawn apart, so that under one seed every policy is
        # offered the same edits, and the n-th run of an edit is as lucky as under any other policy.
        self._seed, self._ideas, self._luck = seed, Random(f"{seed} ideas"), Random(f"{seed} luck")
        self.machine = Machine(world, Random(f"{seed} machine"))
        """Tells when a neighbour disturbs."""
        self._judge = make_judge(settings.judge, minimize=True)
        baseline = Experiment(number=BASELINE, commit="c0", base="c0", title="baseline")
        self.campaign_state = CampaignState(self._judge, [baseline], SlotPrices.of(settings))
        self.now = 0.0
        """Seconds of the virtual clock."""
        self.incumbent = "c0"
        self.programs: dict[str, Program] = {"c0": Program()}
        """The program of each commit."""
        self.kept: list[Kept] = []
        self.shut_out = 0.0
        """True gain that conflicts shut out after it had been measured, in sigma."""
        self.undone = 0
        """Kept edits that were left out again."""
        self.scored = 0
        """Attempts that got a score."""
        self._edits: dict[int, Edit] = {}
        self._lots: dict[int, str] = {}
        """For each experiment the name under which the luck of its runs is drawn."""
        self._conflicts: dict[int, Conflict] = {}
        self._inseparable: set[int] = set()
        self._events: list[tuple[float, int, int, int]] = []
        self._order = 0
        self._running: dict[tuple[int, int], None] = {}
        self._asked: dict[int, float] = {}
        self._bases: dict[int, str] = {}
        self._thinking: deque[float] = deque(maxlen=NEWEST)
        self._asked_in_all = self._drawn = 0
        self._stays_busy = False
        """True if the last attempt that ended was disturbed to its end."""

    @property
    def truth(self) -> float:
        """True gain of the incumbent over the unchanged program, in sigma."""
        return self.programs[self.incumbent].worth

    def effects_left(self) -> list[float]:
        """True effect of each kept edit that is still in the incumbent, in sigma."""
        return [self._edits[number].effect or 0.0 for number in self.campaign_state.edits_left(self.incumbent)]

    def edit_of(self, number: int) -> Edit:
        """The edit that an experiment tries."""
        return self._edits[number]

    def view(self) -> View:
        """Everything that the planner may know, as of now."""
        campaign_state = self.campaign_state
        return View(
            open=tuple(campaign_state.open[number] for number in sorted(campaign_state.open)),
            running=tuple(number for number, _ in self._running),
            incumbent=self.incumbent,
            judge=self._judge,
            state=campaign_state.state,
            spent=campaign_state.spent(elapsed_seconds=self.now),
            proposing=len(self._asked),
            broken=campaign_state.find_broken_merge(self.incumbent),
            conflicts=dict(self._conflicts),
            gains=campaign_state.gains,
            doubtable=campaign_state.doubtable - self._inseparable,
            pace=Pace(
                thinking=tuple(self._thinking),
                admitted=(True,) * len(self._thinking),
                uses=tuple(campaign_state.uses),
                ages=tuple(self.now - asked for asked in self._asked.values()),
            ),
        )

    def step(self) -> Stop | None:
        """Carry out the planner's next action; a stop is returned instead."""
        action = plan(self.view(), self._settings)
        if isinstance(action, Stop):
            return action
        self.carry_out(action)
        return None

    def carry_out(self, action: Action) -> None:
        """Do what the planner says."""
        match action:
            case Launch():
                self._launch(action)
            case Conclude():
                self._conclude(action)
            case Rebase():
                self._rebase(action.experiment)
            case Settle():
                self._settle(action)
            case Retry():
                self._retry(action)
            case TakeBack():
                self._take_back(action.kept)
            case Doubt():
                self._doubt(action.kept)
            case Propose():
                self._ask()
            case Wait():
                self._take_in_next_event()
            case Stop():
                raise ValueError("a stop is not carried out")

    # -- effects ----------------------------------------------------------------------------------------------------

    def _launch(self, action: Launch) -> None:
        number = action.experiment.number
        experiment = self.campaign_state.experiments[number]
        attempt = next((a for a in experiment.attempts if a.number == action.attempt), None)
        attempt = attempt or Attempt(number=action.attempt, seed=action.attempt)
        wait = 0.0
        if was_disturbed(attempt) and not self._stays_busy:
            wait = min(self.machine.busy_for(self.now), PATIENCE * self._world.train_seconds)
        began = self.now + wait
        tries = (*attempt.tries, Try(number=len(attempt.tries) + 1, probe_set=0, launched_at=began))
        self._put(experiment, replace(attempt, tries=tries))
        self._running[number, action.attempt] = None
        self._schedule(wait + self._luck.gauss(1.0, 0.05) * self._world.train_seconds, number, action.attempt)

    def _ask(self) -> None:
        self._asked_in_all += 1
        number = -self._asked_in_all
        seconds = self._luck.gauss(1.0, 0.2) * self._world.think_seconds
        if self._luck.random() < SLOW_SHARE:
            seconds *= SLOWER
        self._asked[number] = self.now
        # The base of a proposal is the incumbent at the time of the question.
        self._bases[number] = self.incumbent
        self._schedule(seconds, number, 0)

    def _conclude(self, action: Conclude, *, merged: Program | None = None) -> None:
        experiment = self.campaign_state.experiments[action.experiment.number]
        judgement = Judgement(verdict=action.verdict, reason=action.reason, order=self.campaign_state.order + 1)
        if action.verdict is Verdict.KEEP and experiment.number != BASELINE:
            judgement = replace(judgement, kept_as=f"k{experiment.number}")
            if experiment.base != self.incumbent:
                judgement = replace(judgement, onto=self.incumbent)
            if action.replaces:
                gone = self.campaign_state.find_replaced(experiment.base, self.incumbent, carries=action.carries)
                judgement = replace(judgement, replaces=gone, carries=action.carries)
                merged, _ = self._carry_over(experiment)
            self.undone += experiment.doubts is not None
            self._move_branch(judgement.kept_as, merged or self.programs[experiment.commit], experiment.number)
        elif experiment.number in self._conflicts and experiment.doubts is None:
            self._count_shut_out(experiment)
        self.campaign_state.put(replace(experiment, judgement=judgement))

    def _move_branch(self, commit: str, program: Program, number: int) -> None:
        self.programs[commit] = program
        worth = program.worth - self.truth
        self.kept.append(Kept(number, worth, self.campaign_state.slot_seconds, self.campaign_state.attempts))
        self.incumbent = commit
        self._conflicts.clear()
        self._inseparable.clear()

    def _rebase(self, experiment: Experiment) -> None:
        merged = self._merge(experiment)
        if merged is None:
            self._conclude(Conclude(experiment, Verdict.DISCARD, "never run: conflict"))
            return
        commit = f"{experiment.commit}'"
        self.programs[commit] = merged
        self.campaign_state.put(replace(experiment, commit=commit, base=self.incumbent))

    def _settle(self, action: Settle) -> None:
        experiment = action.experiment
        merged = self._merge(experiment)
        if merged is None:
            _, carries = self._carry_over(experiment)
            self._conflicts[experiment.number] = Conflict(
                carries=carries, gain=self.campaign_state.find_credit(carries)
            )
        elif action.keep:
            self._conclude(Conclude(experiment, Verdict.KEEP, "merged", action.assessment), merged=merged)
        else:
            self._try_again(experiment, merged)

    def _retry(self, action: Retry) -> None:
        merged = self._merge(action.experiment, prefer_theirs=True)
        if merged is None or merged == self.programs[action.experiment.commit]:
            self._conclude(Conclude(action.experiment, Verdict.DISCARD, "conflict", action.assessment))
        else:
            self._try_again(action.experiment, merged)

    def _take_back(self, kept: Experiment) -> None:
        """Merges always run here: this is a sound merge that is blamed for edits which crash by themselves."""
        onto = kept.judgement.onto if kept.judgement else self.incumbent
        taken = self._admit(self.programs[onto], base=self.incumbent, like=kept)
        self.campaign_state.put(replace(taken, retry_of=None, undoes=kept.number))
        self.undone += 1

    def leave_out(self, number: int, program: Program) -> Program | None:
        """A program without an edit that the incumbent has, by a three-way merge; None if later edits forbid it."""
        _, before, after = next(
            step for step in self.campaign_state.steps_to(self.incumbent) if step[0].number == number
        )
        left = merge(self.programs[after], program, self.programs[before])
        return None if left == program else left

    def _doubt(self, number: int) -> None:
        program = self.leave_out(number, self.programs[self.incumbent])
        if program is None:
            self._inseparable.add(number)
            return
        without = self._admit(program, base=self.incumbent, like=self.campaign_state.experiments[number])
        lines = -self._edits[number].lines
        self.campaign_state.put(replace(without, retry_of=None, doubts=number, line_change=lines))

    def _try_again(self, experiment: Experiment, program: Program) -> None:
        again = self._admit(program, base=self.incumbent, like=experiment)
        again = replace(again, doubts=experiment.doubts, line_change=experiment.line_change)
        self.campaign_state.put(again)
        judgement = Judgement(
            verdict=Verdict.DISCARD, reason="retried", order=self.campaign_state.order + 1, retried_as=again.number
        )
        self.campaign_state.put(replace(self.campaign_state.experiments[experiment.number], judgement=judgement))

    # -- programs ---------------------------------------------------------------------------------------------------

    def _merge(self, experiment: Experiment, *, prefer_theirs: bool = False) -> Program | None:
        base, theirs = self.programs[experiment.base], self.programs[experiment.commit]
        return merge(base, self.programs[self.incumbent], theirs, prefer_theirs=prefer_theirs)

    def _carry_over(self, experiment: Experiment) -> tuple[Program, tuple[int, ...]]:
        """The experiment's own program with what was kept since its base, as far as it merges."""

        def put_on(program: Program, edit: Experiment) -> Program | None:
            return merge(self.programs[edit.base], program, self.programs[edit.commit])

        edits = self.campaign_state.edits_to_carry(experiment.base, self.incumbent)
        return carry_over(self.programs[experiment.commit], edits, put_on)

    def _count_shut_out(self, experiment: Experiment) -> None:
        """Add what the incumbent would gain with the candidate's side of the conflict."""
        other = self._merge(experiment, prefer_theirs=True)
        if other is not None:
            self.shut_out += max(0.0, other.worth - self.truth)

    def _admit(self, program: Program, *, base: str, like: Experiment | None = None) -> Experiment:
        """Make a program the next experiment; `like` is the experiment whose edit it repeats."""
        number = max(self.campaign_state.experiments) + 1
        edit = self._edits[like.number] if like else self._edits[number]
        self._edits[number] = edit
        self._lots[number] = f"{self._lots[like.number]} again" if like else str(self._drawn)
        commit = f"c{number}"
        self.programs[commit] = program
        experiment = Experiment(
            number=number,
            commit=commit,
            base=base,
            title="edit",
            line_change=edit.lines,
            retry_of=like.number if like else None,
        )
        self.campaign_state.put(experiment)
        return experiment

    # -- events -----------------------------------------------------------------------------------------------------

    def _schedule(self, seconds: float, number: int, attempt: int) -> None:
        self._order += 1
        heappush(self._events, (self.now + max(1.0, seconds), self._order, number, attempt))

    def _take_in_next_event(self) -> None:
        self.now, _, number, attempt = heappop(self._events)
        if number < 0:
            self._take_in_proposal(number)
        else:
            self._take_in_end(number, attempt)

    def _take_in_proposal(self, asked: int) -> None:
        self._thinking.append(self.now - self._asked.pop(asked))
        base, number = self._bases.pop(asked), max(self.campaign_state.experiments) + 1
        edit = draw_edit(self._world, self._ideas, self._drawn)
        self._drawn += 1
        self._edits[number] = edit
        self._admit(self.programs[base].edit(edit, version=number), base=base)

    def _take_in_end(self, number: int, attempt_number: int) -> None:
        del self._running[number, attempt_number]
        experiment = self.campaign_state.experiments[number]
        attempt = next(a for a in experiment.attempts if a.number == attempt_number)
        last = attempt.tries[-1]
        seconds = self.now - last.launched_at
        if self._luck.random() < self._world.loss_share:
            lost = replace(last, seconds=seconds, lost="drained", interrupted=True, lost_to=LostTo.PREEMPTED)
            self._put(experiment, replace(attempt, tries=(*attempt.tries[:-1], lost)))
            return
        if self._is_disturbed(number, attempt, began=last.launched_at):
            lost = replace(last, seconds=seconds, lost="disturbed", lost_to=LostTo.DISTURBED)
            self._put(experiment, replace(attempt, tries=(*attempt.tries[:-1], lost)))
            return
        tries = (*attempt.tries[:-1], replace(last, seconds=seconds))
        self._put(experiment, replace(attempt, tries=tries, result=self._draw_result(experiment, seconds)))

    def _is_disturbed(self, number: int, attempt: Attempt, *, began: float) -> bool:
        """True if the try that ends now is run again, as a neighbour took CPUs for more than a tenth of its time."""
        if number == BASELINE or not self._world.witness:
            return False
        disturbed = self.machine.share_disturbed(began, self.now) > BEYOND
        if disturbed and not self._stays_busy and may_run_again(attempt):
            return True
        self._stays_busy = disturbed
        return False

    def _draw_result(self, experiment: Experiment, seconds: float) -> Result:
        edit = self._edits.get(experiment.number)
        if edit is not None and edit.effect is None:
            return Result(outcome=Outcome.CRASHED, reason="crashed", seconds=seconds)
        run = sum(attempt.result is not None for attempt in experiment.attempts)
        luck = Random(f"{self._seed} {self._lots.get(experiment.number, '')} {experiment.doubts or ''} run {run}")
        value = self._world.noise(luck) - self.programs[experiment.commit].worth
        value += self.machine.measure_harm(self.now - seconds, self.now)
        if self._world.step:
            value = round(value / self._world.step) * self._world.step
        self.scored += 1
        return Result(outcome=Outcome.SCORED, score=Score(value=value, provenance=Provenance.SEALED), seconds=seconds)

    def _put(self, experiment: Experiment, attempt: Attempt) -> None:
        others = tuple(a for a in experiment.attempts if a.number != attempt.number)
        self.campaign_state.put(replace(experiment, attempts=tuple(sorted((*others, attempt), key=lambda a: a.number))))
