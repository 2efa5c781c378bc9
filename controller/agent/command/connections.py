"""Serves a socket that listens already: a thread for each of a bounded number of connections, and an end that waits."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from threading import BoundedSemaphore, Condition
from typing import Any

MOST_CONNECTIONS = 32
"""Connections of one program at a time; a further one is closed."""


MOST_BYTES_AT_ONCE = 32 * 2**20
"""Bytes of all requests of one program that are dealt with at a time (32 MiB, as many as the largest has): read as
JSON, they may take twenty times as much memory of the controller."""


class Connections(ThreadingMixIn, TCPServer):
    """Serves a socket that listens already, with a thread for each connection."""

    # ThreadingMixIn would keep a list of its threads, and wait for each when the server is closed.
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, handler: type[BaseRequestHandler]) -> None:
        # TCPServer always makes a socket; bind_and_activate=False leaves it unused, and it gives way to ours.
        super().__init__(("", 0), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._free = BoundedSemaphore(MOST_CONNECTIONS)
        self._changed = Condition()
        self._calls = 0
        self._bytes = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count one more call, while it lasts."""
        with self._changed:
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    @contextmanager
    def hold_bytes(self, size: int) -> Iterator[bool]:
        """Room for a request of so many bytes while it is dealt with; False if the others leave none."""
        with self._changed:
            there_is_room = self._bytes + size <= MOST_BYTES_AT_ONCE
            self._bytes += size if there_is_room else 0
        try:
            yield there_is_room
        finally:
            with self._changed:
                self._bytes -= size if there_is_room else 0

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until no call is under way, so long at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._calls == 0, seconds)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            # Nothing was read yet, so the other side sees its connection end before any answer.
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is printed for a program that hung up: its calls are booked all the same."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
