"""Leads connections to a port of a sandbox's own loopback to a Unix socket, and runs a program beside that.

It is a program of its own inside the sandbox, `python -I -S forwarder.py SOCKET PORT COMMAND...`. Programs speak HTTP
to a port as a rule; a Unix socket that is mounted into a sandbox is the one way out of it that opens no network. The
port listens before COMMAND takes this program's place, so that no first request comes too early. What carries the
bytes is a child, which ends with the sandbox. It imports only the standard library.

The controller's port for pods (`kubernetes/door.py`) imports it for `join`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading

CHUNK = 2**16
"""Bytes passed on at once (64 KiB)."""

MOST_CONNECTIONS = 64
"""Connections at a time; who opens more waits."""


def main(arguments: list[str]) -> None:
    """Serve in a child; become the command."""
    address, port, *command = arguments
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=MOST_CONNECTIONS)
    # fork(2) copies only the thread that calls it, so the threads that carry bytes begin in the child.
    if os.fork() == 0:
        null = os.open(os.devnull, os.O_RDWR)
        # A pipe ends with its last writer: this child must not keep the command's output open.
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        forward(listener, address)
        os._exit(0)
    # The child's descriptor keeps the socket listening.
    listener.close()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def forward(listener: socket.socket, address: str) -> None:
    """Connect every client of `listener` to the Unix socket at `address`."""
    free = threading.Semaphore(MOST_CONNECTIONS)
    while True:
        free.acquire()
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(address)
        except OSError:
            client.close()
            free.release()
            continue
        threading.Thread(target=_join_once, args=(client, server, free), daemon=True).start()


def _join_once(client: socket.socket, server: socket.socket, free: threading.Semaphore) -> None:
    join(client, server)
    client.close()
    server.close()
    free.release()


def join(client: socket.socket, server: socket.socket) -> None:
    """Carry bytes both ways until both sides have ended."""
    back = threading.Thread(target=_carry, args=(server, client), daemon=True)
    back.start()
    _carry(client, server)
    back.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    # The other side learns of the end, and can still answer.
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(sys.argv[1:])
