"""The Claude agent before the stand-in for its API."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from pydantic import SecretStr

from controller.agent.claude import ClaudeAgent
from controller.costs.model_calls import CallRecord
from controller.settings import ClaudeSettings, Federation
from tests.standin import KEY, StandIn
from tests.support.campaign_in_memory import Clock

STANDIN_KEY = SecretStr(KEY)

SILENCE_SECONDS = 2.0
"""Longest silence on a stream that the agent bears: short, so that a stalled answer costs a test little. Where nothing
stalls a test gives more, because the stand-in's threads may be kept waiting on a busy machine."""


def claude_agent(
    standin: StandIn,
    clock: Clock,
    book: Callable[[CallRecord], None],
    *,
    booked: float = 0.0,
    key: SecretStr | None = STANDIN_KEY,
    read_key: Callable[[], SecretStr | None] | None = None,
    federation: Federation | None = None,
    silence_seconds: float = SILENCE_SECONDS,
    **settings: Any,
) -> ClaudeAgent:
    """An agent that asks the stand-in and waits by `clock`; booked: dollars of earlier calls."""
    return ClaudeAgent(
        ClaudeSettings(**{"base_url": standin.url, **settings}),
        key=key,
        read_key=read_key,
        federation=federation,
        book=book,
        booked=booked,
        needs_load_model=True,
        clock=clock,
        wait=clock.wait,
        random=Random(0),
        silence_seconds=silence_seconds,
    )
