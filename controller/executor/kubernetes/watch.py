"""One list and one endless watch per kind of object, kept as a cache; the only way that state comes in.

It guarantees: once synced, the cache is what the API server said last, or `age` grows; an object that
vanished while nobody watched is reported as deleted; a dead connection is noticed within `READ_SECONDS`.
It refuses to act: the handler is called on the watch's own thread and may only note and enqueue.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3

from controller.errors import ClusterError
from controller.executor.kubernetes.client import Client, Object, Resource, let_go, lines
from controller.executor.kubernetes.errors import Refused, Unavailable

Handler = Callable[[Object, bool], None]

PAGE = "500"
READ_SECONDS = 90.0
"""Silence after which a watch counts as dead. The server sends a bookmark each minute."""

WATCH_SECONDS = (240, 360)
"""A watch asks to be ended after a random time in this range, so that reconnects do not align."""

RELIST_SECONDS = 1200.0
"""A watch is not trusted to deliver every event for ever: after so long, everything is listed again."""

BACKOFF_SECONDS = (0.8, 30.0)
FIELDS_NOT_KEPT = ("managedFields",)


class _Expired(Exception):
    """The version that the watch wanted to go on from is gone: list again."""


@dataclass(slots=True)
class _Counters:
    relists: int = 0
    failures: int = 0


class Reflector:
    """A cache of one resource below a selector, filled by a thread of its own.

    key: by what objects are looked up, such as the name of the Job that a pod belongs to.
    changed: called with the object and whether it is gone, after the cache has changed.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        key: Callable[[Object], str],
        changed: Handler,
        read_seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        **selectors: str,
    ) -> None:
        self._client = client
        self._resource = resource
        self._selectors = selectors
        self._key = key
        self._changed = changed
        self._read_seconds = read_seconds
        self._clock = clock
        self._objects: dict[str, dict[str, Object]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._response: urllib3.BaseHTTPResponse | None = None
        self._version = ""
        self._heard = clock()
        self._listed = 0.0
        self._pause = 0.0
        self.counters = _Counters()
        self.error = ""
        self._thread = threading.Thread(target=self._run, name=f"watch-{resource.plural}", daemon=True)

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch, also one that waits for bytes."""
        self._stopping.set()
        response = self._response
        if response is not None:
            let_go(response)
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def wait_synced(self, seconds: float) -> bool:
        """Wait for the first complete list."""
        return self._synced.wait(seconds)

    @property
    def plural(self) -> str:
        """What is watched."""
        return self._resource.plural

    @property
    def age(self) -> float:
        """Seconds since the API server last said anything, bookmarks included."""
        return self._clock() - self._heard

    def find(self, key: str) -> tuple[Object, ...]:
        """Every object with this key; not to be changed."""
        with self._lock:
            return tuple(self._objects.get(key, {}).values())

    def all(self) -> tuple[Object, ...]:
        """Every object; not to be changed."""
        with self._lock:
            return tuple(found for group in self._objects.values() for found in group.values())

    # -- the thread -----------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._list_if_due()
                self._watch()
                self.error = ""
            except _Expired:
                self._listed = 0.0
            except (ClusterError, urllib3.exceptions.HTTPError) as error:
                self._failed(error)

    def _list_if_due(self) -> None:
        if self._listed and self._clock() - self._listed < RELIST_SECONDS:
            return
        self._replace(self._list())
        self._listed = self._clock()
        self._synced.set()
        self.counters.relists += 1

    def _list(self) -> list[Object]:
        """All pages, as a quorum read: a cached list could be older than what was already seen."""
        items: list[Object] = []
        query = {**self._selectors, "limit": PAGE}
        while True:
            page = self._client.list(self._resource, **query)
            items += page["items"]
            self._touch()
            self._version = page["metadata"]["resourceVersion"]
            following = page["metadata"].get("continue")
            if not following:
                return items
            query["continue"] = following

    def _watch(self) -> None:
        began = self._clock()
        query = {
            **self._selectors,
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),
        }
        with self._client.watch(self._resource, read_seconds=self._read_seconds, **query) as response:
            self._response = response
            self._touch()
            if self._stopping.is_set():
                return
            for line in lines(response):
                self._take(_decode(line))
        if self._clock() - began < 1.0 and not self._stopping.is_set():
            raise Unavailable("the watch was closed at once")

    def _take(self, event: Mapping[str, Any]) -> None:
        found = event["object"]
        if event["type"] == "ERROR":
            self._refused(found)
        self._touch()
        self._pause = 0.0
        self._version = found["metadata"]["resourceVersion"]
        if event["type"] != "BOOKMARK":
            self._store(found, gone=event["type"] == "DELETED")

    def _refused(self, status: Mapping[str, Any]) -> None:
        if status.get("code") == 410:
            raise _Expired
        raise Unavailable(f"the watch of {self._resource.plural} failed: {status.get('message', '')}")

    def _failed(self, error: Exception) -> None:
        """Wait, longer each time and never in step with others. HTTP 410 only needs a new list."""
        if isinstance(error, Refused) and error.status == 410:
            self._listed = 0.0
            return
        self.error = str(error)
        self.counters.failures += 1
        least, most = BACKOFF_SECONDS
        self._pause = min(most, max(least, 2 * self._pause))
        self._stopping.wait(self._pause * random.uniform(0.5, 1.0))

    # -- the cache ------------------------------------------------------------

    def _replace(self, items: list[Object]) -> None:
        present = {found["metadata"]["uid"] for found in items}
        vanished = [old for old in self.all() if old["metadata"]["uid"] not in present]
        for old in vanished:
            self._store(old, gone=True)
        for found in items:
            if not self._known(found):
                self._store(found, gone=False)

    def _known(self, found: Object) -> bool:
        old = self._objects.get(self._key(found), {}).get(found["metadata"]["uid"])
        return old is not None and old["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]

    def _store(self, found: Object, *, gone: bool) -> None:
        for name in FIELDS_NOT_KEPT:
            found["metadata"].pop(name, None)
        key, uid = self._key(found), found["metadata"]["uid"]
        with self._lock:
            group = self._objects.setdefault(key, {})
            if gone:
                group.pop(uid, None)
            else:
                group[uid] = found
            if not group:
                del self._objects[key]
        self._changed(found, gone)

    def _touch(self) -> None:
        self._heard = self._clock()


def _decode(line: bytes) -> Mapping[str, Any]:
    try:
        event: Mapping[str, Any] = json.loads(line)
    except ValueError as error:
        raise Unavailable("the watch was cut in the middle of an event") from error
    return event
