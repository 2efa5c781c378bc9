"""Reads from a vendor's reply, while it passes by, what was used and how it ended.

It has no effects. A reply is one JSON object or a stream of server-sent events. Anything else is passed on as well, and
tells nothing of what was used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from controller.agent.command.surfaces import CHAT, MESSAGES, Surface
from controller.costs.model_calls import Usage, read_openai_usage, read_usage
from controller.text.safe_text import one_line

MOST_KEPT = 64 * 2**20
"""Bytes of a line, or of a reply that is no stream, beyond which it is not read any more (64 MiB)."""


class Reading:
    """One reply as far as it came; not shared between threads."""

    def __init__(self, surface: Surface, *, streams: bool) -> None:
        self._surface, self._streams = surface, streams
        self._kept = bytearray()
        self.raw: dict[str, Any] = {}
        """Usage as the vendor reported it."""
        self.served = ""
        """The model that answered, as it calls itself."""
        self.ended = ""
        """The reason for which the reply ended; empty until its end has come."""

    @property
    def is_whole(self) -> bool:
        """True if the reply came to its end and told its usage."""
        return bool(self.ended) and any(
            self.raw.get(name) is not None for name in ("output_tokens", "completion_tokens")
        )

    @property
    def usage(self) -> Usage:
        """Tokens as far as they were reported."""
        if self._surface.vendor == "openai":
            return read_openai_usage(self.raw)
        return read_usage(self.raw, unsplit_for_an_hour=True)

    def take_line(self, line: bytes) -> None:
        """Take in the next line, its end included."""
        if not self._streams:
            if len(self._kept) + len(line) <= MOST_KEPT:
                self._kept += line
            return
        field, _, data = line.partition(b":")
        if field == b"data" and len(data) <= MOST_KEPT:
            self._take_event(data.strip())

    def finish(self) -> None:
        """The connection has ended."""
        if self._streams or not (reply := _parse(bytes(self._kept))):
            return
        self._take_reply(reply)
        self.ended = self.ended or "ended"

    def _take_event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.ended = self.ended or "ended"
            return
        event = _parse(data)
        if self._surface is MESSAGES:
            match event.get("type"):
                case "message_start":
                    self._take_reply(_object(event.get("message")))
                case "message_delta":
                    self._take_usage(event.get("usage"))
                    self._end(_object(event.get("delta")).get("stop_reason"))
        elif self._surface is CHAT:
            self._take_reply(event)
        elif event.get("type") in ("response.completed", "response.incomplete", "response.failed"):
            self._take_reply(_object(event.get("response")))

    def _take_reply(self, reply: Mapping[str, Any]) -> None:
        self._take_usage(reply.get("usage"))
        self.served = one_line(str(reply.get("model") or self.served), limit=100)
        choices = reply.get("choices")
        if isinstance(choices, list) and choices:
            # The usage comes behind the last choice, so that the end is not here yet.
            self._end(_object(choices[0]).get("finish_reason"))
        self._end(reply.get("stop_reason") or reply.get("status"))

    def _take_usage(self, usage: Any) -> None:
        self.raw.update({name: value for name, value in _object(usage).items() if value is not None})

    def _end(self, reason: Any) -> None:
        if isinstance(reason, str) and reason:
            self.ended = one_line(reason, limit=40)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        return _object(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
