"""The one port of the controller that pods of proposals reach: their folders, their results, and their gateways.

Each connection says by its first bearer whose it is. The porter's bearer of a session gets that session's folder and
hands in its result; the model's bearer is led to that session's gateway and to nothing else, for as long as the
connection lasts. Any other one is answered with 401. A session's bearers are drawn anew and end with it.

A hostile program may open what connections it likes: those of one address are bounded, and so is the time until a
connection has said whose it is.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from threading import Lock, Thread
from typing import Any

from controller.executor.forwarder import CHUNK, join
from controller.executor.kubernetes.request_head import Head, read_head
from controller.executor.porter import FOLDER, RESULT
from controller.executor.workshop import Serve

MOST_CONNECTIONS = 40
"""Connections from one address at a time: more than a gateway answers."""

HEAD_SECONDS = 10.0
"""Seconds in which a connection says whose it is."""

CARRY_SECONDS = 60.0
"""Seconds that the next bytes of a folder or a result may take."""


@dataclass(eq=False, slots=True, kw_only=True)
class Guest:
    """A session that the door knows."""

    folder: bytes
    """What the porter fetches."""

    most_bytes: int
    """Most bytes of a result."""

    handed_in: Callable[[bytes], None]
    """Takes the result; only the first one counts."""

    key: str = field(default_factory=lambda: f"porter-{token_hex(24)}")
    """The porter's bearer."""

    gateway: Path | None = None
    """Unix socket of the gateway; None without a model."""

    delivered: bool = False
    closed: bool = False
    connections: set[socket.socket] = field(default_factory=set)


class Door:
    """Listens at one port for all sessions; safe to use from several threads."""

    def __init__(self, address: str, port: int) -> None:
        """address: the one to listen at; empty for all. port: 0 takes a free one. Raises OSError."""
        self._guests: dict[bytes, tuple[Guest, bool]] = {}
        """By the hash of a bearer: its guest, and whether it is the porter's."""
        self._lock = Lock()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._server = _Server(socket.create_server((address, port), family=family, backlog=128), self)
        # serve_forever looks so often if it is to end, in seconds.
        Thread(target=self._server.serve_forever, args=(0.2,), name="door", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        """Listen no more; sessions under way end by themselves."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def admit(
        self,
        *,
        folder: bytes,
        most_bytes: int,
        handed_in: Callable[[bytes], None],
        bearer: str = "",
        serve: Serve | None = None,
    ) -> Iterator[Guest]:
        """A guest until the end, with its gateway served. Nothing of it is connected after that."""
        guest = Guest(folder=folder, most_bytes=most_bytes, handed_in=handed_in)
        keys = {_digest(guest.key): (guest, True)}
        with ExitStack() as while_it_lasts:
            if serve is not None:
                place = Path(while_it_lasts.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
                listener = while_it_lasts.enter_context(socket.socket(socket.AF_UNIX))
                listener.bind(str(place / "socket"))
                listener.listen()
                while_it_lasts.enter_context(serve(listener))
                guest.gateway = place / "socket"
                keys[_digest(bearer)] = (guest, False)
            with self._lock:
                self._guests |= keys
            try:
                yield guest
            finally:
                with self._lock:
                    for key in keys:
                        self._guests.pop(key, None)
                    guest.closed = True
                    connections = list(guest.connections)
                for connection in connections:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)

    def answer(self, client: socket.socket) -> None:
        """Answer one connection to its end. Raises OSError where the other side goes."""
        client.settimeout(HEAD_SECONDS)
        head = read_head(client)
        if head is None:
            return _reply(client, 431, b"send a request of HTTP, with at most 64 KiB of headers, at once")
        with self._lock:
            guest, carries = self._guests.get(_digest(head.bearer), (None, False))
            if guest is not None:
                guest.connections.add(client)
        if guest is None:
            return _reply(client, 401, b"the key is not one of a proposal under way")
        try:
            if carries:
                client.settimeout(CARRY_SECONDS)
                _carry_for_porter(guest, head, client)
            elif guest.gateway is not None:
                client.settimeout(None)
                _lead(client, guest.gateway, head.raw)
        finally:
            with self._lock:
                guest.connections.discard(client)
        return None


class _Server(ThreadingMixIn, TCPServer):
    """Serves a socket that listens already, with a thread for each of a bounded number of connections."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, door: Door) -> None:
        super().__init__(("", 0), BaseRequestHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._door = door
        self._lock = Lock()
        self._of_peer: Counter[str] = Counter()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            crowded = self._of_peer[client_address[0]] >= MOST_CONNECTIONS
            if not crowded:
                self._of_peer[client_address[0]] += 1
        if crowded:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._of_peer[client_address[0]] -= 1
                if not self._of_peer[client_address[0]]:
                    del self._of_peer[client_address[0]]

    def finish_request(self, request: Any, *_: Any) -> None:
        """Answer one connection."""
        self._door.answer(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is printed for a pod that hung up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _carry_for_porter(guest: Guest, head: Head, client: socket.socket) -> None:
    """Give the folder, or take the first result."""
    if (head.method, head.path) == ("GET", FOLDER):
        return _reply(client, 200, guest.folder)
    if (head.method, head.path) != ("POST", RESULT) or guest.delivered:
        return _reply(client, 404, b"there is a folder to be had and one result to be handed in")
    if head.length is None or head.length > guest.most_bytes:
        return _reply(client, 413, b"the result is longer than it may be")
    parts = [head.beyond]
    missing = head.length - len(head.beyond)
    while missing > 0:
        part = client.recv(min(missing, CHUNK))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    guest.delivered = True
    # Before the answer, which ends the container and so the pod: nobody shall see an end without a result.
    guest.handed_in(b"".join(parts)[: head.length])
    return _reply(client, 200, b"taken")


def _lead(client: socket.socket, gateway: Path, first: bytes) -> None:
    """Lead the client to the gateway, with what was read of it already, until both sides have ended."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(str(gateway))
        server.sendall(first)
        join(client, server)


def _reply(client: socket.socket, status: int, body: bytes) -> None:
    client.sendall(b"HTTP/1.1 %d .\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body)) + body)


def _digest(bearer: str) -> bytes:
    # Of a hash, the time that a look-up takes tells nothing about the bearer.
    return sha256(bearer.encode()).digest()
