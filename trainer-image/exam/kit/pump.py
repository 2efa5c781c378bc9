"""Carry bytes between a connection that the examiner handed over and a server of the candidate's."""

from __future__ import annotations

import contextlib
import socket
import threading

CHUNK = 1 << 16
"""Bytes of one read: as many as a Unix socket usually holds."""


def join(peer: socket.socket, address: str) -> None:
    """Connect to a server at a Unix address, and carry bytes both ways until both sides have said their last."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.connect(address)
        forth = threading.Thread(target=_carry, args=(peer, server), daemon=True)
        forth.start()
        _carry(server, peer)
        forth.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # one side has gone: the other is told by the end below
        while chunk := source.recv(CHUNK):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
