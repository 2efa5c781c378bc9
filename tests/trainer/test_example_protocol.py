"""The conversations of examples/protocol, beside a reader of WebSocket frames that others wrote: that of aiohttp."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import sys
from base64 import b64decode
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import WebSocketError, WebSocketReader, WSMsgType
from aiohttp.streams import EofStream

PREPARE = Path(__file__).resolve().parents[2] / "examples/protocol/prepare.py"
BROKEN = 1002
NO_CODE = 1005
DRAWN = 400
"""Conversations, with a fixed seed: about a second."""


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    """The file that composes conversations."""
    place = importlib.util.spec_from_file_location("protocol_prepare", PREPARE)
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, place.name, module)  # a dataclass looks its own module up
        place.loader.exec_module(module)
    return module


async def read(sent: bytes) -> tuple[list[tuple[int, bytes]], list[bytes], int | None]:
    """Messages, pings and the code at the end, as aiohttp reads them; None where it sees no end."""
    queue = WebSocketDataQueue(BaseProtocol(asyncio.get_running_loop()), 1 << 26, loop=asyncio.get_running_loop())
    WebSocketReader(queue, 0, compress=False, decode_text=True).feed_data(sent)
    if queue.exception() is None:
        queue.feed_eof()
    messages: list[tuple[int, bytes]] = []
    pings: list[bytes] = []
    while True:
        try:
            message: Any = await queue.read()
        except WebSocketError as error:
            return messages, pings, int(error.code)
        except EofStream:
            return messages, pings, None
        if message.type == WSMsgType.CLOSE:
            return messages, pings, message.data or NO_CODE
        if message.type == WSMsgType.PING:
            pings.append(message.data)
        elif message.type == WSMsgType.TEXT:
            messages.append((1, message.data.encode()))
        elif message.type == WSMsgType.BINARY:
            messages.append((2, message.data))


def test_another_reader_agrees_on_all_but_some_of_the_broken_frames(prepare: ModuleType) -> None:
    """aiohttp lets some broken rules pass, such as frames without a mask, and is as strict as the standard else."""
    chance = random.Random(5)
    agreed, broken = 0, 0
    for _ in range(DRAWN):
        case = prepare.draw_case(chance)
        last = case["turns"][-1]
        wanted = [(opcode, b64decode(payload)) for opcode, payload in case["messages"]]
        messages, pings, code = asyncio.run(read(b"".join(b64decode(turn["bytes"]) for turn in case["turns"])))

        assert messages[: len(wanted)] == wanted
        if last["codes"] == [BROKEN]:
            broken += 1
            agreed += code == BROKEN and messages == wanted
            continue
        assert messages == wanted
        assert pings[-1:] == [b64decode(ping) for ping in last["pong"]]
        assert code in last["codes"]
    assert broken > DRAWN / 4
    assert agreed > broken / 2
