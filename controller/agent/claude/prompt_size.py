"""Limits the opening of a conversation, and lowers the limit after an overflow of the model's context."""

from __future__ import annotations

from threading import Lock

from controller.agent.claude.prompt import PROMPT_TOKENS

LEAST_PROMPT_TOKENS = 8_000
"""The prompt is halved after an overflow of the context, but not below this: rules, brief and files must fit."""

REGROWN_TOKENS = 1_000
"""Tokens by which a shortened prompt grows again with each submission: slowly, as every change of it costs a cache."""


class PromptSize:
    """Most tokens of the next opening; safe to share between threads."""

    def __init__(self) -> None:
        self._tokens = PROMPT_TOKENS
        self._lock = Lock()

    @property
    def tokens(self) -> int:
        """Most tokens of the next opening."""
        with self._lock:
            return self._tokens

    def adapt(self, *, submitted: bool, too_long: bool) -> None:
        """Learn from the end of a conversation. too_long: true if it did not fit into the model's context."""
        with self._lock:
            if too_long:
                self._tokens = max(self._tokens // 2, LEAST_PROMPT_TOKENS)
            if submitted:
                self._tokens = min(PROMPT_TOKENS, self._tokens + REGROWN_TOKENS)
