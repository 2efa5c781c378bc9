"""The gateway as a program's connections see it, before any call is made."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, cast

from controller.agent.command.connections import MOST_BYTES_AT_ONCE
from controller.agent.command.gateway import Gateway
from tests.support.waiting import PATIENCE_S, wait_until


def announce(address: Path, size: int, *, body: bytes = b"") -> socket.socket:
    """A connection on which a request of so many bytes begins, with its body or without."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE_S)
    client.connect(str(address))
    # At once: who is refused at the head is hung up on, and could send no body.
    client.sendall(f"POST /v1/messages HTTP/1.1\r\nContent-Length: {size}\r\n\r\n".encode() + body)
    return client


def test_large_requests_side_by_side_cannot_fill_the_controllers_memory(tmp_path: Path) -> None:
    gateway = Gateway(cast(Any, None), cast(Any, None), models=())
    address = tmp_path / "s"

    def status_of_another() -> bytes:
        with announce(address, 1, body=b"x") as client:
            # Nothing is answered while threads of too many earlier connections have not ended yet.
            return b"".join(client.recv(100).split()[1:2])

    def is_refused_beside_a_large_one() -> bool:
        # The large one is refused itself where it comes before the room of the last one is free.
        with announce(address, MOST_BYTES_AT_ONCE):
            return any(status_of_another() == b"429" for _ in range(20))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        with gateway.serve(listener):
            assert status_of_another() == b"401"
            wait_until(is_refused_beside_a_large_one, what="a refusal beside it")
            wait_until(lambda: status_of_another() == b"401", what="its room to be free again")
