"""One question to the Messages API, one answer: a reply that is whole, or a value that says why there is none.

The only place that touches the anthropic package. The SDK's own retries are off, because it obeys a
Retry-After without a cap in a sleep that nothing can end; waiting is the conversation's business. It also
accepts a stream that broke off in silence, with half of a tool's input: such a reply never leaves here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from controller.agent.claude.untrusted import one_line
from controller.errors import AgentError
from controller.money import Usage, usage_of

if TYPE_CHECKING:
    from anthropic import Anthropic, APIStatusError
    from anthropic.lib.streaming import MessageStream
    from anthropic.types import ModelInfo, ParsedMessage

POLL_SECONDS = 0.1
SILENCE_SECONDS = 120.0
"""The API sends pings while it thinks, so a stream silent for this long is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request, whole. `messages` only ever grow at the end within a conversation."""

    model: str
    max_tokens: int
    system: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    messages: Sequence[Mapping[str, Any]]
    thinking: Mapping[str, Any] | None
    effort: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete reply; `content` is exactly what came, as it must be sent back."""

    id: str
    content: list[dict[str, Any]]
    stop_reason: str
    explanation: str
    raw: Mapping[str, Any]

    @property
    def usage(self) -> Usage:
        """Billed tokens."""
        return usage_of(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """The reply broke off; the same question may be asked again. raw: usage as far as it was told."""

    reason: str
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """We stopped listening ourselves. raw: usage as far as it was told."""

    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """The API wants to be asked later: rate limit, overload, its own fault, or it could not be reached."""

    reason: str
    retry_after: float | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TooLong:
    """The conversation does not fit into the model's context."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hopeless:
    """Waiting will not help: a human must mend the key, the account, the model or the settings."""

    reason: str


Answer = Reply | Interrupted | GivenUp | Busy | TooLong | Hopeless


class Wire:
    """A connection to the API; safe to share between threads."""

    def __init__(self, *, key: SecretStr, base_url: str | None, silence_seconds: float = SILENCE_SECONDS) -> None:
        import httpx2
        from anthropic import Anthropic

        self._key = key
        self._gateway = base_url is not None
        timeout = httpx2.Timeout(silence_seconds, connect=10.0)
        secret = key.get_secret_value()
        self._client: Anthropic = Anthropic(api_key=secret, base_url=base_url, max_retries=0, timeout=timeout)

    def ask(self, question: Question, *, give_up: Callable[[], bool]) -> Answer:
        """The whole reply, or why there is none. `give_up` is asked all the while, so that a stop takes no time."""
        listening = _Listening()
        thread = Thread(target=self._listen, args=(question, listening), name="claude-call", daemon=True)
        thread.start()
        while not listening.ended.wait(POLL_SECONDS):
            if give_up():
                listening.abandoned.set()
                listening.ended.wait(POLL_SECONDS)
                return GivenUp(raw=listening.reported())
        if isinstance(listening.answer, BaseException):
            raise listening.answer
        return listening.answer

    def count(self, question: Question) -> int | None:
        """Input tokens of a question by the API's own count; None where it does not tell (many gateways cannot)."""
        import anthropic
        import httpx2

        try:
            return self._client.messages.count_tokens(**_prompt(question)).input_tokens
        except (anthropic.APIError, httpx2.HTTPError, ValueError):
            return None

    def model(self, name: str) -> ModelInfo | None:
        """What the API knows about a model; None where it does not tell now, or where a gateway does not know.

        Raises AgentError where there is no such model, or where the key is refused.
        """
        import anthropic
        import httpx2

        try:
            return self._client.models.retrieve(name)
        except anthropic.NotFoundError as error:
            if self._gateway:
                return None
            raise AgentError(f"the API knows no model {name}: set agent.claude.model to one that it has") from error
        except anthropic.APIStatusError as error:
            if advice := _advice(error, self.redact):
                raise AgentError(advice) from error
            return None
        except (anthropic.APIError, httpx2.HTTPError, ValueError):
            return None

    def redact(self, text: str) -> str:
        """`text` without the key, should a gateway echo it."""
        return text.replace(self._key.get_secret_value(), "[key]")

    def _listen(self, question: Question, listening: _Listening) -> None:
        try:
            listening.answer = self._stream(question, listening)
        except BaseException as error:  # noqa: BLE001 - carried over, and raised again by the asking thread
            listening.answer = error
        finally:
            listening.ended.set()

    def _stream(self, question: Question, listening: _Listening) -> Answer:
        import anthropic
        import httpx2

        try:
            with self._client.messages.stream(
                max_tokens=question.max_tokens,
                cache_control={"type": "ephemeral", "ttl": "5m"},
                **_prompt(question),
            ) as stream:
                listening.stream = stream
                disorder = _drain(stream, listening.abandoned)
        except anthropic.APIStatusError as error:
            return _translate(error, listening.reported(), self.redact)
        except anthropic.APIConnectionError as error:
            cause = one_line(self.redact(str(error.__cause__ or error)))
            return Busy(reason=f"the API cannot be reached: {cause}", raw=listening.reported())
        except httpx2.HTTPError as error:
            disorder = f"{type(error).__name__}: {error}"
        if disorder:
            return Interrupted(reason=one_line(self.redact(disorder)), raw=listening.reported())
        return _whole(stream.current_message_snapshot)


class _Listening:
    """What the listening thread and the asking thread share."""

    def __init__(self) -> None:
        self.ended = Event()
        self.abandoned = Event()
        self.stream: MessageStream[Any] | None = None
        self.answer: Answer | BaseException = GivenUp()

    def reported(self) -> dict[str, Any]:
        """Usage as told so far; what was streamed but not counted yet is estimated, so that no output is free."""
        message = self.stream and self.stream._current_snapshot_or_none()
        if not message:
            return {}
        streamed = sum(len(str(block.model_dump(exclude_unset=True))) for block in message.content)
        raw = _usage(message)
        return {**raw, "output_tokens": max(raw.get("output_tokens") or 0, round(streamed / 3))}


def _drain(stream: MessageStream[Any], abandoned: Event) -> str:
    """Read a stream to its end; what is wrong with it, or empty."""
    try:
        for _ in stream:
            if abandoned.is_set():
                return "given up"
        return "" if stream.current_message_snapshot.stop_reason else "the stream ended early"
    # Broken JSON, events before the first one, an index that is not there, a field of the wrong kind: the SDK lets
    # each of these through as what it is in Python.
    except (ValueError, RuntimeError, AssertionError, LookupError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"


def _prompt(question: Question) -> dict[str, Any]:
    """What counting and asking have in common; options that the model does not know are left out."""
    options: dict[str, Any] = {
        "model": question.model,
        "system": question.system,
        "tools": question.tools,
        "messages": question.messages,
    }
    if question.thinking is not None:
        options["thinking"] = question.thinking
    if question.effort is not None:
        options["output_config"] = {"effort": question.effort}
    return options


def _whole(message: ParsedMessage[Any]) -> Reply:
    details = message.stop_details
    explanation = f"{details.category or ''}: {details.explanation or ''}".strip(": ") if details else ""
    return Reply(
        id=message.id,
        content=message.model_dump(mode="json", exclude_unset=True)["content"],
        stop_reason=message.stop_reason or "",
        explanation=one_line(explanation),
        raw=_usage(message),
    )


def _usage(message: ParsedMessage[Any]) -> dict[str, Any]:
    return message.usage.model_dump(mode="json", exclude_unset=True)


def _translate(error: APIStatusError, raw: Mapping[str, Any], redact: Callable[[str], str]) -> Answer:
    """Branch on the error's type, not its status: an overload inside a stream has the status 200."""
    said = _said(error, redact)
    if error.status_code == 413 or (error.status_code == 400 and "prompt is too long" in said):
        return TooLong(said)
    if advice := _advice(error, redact):
        return Hopeless(advice)
    return Busy(reason=said, retry_after=_retry_after(error), raw=raw)


def _advice(error: APIStatusError, redact: Callable[[str], str]) -> str:
    """What a human should do where only a human can help, else empty."""
    said = _said(error, redact)
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
        case "invalid_request_error" | 400 | 422:
            return f"the API refused the request ({said}): check agent.claude.effort, thinking and max_tokens"
        case _:
            return ""


def _said(error: APIStatusError, redact: Callable[[str], str]) -> str:
    kind = error.error_code or error.type or f"HTTP {error.status_code}"
    return one_line(redact(f"{kind}: {error.api_message or error.message}"))


def _retry_after(error: APIStatusError) -> float | None:
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None
