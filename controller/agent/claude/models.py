"""What the API says about the models in use: alive, how large, which options they take.

Asked until it answers, once per model and process. Where nothing answers, the settings are taken at their word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

from controller.agent.claude.wire import Wire
from controller.errors import AgentError
from controller.settings import ClaudeSettings

if TYPE_CHECKING:
    from anthropic.types import ModelInfo

log = logging.getLogger(__name__)

RETIRING_SOON_DAYS = 30
OPENING_SHARE = 0.6
"""Share of a model's context that the opening may fill; the rest is for the conversation."""

THINKING: dict[str, dict[str, Any]] = {
    "adaptive": {"type": "adaptive", "display": "summarized"},
    "between_tools": {"type": "between_tools"},
    "disabled": {"type": "disabled"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model with the options it takes: `thinking` and `effort` are None where it knows no such option."""

    name: str
    thinking: dict[str, Any] | None
    effort: str | None
    max_tokens: int
    opening_tokens: int
    warnings: tuple[str, ...] = ()


class Models:
    """Models by name, each looked up once; safe to share between threads."""

    def __init__(self, settings: ClaudeSettings, wire: Wire, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._known: dict[str, Model] = {}
        self._lock = Lock()
        self.wire = wire

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the models that the settings use."""
        return tuple(filter(None, (self._settings.model, self._settings.plateau_model)))

    def of(self, name: str) -> Model:
        """The model's facts. Raises AgentError where it is retired, unknown or does not take what is set."""
        with self._lock:
            if name not in self._known:
                info = self.wire.model(name)
                model = described(name, info, settings=self._settings, now=self._clock())
                if info is None:
                    return model
                for warning in model.warnings:
                    log.warning("model", extra={"model": name, "warning": warning})
                self._known[name] = model
            return self._known[name]


def described(name: str, info: ModelInfo | None, *, settings: ClaudeSettings, now: float) -> Model:
    """What can be asked of a model; without `info` the settings are taken at their word."""
    if info is None:
        return _model(name, settings, warnings=(f"the API tells nothing about the model {name}",))
    if info.lifecycle == "retired":
        raise AgentError(f"the model {name} is retired: set agent.claude.model to a current one")
    takes_effort = info.capabilities is None or info.capabilities.effort.supported
    _require_thinking(info, settings.thinking)
    return _model(
        name,
        settings,
        takes_effort=takes_effort,
        max_tokens=info.max_tokens or settings.max_tokens,
        context=info.max_input_tokens or 200_000,
        warnings=tuple(
            filter(None, (_retiring(info, now), "" if takes_effort else f"{name} knows no effort: not sent"))
        ),
    )


def _model(
    name: str,
    settings: ClaudeSettings,
    *,
    takes_effort: bool = True,
    max_tokens: int = 128_000,
    context: int = 200_000,
    warnings: tuple[str, ...] = (),
) -> Model:
    return Model(
        name=name,
        thinking=THINKING[settings.thinking],
        effort=settings.effort if takes_effort else None,
        max_tokens=min(settings.max_tokens, max_tokens),
        opening_tokens=int(context * OPENING_SHARE),
        warnings=warnings,
    )


def _require_thinking(info: ModelInfo, kind: str) -> None:
    if info.capabilities is None:
        return
    types = info.capabilities.thinking.types
    known = [name for name in THINKING if getattr(types, name).supported]
    if kind not in known:
        raise AgentError(
            f"the model {info.id} does not take thinking {kind}: set agent.claude.thinking to {' or '.join(known)}"
        )


def _retiring(info: ModelInfo, now: float) -> str:
    if info.retires_at is None or (info.retires_at - datetime.fromtimestamp(now, UTC)).days >= RETIRING_SOON_DAYS:
        return ""
    return f"the model {info.id} retires on {info.retires_at:%Y-%m-%d}: choose another soon"
