"""A WebSocket server, from after the handshake on (RFC 6455): it sends each message back.

There is nothing to train: running it leaves a note in AUTORESEARCH_ARTIFACT. `load` gives what serves one connection.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from io import BufferedRWPair
from pathlib import Path
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Broken(Exception):
    """The client broke a rule: the connection ends with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Frame(NamedTuple):
    """One frame of the client's."""

    final: bool
    opcode: int
    payload: bytes


def read_frame(stream: BufferedRWPair) -> Frame | None:
    """Read the next frame; None at the end of the stream."""
    head = stream.read(2)
    if len(head) < 2:
        return None
    final, opcode, masked, size = head[0] > 127, head[0] & 15, head[1] > 127, head[1] & 127
    if not masked:
        raise Broken(1002)
    if size > 125:
        size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
    key, payload = stream.read(4), stream.read(size)
    return Frame(final, opcode, unmask(payload, key))


def unmask(payload: bytes, key: bytes) -> bytes:
    """The payload as it was before the client masked it, all bytes at once."""
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


def send_frame(stream: BufferedRWPair, opcode: int, payload: bytes) -> None:
    """Send a frame that is whole."""
    size = len(payload)
    if size < 126:
        head = bytes([128 | opcode, size])
    elif size < 1 << 16:
        head = bytes([128 | opcode, 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([128 | opcode, 127]) + size.to_bytes(8, "big")
    stream.write(head + payload)
    stream.flush()


def answer_frames(stream: BufferedRWPair) -> None:
    """Answer frame after frame until one side ends the connection."""
    kind, message = TEXT, b""
    while frame := read_frame(stream):
        if frame.opcode == CLOSE:
            send_frame(stream, CLOSE, frame.payload[:2])
            return
        if frame.opcode == PING:
            send_frame(stream, PONG, frame.payload)
        if frame.opcode >= CLOSE:
            continue
        kind = frame.opcode or kind
        message += frame.payload
        if frame.final:
            send_frame(stream, kind, message)
            message = b""


def load(artifact: Path) -> Callable[[socket.socket], None]:
    """The function that serves one connection, in a thread of its own."""

    def serve(connection: socket.socket) -> None:
        with connection.makefile("rwb") as stream:
            try:
                answer_frames(stream)
            except Broken as broken:
                send_frame(stream, CLOSE, broken.code.to_bytes(2, "big"))

    return serve


def main() -> None:
    """Leave something to load."""
    Path(os.environ["AUTORESEARCH_ARTIFACT"], "note").write_text("nothing is learnt")


if __name__ == "__main__":
    main()
