"""The loop of a campaign: asks the planner for an action, carries it out, and takes in the ends and answers.

Its thread is the only one that changes experiments in the lab. Other threads (executor, agent, signal handlers) only
put events into its queue. The effects are ordered so that a new start goes on after a kill between any two of them:
the lab is written before a try is launched, before a branch moves, and before a try is cleaned up.
"""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from controller.campaign.proposals import AgentAnswered, DoubtAsked, Proposals
from controller.campaign.recorder import Recorder
from controller.campaign.tries import Tries
from controller.campaign.trouble import TroubleTeller
from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Remark, TryEnded
from controller.judge import Judge
from controller.lab.writer import LabWriter
from controller.notices import Activity, Observer, RunningTry, Troubled
from controller.planning.actions import (
    Conclude,
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
from controller.planning.budget import Room
from controller.planning.campaign_state import CampaignState
from controller.planning.planner import plan
from controller.planning.stopping import count_surplus
from controller.ports import Agent, Executor, SmokeTest, Waiting, WaitReason
from controller.settings import Settings
from controller.studies.study import StudyRecord
from controller.text.safe_text import SENTENCE, one_line

WAIT_SECONDS = 1.0
"""Longest time between two turns of the loop: budgets, rests and troubles change without an event."""


@dataclass(frozen=True, slots=True)
class _StopRequested:
    """Wakes the loop, so that it sees the request to stop at once."""


class Campaign:
    """One campaign on one lab. The caller holds the lab's lock while `run` lasts.

    Args:
        brief: text of the research brief.
        clock: Unix time in seconds.
        observe: called with each notice, on the loop's thread.
        turned: called once in each turn of the loop, before its action.
        dollars: tells how many dollars the campaign's model calls have cost so far.
        draw: chooses probe sets and slices of the reserve; by default so that no agent can predict them.
        died: the controller before this one did not end by itself, as far as is known.
        facts: what each training gets, in sentences for the agent.
        importable: names of the modules that a training can import; None if they are not known.
        smoke: runs one step of a larger edit before its first attempt; None: nothing does.
        wait_seconds: longest time between two turns of the loop.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        lab: LabWriter,
        executor: Executor,
        agent: Agent,
        judge: Judge,
        task_files: Mapping[str, str],
        brief: str,
        clock: Callable[[], float],
        observe: Observer,
        turned: Callable[[], None] = lambda: None,
        dollars: Callable[[], float] = lambda: 0.0,
        draw: random.Random | None = None,
        died: bool = True,
        facts: tuple[str, ...] = (),
        importable: frozenset[str] | None = None,
        smoke: SmokeTest | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._settings = settings
        self._prices = SlotPrices.of(settings)
        self._executor = executor
        self._agent = agent
        self._judge = judge
        self._clock = clock
        self._observe = observe
        self._turned = turned
        self._died = died
        self._dollars = dollars
        self._events: queue.SimpleQueue[TryEnded | AgentAnswered | DoubtAsked | _StopRequested] = queue.SimpleQueue()
        self._stop_reason = ""
        self._wait_seconds = wait_seconds
        self.trouble = ""
        """One sentence on a trouble of executor or agent that only an operator can mend; empty if there is none."""
        self._trouble_teller = TroubleTeller()
        self._recorder = Recorder(lab, settings, judge=judge, task_files=task_files, clock=clock, observe=observe)
        self._tries = Tries(
            executor,
            self._recorder,
            settings=settings,
            clock=clock,
            observe=observe,
            draw=draw or random.SystemRandom(),
        )
        self._proposals = Proposals(
            agent,
            self._recorder,
            settings=settings,
            brief=brief,
            clock=clock,
            observe=observe,
            answered=self._events.put,
            facts=facts,
            importable=importable,
            smoke=smoke,
        )

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Remarks of the operator so far, oldest first."""
        return self._recorder.remarks

    @property
    def campaign_state(self) -> CampaignState:
        """State of the campaign, computed from the records in the lab."""
        return self._recorder.campaign_state

    @property
    def studies(self) -> tuple[StudyRecord, ...]:
        """Claims and other studies, as they were when the loop began."""
        return self._recorder.studies

    def run(self) -> Stop:
        """Run until the budget ends, the agent has nothing left to propose, or `stop` is called; returns the reason."""
        self._executor.start(self._events.put)
        self._tries.adopt(died=self._died)
        with self._proposals:
            try:
                return self._loop()
            finally:
                self._agent.stop()
                self._executor.stop()
                self._take_in_killed_tries()

    def stop(self, reason: str) -> None:
        """Ask the loop to end soon. May be called from a signal handler or another thread."""
        self._stop_reason = reason
        self._events.put(_StopRequested())

    def view(self) -> View:
        """Everything that the planner may know, as of now."""
        now, campaign_state = self._clock(), self.campaign_state
        baseline = campaign_state.experiments[BASELINE]
        return View(
            open=tuple(campaign_state.open[number] for number in sorted(campaign_state.open)),
            running=self._tries.running,
            incumbent=self._recorder.incumbent,
            judge=self._judge,
            state=campaign_state.state,
            spent=campaign_state.spent(elapsed_seconds=now - baseline.proposed_at, dollars=self._dollars()),
            without_keep=campaign_state.without_keep,
            baseline=baseline,
            proposing=self._proposals.in_flight,
            more=self._proposals.more,
            exhausted=self._proposals.exhausted,
            short_of_money=self._proposals.short_of_money,
            stopping=self._stop_reason,
            trouble=one_line(self._executor.trouble(), SENTENCE),
            gains=campaign_state.gains,
            kept=tuple(campaign_state.kept),
            doubtable=campaign_state.doubtable - self._recorder.inseparable,
            wished=frozenset(self._recorder.wishes),
            broken=campaign_state.find_broken_merge(self._recorder.incumbent),
            conflicts=self._recorder.conflicts,
            pace=self._proposals.pace(now),
            resting=self._proposals.resting(now),
            unable=self._proposals.unable,
        )

    def activity(self) -> Activity:
        """The facts of this moment. Only the loop's own thread may ask."""
        phases = {progress.id: progress.phase for progress in self._executor.progress()}
        return Activity(
            tag=self._settings.tag,
            turned=True,
            tries=tuple(RunningTry(id.experiment, id.attempt, phases.get(id, "")) for id in self._tries.ids),
            proposing=self._proposals.in_flight,
            asked_at=self._proposals.asked_at,
            waiting=(*map(_make_safe, self._agent.waiting), *self._rest()),
            trouble=self.trouble,
            heard_at=self._clock(),
        )

    def _rest(self) -> tuple[Waiting, ...]:
        """The agent's own wish to be left alone; what only an operator can mend is told as trouble."""
        until = self._proposals.rests_until
        if self._proposals.unable or not self._proposals.resting(self._clock()):
            return ()
        return (Waiting(reason=WaitReason.REST, text="it asked to be left alone for a while", until=until),)

    def _loop(self) -> Stop:
        while True:
            self._recorder.take_in_remarks()
            self._proposals.note_news()
            view = self.view()
            room = Room(view, self._settings.budget, self._prices)
            self._proposals.dollars_limit = room.call_dollars
            self._proposals.dollars_free = room.free_dollars
            self._proposals.surplus = count_surplus(view, self._settings, room)
            self._tell_trouble(view.trouble or self._proposals.trouble)
            self._turned()
            action = plan(view, self._settings)
            match action:
                case Stop():
                    return action
                case Wait():
                    self._take_in_next_event()
                case Launch():
                    self._tries.launch(action)
                case Conclude():
                    self._recorder.conclude(action)
                case Rebase():
                    self._recorder.rebase(action.experiment)
                case Settle():
                    self._recorder.settle(action)
                case TakeBack():
                    self._recorder.take_back(action.kept)
                case Doubt():
                    self._recorder.doubt(action.kept)
                case Retry():
                    self._recorder.retry(action)
                case Propose(count):
                    self._proposals.ask_agent(count)
                case _:
                    assert_never(action)

    def _take_in_next_event(self) -> None:
        """Wait for an event, but no longer than until the next turn is due."""
        try:
            event = self._events.get(timeout=self._wait_seconds)
        except queue.Empty:
            return
        match event:
            case TryEnded():
                self._tries.take_in_end(event)
            case AgentAnswered():
                self._proposals.take_in_answer(event)
            case DoubtAsked():
                self._recorder.wishes.setdefault(event.number, event.reason)
            case _StopRequested():
                pass
            case _:
                assert_never(event)

    def _take_in_killed_tries(self) -> None:
        """Record the tries that ended when the executor stopped, so that their seconds are charged to this run."""
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, TryEnded):
                self._tries.take_in_end(event)

    def _tell_trouble(self, trouble: str) -> None:
        """Tell observers of a trouble and of its end."""
        self.trouble = trouble
        if self._trouble_teller.is_news(trouble, now=self._clock()):
            self._observe(Troubled(trouble))


def _make_safe(waiting: Waiting) -> Waiting:
    """A wait with a text that is safe to show: it may quote what a server answered."""
    return replace(waiting, text=one_line(waiting.text, SENTENCE))
