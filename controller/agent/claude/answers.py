"""The values between a conversation and the API: a question, a whole reply, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.costs.model_calls import Usage, read_usage
from controller.ports import WaitReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request, whole; its fields are those of the Messages API."""

    model: str

    max_tokens: int
    """Most output tokens, thinking included."""

    system: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]

    messages: Sequence[Mapping[str, Any]]
    """Within a conversation they only grow at the end, so that the cached prefix stays the same."""

    thinking: Mapping[str, Any] | None
    """None if the model has no such option."""

    effort: str | None
    """None if the model has no such option."""

    def options(self) -> dict[str, Any]:
        """Arguments that counting and asking have in common, without options that the model does not have."""
        options: dict[str, Any] = {
            "model": self.model,
            "system": self.system,
            "tools": self.tools,
            "messages": self.messages,
        }
        if self.thinking is not None:
            options["thinking"] = self.thinking
        if self.effort is not None:
            options["output_config"] = {"effort": self.effort}
        return options


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete reply."""

    id: str

    request_id: str = ""
    """The id that the vendor's support asks for; empty if a gateway gives none."""

    served: str = ""
    """Name of the model that answered, as it calls itself."""

    content: list[dict[str, Any]]
    """The blocks exactly as they came: the API wants them back unchanged, signatures of thinking included."""

    stop_reason: str

    category: str = ""
    """The API's category of a refusal; empty if there is none."""

    explanation: str
    """The API's explanation of a refusal; empty if there is none."""

    raw: Mapping[str, Any]
    """Usage as the API reported it."""

    @property
    def usage(self) -> Usage:
        """Billed tokens of the call."""
        return read_usage(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """The reply broke off; the same question may be asked again."""

    reason: str

    raw: Mapping[str, Any] = field(default_factory=dict)
    """Usage as far as the API reported it, without the output; empty if it reported none."""

    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """We stopped listening: the campaign stops, or the proposal's time is over."""

    raw: Mapping[str, Any] = field(default_factory=dict)
    """Usage as far as the API reported it, without the output; empty if it reported none."""

    shown: int = 0
    """Characters of the reply that had arrived."""

    sent: bool = True
    """True if the question may have left, so that it may be billed."""

    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """The API wants to be asked later: rate limit, overload, its own fault, or it could not be reached."""

    reason: str
    kind: WaitReason = WaitReason.ERROR

    lost: bool = False
    """True if the question may have arrived and no answer came: it may be billed all the same."""

    retry_after: float | None = None
    """Seconds that the API asks to wait; None if it names none."""

    raw: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLong:
    """The conversation does not fit into the model's context."""

    reason: str
    raw: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopeless:
    """Waiting does not help: a person must correct the key, the account, the model or the settings."""

    reason: str
    raw: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""


Answer = Reply | Interrupted | GivenUp | Busy | TooLong | Hopeless
