"""A queue of keys for a few worker threads, which never hands the same key to two of them at once.

A key stands for a state to look at, not for one change. A key that is added twice before its turn is therefore handed
out once, and one that is added while a worker has it is handed out again afterwards. Urgent keys come first, so that
the end of a try does not wait behind a thousand launches.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable


class WorkQueue:
    """Calls `work(key)` on `threads` threads. An exception from `work` is a bug: it stops the queue (`raise_bug`)."""

    def __init__(
        self, work: Callable[[str], None], *, threads: int, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._work = work
        self._clock = clock
        self._changed = threading.Condition()
        # Dictionaries without values: sets that keep the order in which keys were added.
        self._urgent: dict[str, None] = {}
        self._ready: dict[str, None] = {}
        self._busy: set[str] = set()
        self._added_while_busy: dict[str, bool] = {}
        """Keys that were added while a worker had them, and whether they are urgent."""
        self._delayed: list[tuple[float, str]] = []
        """A heap of keys with the clock seconds at which they become ready."""
        self._stopping = False
        self._bug: Exception | None = None
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(threads)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Hand out no more keys, and wait at most `seconds` for the work under way."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        deadline = self._clock() + seconds
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(timeout=max(0.0, deadline - self._clock()))

    def add(self, key: str, *, urgent: bool = False) -> None:
        """Hand out `key` soon, an urgent one before all others."""
        with self._changed:
            self._add(key, urgent=urgent)

    def add_after(self, key: str, seconds: float) -> None:
        """Hand out `key` in `seconds`."""
        with self._changed:
            heapq.heappush(self._delayed, (self._clock() + seconds, key))
            self._changed.notify()

    def raise_bug(self) -> None:
        """Raise, on the caller's thread, the exception that `work` raised, if there was one."""
        if self._bug is not None:
            raise self._bug

    def _add(self, key: str, *, urgent: bool) -> None:
        if key in self._busy:
            self._added_while_busy[key] = urgent or self._added_while_busy.get(key, False)
        elif urgent:
            self._ready.pop(key, None)
            self._urgent[key] = None
            self._changed.notify()
        elif key not in self._urgent:
            self._ready[key] = None
            self._changed.notify()

    def _run(self) -> None:
        while (key := self._wait_for_key()) is not None:
            try:
                self._work(key)
            except Exception as error:  # noqa: BLE001 - kept for `raise_bug`, because this thread has no caller
                self._bug = error
                self.stop(0.0)
            finally:
                self._finish(key)

    def _wait_for_key(self) -> str | None:
        """The next key, once there is one; None if the queue stops."""
        with self._changed:
            while not self._stopping:
                self._add_due_keys()
                waiting = self._urgent or self._ready
                if waiting:
                    key = next(iter(waiting))
                    del waiting[key]
                    self._busy.add(key)
                    return key
                self._changed.wait(self._seconds_to_next())
            return None

    def _add_due_keys(self) -> None:
        while self._delayed and self._delayed[0][0] <= self._clock():
            _, key = heapq.heappop(self._delayed)
            self._add(key, urgent=False)

    def _seconds_to_next(self) -> float | None:
        """Seconds until the first delayed key is due; None if no key is delayed."""
        if not self._delayed:
            return None
        return max(0.0, self._delayed[0][0] - self._clock())

    def _finish(self, key: str) -> None:
        with self._changed:
            self._busy.discard(key)
            if key in self._added_while_busy:
                self._add(key, urgent=self._added_while_busy.pop(key))
