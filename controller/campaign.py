"""The loop: asks the planner, carries out what it says, writes down what happened. The single writer.

Every effect is ordered so that a kill between any two of them is mended by starting again: the lab is
written before a try is launched, before a branch moves, and before a try is cleaned up.
"""

from __future__ import annotations

import hashlib
import queue
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import assert_never

from controller import novelty
from controller.domain import (
    BASELINE,
    Attempt,
    Experiment,
    Judgement,
    Outcome,
    Proposal,
    Result,
    Try,
    TryEnded,
    TryId,
    TryRequest,
    Verdict,
)
from controller.errors import AgentError
from controller.judge import Judge
from controller.lab import Lab, LabNotebook
from controller.memory import Memory
from controller.notices import Admitted, AttemptEnded, Concluded, Launched, Observer, Refused, TryLost
from controller.planner import (
    AGAIN,
    Conclude,
    Launch,
    Propose,
    Rebase,
    Requeue,
    Stop,
    View,
    Wait,
    dollars_left,
    plan,
)
from controller.ports import Abandoned, Agent, Executor, ProposalRequest
from controller.prices import slot_price
from controller.settings import Settings, dump_settings

REFUSALS_IN_A_ROW = 25
"""Proposals sent back one after another until the agent counts as having nothing left."""

WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Thought:
    """An agent's thread has come back."""

    answer: Proposal | Abandoned | AgentError


@dataclass(frozen=True, slots=True)
class _Wake:
    """Look again: somebody asked to stop."""


