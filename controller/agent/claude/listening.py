"""A request on a thread of its own, so that whoever asked can give it up at once and close its connection.

A read from a socket cannot be interrupted, and closing a socket that another thread reads does not end the read on
Linux; shutting it down does. The API then sees the connection end, and makes no more tokens that nobody hears.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any, Generic, TypeVar

POLL_SECONDS = 0.1
"""Interval at which a call looks whether to give up: short for a person who stops a campaign."""

T = TypeVar("T")


class Listening(Generic[T]):
    """One request under way, shared by the thread that listens and the thread that asked."""

    def __init__(self) -> None:
        self.ended = Event()
        self.abandoned = Event()
        # True from the moment at which bytes of the request may have left: from then on it may be billed.
        self.sent = False
        # The id that the API gave the request, from its response's headers.
        self.request_id = ""
        # Called when the response's first piece has arrived.
        self.begun: Callable[[], None] = lambda: None
        # What has arrived so far, as the listener keeps it.
        self.partial: Any = None
        self._result: T | BaseException | None = None
        self._socket: socket.socket | None = None
        self._lock = Lock()

    def start(self, work: Callable[[Listening[T]], T], *, name: str) -> None:
        """Do the work on a thread. It is a daemon, because a connection to nowhere may hold it for seconds."""
        Thread(target=self._work, args=(work,), name=name, daemon=True).start()

    def wait(self, give_up: Callable[[], bool]) -> bool:
        """Wait for the end; false, with the connection closed, if `give_up` says so before."""
        while not self.ended.wait(POLL_SECONDS):
            if give_up():
                self._abandon()
                return False
        return True

    def result(self) -> T:
        """The work's result, after its end. Raises what the work has raised."""
        if isinstance(self._result, BaseException):
            raise self._result
        assert self._result is not None
        return self._result

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by the HTTP library at each step of the request; remembers the connection."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
            if self.abandoned.is_set():
                self._shut_down()
        elif event.endswith(".send_request_headers.started"):
            self.sent = True

    def _work(self, work: Callable[[Listening[T]], T]) -> None:
        try:
            self._result = work(self)
        except BaseException as error:  # noqa: BLE001 - carried over, and raised again by the asking thread
            self._result = error
        finally:
            self.ended.set()

    def _abandon(self) -> None:
        self.abandoned.set()
        self._shut_down()

    def _shut_down(self) -> None:
        # Shutting down raises if the other side or the listener has closed the socket already.
        with self._lock, suppress(OSError, ValueError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
