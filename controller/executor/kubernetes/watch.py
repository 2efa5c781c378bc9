"""Keeps a cache of one kind of Kubernetes object by one list and one endless watch.

Guarantees: once synced, the cache is what the API server said last, or `age` grows. An object that vanished between
two watches is reported as deleted. A dead connection is noticed within `READ_SECONDS`.

The handler runs on the watch's thread. It may only store and enqueue: anything slow would delay all further events.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import urllib3

from controller.errors import ClusterError
from controller.executor.kubernetes.client import Client, Object, Resource, lines, shut_down_stream
from controller.executor.kubernetes.errors import Refused, Unavailable

Handler = Callable[[Object, bool], None]
"""Called with an object that changed, and True if it is gone."""

PAGE = "500"
"""Objects in one page of a list, as kubectl asks for: one answer of all objects could be too large for the server."""

READ_SECONDS = 90.0
"""Seconds of silence after which a watch counts as dead. The API server sends a bookmark about each minute."""

WATCH_SECONDS = (240, 360)
"""Range in seconds of a watch's length. It is drawn at random, so that many watches do not reconnect together."""

RELIST_SECONDS = 1200.0
"""Seconds after which everything is listed again, because a watch is not certain to deliver every event."""

BACKOFF_SECONDS = (0.8, 30.0)
"""Shortest and longest pause after a failure: the values of client-go, the Go client of Kubernetes."""

FIELDS_NOT_KEPT = ("managedFields",)
"""Fields of the metadata that are dropped: managedFields is often the larger part of an object, and unused here."""


class _Expired(Exception):
    """HTTP 410: the server no longer has the version from which the watch wanted to go on. List again."""


class Reflector:
    """A cache of the objects of one resource that match the selectors, filled by a thread of its own.

    key: the key by which objects are looked up, such as the name of the Job that a pod belongs to.
    changed: called after the cache has changed.
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
        """By key, then by uid: names are reused, uids are not."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._response: urllib3.BaseHTTPResponse | None = None
        self._version = ""
        """The resourceVersion of the last list or event, from which the next watch goes on."""
        self._heard = clock()
        self._listed = 0.0
        """Clock seconds of the last complete list; 0 if a new one is needed."""
        self._pause = 0.0
        """Seconds of the last pause after a failure; 0 after an event."""
        self.failures = 0
        """Number of failures since the start."""
        self.error = ""
        """The last failure; empty after a watch that ended as it should."""
        self._thread = threading.Thread(target=self._run, name=f"watch-{resource.plural}", daemon=True)

    def start(self) -> None:
        """Start the thread that lists and watches."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch, even if it waits for bytes."""
        self._stopping.set()
        response = self._response
        if response is not None:
            shut_down_stream(response)
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def wait_synced(self, seconds: float) -> bool:
        """Wait at most `seconds` for the first complete list; True if there has been one."""
        return self._synced.wait(seconds)

    @property
    def plural(self) -> str:
        """The watched resource, such as `pods`."""
        return self._resource.plural

    @property
    def age(self) -> float:
        """Seconds since the API server last sent anything, bookmarks included."""
        return self._clock() - self._heard

    def find(self, key: str) -> tuple[Object, ...]:
        """Every object with this key. The caller must not change them."""
        with self._lock:
            return tuple(self._objects.get(key, {}).values())

    def all(self) -> tuple[Object, ...]:
        """Every object. The caller must not change them."""
        with self._lock:
            everything: list[Object] = []
            for group in self._objects.values():
                everything.extend(group.values())
            return tuple(everything)

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
                self._back_off(error)

    def _list_if_due(self) -> None:
        if self._listed and self._clock() - self._listed < RELIST_SECONDS:
            return
        self._replace_cache(self._list_all())
        self._listed = self._clock()
        self._synced.set()

    def _list_all(self) -> list[Object]:
        """All pages. Without a resourceVersion the server reads from etcd: its cache may be behind what we saw."""
        items: list[Object] = []
        query = {**self._selectors, "limit": PAGE}
        while True:
            page = self._client.list(self._resource, **query)
            items += page["items"]
            self._note_contact()
            self._version = page["metadata"]["resourceVersion"]
            following = page["metadata"].get("continue")
            if not following:
                return items
            # The token is valid for some five minutes; after that the server answers 410, and the list begins anew.
            query["continue"] = following

    def _watch(self) -> None:
        began = self._clock()
        query = {
            **self._selectors,
            "resourceVersion": self._version,
            # Otherwise the server ends the watch by itself, after 30 to 60 minutes.
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),
        }
        with self._client.watch(self._resource, read_seconds=self._read_seconds, **query) as response:
            self._response = response
            self._note_contact()
            if self._stopping.is_set():
                return
            for line in lines(response):
                self._apply_event(_decode(line))
        # A normal end needs no pause, unless it came at once: the loop would hammer the server.
        if self._clock() - began < 1.0 and not self._stopping.is_set():
            raise Unavailable("the watch was closed at once")

    def _apply_event(self, event: Mapping[str, Any]) -> None:
        found = event["object"]
        if event["type"] == "ERROR":
            self._raise_error(found)
        self._note_contact()
        self._pause = 0.0
        self._version = found["metadata"]["resourceVersion"]
        # A bookmark holds a newer resourceVersion and no object.
        if event["type"] != "BOOKMARK":
            self._store(found, gone=event["type"] == "DELETED")

    def _raise_error(self, status: Mapping[str, Any]) -> NoReturn:
        # The HTTP status of the stream was 200 long ago; a later failure comes as an event with a Status object.
        if status.get("code") == 410:
            raise _Expired
        raise Unavailable(f"the watch of {self._resource.plural} failed: {status.get('message', '')}")

    def _back_off(self, error: Exception) -> None:
        """Pause, twice as long after each failure, and at random so that watches do not come back together.

        HTTP 410 needs a new list at once, and no pause.
        """
        if isinstance(error, Refused) and error.status == 410:
            self._listed = 0.0
            return
        self.error = str(error)
        self.failures += 1
        shortest, longest = BACKOFF_SECONDS
        self._pause = min(longest, max(shortest, 2 * self._pause))
        self._stopping.wait(self._pause * random.uniform(0.5, 1.0))

    # -- the cache ------------------------------------------------------------

    def _replace_cache(self, items: list[Object]) -> None:
        """Make the cache equal to a list, and report the differences as if a watch had delivered them."""
        present = {found["metadata"]["uid"] for found in items}
        # By uid: an object that was deleted and created again under its name is another one.
        vanished = [old for old in self.all() if old["metadata"]["uid"] not in present]
        for old in vanished:
            self._store(old, gone=True)
        for found in items:
            if not self._is_unchanged(found):
                self._store(found, gone=False)

    def _is_unchanged(self, found: Object) -> bool:
        """True if the cache holds this version of the object."""
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

    def _note_contact(self) -> None:
        self._heard = self._clock()


def _decode(line: bytes) -> Mapping[str, Any]:
    try:
        event: Mapping[str, Any] = json.loads(line)
    except ValueError as error:
        raise Unavailable("the watch was cut in the middle of an event") from error
    return event
