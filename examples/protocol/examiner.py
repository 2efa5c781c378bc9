"""A client of a WebSocket server, after the handshake: sends hidden cases and judges the frames that come back."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exam.examiner import Connection, Streams

OPCODES = CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MOST = 1 << 20  # bytes of one conversation: five times the longest honest one


@dataclass
class Heard:
    """What a server said: its messages by opcode, its pongs, the code of its Close frame (1005 for none, 7.1.5)."""

    messages: list[list[Any]] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    code: int | None = None


def read_frame(data: bytes) -> tuple[bool, int, bytes, bytes] | None:
    """FIN, opcode and payload of a server's next frame, and the rest; None if it is not whole. Raises ValueError."""
    if len(data) < 2:
        return None
    opcode, size, start = data[0] & 15, data[1], 2
    if opcode not in OPCODES or data[0] & 0x70 or size > 127 or (opcode >= CLOSE and (data[0] < 128 or size > 125)):
        raise ValueError("a reserved bit or opcode, a mask, or a control frame that is long or in fragments")
    if size > 125:
        start, least = (4, 126) if size == 126 else (10, 1 << 16)
        size = int.from_bytes(data[2:start], "big")
        if len(data) >= start and size < least:
            raise ValueError("a length in more bytes than it takes")
    end = start + size
    return (data[0] > 127, opcode, data[start:end], data[end:]) if len(data) >= end else None


def read_answers(data: bytes) -> Heard:
    """Read what a server sent so far. Raises ValueError where it breaks the standard's rules."""
    heard, in_message = Heard(), False
    while frame := read_frame(data):
        final, opcode, payload, data = frame
        if heard.code is not None or (opcode < PING and (opcode == CONTINUATION) != in_message):
            raise ValueError("a frame behind Close, out of order, or Close before a message has ended")
        if opcode == CLOSE:
            heard.code = int.from_bytes(payload[:2], "big") if payload else 1005
        elif opcode == PONG:
            heard.pongs.append(payload)
        elif opcode < CLOSE:
            heard.messages += [[opcode, b""]] if opcode else []
            heard.messages[-1][1] += payload
            in_message = not final
    return heard


def judge(data: bytes, item: Any, turn: Any) -> bool | None:
    """True if all is answered that was asked up to this turn, None if it still can be, False if it no longer can."""
    try:
        heard = read_answers(data)
    except ValueError:
        return False
    wanted = [[opcode, b64decode(payload)] for opcode, payload in item["messages"][: turn["messages"]]]
    ponged = {b64decode(ping) for ping in turn["pong"]} <= set(heard.pongs)  # the last one: others need none (5.5.3)
    if heard.messages == wanted and ponged and heard.code in turn["codes"]:
        return True
    fits = all(text.startswith(got) for (_, got), (_, text) in zip(heard.messages, wanted, strict=False))
    return None if fits and heard.code is None and len(heard.messages) <= len(wanted) else False


class WebSocket(Streams):
    """A case is a conversation of one or two turns: bytes go out in pieces, and the answers decide."""

    metric, direction = "handled", "maximize"
    measure_cpu, startup_seconds, answer_seconds = True, 20.0, 10.0

    def items(self, folder: Path) -> Any:
        """The cases of one part."""
        return json.loads((folder / "cases.json").read_text())

    def talk(self, item: Any, connect: Callable[[], Connection]) -> float:
        """1 for a case that was handled right, else 0. Silence where an answer is due rejects."""
        connection, data = connect(), b""
        for turn in item["turns"]:
            sent, last = b64decode(turn["bytes"]), turn is item["turns"][-1]
            with suppress(ConnectionError):  # a server may close at the first broken rule
                for at in range(0, len(sent), item["piece"]):
                    connection.send(sent[at : at + item["piece"]])
            if last:
                connection.shut()
            while (last or judge(data, item, turn) is None) and len(data) < MOST and (got := connection.receive(MOST)):
                data += got
            if not judge(data, item, turn):
                return 0.0
        return 1.0
