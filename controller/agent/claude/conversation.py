"""One proposal: a fresh conversation from the opening prompt to a submission, inside its limits.

It asks, waits and gives up by itself: calls, seconds, dollars and broken streams are all limited. What a reply does
is the dialogue's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import assert_never

from controller import money
from controller.agent.claude import tools, toolset
from controller.agent.claude.answers import Answer, Busy, GivenUp, Hopeless, Interrupted, Question, Reply, TooLong
from controller.agent.claude.dialogue import Dialogue, Ended
from controller.agent.claude.ledger import Ledger
from controller.agent.claude.patience import delay
from controller.agent.claude.transcript import Transcript
from controller.agent.claude.untrusted import one_line
from controller.agent.claude.wire import Wire
from controller.domain import Proposal
from controller.errors import AgentError
from controller.ports import Abandoned, Waiting, WaitReason

INTERRUPTIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one proposal may use. waiting: seconds of waiting in a row, where another stands in for those who wait."""

    calls: int
    seconds: float
    waiting: float = inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The effects a conversation has, all injected.

    wait: sleep that returns True at once when the campaign stops. notice: told what the proposal waits for,
    None when it goes on.
    """

    wire: Wire
    clock: Callable[[], float]
    wait: Callable[[float], bool]
    stopped: Callable[[], bool]
    random: Random
    notice: Callable[[Waiting | None], None] = lambda _: None


class Conversation:
    """One proposal in the making; not shared between threads."""

    def __init__(
        self,
        opening: Question,
        *,
        desk: tools.Desk,
        limits: Limits,
        around: Surroundings,
        ledger: Ledger,
        estimate: int,
    ) -> None:
        self._opening = opening
        self._base = desk.request.base
        self._limits = limits
        self._around = around
        self._ledger = ledger
        self._deadline = around.clock() + limits.seconds
        self._transcript = Transcript(around.wire.redact)
        self._dialogue = Dialogue(
            [dict(m) for m in opening.messages], desk=desk, transcript=self._transcript, context=estimate
        )
        self._asked = self._interruptions = self._failures = 0
        self._waited = 0.0

    def run(self, *, agent: str, strategy: str) -> Proposal | tuple[Ended, Abandoned]:
        """Converse until there is a submission, or a reason why there is none. Raises AgentError."""
        self._open()
        while True:
            end = self._stop_before_asking() or self._ask_once()
            if isinstance(end, toolset.Submit):
                return self._proposal(end, agent=agent, strategy=strategy)
            if isinstance(end, Ended):
                return end, self._abandoned(end)

    # -- one call -------------------------------------------------------------------------------------------------

    def _stop_before_asking(self) -> Ended | None:
        around = self._around
        if around.stopped():
            return Ended("the campaign is stopping")
        if around.clock() >= self._deadline:
            return Ended(f"no submission within {self._limits.seconds:.0f} seconds")
        if self._asked >= self._limits.calls:
            return Ended(f"no submission within {self._limits.calls} calls")
        return None

    def _ask_once(self) -> Ended | toolset.Submit | None:
        context = self._dialogue.context
        question = replace(self._opening, messages=self._dialogue.messages)
        begun = self._ledger.begin(context, give_up=self._out_of_time)
        if begun is None:
            return self._stop_before_asking() or self._out_of_money()
        answer = self._around.wire.ask(question, give_up=self._out_of_time)
        self._write_down(answer, self._ledger.settle(begun, answer, input_tokens=context))
        match answer:
            case Reply():
                self._asked += 1
                self._interruptions = self._failures = 0
                self._waited = 0.0
                return self._dialogue.heed(answer, left=self._limits.calls - self._asked)
            case Interrupted():
                self._interruptions += 1
                if self._interruptions > INTERRUPTIONS:
                    return Ended(f"the reply broke off {self._interruptions} times ({answer.reason})", retry_after=30)
                return self._wait(answer.reason, WaitReason.BROKEN_STREAM, None)
            case Busy():
                return self._wait(answer.reason, answer.kind, answer.retry_after)
            case GivenUp():
                return self._stop_before_asking() or Ended("the call was given up")
            case TooLong():
                return Ended(f"the conversation outgrew the model's context ({answer.reason})", too_long=True)
            case Hopeless():
                raise AgentError(answer.reason)
            case _:
                assert_never(answer)

    def _wait(self, reason: str, kind: WaitReason, retry_after: float | None) -> Ended | None:
        around = self._around
        self._failures += 1
        seconds = delay(failures=self._failures, retry_after=retry_after, random=around.random)
        self._transcript.add("wait", seconds=round(seconds, 1), reason=reason)
        if around.clock() + seconds >= self._deadline:
            return Ended(f"waiting would outlast the proposal ({reason})", retry_after=seconds)
        self._waited += seconds
        if self._waited > self._limits.waiting:
            return Ended(f"another stands in, for waiting would take too long ({reason})", retry_after=seconds)
        around.notice(Waiting(reason=kind, text=f"{one_line(reason)}; asking again in {seconds:.0f} s"))
        stopped = around.wait(seconds)
        around.notice(None)
        return Ended("the campaign is stopping") if stopped else None

    def _out_of_money(self) -> Ended:
        """The budget is exhausted only if nothing was spent here: what remains may do for a new conversation."""
        return Ended("the next call could cross the dollar budget", exhausted=not self._ledger.cost.calls)

    def _out_of_time(self) -> bool:
        return self._around.stopped() or self._around.clock() >= self._deadline

    def _write_down(self, answer: Answer, call: money.CallRecord) -> None:
        self._transcript.add(
            "answer",
            call=call.id,
            outcome=call.outcome,
            reason="" if isinstance(answer, (Reply, GivenUp)) else answer.reason,
            usage=dict(call.raw),
            dollars=call.dollars,
            content=answer.content if isinstance(answer, Reply) else None,
        )

    # -- the end --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        opening = self._opening
        self._transcript.add(
            "opening",
            model=opening.model,
            effort=opening.effort,
            thinking=opening.thinking,
            max_tokens=opening.max_tokens,
            tools=list(opening.tools),
            system=list(opening.system),
            messages=list(opening.messages),
        )

    def _proposal(self, submitted: toolset.Submit, *, agent: str, strategy: str) -> Proposal:
        draft = self._dialogue.draft
        self._transcript.add("submitted", title=submitted.title, diff=draft.diff)
        return Proposal(
            base=self._base,
            files=draft.changed,
            title=f"{submitted.category}: {one_line(submitted.title, limit=90)}",
            hypothesis=submitted.hypothesis.strip(),
            agent=agent,
            strategy=strategy,
            expected_effect=one_line(submitted.expected_effect, limit=300),
            cost=self._ledger.cost,
            transcript=self._transcript.text(),
        )

    def _abandoned(self, end: Ended) -> Abandoned:
        self._transcript.add("abandoned", reason=end.reason)
        return Abandoned(
            reason=end.reason,
            cost=self._ledger.cost,
            exhausted=end.exhausted,
            retry_after=end.retry_after,
            transcript=self._transcript.text(),
        )
