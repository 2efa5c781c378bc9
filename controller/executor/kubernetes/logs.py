"""Reads the logs of containers: the end of a log once, or a live log for people.

Everything is bounded (bytes, lines, connections), because the agent's code prints these logs. Scores are never read
from a followed log, which may have gaps.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import urllib3

from controller.executor.kubernetes.client import Client, lines, shut_down_stream
from controller.executor.kubernetes.errors import Refused, Unavailable
from controller.executor.phase_output import READ_BYTES
from controller.text.safe_text import one_line, safe_tail

TAIL_LINES = 200
"""Lines asked for first: most logs are shorter, or their last READ_BYTES have fewer lines."""

LIMIT_BYTES = 2**22
"""Bytes of one answer: 200 lines fit even if each has the 16 KiB at which a container runtime breaks lines."""

SHORTEST_PART = 8_000
"""Bytes up to which every known container runtime leaves a line whole. CRI-O breaks it a little later, containerd at
16 KiB."""

FOLLOW_LIMIT = 2**25
"""Bytes (32 MiB) after which a live log is not followed any further: no person reads so much."""

READ_SECONDS = 300.0
"""Seconds of silence after which a followed log is opened anew: a training may print nothing for minutes."""

RECONNECT_SECONDS = 2.0
"""Pause in seconds before a log is opened anew."""

LINE_BYTES = 4096
"""Bytes at the end of a line that are looked at; a progress bar that rewrites itself makes longer ones."""

_MORE = 16
"""Factor by which the number of lines grows if the lines so far hold too few bytes."""

NO_LOG = (b"unable to retrieve container logs for", b"failed to try resolving symlinks in path")
"""Beginnings of a kubelet's answer, with HTTP 200, if the log file is gone."""


def fetch_log_end(client: Client, pod: str, container: str) -> bytes | None:
    """The last READ_BYTES of a log, or all of a shorter one; None if there is no log any more.

    Raises Unavailable if asking again may help.
    """

    def ask(lines: int) -> bytes:
        return client.log(pod, container, tail_lines=lines, limit_bytes=LIMIT_BYTES)

    try:
        data = ask(TAIL_LINES)
        if data.startswith(NO_LOG):
            return None
        return _ask_for_enough(ask, data)[-READ_BYTES:]
    except Refused:
        # 404 for a pod that is gone, 400 for a container that never started.
        return None


def _ask_for_enough(ask: Callable[[int], bytes], data: bytes) -> bytes:
    """Ask for more lines until READ_BYTES are there, and for fewer if the answer was cut.

    The API takes a number of lines, and cuts an answer of more than LIMIT_BYTES at its end, which is the part that we
    want. So the number of lines is searched by bisection.
    """
    few, many, lines = 0, 0, TAIL_LINES
    while len(data) < READ_BYTES or len(data) >= LIMIT_BYTES:
        if len(data) >= LIMIT_BYTES:
            many = lines
        elif _is_whole(data, lines) or lines >= READ_BYTES:
            return data
        else:
            few = lines
        if many - few == 1:  # one more line is too long: what there is has to do
            return data
        lines = (few + many) // 2 if many else min(READ_BYTES, lines * _MORE)
        data = ask(lines)
    return data


def _is_whole(data: bytes, lines: int) -> bool:
    """True if the log has fewer lines than were asked for. A long line is broken, and each part counts as a line."""
    return data.count(b"\n") + len(data) // SHORTEST_PART + 1 < lines


class Follower:
    """Follows one container's log on a thread of its own, and keeps its last line and its end.

    wanted: asked before each connection; False ends the thread.
    """

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
        return one_line(safe_tail(self._line, LINE_BYTES), 200)

    @property
    def tail(self) -> bytes:
        """The end of the followed log. It is all that is left if the pod goes before its log was read."""
        return b"\n".join(tuple(self._kept))

    @property
    def alive(self) -> bool:
        """True if the thread still runs, and so may hold a connection."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Close the connection, and end the thread soon."""
        self._stopping.set()
        response = self._response
        if response is not None:
            shut_down_stream(response)

    def join(self, seconds: float) -> None:
        """Wait at most `seconds` for the end of the thread."""
        self._thread.join(timeout=seconds)

    def _run(self) -> None:
        while self._is_wanted():
            # Silence, a cut connection and a rotated log file are normal. The next request goes on from the last line.
            with suppress(Unavailable):
                try:
                    self._follow()
                except Refused:
                    return
            self._stopping.wait(RECONNECT_SECONDS)

    def _is_wanted(self) -> bool:
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
        while self._size > READ_BYTES and len(self._kept) > 1:
            self._size -= len(self._kept.popleft()) + 1
        # The supervisor's last line (`pod_witness`) is for the executor, and no word of the training.
        if text.strip() and not text.startswith(b"@@WITNESS "):
            self._line = text


class SeenLines:
    """Recognises the lines of a followed log that came before: `sinceTime` counts whole seconds, so some come twice."""

    def __init__(self) -> None:
        self.since = ""
        """Second of the last line, in RFC 3339; empty before the first line."""
        self._last = ("", "")
        self._lines: set[bytes] = set()

    def is_new(self, stamp: str, text: bytes) -> bool:
        """True if the line was not seen before. stamp: its time in RFC 3339, with at most nine digits of a second."""
        second, _, fraction = stamp.rstrip("Z").partition(".")
        # Trailing zeros are left out of a timestamp, so it is filled up to sort as text.
        moment = (second, fraction.ljust(9, "0"))
        if moment < self._last or (moment == self._last and text in self._lines):
            return False
        if moment != self._last:
            self._last, self._lines = moment, set()
        self._lines.add(text)
        self.since = f"{second}Z"
        return True
