"""The loop: asks the planner, has carried out what it says, takes in what happens. The single writer.

Every effect is ordered so that a kill between any two of them is mended by starting again: the lab is
written before a try is launched, before a branch moves, and before a try is cleaned up.
"""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from controller.actions import Conclude, Launch, Propose, Rebase, Requeue, Stop, View, Wait
from controller.budget import dollars_limit
from controller.domain import BASELINE, TryEnded
from controller.journal import Journal
from controller.judge import Judge
from controller.memory import Memory
from controller.notices import Observer, Troubled
from controller.planner import plan
from controller.ports import Agent, Executor
from controller.proposing import Proposing, Thought
from controller.settings import Settings
from controller.trying import Trying
from controller.writer import LabWriter

WAIT_SECONDS = 1.0
RETOLD_SECONDS = 300.0
"""Trouble that goes on in other words, as a cluster's does at each of its tries, is told again so rarely."""


@dataclass(frozen=True, slots=True)
class _Wake:
    """Look again: somebody asked to stop."""


class Campaign:
    """One campaign on one lab, whose lock the caller holds while `run` lasts.

    turned: called before each turn of the loop. dollars: what model calls have cost so far.
    draw: chooses probe sets; unpredictable by default. wait_seconds: longest time between two turns.
    trouble: what only an operator can mend now, of executor or agent; empty when there is nothing.
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
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._agent = agent
        self._judge = judge
        self._clock = clock
        self._observe = observe
        self._turned = turned
        self._dollars = dollars
        self._events: queue.SimpleQueue[TryEnded | Thought | _Wake] = queue.SimpleQueue()
        self._stopping = ""
        self._wait_seconds = wait_seconds
        self._told = self.trouble = ""
        self._told_at = 0.0
        self._journal = Journal(lab, settings, judge=judge, task_files=task_files, clock=clock, observe=observe)
        self._trying = Trying(
            executor,
            self._journal,
            settings=settings,
            clock=clock,
            observe=observe,
            draw=draw or random.SystemRandom(),
        )
        self._proposing = Proposing(
            agent,
            self._journal,
            settings=settings,
            brief=brief,
            clock=clock,
            observe=observe,
            answered=self._events.put,
        )

    @property
    def memory(self) -> Memory:
        """What the lab says, as the loop sees it."""
        return self._journal.memory

    def run(self) -> Stop:
        """Go on until the budget ends, the agent has nothing left, or `stop` is called; says why it ended."""
        self._executor.start(self._events.put)
        self._trying.adopt()
        with self._proposing:
            try:
                return self._loop()
            finally:
                self._agent.stop()
                self._executor.stop()
                self._book_what_was_killed()

    def stop(self, reason: str) -> None:
        """Ask the loop to end soon; safe from a signal handler or another thread."""
        self._stopping = reason
        self._events.put(_Wake())

    def view(self) -> View:
        """What the planner may know now."""
        now, memory = self._clock(), self.memory
        baseline = memory.experiments[BASELINE]
        return View(
            open=tuple(memory.open[number] for number in sorted(memory.open)),
            running=self._trying.running,
            incumbent=self._journal.incumbent,
            judge=self._judge,
            state=memory.state,
            spent=memory.spent(elapsed_seconds=now - baseline.proposed_at, dollars=self._dollars()),
            proposing=self._proposing.in_flight,
            exhausted=self._proposing.exhausted,
            stopping=self._stopping,
            trouble=self._executor.trouble(),
            gains=memory.gains,
            pace=self._proposing.pace(now),
            resting=self._proposing.resting(now),
            unable=self._proposing.unable,
        )

    def _loop(self) -> Stop:
        while True:
            view = self.view()
            self._proposing.dollars_limit = dollars_limit(view, self._settings)
            self._tell_trouble(view.trouble or self._proposing.trouble)
            self._turned()
            action = plan(view, self._settings)
            match action:
                case Stop():
                    self._tell_trouble("")
                    return action
                case Wait():
                    self._take_in_what_happened()
                case Launch():
                    self._trying.launch(action)
                case Conclude():
                    self._journal.conclude(action)
                case Rebase():
                    self._journal.rebase(action.experiment)
                case Requeue():
                    self._journal.requeue(action)
                case Propose():
                    self._proposing.ask()
                case _:
                    assert_never(action)

    def _take_in_what_happened(self) -> None:
        try:
            event = self._events.get(timeout=self._wait_seconds)
        except queue.Empty:
            return
        match event:
            case TryEnded():
                self._trying.ended(event)
            case Thought():
                self._proposing.take_in(event)
            case _Wake():
                pass
            case _:
                assert_never(event)

    def _book_what_was_killed(self) -> None:
        """Tries that ended by stopping the executor: their seconds are charged now, not at the next start."""
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, TryEnded):
                self._trying.ended(event)

    def _tell_trouble(self, trouble: str) -> None:
        """Say once that something waits for an operator, and that it is over; the lab tells commands that read it."""
        self.trouble, now = trouble, self._clock()
        reworded = trouble != self._told and now >= self._told_at + RETOLD_SECONDS
        news = reworded or bool(trouble) != bool(self._told)
        if news:
            self._told, self._told_at = trouble, now
        # An executor that has lost its lease is not ready, and another controller may write by then.
        if self._told != self._journal.trouble and self._executor.ready():
            self._journal.tell_trouble(self._told)
        if news:
            self._observe(Troubled(trouble))
