"""Asks the Messages API one question and returns one answer: a whole reply, or a value that says why there is none.

The SDK's own retries are off, because it sleeps as long as a Retry-After
says, without a cap, and the sleep cannot be interrupted; the conversation waits instead. The SDK also returns a message
whose stream ended early, with half of a tool's input; this module returns only replies that have a stop reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import local
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from controller.agent.claude import platforms
from controller.agent.claude.answers import Answer, Busy, GivenUp, Hopeless, Interrupted, Question, Reply
from controller.agent.claude.api_errors import SDK_FAULTS, advise, is_about_the_key, translate_error
from controller.agent.claude.keys import Keys
from controller.agent.claude.listening import Listening
from controller.agent.claude.lookups import LOOKUP_SECONDS, count_tokens, find_model
from controller.errors import AgentError
from controller.ports import WaitReason
from controller.settings import ClaudeSettings, Federation
from controller.text.safe_text import one_line

if TYPE_CHECKING:
    import httpx2
    from anthropic.lib.streaming import MessageStream
    from anthropic.types import ModelInfo, ParsedMessage

    from controller.agent.claude.platforms import Client

T = TypeVar("T")

CONNECT_SECONDS = 10.0
"""Timeout of a connection."""

SILENCE_SECONDS = 120.0
"""Silence after which a stream counts as dead. The API sends pings in a stream while the model thinks."""


class Api:
    """A connection to the API; safe to share between threads."""

    def __init__(
        self,
        settings: ClaudeSettings,
        *,
        key: SecretStr | None,
        read_key: Callable[[], SecretStr | None] | None = None,
        federation: Federation | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """Raises AgentError if nothing here gives access to the platform of the settings."""
        import httpx2
        from anthropic import AnthropicError, DefaultHttpxClient

        self._settings = settings
        self._keys = Keys(key, read_key)
        self._thread = local()
        self._count_again_at = 0.0
        # No connection is kept: the other side may close it in the minutes between proposals, which fails a request.
        once = DefaultHttpxClient(
            limits=httpx2.Limits(max_keepalive_connections=0), event_hooks={"request": [self._follow]}
        )
        self._client = platforms.open_client(
            settings,
            key=key,
            federation=federation,
            max_retries=0,
            timeout=httpx2.Timeout(silence_seconds, connect=CONNECT_SECONDS),
            http_client=once,
        )
        # What the API and the connection do is told by other errors of the SDK, which are looked at first.
        self._no_access: tuple[type[Exception], ...] = (AnthropicError, *platforms.access_faults(settings))
        self._malformed: tuple[type[Exception], ...] = (
            httpx2.HTTPError,
            *SDK_FAULTS,
            *platforms.stream_faults(settings),
        )

    def ask(
        self, question: Question, *, give_up: Callable[[], bool], begun: Callable[[], None] = lambda: None
    ) -> Answer:
        """Return the whole reply, or the reason why there is none.

        give_up: asked all the while, and can end it. begun: called when the reply has begun.
        """
        listening: Listening[Answer] = Listening()
        listening.begun = begun
        listening.start(lambda own: self._ask(question, own), name="claude-call")
        if listening.wait(give_up):
            return listening.result()
        shown = _count_shown(listening.partial)
        return GivenUp(
            raw=read_reported(listening.partial), shown=shown, sent=listening.sent, request_id=listening.request_id
        )

    def count(self, question: Question, *, give_up: Callable[[], bool] = lambda: False) -> int | None:
        """Input tokens of a question by the API's own count; None if it gives none, as many gateways do not."""
        if time.monotonic() < self._count_again_at:
            return None
        counting: Listening[tuple[int | None, float]] = Listening()
        counting.start(lambda own: self._count(question, own), name="claude-count")
        if not counting.wait(give_up):
            return None
        found, again_after = counting.result()
        if found is None:
            self._count_again_at = time.monotonic() + again_after
        return found

    def model(self, name: str, *, give_up: Callable[[], bool] = lambda: False) -> ModelInfo | None:
        """The API's facts about a model; None if it gives none now, or if a gateway or platform has none.

        Raises AgentError if there is no such model, or if the key is refused.
        """
        if self._settings.platform != "anthropic":
            return None
        looking: Listening[tuple[ModelInfo | None]] = Listening()
        # In a tuple, because a listener's result is never None.
        looking.start(lambda own: (self._find_model(name, own),), name="claude-model")
        return looking.result()[0] if looking.wait(give_up) else None

    def redact(self, text: str) -> str:
        """`text` without the key: a gateway may repeat it in an error message."""
        return self._keys.redact(text)

    # -- on the listening thread ------------------------------------------------------------------------------------

    def _follow(self, request: httpx2.Request) -> None:
        """Called by the HTTP library, on the thread that sends, before it sends."""
        request.extensions["trace"] = self._thread.listening.trace

    def _with_key(self, work: Callable[[str], T]) -> T:
        """Do the work with the key in use; once more if that is refused and there is another one by now.

        Raises APIStatusError.
        """
        import anthropic

        key = self._keys.current
        try:
            return work(key)
        except anthropic.APIStatusError as error:
            if not is_about_the_key(error) or not self._keys.renew(refused=key):
                raise
        return work(self._keys.current)

    def _ask(self, question: Question, listening: Listening[Answer]) -> Answer:
        import anthropic

        self._thread.listening = listening
        try:
            return self._with_key(lambda key: self._stream(question, listening, key))
        except anthropic.APIStatusError as error:
            return translate_error(
                error, read_reported(listening.partial), self.redact, platform=self._settings.platform
            )

    def _stream(self, question: Question, listening: Listening[Answer], key: str) -> Answer:
        """One request. Raises APIStatusError."""
        import anthropic
        import httpx2

        disorder = ""
        try:
            with self._with_options(key).messages.stream(
                max_tokens=question.max_tokens, **platforms.mark_cache(self._settings, question.options())
            ) as stream:
                listening.request_id = stream.request_id or ""
                disorder = _drain_stream(stream, listening, self._malformed)
                if not disorder:
                    return _make_reply(listening.partial, request_id=listening.request_id)
        except anthropic.APIStatusError:
            raise
        except anthropic.APIConnectionError as error:
            cause = error.__cause__ or error
            # These fail before the question is sent, so it cannot be billed.
            unsent = isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout))
            said = one_line(self.redact(f"{type(cause).__name__} {cause}"))
            return Busy(
                reason=f"API unreachable: {said}",
                kind=WaitReason.UNREACHABLE,
                lost=not unsent,
                raw=read_reported(listening.partial),
                request_id=listening.request_id,
            )
        except anthropic.APIError as error:
            disorder = f"{type(error).__name__}: {error}"
        except self._no_access as error:
            return Hopeless(
                reason=one_line(self.redact(platforms.describe_lack(self._settings, error))),
                raw=read_reported(listening.partial),
                request_id=listening.request_id,
            )
        except self._malformed as error:
            disorder = f"{type(error).__name__}: {error}"
        return Interrupted(
            reason=one_line(self.redact(disorder)),
            raw=read_reported(listening.partial),
            request_id=listening.request_id,
        )

    def _count(self, question: Question, listening: Listening[Any]) -> tuple[int | None, float]:
        self._thread.listening = listening
        return count_tokens(self._shortly(self._keys.current), question, faults=(*self._no_access, *self._malformed))

    def _find_model(self, name: str, listening: Listening[Any]) -> ModelInfo | None:
        import anthropic

        self._thread.listening = listening
        try:
            gateway = self._settings.base_url is not None
            return self._with_key(lambda key: find_model(self._shortly(key), name, gateway=gateway))
        except anthropic.APIStatusError as error:
            if advice := advise(error, self.redact, platform=self._settings.platform):
                raise AgentError(advice) from error
            return None
        except self._no_access as error:
            raise AgentError(self.redact(platforms.describe_lack(self._settings, error))) from error

    def _with_options(self, key: str, **options: Any) -> Client:
        # Where an identity stands in for the key, the copy takes over the credentials of this process.
        known: dict[str, Any] = {"api_key": key} if key else {}
        return self._client.with_options(**known, **options)

    def _shortly(self, key: str) -> Client:
        return self._with_options(key, timeout=LOOKUP_SECONDS)


