"""Reads from the end of a call what it can have been billed, also where the API reported no usage to its end. Pure.

The API bills thinking in full and shows a summary of it, so that what arrived says little about the price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

from controller.agent.claude.answers import Answer, Busy, GivenUp, Hopeless, Interrupted, Question, Reply, TooLong
from controller.costs import model_calls
from controller.costs.model_calls import Usage
from controller.text.safe_text import one_line

USUAL_OUTPUT_TOKENS = 16_000
"""Output tokens that a call reserves at least: thinking at medium effort and an edit of some size."""

THINKING_FACTOR = 16
"""Billed tokens for each token shown of a reply that we gave up: summaries of one in thirteen have been met."""

FASTEST_TOKENS_PER_SECOND = 400
"""More than any model makes in a second, so that the seconds of a given-up call bound its output."""

CHARACTERS_PER_TOKEN = 2.0
"""For text that was shown, on the safe side: code and figures have about 2.5."""


def read_billed_usage(
    answer: Answer, question: Question, *, input_tokens: int, seconds: float
) -> tuple[Usage, Mapping[str, Any], bool]:
    """Billed tokens of a call, the usage to keep on record, and whether the output is an estimate.

    input_tokens: estimated tokens of the question. seconds: how long the call took.
    """
    raw: Mapping[str, Any] = answer.raw
    usage = model_calls.read_usage(raw, unsplit_for_an_hour=_writes_for_an_hour(question))
    unknown = find_unreported_output(answer, max_tokens=question.max_tokens, seconds=seconds)
    if unknown is None:
        return usage, raw, False
    if not raw:
        usage = model_calls.dearest_usage(input_tokens=input_tokens, output_tokens=0)
    estimated = {**raw, "output_tokens": unknown, "estimated": True}
    estimated.setdefault("input_tokens", input_tokens)
    return replace(usage, output=unknown), estimated, True


def find_unreported_output(answer: Answer, *, max_tokens: int, seconds: float) -> int | None:
    """Output tokens that a call can have been billed without a report; None if all of its usage is known.

    A reply that broke off, or never came, may have been made to its full length. One that we gave up ended with the
    connection: it cannot be longer than its seconds allow, or than a full summary of the thinking shown.
    """
    match answer:
        case Reply():
            if answer.raw.get("output_tokens") is not None:
                return None
            return _bound_output(max_tokens, seconds=seconds, shown=len(str(answer.content)))
        case Interrupted():
            return max_tokens
        case Busy():
            # An error inside a stream comes after the usage of its input.
            return max_tokens if answer.lost or answer.raw else None
        case GivenUp():
            return _bound_output(max_tokens, seconds=seconds, shown=answer.shown) if answer.sent else None
        case TooLong() | Hopeless():
            return max_tokens if answer.raw else None
        case _:
            assert_never(answer)


def _bound_output(max_tokens: int, *, seconds: float, shown: int) -> int:
    by_text = shown / CHARACTERS_PER_TOKEN * THINKING_FACTOR
    return int(min(max_tokens, max(USUAL_OUTPUT_TOKENS, by_text, seconds * FASTEST_TOKENS_PER_SECOND)))


def _writes_for_an_hour(question: Question) -> bool:
    """True if a part of the prompt is marked to stay in the cache for an hour."""
    return "'ttl': '1h'" in str(question.system) or "'ttl': '1h'" in str(question.messages[:1])


def name_outcome(answer: Answer) -> str:
    """The end of a call in a word or two: the stop reason, or the kind of failure."""
    match answer:
        case Reply():
            return answer.stop_reason
        case Interrupted():
            return "interrupted"
        case Busy():
            return one_line(answer.reason.partition(":")[0], limit=40)
        case GivenUp():
            return "given up"
        case TooLong():
            return "too long"
        case Hopeless():
            return "refused"
        case _:
            assert_never(answer)
