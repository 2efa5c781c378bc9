"""Reading what containers printed: the end of a log once, or a live log for people.

It answers for bounds (bytes, lines, connections) and for saying plainly that a log is gone. It refuses to
interpret: scores are read elsewhere, and never from a followed log.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import urllib3

from controller.executor.kubernetes.client import Client, let_go, lines
from controller.executor.kubernetes.errors import Refused, Unavailable
from controller.scores import shorten

TAIL_LINES = 200
LIMIT_BYTES = 2**22
"""Holds the last 200 lines even if each has the 16 KiB at which a runtime breaks lines."""

FOLLOW_LIMIT = 2**25
"""Bytes after which a live log is not followed any further: somebody prints to be printing."""

KEPT_BYTES = 65_536
READ_SECONDS = 300.0
RECONNECT_SECONDS = 2.0

NO_LOG = (b"unable to retrieve container logs for", b"failed to try resolving symlinks in path")
"""How a kubelet says, with HTTP 200, that the log file is gone."""


def read_tail(client: Client, pod: str, container: str) -> bytes | None:
    """The end of a log, or None where there is none any more. Raises Unavailable when asking again may help."""
    try:
        data = client.log(pod, container, tail_lines=TAIL_LINES, limit_bytes=LIMIT_BYTES)
    except Refused:
        return None
    return None if data.startswith(NO_LOG) else data


class Follower:
    """Follows one container's log on a thread of its own, and remembers its last line and its end."""

    def __init__(self, client: Client, pod: str, container: str, *, wanted: Callable[[], bool]) -> None:
        self._client = client
        self._pod = pod
        self._container = container
        self._wanted = wanted
        self._seen = SeenLines()
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._bytes = 0
        self._line = b""
        self._stopping = threading.Event()
        self._response: urllib3.BaseHTTPResponse | None = None
        self._thread = threading.Thread(target=self._run, name=f"follow-{pod}", daemon=True)
        self._thread.start()

    @property
    def line(self) -> str:
        """The last line that was not empty, safe to show."""
        return shorten(self._line.decode(errors="replace"), 200)

    @property
    def tail(self) -> bytes:
        """The end of what was seen: what remains when the pod is gone before its log was read."""
        return b"\n".join(tuple(self._kept))

    @property
    def alive(self) -> bool:
        """Whether it still holds a connection."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let go of the connection."""
        self._stopping.set()
        response = self._response
        if response is not None:
            let_go(response)

    def join(self, seconds: float) -> None:
        """Wait until the connection is closed."""
        self._thread.join(timeout=seconds)

    def _run(self) -> None:
        while self._goes_on():
            # Silence, a cut or a rotated file are normal: go on from the last line seen.
            with suppress(Unavailable):
                try:
                    self._follow()
                except Refused:
                    return
            self._stopping.wait(RECONNECT_SECONDS)

    def _goes_on(self) -> bool:
        return not self._stopping.is_set() and self._bytes < FOLLOW_LIMIT and self._wanted()

    def _follow(self) -> None:
        query = {"sinceTime": self._seen.since} if self._seen.since else {"tailLines": str(TAIL_LINES)}
        with self._client.follow(self._pod, self._container, read_seconds=READ_SECONDS, **query) as response:
            self._response = response
            for line in lines(response):
                stamp, _, text = line.partition(b" ")
                if self._seen.is_new(stamp.decode(errors="replace"), text):
                    self._keep(text)
                if self._stopping.is_set() or self._bytes >= FOLLOW_LIMIT:
                    return

    def _keep(self, text: bytes) -> None:
        self._bytes += len(text) + 1
        self._size += len(text) + 1
        self._kept.append(text)
        while self._size > KEPT_BYTES and len(self._kept) > 1:
            self._size -= len(self._kept.popleft()) + 1
        if text.strip():
            self._line = text


class SeenLines:
    """Which lines of a followed log came before. `sinceTime` counts whole seconds, so a second comes twice."""

    def __init__(self) -> None:
        self.since = ""
        self._last = ("", "")
        self._lines: set[bytes] = set()

    def is_new(self, stamp: str, text: bytes) -> bool:
        """Whether this line, stamped in RFC 3339 with nanoseconds, was not seen before."""
        second, _, fraction = stamp.rstrip("Z").partition(".")
        moment = (second, fraction.ljust(9, "0"))
        if moment < self._last or (moment == self._last and text in self._lines):
            return False
        if moment != self._last:
            self._last, self._lines = moment, set()
        self._lines.add(text)
        self.since = f"{second}Z"
        return True
