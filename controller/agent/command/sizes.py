"""Bounds how many input tokens a request has, by what earlier requests of the same program had. No effects.

A token has a byte or more, so that a request has no more tokens than bytes; text has about a third of that. A program
sends its conversation again with each call, a little longer. What stood at the beginning of a request that was answered
had no more tokens than that whole request, and only the rest need be taken byte for byte.

Not covered: thinking of an earlier reply that the vendor left out of one request and counts in the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from controller.agent.command.surfaces import Call

BLOCK = 1024
"""Bytes in which beginnings are compared (1 KiB)."""

MOST_BEGINNINGS = 100_000
"""Beginnings that are remembered (100 MiB of conversations, 10 MB of memory); with one more all are forgotten."""


class KnownSizes:
    """The requests of one program that were answered; not shared between threads."""

    def __init__(self) -> None:
        self._tokens: dict[bytes, int] = {}

    def bound(self, call: Call) -> int:
        """Most input tokens of a request."""
        most = call.size
        for length, beginning in _beginnings(call):
            if (known := self._tokens.get(beginning)) is not None:
                most = min(most, known + len(call.counted) - length + call.added)
        return most

    def learn(self, call: Call, tokens: int) -> None:
        """Remember how many input tokens a request had. A refusal that is not billed tells 0, which says nothing."""
        if tokens == 0:
            return
        if len(self._tokens) > MOST_BEGINNINGS:
            self._tokens.clear()
        for _, beginning in _beginnings(call):
            self._tokens[beginning] = min(tokens, self._tokens.get(beginning, tokens))


def _beginnings(call: Call) -> Iterator[tuple[int, bytes]]:
    """Length and name of each beginning of a request; models count tokens in different ways."""
    name = blake2b(f"{call.surface.path} {call.model}".encode(errors="replace"), digest_size=16)
    for end in range(BLOCK, len(call.counted) + 1, BLOCK):
        name.update(call.counted[end - BLOCK : end])
        yield end, name.digest()
