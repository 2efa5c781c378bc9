"""Lets one conversation write a prompt's shared part to the cache before the others send it.

The API can read a prefix only once the reply that wrote it has begun. If sixteen conversations began at the same
moment, each would write the same prefix and pay twelve to forty times the price of reading it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

from controller.agent.claude.answers import Question
from controller.agent.claude.prompt import FIVE_MINUTES, HOUR

LONGEST_WAIT_SECONDS = 20.0
"""Most seconds for which a conversation waits: replies begin within a few, and a slot is dearer than a prefix."""

POLL_SECONDS = 0.1
"""Interval at which a waiting conversation looks whether to give up."""


class Warming:
    """Prefixes that are in the cache, or on their way there; safe to share between threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Time until which each prefix lives.
        self._warm_until: dict[str, float] = {}
        # Prefixes that a call under way is writing.
        self._written: set[str] = set()
        self._changed = Condition()

    @contextmanager
    def take_turn(self, opening: Question, *, give_up: Callable[[], bool]) -> Iterator[Callable[[], None]]:
        """Wait while another call writes the opening's prefix. The value is to be called when the own reply begins."""
        prefix = hash_prefix(opening)
        lifetime = HOUR if "'1h'" in str(opening.system) else FIVE_MINUTES
        writes = self._wait_for_turn(prefix, give_up)

        def begun() -> None:
            with self._changed:
                self._warm_until[prefix] = self._clock() + lifetime
                self._written.discard(prefix)
                self._changed.notify_all()

        try:
            yield begun
        finally:
            if writes:
                with self._changed:
                    self._written.discard(prefix)
                    self._changed.notify_all()

    def _wait_for_turn(self, prefix: str, give_up: Callable[[], bool]) -> bool:
        """True if the caller is the one that writes the prefix."""
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        with self._changed:
            now = self._clock()
            self._warm_until = {known: until for known, until in self._warm_until.items() if until > now}
            while prefix not in self._warm_until:
                if prefix not in self._written:
                    self._written.add(prefix)
                    return True
                if give_up() or time.monotonic() > deadline:
                    return False
                self._changed.wait(POLL_SECONDS)
        return False


def hash_prefix(opening: Question) -> str:
    """A name for the part of an opening that conversations share: everything but the last block of its message."""
    shared = [*opening.messages[0]["content"][:-1]] if opening.messages else []
    told = repr((opening.model, opening.tools, opening.system, shared, opening.thinking))
    return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()
