"""Facts about the models in use: whether they are retired, how large they are, which options they take.

The API is asked once per model and process, and again later if it gave no answer. Whatever it leaves out, as gateways
and earlier versions of the API do, is believed of the settings: only a plain "not supported" counts as a no.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

from controller.agent.claude.api import Api
from controller.errors import AgentError
from controller.settings import ClaudeSettings

if TYPE_CHECKING:
    from anthropic.types import ModelInfo

log = logging.getLogger(__name__)

RETIRING_SOON_DAYS = 30
"""Days before a model's retirement from which the operator is warned."""

DEFAULT_CONTEXT_TOKENS = 200_000
"""Context of a model about which the API says nothing."""

DEFAULT_OUTPUT_TOKENS = 128_000
"""Most output tokens of such a model; the settings allow no more."""

OPENING_SHARE = 0.6
"""Share of a model's context that the opening may fill; the rest is for the conversation."""

UNKNOWN_FOR_SECONDS = 600.0
"""Seconds for which a missing answer is believed. Each look-up may take ten, and many gateways never answer one."""

THINKING: dict[str, dict[str, Any]] = {
    "adaptive": {"type": "adaptive", "display": "summarized"},
    "between_tools": {"type": "between_tools"},
    "disabled": {"type": "disabled"},
}

EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""As the API names them, the least first."""

THINKING_EFFORTS = ("xhigh", "max")
"""Efforts that the API refuses while thinking is switched off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model with the options that it takes."""

    name: str

    thinking: dict[str, Any] | None
    """None if the model has no such option."""

    effort: str | None
    """None if the model has no such option."""

    max_tokens: int
    """Most output tokens of one reply, as a rule."""

    longest_tokens: int
    """Most output tokens that the model can make: allowed once a reply was cut at `max_tokens`."""

    opening_tokens: int
    """Most tokens of the opening."""

    strict: bool = True
    """True if the API can hold the model to the schemas of the tools."""

    warnings: tuple[str, ...] = ()
    """Sentences for the operator."""


class Models:
    """Models by name, each looked up once; safe to share between threads."""

    def __init__(self, settings: ClaudeSettings, api: Api, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._known: dict[str, Model] = {}
        # Unix time until which the missing answer about a model is believed.
        self._unknown_until: dict[str, float] = {}
        self._lock = Lock()
        self.api = api

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the models that the settings use for proposals; the one for refusals is not among them."""
        if self._settings.plateau_model:
            return (self._settings.model, self._settings.plateau_model)
        return (self._settings.model,)

    def find(self, name: str, *, give_up: Callable[[], bool] = lambda: False) -> Model:
        """The model's facts. Raises AgentError if it is retired or unknown, or if it does not take a setting.

        The API is asked outside of the lock, so that a slow answer holds up nobody else; two threads may ask at once.
        """
        with self._lock:
            known = self._known.get(name)
            asked_lately = self._clock() < self._unknown_until.get(name, 0.0)
        if known is not None:
            return known
        info = None if asked_lately else self.api.model(name, give_up=give_up)
        model = self._describe(name, info)
        with self._lock:
            if info is None:
                if not asked_lately and not give_up():
                    self._unknown_until[name] = self._clock() + UNKNOWN_FOR_SECONDS
                return model
            is_news = name not in self._known
            self._known[name] = model
        for warning in model.warnings if is_news else ():
            log.warning("model", extra={"model": name, "warning": warning})
        return model

    def _describe(self, name: str, info: ModelInfo | None) -> Model:
        """The model with the options of the settings; one for refusals that does not take them gets plain ones."""
        try:
            return describe_model(name, info, settings=self._settings, now=self._clock())
        except AgentError:
            if name in self.used:
                raise
            plain = self._settings.model_copy(update={"thinking": "adaptive", "effort": "medium"})
            return describe_model(name, info, settings=plain, now=self._clock())


