"""Prompt caching as the API bills it: prefixes written at marks, read back within their lifetime.

A mark looks back over twenty blocks for a prefix that was written before; below the smallest size nothing is
cached, and nothing is said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from threading import Lock
from typing import Any

from tests.standin.contract import prompt_blocks
from tests.standin.models import Model

LOOK_BACK = 20
SECONDS = {"5m": 300.0, "1h": 3600.0}
BYTES_PER_TOKEN = 3.5


def tokens(value: Any) -> int:
    """The stand-in's tokenizer: bytes of the JSON text."""
    return ceil(len(json.dumps(value, ensure_ascii=False).encode()) / BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Input tokens of one request by how they are billed."""

    fresh: int
    read: int
    written: Mapping[str, int]
    prefixes: Mapping[str, tuple[float, str]]
    """What later requests can read once the reply has begun: prefix to the time until which it lives."""

    @property
    def total(self) -> int:
        """All input tokens."""
        return self.fresh + self.read + sum(self.written.values())

    def usage(self, output: int) -> dict[str, Any]:
        """The API's usage object."""
        return {
            "input_tokens": self.fresh,
            "cache_creation_input_tokens": sum(self.written.values()),
            "cache_read_input_tokens": self.read,
            "cache_creation": {f"ephemeral_{ttl}_input_tokens": self.written.get(ttl, 0) for ttl in SECONDS},
            "output_tokens": output,
            "service_tier": "standard",
        }


class Cache:
    """Prefixes by hash, with the time until which each lives."""

    def __init__(self) -> None:
        self._alive: dict[str, tuple[float, str]] = {}
        self._lock = Lock()

    def bill(self, request: Mapping[str, Any], *, model: Model, now: float, begun: bool = True) -> Input:
        """What this request reads and writes. begun: false if nobody may read what it wrote before `publish`."""
        blocks = list(prompt_blocks(request))
        hashes, sizes = _prefixes(blocks, model=model, request=request)
        places = {i: b["cache_control"].get("ttl", "5m") for i, b in enumerate(blocks) if b.get("cache_control")}
        if request.get("cache_control"):
            places.setdefault(len(blocks) - 1, request["cache_control"].get("ttl", "5m"))
        places = {i: ttl for i, ttl in places.items() if sizes[i] >= model.smallest_cached}
        with self._lock:
            hit = max((self._hit(hashes, place, now) for place in places), default=-1)
            read = sizes[hit] if hit >= 0 else 0
            written: dict[str, int] = {}
            done = read
            prefixes: dict[str, tuple[float, str]] = {}
            for place, ttl in sorted(places.items()):
                if sizes[place] > done:
                    written[ttl] = written.get(ttl, 0) + sizes[place] - done
                    done = sizes[place]
                prefixes[hashes[place]] = (now + SECONDS[ttl], ttl)
            if begun:
                self._alive |= prefixes
        return Input(fresh=sizes[-1] - done, read=read, written=written, prefixes=prefixes)

    def publish(self, billed: Input) -> None:
        """The reply has begun: from now on others can read what its request wrote."""
        with self._lock:
            self._alive |= billed.prefixes

    def _hit(self, hashes: list[str], mark: int, now: float) -> int:
        for place in range(mark, max(-1, mark - LOOK_BACK - 1), -1):
            until, ttl = self._alive.get(hashes[place], (0.0, "5m"))
            if until > now:
                self._alive[hashes[place]] = (now + SECONDS[ttl], ttl)
                return place
        return -1


def _prefixes(
    blocks: list[Mapping[str, Any]], *, model: Model, request: Mapping[str, Any]
) -> tuple[list[str], list[int]]:
    """Hash and size of the prompt up to and with each block; thinking and tool choice are part of the prefix."""
    digest = hashlib.sha256(model.id.encode())
    hashes, sizes, size = [], [], 0
    options = json.dumps([request.get("thinking"), request.get("tool_choice")], sort_keys=True)
    first_message = len(request.get("tools", [])) + (
        1 if isinstance(request.get("system"), str) else len(request.get("system", []))
    )
    for place, block in enumerate(blocks):
        if place == first_message:
            digest.update(options.encode())
        plain = {key: value for key, value in block.items() if key != "cache_control"}
        digest.update(json.dumps(plain, ensure_ascii=False).encode())
        size += tokens(plain)
        hashes.append(digest.hexdigest())
        sizes.append(size)
    return hashes, sizes