def _drain_stream(
    stream: MessageStream[Any], listening: Listening[Answer], malformed: tuple[type[Exception], ...]
) -> str:
    """Read a stream to its end; return what is wrong with it, or an empty text.

    The reason for the stop is the last thing of a reply that we need. What follows it may be missing or malformed: a
    gateway that reports no usage makes the SDK fail there.
    """
    problem = "the stream ended early"
    try:
        for _ in stream:
            if listening.partial is None:
                listening.begun()
            listening.partial = stream.current_message_snapshot
            if listening.abandoned.is_set():
                return "given up"
    except malformed as error:
        problem = f"{type(error).__name__}: {error}"
    return "" if getattr(listening.partial, "stop_reason", None) else problem


def _make_reply(message: ParsedMessage[Any], *, request_id: str) -> Reply:
    """A whole reply as a value."""
    details = message.stop_details
    category = (details.category if details else None) or ""
    explanation = f"{category}: {details.explanation or ''}".strip(": ") if details else ""
    return Reply(
        id=message.id,
        request_id=request_id,
        served=one_line(message.model or "", limit=100),
        content=message.model_dump(mode="json", exclude_unset=True)["content"],
        stop_reason=message.stop_reason or "",
        category=one_line(category, limit=40),
        explanation=one_line(explanation),
        raw=_read_usage(message),
    )


def read_reported(message: ParsedMessage[Any] | None) -> Mapping[str, Any]:
    """Usage as reported so far. The API counts the output at the end of a stream, so that number is left out."""
    if message is None:
        return {}
    return {key: value for key, value in _read_usage(message).items() if key != "output_tokens"}


def _count_shown(message: ParsedMessage[Any] | None) -> int:
    """Characters of the reply that have arrived."""
    if message is None:
        return 0
    return sum(len(str(block.model_dump(exclude_unset=True))) for block in message.content)


def _read_usage(message: ParsedMessage[Any]) -> dict[str, Any]:
    """Usage as the API wrote it; empty if a gateway leaves it out."""
    usage = getattr(message, "usage", None)
    return usage.model_dump(mode="json", exclude_unset=True) if usage is not None else {}
