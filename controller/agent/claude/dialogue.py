"""What was said in one conversation, and the draft that its tools edit: a whole reply in, the next messages out.

It asks nobody and waits for nothing. A reply that did not end well runs no tool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controller.agent.claude import tools, toolset
from controller.agent.claude.answers import Reply
from controller.agent.claude.draft import Draft
from controller.agent.claude.prompt import tokens_of
from controller.agent.claude.transcript import Transcript

MALFORMED = 3
LAST_CALLS = 3
CALLS_IN_A_REPLY = 10
"""Of tools: a cache mark looks back over some twenty blocks, two of which each call takes."""

NO_TOOL = "You ended without a tool. Use the tools, and end with submit."
CUT = "Your last reply was cut at its length limit, and nothing of it was carried out. Answer more briefly."


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a conversation ended without a proposal; what it cost is known to the conversation."""

    reason: str
    retry_after: float = 0.0
    exhausted: bool = False
    refused: bool = False
    too_long: bool = False


class Dialogue:
    """messages: as the next question must hold them. context: estimate of their tokens. draft: the edit so far."""

    def __init__(
        self, messages: list[dict[str, Any]], *, desk: tools.Desk, transcript: Transcript, context: int
    ) -> None:
        self.messages = messages
        self.draft = Draft.of(desk.request.files)
        self.context = context
        self._desk = desk
        self._transcript = transcript
        self._malformed = 0

    def heed(self, reply: Reply, *, left: int) -> Ended | toolset.Submit | None:
        """Carry out a reply's tools; a submission, an end, or None where it goes on. left: replies still allowed."""
        self.context = reply.usage.context
        match reply.stop_reason:
            case "tool_use":
                return self._use_tools(reply, left=left)
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
            self.messages.append({"role": "assistant", "content": reply.content})

    def _use_tools(self, reply: Reply, *, left: int) -> Ended | toolset.Submit | None:
        results: list[dict[str, Any]] = []
        calls = [block for block in reply.content if block["type"] == "tool_use"]
        if not calls:
            return self._nudge(NO_TOOL)
        for place, call in enumerate(calls):
            step = self._step(call, crowded=place >= CALLS_IN_A_REPLY, failed=any("is_error" in r for r in results))
            self.draft = step.draft
            self._malformed += step.refused
            results.append(_result(call["id"], step))
            if step.submitted:
                self._transcript.add("results", content=results)
                return step.submitted
        if 0 < left <= LAST_CALLS:
            results.append({"type": "text", "text": f"{left} more replies: submit now."})
        self.messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]
        self._transcript.add("results", content=results)
        self.context += tokens_of(len(str(results)))
        return self._worn_out()

    def _step(self, call: dict[str, Any], *, crowded: bool, failed: bool) -> tools.Step:
        """One tool call. A submission beside a failed edit would submit something else than was meant."""
        if crowded:
            return tools.Step(draft=self.draft, text=f"at most {CALLS_IN_A_REPLY} calls in one reply", failed=True)
        if failed and call["name"] == "submit":
            return tools.Step(
                draft=self.draft, text="not submitted: a call before it in this reply failed", failed=True
            )
        return tools.run(call["name"], call["input"], draft=self.draft, desk=self._desk)

    def _nudge(self, text: str) -> Ended | None:
        """Say something to a reply that did nothing; it counts as a malformed submission."""
        self._malformed += 1
        last = self.messages[-1]
        if last["role"] == "user":
            self.messages[-1] = {**last, "content": [*last["content"], {"type": "text", "text": text}]}
        else:
            self.messages.append({"role": "user", "content": [{"type": "text", "text": text}]})
        self._transcript.add("nudge", text=text)
        return self._worn_out()

    def _worn_out(self) -> Ended | None:
        many = self._malformed >= MALFORMED
        return Ended(f"{MALFORMED} replies could not be used as a submission") if many else None


def _result(id: str, step: tools.Step) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": id, "content": step.text}
    return {**result, "is_error": True} if step.failed else result
