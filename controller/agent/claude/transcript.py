"""The whole exchange of one proposal as JSON lines, which are stored with the experiment.

The opening is written once, then only what each turn added. No message holds the key; should a log or a gateway have
repeated it, it is struck out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from controller.agent.claude.answers import Answer, GivenUp, Question, Reply
from controller.costs.model_calls import CallRecord


class Transcript:
    """The lines so far, over all models that the proposal asks."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        """redact: strikes the key out of a text."""
        self.redact = redact
        self._lines: list[str] = []

    def add(self, event: str, **values: Any) -> None:
        """Add one event with its values."""
        self._lines.append(json.dumps({"event": event, **values}, ensure_ascii=False, sort_keys=False))

    def add_opening(self, question: Question) -> None:
        """Add the first question of a conversation, whole."""
        self.add(
            "opening",
            model=question.model,
            effort=question.effort,
            thinking=question.thinking,
            max_tokens=question.max_tokens,
            tools=list(question.tools),
            system=list(question.system),
            messages=list(question.messages),
        )

    def add_answer(self, answer: Answer, call: CallRecord) -> None:
        """Add an answer, and what its call has cost."""
        self.add(
            "answer",
            call=call.id,
            request=call.request_id,
            served=call.served,
            outcome=call.outcome,
            reason="" if isinstance(answer, (Reply, GivenUp)) else answer.reason,
            usage=dict(call.raw),
            dollars=call.dollars,
            content=answer.content if isinstance(answer, Reply) else None,
        )

    def text(self) -> str:
        """All lines in the order of events, each with a newline at its end."""
        return self.redact("".join(f"{line}\n" for line in self._lines))
