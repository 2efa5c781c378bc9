"""A program that takes nothing for a while does not make the vendor wait, up to what is kept for it."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from controller.agent.command.outlet import MOST_KEPT, Outlet
from tests.support.waiting import PATIENCE_S, wait_until


def take_all(connection: socket.socket, size: int) -> bytes:
    taken = bytearray()
    while len(taken) < size and (piece := connection.recv(2**20)):
        taken += piece
    return bytes(taken)


def test_what_is_not_taken_is_kept_and_comes_in_order() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    pieces = [os.urandom(100_000) for _ in range(40)]
    with ours, theirs:
        outlet = Outlet(ours)
        for piece in pieces:
            outlet.send(piece)  # nobody reads
        finishing = threading.Thread(target=outlet.finish)
        finishing.start()
        taken = take_all(theirs, 4_000_000)
        finishing.join(PATIENCE_S)

    assert taken == b"".join(pieces)


def test_no_more_than_the_most_is_kept() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    sent = threading.Event()
    with ours, theirs:
        outlet = Outlet(ours)
        outlet.send(bytes(MOST_KEPT))

        def send_more() -> None:
            outlet.send(bytes(2**20))
            sent.set()

        threading.Thread(target=send_more, daemon=True).start()
        assert not sent.wait(0.2)
        take_all(theirs, 2**20)
        wait_until(sent.is_set, what="room for the rest")


def test_nobody_at_the_other_side_is_an_error() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours:
        outlet = Outlet(ours)
        outlet.send(bytes(4 * 2**20))
        theirs.close()

        with pytest.raises(OSError, match="pipe"):
            outlet.finish()
