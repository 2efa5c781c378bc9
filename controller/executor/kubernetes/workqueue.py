"""Keys that need looking at, handed to a few threads; the same key never to two of them at once.

Level-triggered: a key that is added again while it waits is looked at once, and one that is added while it
is being looked at is looked at again. Urgent keys come first, as news waits badly behind a thousand launches. It
refuses to know what a key means.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable


class WorkQueue:
    """Runs `work(key)` on `threads` threads. What `work` raises is a bug: it stops the queue, and `check` raises it."""

    def __init__(
        self, work: Callable[[str], None], *, threads: int, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._work = work
        self._clock = clock
        self._changed = threading.Condition()
        self._urgent: dict[str, None] = {}
        self._ready: dict[str, None] = {}
        self._busy: set[str] = set()
        self._again: dict[str, bool] = {}
        self._later: list[tuple[float, str]] = []
        self._stopping = False
        self._bug: Exception | None = None
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(threads)]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Take up nothing new, and wait for what is under way."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        deadline = self._clock() + seconds
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(timeout=max(0.0, deadline - self._clock()))

    def add(self, key: str, *, urgent: bool = False) -> None:
        """Look at `key` soon; at an urgent one before all others."""
        with self._changed:
            self._add(key, urgent=urgent)

    def add_after(self, key: str, seconds: float) -> None:
        """Look at `key` in `seconds`."""
        with self._changed:
            heapq.heappush(self._later, (self._clock() + seconds, key))
            self._changed.notify()

    def check(self) -> None:
        """Raises, on the caller's thread, what `work` raised."""
        if self._bug is not None:
            raise self._bug

    def _add(self, key: str, *, urgent: bool) -> None:
        if key in self._busy:
            self._again[key] = urgent or self._again.get(key, False)
        elif urgent:
            self._ready.pop(key, None)
            self._urgent[key] = None
            self._changed.notify()
        elif key not in self._urgent:
            self._ready[key] = None
            self._changed.notify()

    def _run(self) -> None:
        while (key := self._take()) is not None:
            try:
                self._work(key)
            except Exception as error:  # noqa: BLE001 - kept for `check`: a thread has nobody to tell
                self._bug = error
                self.stop(0.0)
            finally:
                self._done(key)

    def _take(self) -> str | None:
        with self._changed:
            while not self._stopping:
                self._promote()
                waiting = self._urgent or self._ready
                if waiting:
                    key = next(iter(waiting))
                    del waiting[key]
                    self._busy.add(key)
                    return key
                self._changed.wait(self._until_next())
            return None

    def _promote(self) -> None:
        while self._later and self._later[0][0] <= self._clock():
            self._add(heapq.heappop(self._later)[1], urgent=False)

    def _until_next(self) -> float | None:
        return max(0.0, self._later[0][0] - self._clock()) if self._later else None

    def _done(self, key: str) -> None:
        with self._changed:
            self._busy.discard(key)
            if key in self._again:
                self._add(key, urgent=self._again.pop(key))
