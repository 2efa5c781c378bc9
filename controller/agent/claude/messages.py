"""The messages of one conversation, as the API requires them, and the tokens that they hold.

The API refuses a tool call that no result follows, and an assistant's message without content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.agent.claude.answers import Reply
from controller.agent.claude.prompt import estimate_tokens
from controller.agent.desk.tools import ToolResult


class Messages:
    """The messages so far. They only grow at their end, so that what was sent before is read from the prompt cache."""

    def __init__(self, opening: Sequence[Mapping[str, Any]], *, tokens: int) -> None:
        """tokens: input tokens of the opening, system prompt and tools included."""
        self.sent = [dict(message) for message in opening]
        """As the next question must hold them."""
        self.tokens = tokens
        """Input tokens of the next question: the API's own count, and an estimate of what was added since."""

    def note_reply(self, reply: Reply) -> None:
        """Take in how many tokens the conversation has by now. Nothing is added to the messages."""
        # A gateway may report no usage.
        self.tokens = reply.usage.context or self.tokens + estimate_tokens(len(str(reply.content)))

    def add_text(self, reply: Reply) -> None:
        """Add a reply that calls no tool, if it holds text."""
        kinds = {block["type"] for block in reply.content}
        if "text" in kinds and "tool_use" not in kinds:
            self.sent.append({"role": "assistant", "content": reply.content})

    def add_results(self, reply: Reply, blocks: list[dict[str, Any]]) -> None:
        """Add a reply that called tools, and the blocks that answer it."""
        self.sent += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": blocks}]
        self.tokens += estimate_tokens(len(str(blocks)))

    def add_objection(self, text: str) -> None:
        """Answer a reply that did nothing. If the reply was not kept, the text is added to the user's last message."""
        block = {"type": "text", "text": text}
        last = self.sent[-1]
        if last["role"] == "user":
            self.sent[-1] = {**last, "content": [*last["content"], block]}
        else:
            self.sent.append({"role": "user", "content": [block]})


def make_result_block(call_id: str, result: ToolResult) -> dict[str, Any]:
    """The result of a tool call as the API wants it."""
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id, "content": result.text}
    if result.failed:
        block["is_error"] = True
    return block
