"""What is asked of the API and what comes back, as values: a reply that is whole, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.money import Usage, usage_of
from controller.ports import WaitReason


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
    """The API wants to be asked later: rate limit, overload, its own fault, or it could not be reached.

    lost: the question may have arrived, but no answer came, so that it may be billed all the same.
    """

    reason: str
    kind: WaitReason = WaitReason.ERROR
    lost: bool = False
    retry_after: float | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLong:
    """The conversation does not fit into the model's context."""

    reason: str
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopeless:
    """Waiting will not help: a human must mend the key, the account, the model or the settings."""

    reason: str
    raw: Mapping[str, Any] = field(default_factory=dict)


Answer = Reply | Interrupted | GivenUp | Busy | TooLong | Hopeless
