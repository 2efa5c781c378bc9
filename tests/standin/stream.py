"""A reply as server-sent events, and the ways in which it breaks off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.standin.faults import Fault

PIECE = 40
"""Characters in one delta."""


def event(name: str, value: Any) -> bytes:
    """One event on the wire."""
    return f"event: {name}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def events(message: dict[str, Any], *, has_usage: bool = True) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a complete reply, in order, by name; has_usage: false for a gateway that leaves usage out."""
    for name, value in _whole_events(message):
        if not has_usage:
            value.pop("usage", None)
            value.get("message", {}).pop("usage", None)
        yield name, value


def _whole_events(message: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    usage = message["usage"]
    start = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_details": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield "message_start", {"type": "message_start", "message": start}
    yield "ping", {"type": "ping"}
    for index, block in enumerate(message["content"]):
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": _empty(block)}
        for delta in _deltas(block):
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    ended = {key: message[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    yield "message_delta", {"type": "message_delta", "delta": ended, "usage": {"output_tokens": usage["output_tokens"]}}
    yield "message_stop", {"type": "message_stop"}


def broken(message: dict[str, Any], fault: Fault) -> Iterator[bytes]:
    """The reply up to where the fault hits, and what it leaves behind."""
    pairs = list(events(message))
    cut = _cut(pairs, fault)
    if fault is not Fault.DISORDER:
        yield from (event(name, value) for name, value in pairs[:cut])
    if fault is Fault.DISORDER:
        yield event("content_block_delta", {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta"}})
        yield from (event(name, value) for name, value in pairs[:2])
        yield event("content_block_delta", {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta"}})
    if fault is Fault.MALFORMED:
        yield b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, "del\n\n'
    if fault is Fault.ERROR_EVENT:
        yield event("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


def _cut(pairs: list[tuple[str, dict[str, Any]]], fault: Fault) -> int:
    """Number of events that still arrive: half of them, or up to the middle of a tool's input."""
    deltas = [i for i, (_, v) in enumerate(pairs) if v.get("delta", {}).get("type") == "input_json_delta"]
    return deltas[len(deltas) // 2] + 1 if fault is Fault.CUT_IN_TOOL and deltas else max(3, len(pairs) // 2)


def _empty(block: dict[str, Any]) -> dict[str, Any]:
    match block["type"]:
        case "text":
            return {**block, "text": ""}
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case _:
            return {**block, "input": {}}


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            yield from ({"type": "text_delta", "text": piece} for piece in _pieces(block["text"]))
        case "thinking":
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"]))
            yield {"type": "signature_delta", "signature": block["signature"]}
        case _:
            text = json.dumps(block["input"], ensure_ascii=False)
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    yield from (text[start : start + PIECE] for start in range(0, len(text), PIECE))
