"""Requests that the API answers without a model: counting the tokens of a question, and facts about a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.agent.claude.answers import Question
from controller.agent.claude.api_errors import SDK_FAULTS
from controller.errors import AgentError

if TYPE_CHECKING:
    from anthropic.types import ModelInfo

    from controller.agent.claude.platforms import Client

LOOKUP_SECONDS = 10.0
"""Timeout of such a request."""

NOT_COUNTED_SECONDS = 600.0
"""Seconds for which tokens are not counted after a request for it failed: each such request may take ten seconds."""

NEVER = (404, 405, 501)
"""Statuses by which a gateway says that it does not count tokens at all."""


def count_tokens(
    client: Client, question: Question, *, faults: tuple[type[Exception], ...]
) -> tuple[int | None, float]:
    """The API's count, or None with the seconds for which it is not asked for again.

    faults: errors by which nothing comes of it. The SDK's own is among them: Bedrock's client does not count.
    """
    import anthropic

    try:
        found: object = client.messages.count_tokens(**question.options()).input_tokens
    except anthropic.APIStatusError as error:
        return None, float("inf") if error.status_code in NEVER else NOT_COUNTED_SECONDS
    except faults:
        return None, NOT_COUNTED_SECONDS
    return (found, 0.0) if isinstance(found, int) else (None, NOT_COUNTED_SECONDS)


def find_model(client: Client, name: str, *, gateway: bool) -> ModelInfo | None:
    """The API's facts about a model; None if it gives none now, or if a gateway does not know the model.

    Raises AgentError if there is no such model, and any other error status as the SDK's APIStatusError.
    """
    import anthropic
    import httpx2
    from anthropic.types import ModelInfo

    try:
        assert not isinstance(client, (anthropic.AnthropicBedrock, anthropic.AnthropicVertex)), "they have no models"
        found: object = client.models.retrieve(name)
    except anthropic.NotFoundError as error:
        if gateway:
            return None
        raise AgentError(f"the API knows no model {name}: set agent.claude.model to one that it has") from error
    except anthropic.APIStatusError:
        raise
    except (anthropic.APIError, httpx2.HTTPError, *SDK_FAULTS):
        return None
    # The SDK hands on what a gateway sends, a page of HTML for one.
    return found if isinstance(found, ModelInfo) else None
