"""A fresh conversation, from the opening prompt to a submission, or to as many as are wanted.

The conversation asks for a reply, runs the tools that the reply calls, and asks again, until one of them submits or a
limit is reached. A reply that did not end well runs no tool. While more than one edit is wanted, a submission is
offered at once, and the conversation goes on from the incumbent: the history is read and thought over once for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, assert_never

from controller.agent.claude.answers import Answer, Busy, GivenUp, Hopeless, Interrupted, Question, Reply, TooLong
from controller.agent.claude.bill import Bill
from controller.agent.claude.messages import Messages, make_result_block
from controller.agent.claude.setbacks import Effects, NoSubmission, ProposalLimits, Setbacks
from controller.agent.claude.transcript import Transcript
from controller.agent.desk.desk import Desk
from controller.agent.desk.draft import Draft
from controller.agent.desk.tools import ToolResult, run_tool
from controller.agent.desk.toolset import Submit
from controller.domain import Proposal
from controller.errors import AgentError
from controller.ports import Abandoned
from controller.text.safe_text import one_line

MOST_MALFORMED = 3
"""Replies that could not be used as a submission, after which the proposal ends: a model rarely recovers then."""

LAST_REPLIES = 3
"""Number of replies left from which the model is told to submit."""

CALLS_IN_A_REPLY = 10
"""Most tool calls of one reply that are carried out; the rules tell the model so.

The API looks for a cached prefix about twenty blocks back from a cache mark, and each call takes two blocks.
"""

HYPOTHESIS_CHARACTERS = 2_000
"""Most characters of a hypothesis: it is kept in memory, in a commit's message and in every report."""

DRAFT_TOOLS = frozenset({"replace", "replace_several", "write", "adopt", "restore", "submit"})
"""Tools that change the draft or hand it in."""

NO_FURTHER_IDEA = "it has no further idea"
"""Reason of a conversation that ends by itself after a submission."""

NO_TOOL = "You ended without a tool. Use the tools, and end with submit."
CUT = "Your last reply was cut at its length limit, and nothing of it was carried out. Answer more briefly."


@dataclass(frozen=True, slots=True)
class ConversationResult:
    """The answer of a conversation, and why there is no proposal if there is none."""

    answer: Proposal | Abandoned
    end: NoSubmission | None = None

    @property
    def brought(self) -> int:
        """Proposals that were offered before the answer."""
        return self.answer.brought if isinstance(self.answer, Abandoned) else 0


