"""Finds what in a conversation is no text: what reaches beyond it, and what costs more than its bytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.costs.model_calls import Vendor

IMAGE_TOKENS: Mapping[Vendor, int] = {"anthropic": 5_000, "openai": 50_000}
"""Most input tokens of an image, whatever its bytes: a white one of 1,600 dots a side has 500. The dearest are those of
Anthropic's models with high resolution (4,784) and of gpt-4o-mini (48,169)."""

TOOL_TOKENS = 1_000
"""Most input tokens that a vendor adds once for tools, and again for each whose description it keeps itself."""

INLINE_SOURCES = ("base64", "text", "content")
"""Kinds of sources that hold their content themselves."""

ADDRESSES = ("url", "image_url", "file_url")
"""Fields of a message that may hold an address to fetch from."""


def find_reach(value: Any) -> str:
    """The part of a conversation that reaches beyond it: an address, a file of the account; empty if none does."""
    if isinstance(value, list):
        return next((reach for part in value if (reach := find_reach(part))), "")
    if not isinstance(value, dict):
        return ""
    # The type of a reference may be left out: what has nothing but an id is one.
    if (
        value.get("type") == "item_reference"
        or "file_id" in value
        or ("id" in value and value.keys() <= {"id", "type"})
    ):
        return "what is kept in the account cannot be used"
    if "file_data" in value or "input_audio" in value:
        return "what a file or a sound costs is not known beforehand"
    source = value.get("source")
    if isinstance(source, dict) and source.get("type") not in INLINE_SOURCES:
        return "a source may only hold its content itself"
    if isinstance(source, dict) and source.get("type") == "base64" and not _is_image(source.get("media_type")):
        return "what a document costs is not known beforehand unless it is text"
    for name in ADDRESSES:
        address = value.get(name)
        if isinstance(address, str) and not address.startswith("data:image/"):
            return "an address is not fetched"
    skipped = _names_of_own_text(value)
    return next((reach for name, part in value.items() if name not in skipped and (reach := find_reach(part))), "")


def find_images(value: Any) -> list[str]:
    """The data of each image in a part of a conversation that `find_reach` has passed."""
    if isinstance(value, list):
        return [data for part in value for data in find_images(part)]
    if not isinstance(value, dict):
        return []
    skipped = _names_of_own_text(value)
    source = value.get("source")
    found = [str(source.get("data"))] if isinstance(source, dict) and source.get("type") == "base64" else []
    found += [address for name in ADDRESSES if isinstance(address := value.get(name), str)]
    return found + [data for name, part in value.items() if name not in skipped for data in find_images(part)]


def _names_of_own_text(value: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields of a part that hold the model's own text, whatever is in them: what it called a tool with."""
    return ("input",) if value.get("type") in ("tool_use", "function_call", "custom_tool_call") else ()


def _is_image(media_type: Any) -> bool:
    return isinstance(media_type, str) and media_type.startswith("image/")


def bound_tokens(vendor: Vendor, tools: Sequence[Any], *, size: int, images: Sequence[str]) -> int:
    """At least as many as a request has input tokens. size: its bytes. images: data of the images among them."""
    text = max(0, size - sum(map(len, images)))
    kinds = [str(tool.get("type") or "custom") for tool in tools if isinstance(tool, dict)]
    kept_there = [kind for kind in kinds if not kind.startswith(("custom", "function"))]
    added = TOOL_TOKENS * (1 + len(kept_there)) if kinds else 0
    return text + len(images) * IMAGE_TOKENS[vendor] + added
