"""The models that the stand-in serves, with the traits the client must heed. Prices are the client's business."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

EFFORTS = ("low", "medium", "high", "xhigh", "max")
THINKING_EFFORTS = ("xhigh", "max")
"""Efforts that need thinking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model; `thinking` are the types it takes."""

    id: str
    context: int = 1_000_000
    max_tokens: int = 128_000
    lifecycle: str = "active"
    retires_at: datetime | None = None
    efforts: tuple[str, ...] = EFFORTS
    thinking: frozenset[str] = frozenset({"adaptive"})
    smallest_cached: int = 512

    def page(self) -> dict[str, Any]:
        """The answer to GET /v1/models/ID."""
        yes, no = {"supported": True}, {"supported": False}
        kinds = ("adaptive", "between_tools", "disabled", "enabled")
        types = {kind: yes if kind in self.thinking else no for kind in kinds}
        efforts = {effort: yes if effort in self.efforts else no for effort in EFFORTS}
        return {
            "type": "model",
            "id": self.id,
            "display_name": self.id,
            "created_at": "2026-01-01T00:00:00Z",
            "deprecated_at": None,
            "lifecycle": self.lifecycle,
            "retires_at": self.retires_at.isoformat() if self.retires_at else None,
            "line": None,
            "max_input_tokens": self.context,
            "max_tokens": self.max_tokens,
            "capabilities": {
                "effort": {"supported": bool(self.efforts), **efforts},
                "thinking": {"supported": True, "types": types},
                **dict.fromkeys(("batch", "citations", "image_input", "pdf_input", "structured_outputs"), yes),
            },
        }


MODELS = {
    model.id: model
    for model in (
        Model(id="claude-opus-5-5"),
        Model(id="claude-sonnet-5-5", thinking=frozenset({"adaptive", "between_tools"})),
        Model(id="claude-haiku-5-5", thinking=frozenset({"adaptive", "disabled"})),
        Model(id="claude-opus-5", thinking=frozenset({"adaptive", "disabled"})),
        Model(
            id="claude-opus-4-8",
            lifecycle="deprecated",
            retires_at=datetime(2026, 12, 10, tzinfo=UTC),
            efforts=("low", "medium", "high", "max"),
            thinking=frozenset({"adaptive", "disabled"}),
            smallest_cached=1024,
        ),
        Model(id="claude-haiku-4-5", efforts=(), thinking=frozenset({"adaptive", "disabled"}), smallest_cached=4096),
        Model(id="claude-opus-4-5", lifecycle="retired", retires_at=datetime(2026, 6, 1, tzinfo=UTC)),
    )
}