class Conversation:
    """One proposal after another in the making; not shared between threads."""

    def __init__(
        self,
        opening: Question,
        *,
        agent: str,
        strategy: str,
        desk: Desk,
        limits: ProposalLimits,
        effects: Effects,
        bill: Bill,
        transcript: Transcript,
        longest_tokens: int,
        estimate: int,
    ) -> None:
        """agent, strategy: the names that proposals carry. longest_tokens: most output tokens that the model can make.

        estimate: input tokens of the opening.
        """
        self._opening = opening
        self._agent, self._strategy = agent, strategy
        self._desk = desk
        self._draft = Draft.of(desk.request.files)
        self._most_replies = limits.calls
        self._warming = effects.warming
        self._bill = bill
        self._transcript = transcript
        self._setbacks = Setbacks(limits, effects, transcript)
        self._messages = Messages(opening.messages, tokens=estimate)
        self._longest_tokens = longest_tokens
        self._max_tokens = opening.max_tokens
        # Output tokens that the next call needs at least, since a reply was cut.
        self._least_tokens = 0
        # New notes for later proposals; None if there are none.
        self._notes: str | None = None
        # Proposals that were offered.
        self._brought = 0
        # Both since the last submission: whole replies, and those of them that could not be used as a submission.
        self._replies = 0
        self._malformed = 0

    def run(self) -> ConversationResult:
        """Converse until there is the last submission, or a reason why there is none. Raises AgentError."""
        self._transcript.add_opening(self._opening)
        while True:
            end = self._setbacks.find_end(replies=self._replies) or self._ask()
            if isinstance(end, Submit):
                return ConversationResult(self._make_proposal(end))
            if isinstance(end, NoSubmission):
                return ConversationResult(self._abandon(end), end)

    # -- one call: None if the conversation goes on ----------------------------------------------------------------

    def _ask(self) -> NoSubmission | Submit | None:
        if self._replies or self._brought:
            return self._ask_booked(begun=lambda: None)
        with self._warming.take_turn(self._opening, give_up=self._setbacks.is_over) as begun:
            return self._ask_booked(begun=begun)

    def _ask_booked(self, *, begun: Callable[[], None]) -> NoSubmission | Submit | None:
        """begun: called when the reply has begun."""
        booked = self._bill.ask(
            replace(self._opening, messages=self._messages.sent, max_tokens=self._max_tokens),
            input_tokens=self._messages.tokens,
            least_output=self._least_tokens,
            give_up=self._setbacks.is_over,
            begun=begun,
        )
        if booked is None:
            return self._setbacks.find_end(replies=self._replies) or self._run_out_of_money()
        self._transcript.add_answer(booked.answer, booked.call)
        return self._act_on(booked.answer, allowed=booked.allowed)

    def _run_out_of_money(self) -> NoSubmission:
        """No call fits the budget. If this proposal made none, no new conversation can make one now either."""
        short = not self._bill.cost.calls and not self._brought
        return NoSubmission("the next call could cross the dollar budget", short_of_money=short, fruitless=False)

    def _act_on(self, answer: Answer, *, allowed: int) -> NoSubmission | Submit | None:
        """allowed: output tokens that the reply was allowed."""
        match answer:
            case Reply():
                self._replies += 1
                self._setbacks.end_row()
                if answer.stop_reason == "max_tokens" and allowed < self._longest_tokens:
                    self._allow_longer_reply(allowed)
                    return None
                return self._carry_out(answer)
            case Interrupted() | Busy():
                return self._setbacks.wait_after(answer)
            case GivenUp():
                end = self._setbacks.find_end(replies=self._replies)
                return end or NoSubmission("the call was given up", fruitless=False)
            case TooLong():
                return NoSubmission(f"the conversation outgrew the model's context ({answer.reason})", too_long=True)
            case Hopeless():
                raise AgentError(answer.reason)
            case _:
                assert_never(answer)

    def _allow_longer_reply(self, allowed: int) -> None:
        """Let the next call ask the same with twice the room: the reply was cut, and nothing of it was carried out."""
        self._least_tokens = min(self._longest_tokens, 2 * allowed)
        self._max_tokens = max(self._max_tokens, self._least_tokens)
        self._transcript.add("cut", allowed=allowed, next=self._least_tokens)

    # -- one whole reply: None if the conversation goes on ---------------------------------------------------------

    def _carry_out(self, reply: Reply) -> NoSubmission | Submit | None:
        self._messages.note_reply(reply)
        match reply.stop_reason:
            case "tool_use":
                return self._use_tools(reply)
            case "pause_turn":
                # The API paused a long turn: sending the reply back lets the model go on.
                self._messages.add_text(reply)
                return None
            case "refusal":
                reason = f"the model refused ({reply.explanation or 'no reason given'})"
                return NoSubmission(reason, refused=True, category=reply.category)
            case "model_context_window_exceeded":
                return NoSubmission("the conversation outgrew the model's context", too_long=True)
            case "max_tokens":
                return self._object(CUT)
            case "end_turn" if self._brought:
                return NoSubmission(NO_FURTHER_IDEA, fruitless=False)
            case _:
                self._messages.add_text(reply)
                return self._object(NO_TOOL)

    def _use_tools(self, reply: Reply) -> NoSubmission | Submit | None:
        calls = [block for block in reply.content if block["type"] == "tool_use"]
        if not calls:
            return self._object(NO_TOOL)
        blocks: list[dict[str, Any]] = []
        failed = False
        unsubmitted = False
        for place, call in enumerate(calls):
            result = self._run_tool(call, crowded=place >= CALLS_IN_A_REPLY, failed=failed, unsubmitted=unsubmitted)
            self._draft = result.draft
            self._notes = self._notes if result.notes is None else result.notes
            failed = failed or result.failed
            unsubmitted = unsubmitted or (call["name"] == "submit" and not result.submitted)
            if result.refused:
                self._malformed += 1
            if result.submitted and (more := self._count_wanted()):
                result = self._offer(result, result.submitted, more=more)
            blocks.append(make_result_block(call["id"], result))
            if result.submitted:
                self._transcript.add("results", content=blocks)
                return result.submitted
        left = self._most_replies - self._replies
        if 0 < left <= LAST_REPLIES:
            blocks.append({"type": "text", "text": f"{left} more replies: submit now."})
        self._messages.add_results(reply, blocks)
        self._transcript.add("results", content=blocks)
        return self._give_up_if_malformed()

    def _count_wanted(self) -> int:
        """Number of proposals that are wanted after the one that is just submitted."""
        request = self._desk.request
        return max(0, request.count - self._brought - 1 - request.surplus())

    def _offer(self, result: ToolResult, submitted: Submit, *, more: int) -> ToolResult:
        """Offer what was submitted, and begin the next proposal on the same incumbent; the result says so."""
        self._desk.request.offer(self._make_proposal(submitted))
        self._brought += 1
        self._bill.begin_proposal()
        self._replies = self._malformed = 0
        self._setbacks.begin_proposal()
        self._draft = replace(Draft.of(self._draft.base), commit=self._draft.commit)
        return replace(result, draft=self._draft, text=f"{result.text}; {_ask_for_more(more)}", submitted=None)

    def _run_tool(self, call: dict[str, Any], *, crowded: bool, failed: bool, unsubmitted: bool) -> ToolResult:
        """Carry out one call. After a failed edit a submission would not be what the model meant.

        unsubmitted: true after a submission of this reply that was not accepted. What follows was meant for the next
        draft, and would go into the one that is still there.
        """
        if unsubmitted and call["name"] in DRAFT_TOOLS:
            text = "not carried out: the submission before it in this reply was not accepted"
            return ToolResult(draft=self._draft, text=text, failed=True)
        if crowded:
            text = f"at most {CALLS_IN_A_REPLY} calls in one reply"
            return ToolResult(draft=self._draft, text=text, failed=True)
        if failed and call["name"] == "submit":
            text = "not submitted: a call before it in this reply failed"
            return ToolResult(draft=self._draft, text=text, failed=True)
        return run_tool(call["name"], call["input"], draft=self._draft, desk=self._desk)

    def _object(self, text: str) -> NoSubmission | None:
        """Answer a reply that did nothing; it counts as a malformed submission."""
        self._malformed += 1
        self._messages.add_objection(text)
        self._transcript.add("nudge", text=text)
        return self._give_up_if_malformed()

    def _give_up_if_malformed(self) -> NoSubmission | None:
        if self._malformed < MOST_MALFORMED:
            return None
        return NoSubmission(f"{MOST_MALFORMED} replies could not be used as a submission")

    # -- the end --------------------------------------------------------------------------------------------------

    def _make_proposal(self, submitted: Submit) -> Proposal:
        self._transcript.add("submitted", title=submitted.title, diff=self._draft.diff)
        return Proposal(
            base=self._draft.commit or self._desk.request.base,
            files=self._draft.changed,
            title=f"{submitted.category}: {one_line(submitted.title, limit=90)}",
            hypothesis=_cut(submitted.hypothesis.strip(), HYPOTHESIS_CHARACTERS),
            agent=self._agent,
            strategy=self._strategy,
            expected_effect=one_line(submitted.expected_effect, limit=300),
            cost=self._bill.cost,
            transcript=self._transcript.text(),
            notes=self._read_notes(),
        )

    def _abandon(self, end: NoSubmission) -> Abandoned:
        self._transcript.add("abandoned", reason=end.reason)
        reason = f"no further proposal after {self._brought}: {end.reason}" if self._brought else end.reason
        return Abandoned(
            reason=reason,
            brought=self._brought,
            cost=self._bill.cost,
            short_of_money=end.short_of_money,
            retry_after=end.retry_after,
            transcript=self._transcript.text(),
            notes=self._read_notes(),
        )

    def _read_notes(self) -> str | None:
        """The notes as they are kept in the lab."""
        return None if self._notes is None else self._transcript.redact(self._notes)


def _ask_for_more(more: int) -> str:
    """Tell the model that the conversation goes on."""
    return (
        f"up to {more} more {'is' if more == 1 else 'are'} wanted now. Your draft is the incumbent again, without this "
        "edit: submit another idea that stands on its own, or end without a tool if none is worth a run."
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