class Campaign:
    """One campaign on one lab, whose lock the caller holds while `run` lasts.

    turned: called before each turn of the loop. dollars: what model calls have cost so far.
    draw: chooses probe sets; unpredictable by default.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        lab: Lab,
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
    ) -> None:
        self._settings = settings
        self._lab = lab
        self._executor = executor
        self._agent = agent
        self._judge = judge
        self._task_files = task_files
        self._brief = brief
        self._clock = clock
        self._observe = observe
        self._turned = turned
        self._dollars = dollars
        self._draw = draw or random.SystemRandom()
        self._events: queue.SimpleQueue[TryEnded | _Thought | _Wake] = queue.SimpleQueue()
        self._running: dict[TryId, Experiment] = {}
        self._proposing = 0
        self._asked = 0
        self._refused: tuple[str, ...] = ()
        self._exhausted = False
        self._rest_until = 0.0
        self._stopping = ""
        self._agent_trouble = ""
        self.memory = self._remember()

    def run(self) -> Stop:
        """Go on until the budget ends, the agent has nothing left, or `stop` is called; says why it ended."""
        self._executor.start(self._events.put)
        self._adopt()
        with ThreadPoolExecutor(self._settings.executor.slots, thread_name_prefix="propose") as self._threads:
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
        now = self._clock()
        baseline = self.memory.experiments[BASELINE]
        return View(
            open=tuple(self.memory.open[number] for number in sorted(self.memory.open)),
            running=tuple(id.experiment for id in self._running),
            incumbent=self._incumbent,
            judge=self._judge,
            state=self.memory.state,
            spent=self.memory.spent(elapsed_seconds=now - baseline.proposed_at, dollars=self._dollars()),
            proposing=self._proposing,
            exhausted=self._exhausted,
            stopping=self._stopping,
            trouble=self._executor.trouble(),
            gains=self.memory.gains,
            resting=now < self._rest_until,
        )

    # -- the loop -------------------------------------------------------------------------------------------------

    def _loop(self) -> Stop:
        while True:
            self._turned()
            action = plan(self.view(), self._settings)
            match action:
                case Stop():
                    return self._explained(action)
                case Wait():
                    self._take_in_what_happened()
                case Launch():
                    self._launch(action)
                case Conclude():
                    self._conclude(action)
                case Rebase():
                    self._rebase(action.experiment)
                case Requeue():
                    self._requeue(action)
                case Propose():
                    self._ask()
                case _:
                    assert_never(action)

    def _take_in_what_happened(self) -> None:
        try:
            event = self._events.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            return
        match event:
            case TryEnded():
                self._try_ended(event)
            case _Thought():
                self._proposing -= 1
                self._thought(event.answer)
            case _Wake():
                pass
            case _:
                assert_never(event)

    def _book_what_was_killed(self) -> None:
        """Tries that ended by stopping the executor: their seconds are charged now, not at the next start."""
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, TryEnded):
                self._try_ended(event)

    def _explained(self, action: Stop) -> Stop:
        return Stop(self._agent_trouble, failed=True) if self._agent_trouble else action

    # -- trying ---------------------------------------------------------------------------------------------------

    def _launch(self, action: Launch) -> None:
        experiment = self.memory.experiments[action.experiment.number]
        attempt = next((a for a in experiment.attempts if a.number == action.attempt), None)
        if attempt is None:
            attempt = Attempt(number=action.attempt, seed=self._seed(experiment.number, action.attempt))
        probe_set = self._draw.randrange(self._settings.task.probe_sets)
        newest = Try(number=len(attempt.tries) + 1, probe_set=probe_set, launched_at=self._clock())
        experiment = _with(experiment, replace(attempt, tries=(*attempt.tries, newest)))
        # The intent goes first: a kill after it leaves a try that the next start finds and adopts.
        self._record(experiment)
        request = self._request(experiment, action.attempt)
        self._running[request.id] = experiment
        self._observe(Launched(experiment, request.id))
        self._executor.launch(request)

    def _try_ended(self, event: TryEnded) -> None:
        if self._running.pop(event.id, None) is None:
            return
        experiment = self.memory.experiments[event.id.experiment]
        attempt = next(a for a in experiment.attempts if a.number == event.id.attempt)
        result = self._without_log(event)
        price = slot_price(self._settings, result.node)
        ended = replace(attempt.tries[-1], seconds=result.seconds, dollars_per_hour=price)
        if result.outcome is Outcome.LOST and self._may_try_again(attempt, result):
            lost = replace(ended, lost=result.reason or "lost", interrupted=result.interrupted)
            experiment = _with(experiment, replace(attempt, tries=(*attempt.tries[:-1], lost)))
            self._record(experiment)
            self._observe(TryLost(experiment, event.id, result.reason))
        else:
            attempt = replace(attempt, tries=(*attempt.tries[:-1], ended), result=result)
            experiment = _with(experiment, attempt)
            self._record(experiment)
            self._observe(AttemptEnded(experiment, attempt))
        self._executor.recorded(event.id)

    def _may_try_again(self, attempt: Attempt, result: Result) -> bool:
        counted = [t for t in attempt.tries if not t.interrupted]
        return result.interrupted or len(counted) < self._settings.executor.max_tries

    def _without_log(self, event: TryEnded) -> Result:
        if event.result.log_tail:
            path = f"{event.id.experiment:06d}/a{event.id.attempt}-t{event.id.number}.log"
            self._lab.attach(self._settings.tag, path, event.result.log_tail.encode(), at=self._clock())
        return replace(event.result, log_tail="")

    def _adopt(self) -> None:
        """Take over what an earlier controller launched and did not see end."""
        requests = []
        for experiment in self.memory.open.values():
            for attempt in experiment.attempts:
                if attempt.result is None and attempt.tries and not attempt.tries[-1].lost:
                    request = self._request(experiment, attempt.number)
                    self._running[request.id] = experiment
                    requests.append(request)
        self._executor.adopt(requests)

    def _request(self, experiment: Experiment, number: int) -> TryRequest:
        attempt = next(a for a in experiment.attempts if a.number == number)
        newest = attempt.tries[-1]
        return TryRequest(
            id=TryId(self._settings.tag, experiment.number, number, newest.number),
            commit=experiment.commit,
            files=self._lab.files(experiment.commit, self._settings.task.editable),
            seed=attempt.seed,
            probe_set=newest.probe_set,
            baseline_spread=self._baseline_spread(),
        )

    def _baseline_spread(self) -> float | None:
        results = [a.result for a in self.memory.experiments[BASELINE].attempts if a.result]
        spreads = [r.exam.spread for r in results if r.exam and r.exam.spread is not None]
        return max(spreads, default=None)

    def _seed(self, experiment: int, attempt: int) -> int:
        name = f"{self._settings.tag}/{experiment}/{attempt}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1

    # -- judging --------------------------------------------------------------------------------------------------

    def _conclude(self, action: Conclude) -> None:
        experiment = self.memory.experiments[action.experiment.number]
        assessment, now = action.assessment, self._clock()
        judgement = Judgement(
            verdict=action.verdict,
            reason=action.reason,
            order=self.memory.order + 1,
            expected_gain=assessment.expected_gain if assessment else None,
            spread=assessment.spread if assessment else None,
            price=assessment.price if assessment else None,
            level=assessment.level if assessment else None,
            at=now,
        )
        if action.verdict is Verdict.KEEP and experiment.number != BASELINE:
            message = _lab_book_entry(self._settings, experiment, judgement)
            judgement = replace(judgement, kept_as=self._lab.kept_commit(experiment, message=message, at=now))
        experiment = replace(experiment, judgement=judgement)
        # The note goes first: a kill in between leaves a branch that `Lab.repair` moves.
        self._record(experiment)
        self._lab.advance(self._settings.tag, experiment)
        if judgement.kept_as:
            self._incumbent = judgement.kept_as
        if self.memory.state is not None:
            self._observe(Concluded(experiment, self.memory.state))
        if experiment.number % 50 == 0:
            self._lab.compact()

    def _rebase(self, experiment: Experiment) -> None:
        files = self._merged(experiment)
        if files is None:
            reason = "its edit conflicts with what was kept before it ran"
            self._conclude(Conclude(experiment, Verdict.DISCARD, reason))
            return
        tag, now = self._settings.tag, self._clock()
        self.memory.put(self._lab.rebase(tag, experiment, files, onto=self._incumbent, at=now))

    def _requeue(self, action: Requeue) -> None:
        experiment = action.experiment
        files = self._merged(experiment)
        fate = "its edit conflicts with it" if files is None else "it is tried again there"
        reason = f"{action.assessment.reason}, but the incumbent had moved: {fate}"
        already = any(e.strategy == f"{AGAIN}{experiment.number}" for e in self.memory.experiments.values())
        if files is not None and not already:
            again = Proposal(
                base=self._incumbent,
                files=files,
                title=experiment.title,
                hypothesis=experiment.hypothesis,
                agent=experiment.agent,
                strategy=f"{AGAIN}{experiment.number}",
            )
            self._admit(again)
        self._conclude(Conclude(experiment, Verdict.DISCARD, reason, action.assessment))

    def _merged(self, experiment: Experiment) -> dict[str, str] | None:
        return self._lab.merge(
            base=experiment.base,
            ours=self._incumbent,
            theirs=experiment.commit,
            paths=self._settings.task.editable,
        )

    # -- proposing ------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        request = self._proposal_request()
        self._asked += 1
        self._proposing += 1
        self._threads.submit(self._think, request)

    def _think(self, request: ProposalRequest) -> None:
        answer: Proposal | Abandoned | AgentError = Abandoned(reason="the agent's thread died")
        try:
            answer = self._agent.propose(request)
        except AgentError as error:
            answer = error
        finally:
            self._events.put(_Thought(answer))

    def _proposal_request(self) -> ProposalRequest:
        task, state = self._settings.task, self.memory.state
        experiments = tuple(self.memory.experiments.values())
        return ProposalRequest(
            tag=self._settings.tag,
            number=len(experiments) + self._asked,
            brief=self._brief,
            base=self._incumbent,
            files=self._lab.files(self._incumbent, task.editable),
            readable=self._lab.files(self._incumbent, task.readable),
            experiments=experiments,
            fingerprints=frozenset(self.memory.fingerprints),
            notebook=LabNotebook(self._lab.path, tag=self._settings.tag),
            metric=task.metric,
            minimize=task.direction == "minimize",
            sigma=state.sigma if state else None,
            incumbent_level=state.level if state else None,
            refused=self._refused,
            pending=tuple(e.title for e in self.memory.open.values() if e.number != BASELINE),
            dollars_left=dollars_left(self.view(), self._settings),
        )

    def _thought(self, answer: Proposal | Abandoned | AgentError) -> None:
        match answer:
            case Proposal():
                self._consider(answer)
            case Abandoned():
                self._rest_until = self._clock() + answer.retry_after
                self._exhausted = self._exhausted or answer.exhausted
                self._keep_transcript(answer)
                self._observe(Refused(answer.reason, answer.cost))
            case AgentError():
                self._agent_trouble = str(answer)
                self._exhausted = True
            case _:
                assert_never(answer)

    def _consider(self, proposal: Proposal) -> None:
        refusal = novelty.refusal(
            base=self._lab.files(proposal.base, self._settings.task.editable),
            proposed=proposal.files,
            tried=frozenset(self.memory.fingerprints),
            needs_load_model=self._settings.task.score == "exam",
        )
        if refusal:
            self._send_back(refusal, proposal)
            return
        self._refused = ()
        self._observe(Admitted(self._admit(proposal)))

    def _keep_transcript(self, answer: Abandoned) -> None:
        """A conversation that led to nothing was paid for all the same."""
        if answer.transcript:
            now = self._clock()
            path = f"abandoned/{now:.0f}-{self._asked:06d}.jsonl"
            self._lab.attach(self._settings.tag, path, answer.transcript.encode(), at=now)

    def _send_back(self, reason: str, proposal: Proposal) -> None:
        self._refused = (*self._refused, reason)
        self._exhausted = self._exhausted or len(self._refused) >= REFUSALS_IN_A_ROW
        self._observe(Refused(reason, proposal.cost))

    def _admit(self, proposal: Proposal) -> Experiment:
        number = max(self.memory.experiments) + 1
        whole = self._lab.files(proposal.base, self._settings.task.editable) | dict(proposal.files)
        experiment = self._lab.admit(
            self._settings.tag, number, proposal, fingerprint=novelty.fingerprint(whole), at=self._clock()
        )
        self.memory.put(experiment)
        return experiment

    # -- the lab --------------------------------------------------------------------------------------------------

    def _remember(self) -> Memory:
        tag = self._settings.tag
        if tag not in self._lab.tags():
            editable = {path: self._task_files[path] for path in self._settings.task.editable}
            self._lab.begin(
                tag,
                self._task_files,
                fingerprint=novelty.fingerprint(editable),
                settings=dump_settings(self._settings),
                at=self._clock(),
            )
        self._lab.repair(tag)
        self._incumbent = self._lab.incumbent(tag)
        return Memory(self._judge, self._lab.experiments(tag), self._settings)

    def _record(self, experiment: Experiment) -> None:
        self._lab.record(self._settings.tag, experiment, at=self._clock())
        self.memory.put(experiment)


def _with(experiment: Experiment, attempt: Attempt) -> Experiment:
    """The experiment with this attempt in the place of the one of the same number, or added."""
    others = tuple(a for a in experiment.attempts if a.number != attempt.number)
    return replace(experiment, attempts=tuple(sorted((*others, attempt), key=lambda a: a.number)))


def _lab_book_entry(settings: Settings, experiment: Experiment, judgement: Judgement) -> str:
    """Message of a kept commit: what, why, scores, and which experiment it was."""
    scores = " ".join(f"{score:.6f}" for score in experiment.scores)
    gain = "" if judgement.expected_gain is None else f", expected gain {judgement.expected_gain:+.2f} sigma"
    lines = [
        experiment.title,
        "",
        experiment.hypothesis,
        "",
        f"{settings.task.metric} {scores} (n={len(experiment.scores)}{gain})",
        "",
        f"Experiment: {settings.tag}-{experiment.number} {experiment.commit}",
        f"Agent: {experiment.agent}",
    ]
    return "\n".join(lines) + "\n"
