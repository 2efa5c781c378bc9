"""One proposal: a fresh conversation from the opening prompt to a submission, inside its limits.

A reply that did not end well runs no tool. It gives up by itself: calls, seconds, dollars, malformed
submissions and broken streams are all limited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, assert_never

from controller import money
from controller.agent.claude import tools
from controller.agent.claude.answers import Answer, Busy, GivenUp, Hopeless, Interrupted, Question, Reply, TooLong
from controller.agent.claude.draft import Draft
from controller.agent.claude.ledger import Ledger
from controller.agent.claude.patience import delay
from controller.agent.claude.prompt import tokens_of
from controller.agent.claude.transcript import Transcript
from controller.agent.claude.untrusted import one_line
from controller.agent.claude.wire import Wire
from controller.domain import Proposal
from controller.errors import AgentError
from controller.ports import Abandoned, Waiting, WaitReason

MALFORMED = 3
INTERRUPTIONS = 3
LAST_CALLS = 3
CALLS_IN_A_REPLY = 10
"""Of tools: a cache mark looks back over some twenty blocks, two of which each call takes."""

NO_TOOL = "You ended without a tool. Use the tools, and end with submit."
CUT = "Your last reply was cut at its length limit, and nothing of it was carried out. Answer more briefly."


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one proposal may use."""

    calls: int
    seconds: float


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


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a conversation ended without a proposal; what it cost is known to the conversation."""

    reason: str
    retry_after: float = 0.0
    exhausted: bool = False
    refused: bool = False
    too_long: bool = False


@dataclass(slots=True)
class _State:
    """What changes from call to call."""

    messages: list[dict[str, Any]]
    draft: Draft
    asked: int = 0
    malformed: int = 0
    interruptions: int = 0
    failures: int = 0
    context: int = 0


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
        self._desk = desk
        self._limits = limits
        self._around = around
        self._ledger = ledger
        self._deadline = around.clock() + limits.seconds
        self._transcript = Transcript(around.wire.redact)
        self._state = _State(
            messages=[dict(m) for m in opening.messages], draft=Draft.of(desk.request.files), context=estimate
        )

    def run(self, *, agent: str, strategy: str) -> Proposal | tuple[Ended, Abandoned]:
        """Converse until there is a submission, or a reason why there is none. Raises AgentError."""
        self._open()
        while True:
            end = self._stop_before_asking() or self._ask_once()
            if isinstance(end, tools.Submit):
                return self._proposal(end, agent=agent, strategy=strategy)
            if isinstance(end, Ended):
                return end, self._abandoned(end)

    # -- one call -------------------------------------------------------------------------------------------------

    def _stop_before_asking(self) -> Ended | None:
        around, state = self._around, self._state
        if around.stopped():
            return Ended("the campaign is stopping")
        if around.clock() >= self._deadline:
            return Ended(f"no submission within {self._limits.seconds:.0f} seconds")
        if state.asked >= self._limits.calls:
            return Ended(f"no submission within {self._limits.calls} calls")
        return None

    def _ask_once(self) -> Ended | tools.Submit | None:
        state = self._state
        question = replace(self._opening, messages=state.messages)
        begun = self._ledger.begin(state.context, give_up=self._out_of_time)
        if begun is None:
            return self._stop_before_asking() or self._out_of_money()
        answer = self._around.wire.ask(question, give_up=self._out_of_time)
        self._write_down(answer, self._ledger.settle(begun, answer, input_tokens=state.context))
        match answer:
            case Reply():
                state.asked += 1
                state.interruptions = state.failures = 0
                return self._heed(answer)
            case Interrupted():
                state.interruptions += 1
                if state.interruptions > INTERRUPTIONS:
                    return Ended(f"the reply broke off {state.interruptions} times ({answer.reason})", retry_after=30)
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

    def _heed(self, reply: Reply) -> Ended | tools.Submit | None:
        state = self._state
        state.context = reply.usage.context
        match reply.stop_reason:
            case "tool_use":
                return self._use_tools(reply)
            case "pause_turn":
                self._keep(reply)
                return None
            case "refusal":
                return Ended(f"the model refused ({reply.explanation or 'no reason given'})", refused=True)
            case "model_context_window_exceeded":
                return Ended("the conversation outgrew the model's context", too_long=True)
            case "max_tokens":
                return self._nudge(CUT)
            case _:
                self._keep(reply)
                return self._nudge(NO_TOOL)

    def _keep(self, reply: Reply) -> None:
        """Put a reply without tools into the history, where it said something that can stand there."""
        kinds = {block["type"] for block in reply.content}
        if "text" in kinds and "tool_use" not in kinds:
            self._state.messages.append({"role": "assistant", "content": reply.content})

    def _use_tools(self, reply: Reply) -> Ended | tools.Submit | None:
        state = self._state
        results: list[dict[str, Any]] = []
        calls = [block for block in reply.content if block["type"] == "tool_use"]
        if not calls:
            return self._nudge(NO_TOOL)
        for place, call in enumerate(calls):
            step = self._step(call, crowded=place >= CALLS_IN_A_REPLY, failed=any("is_error" in r for r in results))
            state.draft = step.draft
            state.malformed += step.refused
            results.append(_result(call["id"], step))
            if step.submitted:
                self._transcript.add("results", content=results)
                return step.submitted
        left = self._limits.calls - state.asked
        if 0 < left <= LAST_CALLS:
            results.append({"type": "text", "text": f"{left} more replies: submit now."})
        state.messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]
        self._transcript.add("results", content=results)
        state.context += tokens_of(len(str(results)))
        return self._worn_out()

    def _step(self, call: dict[str, Any], *, crowded: bool, failed: bool) -> tools.Step:
        """One tool call. A submission beside a failed edit would submit something else than was meant."""
        draft = self._state.draft
        if crowded:
            return tools.Step(draft=draft, text=f"at most {CALLS_IN_A_REPLY} calls in one reply", failed=True)
        if failed and call["name"] == "submit":
            return tools.Step(draft=draft, text="not submitted: a call before it in this reply failed", failed=True)
        return tools.run(call["name"], call["input"], draft=draft, desk=self._desk)

    def _nudge(self, text: str) -> Ended | None:
        """Say something to a reply that did nothing; it counts as a malformed submission."""
        state = self._state
        state.malformed += 1
        last = state.messages[-1]
        if last["role"] == "user":
            state.messages[-1] = {**last, "content": [*last["content"], {"type": "text", "text": text}]}
        else:
            state.messages.append({"role": "user", "content": [{"type": "text", "text": text}]})
        self._transcript.add("nudge", text=text)
        return self._worn_out()

    def _worn_out(self) -> Ended | None:
        many = self._state.malformed >= MALFORMED
        return Ended(f"{MALFORMED} replies could not be used as a submission") if many else None

    def _wait(self, reason: str, kind: WaitReason, retry_after: float | None) -> Ended | None:
        around, state = self._around, self._state
        state.failures += 1
        seconds = delay(failures=state.failures, retry_after=retry_after, random=around.random)
        self._transcript.add("wait", seconds=round(seconds, 1), reason=reason)
        if around.clock() + seconds >= self._deadline:
            return Ended(f"waiting would outlast the proposal ({reason})", retry_after=seconds)
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

    def _proposal(self, submitted: tools.Submit, *, agent: str, strategy: str) -> Proposal:
        request = self._desk.request
        self._transcript.add("submitted", title=submitted.title, diff=self._state.draft.diff)
        return Proposal(
            base=request.base,
            files=self._state.draft.changed,
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


def _result(id: str, step: tools.Step) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": id, "content": step.text}
    return {**result, "is_error": True} if step.failed else result