def describe_model(name: str, info: ModelInfo | None, *, settings: ClaudeSettings, now: float) -> Model:
    """A model from the API's facts about it; without `info` the settings are believed."""
    if info is None and settings.platform != "anthropic":
        # No platform has pages about models, and not every one holds a model to a tool's schema.
        return _make_model(name, settings, strict=False)
    if info is None:
        return _make_model(name, settings, warnings=(f"the API tells nothing about the model {name}",))
    if getattr(info, "lifecycle", None) == "retired":
        raise AgentError(f"the model {name} is retired: set agent.claude.model to a current one")
    capabilities = getattr(info, "capabilities", None)
    takes_effort = not _is_refused(capabilities, "effort")
    _require_thinking(name, capabilities, settings.thinking)
    warnings = []
    if retirement := _warn_of_retirement(name, info, now):
        warnings.append(retirement)
    if takes_effort:
        _require_effort(name, capabilities, settings)
    else:
        warnings.append(f"{name} knows no effort: not sent")
    return _make_model(
        name,
        settings,
        takes_effort=takes_effort,
        longest_tokens=_read_count(info, "max_tokens") or settings.max_tokens,
        context=_read_count(info, "max_input_tokens") or DEFAULT_CONTEXT_TOKENS,
        strict=not _is_refused(capabilities, "structured_outputs"),
        warnings=tuple(warnings),
    )


def _make_model(
    name: str,
    settings: ClaudeSettings,
    *,
    takes_effort: bool = True,
    longest_tokens: int = DEFAULT_OUTPUT_TOKENS,
    context: int = DEFAULT_CONTEXT_TOKENS,
    strict: bool = True,
    warnings: tuple[str, ...] = (),
) -> Model:
    return Model(
        name=name,
        thinking=THINKING[settings.thinking],
        effort=settings.effort if takes_effort else None,
        max_tokens=min(settings.max_tokens, longest_tokens),
        longest_tokens=longest_tokens,
        opening_tokens=int(context * OPENING_SHARE),
        strict=strict,
        warnings=warnings,
    )


def _is_refused(capabilities: object, *path: str) -> bool:
    """True if the API says of a capability that the model does not have it; false if it says nothing.

    The SDK does not check what it was sent: a field that is missing is None, and a strange one stays as it came.
    """
    place = capabilities
    for name in path:
        place = getattr(place, name, None)
    return getattr(place, "supported", None) is False


def _read_count(info: object, name: str) -> int | None:
    """A positive number of tokens; None if the API sent something else."""
    value = getattr(info, name, None)
    return value if isinstance(value, int) and value > 0 else None


def _require_thinking(name: str, capabilities: object, kind: str) -> None:
    if not _is_refused(capabilities, "thinking", "types", kind):
        return
    taken = [each for each in THINKING if not _is_refused(capabilities, "thinking", "types", each)]
    advice = f"set agent.claude.thinking to {' or '.join(taken)}" if taken else "choose another agent.claude.model"
    raise AgentError(f"the model {name} does not take thinking {kind}: {advice}")


def _require_effort(name: str, capabilities: object, settings: ClaudeSettings) -> None:
    if settings.thinking != "adaptive" and settings.effort in THINKING_EFFORTS:
        raise AgentError(
            f"effort {settings.effort} needs thinking: set agent.claude.thinking to adaptive, "
            "or agent.claude.effort to high or less"
        )
    if _is_refused(capabilities, "effort", settings.effort):
        taken = [each for each in EFFORTS if not _is_refused(capabilities, "effort", each)]
        advice = f"set agent.claude.effort to {' or '.join(taken)}" if taken else "choose another agent.claude.model"
        raise AgentError(f"the model {name} does not take effort {settings.effort}: {advice}")


def _warn_of_retirement(name: str, info: object, now: float) -> str:
    """One sentence if the model is retired soon, else empty."""
    retires_at = getattr(info, "retires_at", None)
    if not isinstance(retires_at, datetime):
        return ""
    if retires_at.tzinfo is None:
        # A gateway may leave the zone out; the API's own times are UTC.
        retires_at = retires_at.replace(tzinfo=UTC)
    remaining = retires_at - datetime.fromtimestamp(now, UTC)
    if remaining.days >= RETIRING_SOON_DAYS:
        return ""
    return f"the model {name} retires on {retires_at:%Y-%m-%d}: choose another soon"
