"""One question to the Messages API, one answer: a reply that is whole, or a value that says why there is none.

The only place that touches the anthropic package. The SDK's own retries are off, because it obeys a
Retry-After without a cap in a sleep that nothing can end; waiting is the conversation's business. It also
accepts a stream that broke off in silence, with half of a tool's input: such a reply never leaves here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from controller.agent.claude.answers import Answer, Busy, GivenUp, Hopeless, Interrupted, Question, Reply, TooLong
from controller.agent.claude.untrusted import one_line
from controller.errors import AgentError
from controller.ports import WaitReason

if TYPE_CHECKING:
    from anthropic import Anthropic, APIStatusError
    from anthropic.lib.streaming import MessageStream
    from anthropic.types import ModelInfo, ParsedMessage

POLL_SECONDS = 0.1
SHORT_SECONDS = 10.0
SILENCE_SECONDS = 120.0
"""The API sends pings while it thinks, so a stream silent for this long is dead."""


class Wire:
    """A connection to the API; safe to share between threads."""

    def __init__(self, *, key: SecretStr, base_url: str | None, silence_seconds: float = SILENCE_SECONDS) -> None:
        import httpx2
        from anthropic import Anthropic, DefaultHttpxClient

        self._key = key
        self._gateway = base_url is not None
        # A connection kept over the minutes between proposals may be dead when it is used again.
        once = DefaultHttpxClient(limits=httpx2.Limits(max_keepalive_connections=0))
        self._client: Anthropic = Anthropic(
            api_key=key.get_secret_value(),
            base_url=base_url,
            max_retries=0,
            timeout=httpx2.Timeout(silence_seconds, connect=10.0),
            http_client=once,
        )
        self._brief = self._client.with_options(timeout=SHORT_SECONDS)

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
            return self._brief.messages.count_tokens(**_prompt(question)).input_tokens
        except (anthropic.APIError, httpx2.HTTPError, ValueError):
            return None

    def model(self, name: str) -> ModelInfo | None:
        """What the API knows about a model; None where it does not tell now, or where a gateway does not know.

        Raises AgentError where there is no such model, or where the key is refused.
        """
        import anthropic
        import httpx2

        try:
            return self._brief.models.retrieve(name)
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
                disorder = _drain(stream, listening)
        except anthropic.APIStatusError as error:
            return _translate(error, listening.reported(), self.redact)
        except anthropic.APIConnectionError as error:
            cause = error.__cause__ or error
            unsent = isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout))
            said = one_line(self.redact(f"{type(cause).__name__} {cause}"))
            return Busy(
                reason=f"API unreachable: {said}",
                kind=WaitReason.UNREACHABLE,
                lost=not unsent,
                raw=listening.reported(),
            )
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
        self.message: ParsedMessage[Any] | None = None
        self.answer: Answer | BaseException = GivenUp()

    def reported(self) -> dict[str, Any]:
        """Usage as told so far; what was streamed but not counted yet is estimated, so that no output is free."""
        if self.message is None:
            return {}
        streamed = sum(len(str(block.model_dump(exclude_unset=True))) for block in self.message.content)
        raw = _usage(self.message)
        return {**raw, "output_tokens": max(raw.get("output_tokens") or 0, round(streamed / 3))}


def _drain(stream: MessageStream[Any], listening: _Listening) -> str:
    """Read a stream to its end; what is wrong with it, or empty."""
    try:
        for _ in stream:
            listening.message = stream.current_message_snapshot
            if listening.abandoned.is_set():
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
        return TooLong(reason=said, raw=raw)
    if advice := _advice(error, redact):
        return Hopeless(reason=advice, raw=raw)
    return Busy(reason=said, kind=_kind(error), retry_after=_retry_after(error), raw=raw)


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


def _kind(error: APIStatusError) -> WaitReason:
    match error.type or error.status_code:
        case "rate_limit_error" | 429:
            return WaitReason.RATE_LIMIT
        case "overloaded_error" | 529:
            return WaitReason.OVERLOADED
        case _:
            return WaitReason.ERROR


def _said(error: APIStatusError, redact: Callable[[str], str]) -> str:
    kind = error.error_code or error.type or f"HTTP {error.status_code}"
    return one_line(redact(f"{kind}: {error.api_message or error.message}"))


def _retry_after(error: APIStatusError) -> float | None:
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None
