"""Translates the API's errors into answers: wait, shorten the conversation, or have a person correct something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from controller.agent.claude.answers import Answer, Busy, Hopeless, TooLong
from controller.agent.claude.platforms import NAMES
from controller.ports import WaitReason
from controller.text.safe_text import one_line

if TYPE_CHECKING:
    from anthropic import APIStatusError

SDK_FAULTS = (ValueError, RuntimeError, AssertionError, LookupError, TypeError, AttributeError)
"""Errors that the SDK does not wrap where an answer is malformed.

Broken JSON is a ValueError, events before the first one an AssertionError or RuntimeError, a missing index an
IndexError, a missing usage or a field of the wrong kind a TypeError or AttributeError.
"""


TOO_LONG = ("prompt is too long", "Input is too long")
"""How the API and Bedrock say that a conversation does not fit into the context."""


def translate_error(
    error: APIStatusError, raw: Mapping[str, Any], redact: Callable[[str], str], *, platform: str = "anthropic"
) -> Answer:
    """The answer that an error stands for. An error inside a stream has status 200, so its type is looked at first."""
    said = describe_error(error, redact)
    id = error.request_id or ""
    if error.status_code == 413 or (error.status_code == 400 and any(words in said for words in TOO_LONG)):
        return TooLong(reason=said, raw=raw, request_id=id)
    if advice := advise(error, redact, platform=platform):
        return Hopeless(reason=advice, raw=raw, request_id=id)
    return Busy(
        reason=said,
        kind=_find_wait_reason(error),
        retry_after=_read_retry_after(error),
        lost=_may_be_lost(error),
        raw=raw,
        request_id=id,
    )


def advise(error: APIStatusError, redact: Callable[[str], str], *, platform: str = "anthropic") -> str:
    """One sentence that says what a person must do; empty if waiting may help."""
    said = describe_error(error, redact)
    if platform != "anthropic":
        return _advise_on_platform(error, said, NAMES[platform])
    code = error.error_code or ""
    match error.type or error.status_code:
        case _ if "spend_limit" in code or "billing" in code:
            return f"Claude's spend limit is reached ({said}): raise it in the API console"
        case "billing_error" | 402:
            return f"the account behind ANTHROPIC_API_KEY cannot pay ({said}): add credit in the API console"
        case "authentication_error" | 401:
            return f"the API refused the key ({said}): check ANTHROPIC_API_KEY"
        case "permission_error" | 403:
            return f"the API does not permit this ({said}): check the key's permissions and the model"
        case "not_found_error" | 404:
            return f"the API does not know what was asked for ({said}): check agent.claude.model and base_url"
        case "invalid_request_error" | 400 | 422 if "grammar" in said:
            return f"the model cannot be held to our tools ({said}): choose another agent.claude.model"
        case "invalid_request_error" | 400 | 422:
            return f"the API refused the request ({said}): check agent.claude.effort, thinking and max_tokens"
        case _:
            return ""


def _advise_on_platform(error: APIStatusError, said: str, name: str) -> str:
    """The same for a platform, whose own gate refuses before the API does, and names no type of its errors."""
    match error.status_code:
        case 401 | 402 | 403:
            return f"{name} refuses us ({said}): check the identity or key, and its rights to the model"
        case 404:
            return f"{name} does not know what was asked for ({said}): check agent.claude.model, region and resource"
        case 400 | 422:
            return f"{name} refused the request ({said}): check agent.claude.model, effort, thinking and max_tokens"
        case _:
            return ""


def is_about_the_key(error: APIStatusError) -> bool:
    """True if another key may be accepted where this one was not."""
    return error.status_code in (401, 403)


def describe_error(error: APIStatusError, redact: Callable[[str], str]) -> str:
    """The error in one line, with the id that the vendor's support asks for first."""
    kind = error.error_code or error.type or f"HTTP {error.status_code}"
    request = f" [{error.request_id}]" if error.request_id else ""
    return one_line(redact(f"{kind}: {error.api_message or error.message}")) + one_line(redact(request))


def _may_be_lost(error: APIStatusError) -> bool:
    """True if a gateway failed between us and the API, which may have answered and billed all the same.

    The API's own errors name a type, and are not billed.
    """
    return error.status_code in (408, 504) or (error.status_code >= 500 and not error.type)


def _find_wait_reason(error: APIStatusError) -> WaitReason:
    match error.type or error.status_code:
        case "rate_limit_error" | 429:
            return WaitReason.RATE_LIMIT
        case "overloaded_error" | 529:
            return WaitReason.OVERLOADED
        case _:
            return WaitReason.ERROR


def _read_retry_after(error: APIStatusError) -> float | None:
    """Seconds of the Retry-After header; None without one, or if it is a date."""
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None
