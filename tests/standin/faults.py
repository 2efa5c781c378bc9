"""Faults of a call, on demand or at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """One way in which a call goes wrong; what happens is in the name, how in the server."""

    RATE_LIMIT = "rate limit"
    RATE_LIMIT_FOR_A_DAY = "rate limit for a day"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server error"
    HTML_GATEWAY = "a gateway's page of HTML"
    REFUSED_CONNECTION = "connection closed before the answer"
    CUT_STREAM = "stream ends early, cleanly"
    CUT_IN_TOOL = "stream ends in the middle of a tool's input"
    DROPPED = "connection dropped in the stream"
    MALFORMED = "broken JSON in the stream"
    DISORDER = "deltas before the start"
    ERROR_EVENT = "overload inside a 200 stream"
    STALL = "silence in the stream"
    SILENCE = "no answer at all, not even headers"
    REFUSAL = "refusal"
    MAX_TOKENS = "cut at max_tokens"
    PAUSE = "pause_turn"
    NO_TOOL = "ends without a tool"
    EMPTY = "ends without any content"
    CONTEXT_EXCEEDED = "context window exceeded"
    SPEND_LIMIT = "spend limit"
    BILLING = "no credit"
    AUTHENTICATION = "key refused"
    PERMISSION = "not permitted"


FOR_GOOD = frozenset({Fault.SPEND_LIMIT, Fault.BILLING, Fault.AUTHENTICATION, Fault.PERMISSION})
"""Faults that no waiting mends."""

PASSING = tuple(fault for fault in Fault if fault not in FOR_GOOD)


def random_faults(seed: int, *, rate: float, count: int, among: Sequence[Fault] = PASSING) -> Iterator[Fault | None]:
    """One entry per call: a fault at the given rate until `count` of them came, then none."""
    random = Random(seed)
    while count > 0:
        if random.random() < rate:
            count -= 1
            yield random.choice(among)
        else:
            yield None
