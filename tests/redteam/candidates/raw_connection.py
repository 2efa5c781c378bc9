"""For candidates that speak on the examiner's connection themselves instead of returning a model."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

READY = struct.pack("<2I", 0x59445245, 1)
REPLY_MAGIC = 0x54474F4C


def connection() -> socket.socket:
    """The data connection that this process was started with."""
    return socket.socket(fileno=int(sys.argv[sys.argv.index("--serve") + 1]))


def read_question(peer: socket.socket) -> tuple[int, np.ndarray]:
    """One request as (id, tokens (B, T))."""
    _, id_, rows, length = struct.unpack("<4I", peer.recv(16, socket.MSG_WAITALL))
    body = peer.recv(rows * length * 2, socket.MSG_WAITALL)
    return id_, np.frombuffer(body, "<u2").reshape(rows, length)


def header(id_: int, size: int, vocabulary: int = 64, item: int = 2, magic: int = REPLY_MAGIC) -> bytes:
    """A reply's header, true or not."""
    return struct.pack("<4IQ", magic, id_, item, vocabulary, size)


def speak(answer: Callable[[socket.socket, int, np.ndarray], None]) -> Callable[[Path], object]:
    """A load_model that greets, then answers the first question in its own way, then waits."""

    def load_model(artifact: Path) -> object:
        peer = connection()
        peer.sendall(READY)
        answer(peer, *read_question(peer))
        while True:
            time.sleep(60)

    return load_model
