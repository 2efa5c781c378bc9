"""Draw and seal the conversations of the protocol task. Nothing hidden follows from this file: the system draws.

A conversation is composed of messages, pings and an end: a Close frame, or one broken rule. What must come back is
known from how it was composed, by the rules of RFC 6455, so that no parser has to be trusted.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from exam.sealing import begin, seal

FRESH = 40
"""Conversations of a slice of the reserve."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

BROKEN, BAD_TEXT = 1002, 1007
"""Codes for text that is no UTF-8, and for every other broken rule."""

ENDS = {"close": 6, "head": 5, "order": 2, "text": 4, "code": 3}
"""How often a conversation ends with a proper Close frame, and with each kind of broken rule."""

LETTERS = "abcdefghijklmnop \x00\x7fäßéЖ中€🙂"
"""Of 1 to 4 bytes each."""

BAD_ENDS = (b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xf0\x9f\x99", b"\xff", b"\xc3(")
"""Bytes that are no UTF-8: no first byte, too many bytes, a surrogate, too large, cut off, never used, no second."""

NEVER_SENT = (0, 999, 1004, 1005, 1006, 1015, 5000, 65535)
"""Codes that no Close frame may have (7.4). Those from 1016 to 2999 are not decided by the standard."""


def frame(
    opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, bits: int = 0, wide: int = 0
) -> bytes:
    """A frame of the client's. bits: reserved ones; wide: bytes of a length that takes fewer, 2 or 8."""
    size = len(payload)
    wide = wide or (0 if size < 126 else 2 if size < 1 << 16 else 8)
    length = size.to_bytes(wide, "big") if wide else b""
    head = bytes([final << 7 | bits | opcode, masked << 7 | {0: size, 2: 126, 8: 127}[wide]]) + length
    if not masked:
        return head + payload
    key = secrets.token_bytes(4)
    return head + key + bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))


@dataclass
class Draft:
    """A conversation that is being composed."""

    chance: random.Random
    frames: list[bytes] = field(default_factory=list)
    messages: list[tuple[int, bytes]] = field(default_factory=list)
    """Those that came whole, by opcode: they must come back."""
    pong: list[bytes] = field(default_factory=list)
    """The payload of the last ping, if there was one: others need no answer."""
    goes_on: tuple[int, bytes] | None = None
    """Opcode and bytes of a message that is not whole yet."""

    def add_control(self) -> None:
        """A ping, or now and then a pong that nobody asked for, which needs no answer."""
        payload = self.chance.randbytes(self.chance.choice((0, 1, 8, 125)))
        if self.chance.random() < 0.2:
            self.frames.append(frame(PONG, payload))
            return
        self.frames.append(frame(PING, payload))
        self.pong = [payload]

    def add_fragment(self, payload: bytes, *, kind: int, final: bool) -> None:
        """A frame of a message."""
        begun = self.goes_on
        self.frames.append(frame(CONTINUATION if begun else kind, payload, final=final))
        whole = (begun[0] if begun else kind, (begun[1] if begun else b"") + payload)
        self.goes_on = None if final else whole
        if final:
            self.messages.append(whole)

    def add_message(self) -> None:
        """A whole message in one frame or in up to four, with control frames in between."""
        kind = self.chance.choice((TEXT, BINARY))
        payload = self.draw_payload(kind)
        cuts = sorted(self.chance.randint(0, len(payload)) for _ in range(self.chance.choice((0, 0, 1, 3))))
        for before, cut in zip([0, *cuts], cuts, strict=False):
            self.add_fragment(payload[before:cut], kind=kind, final=False)
            if self.chance.random() < 0.4:
                self.add_control()
        self.add_fragment(payload[cuts[-1] if cuts else 0 :], kind=kind, final=True)

    def draw_payload(self, kind: int) -> bytes:
        """Bytes of a message; one in a hundred is long, and lengths stand beside those at which a head changes."""
        size = self.chance.choice((0, 1, 5, 30, 125, 126, 127, 300))
        if self.chance.random() < 0.01:
            size = self.chance.choice((65535, 65536, 70000))
        if kind == BINARY:
            return self.chance.randbytes(size)
        text = "".join(self.chance.choices(LETTERS, k=size)).encode()[:size].decode(errors="ignore")
        return text.encode().ljust(size, b".")


def draw_close(chance: random.Random) -> tuple[bytes, list[int]]:
    """A proper Close frame, and the codes that may answer it: the same, 1000, or none (1005)."""
    code = chance.choice((None, 1000, 1001, 1003, 1007, 1011, 3000, 3999, 4000, 4999))
    if code is None:
        return frame(CLOSE, b""), [1000, 1005]
    reason = "".join(chance.choices(LETTERS, k=chance.choice((0, 3, 30))))
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode()), [code, 1000, 1005]


def draw_bad_head(draft: Draft) -> bytes:
    """A frame whose first bytes break a rule (5.2, 5.5)."""
    chance = draft.chance
    data = CONTINUATION if draft.goes_on else chance.choice((TEXT, BINARY))
    opcode = chance.choice((data, PING, CLOSE, PONG))
    payload = chance.choice((b"", (1000).to_bytes(2, "big")))  # either would do in a Close frame
    return chance.choice(
        (
            lambda: frame(opcode, payload, bits=chance.choice((0x10, 0x20, 0x40, 0x70))),
            lambda: frame(chance.choice((3, 4, 7, 11, 12, 15)), payload),
            lambda: frame(opcode, payload, masked=False),
            lambda: frame(chance.choice((PING, PONG)), chance.randbytes(chance.choice((126, 127, 200)))),
            lambda: frame(chance.choice((PING, PONG, CLOSE)), payload, final=False),
            lambda: frame(data, chance.randbytes(chance.choice((0, 5, 125))), wide=chance.choice((2, 8))),
            lambda: frame(data, chance.randbytes(chance.choice((126, 300))), wide=8),
            lambda: bytes([128 | data, 255]) + (1 << 63 | 5).to_bytes(8, "big") + bytes(9),
        )
    )()


def draw_end(draft: Draft) -> tuple[bytes, list[int]]:
    """The frame that ends a conversation, and the codes of which one must answer it."""
    chance = draft.chance
    (kind,) = chance.choices(list(ENDS), list(ENDS.values()))
    if kind == "close":
        return draw_close(chance)
    if kind == "head":
        return draw_bad_head(draft), [BROKEN]
    if kind == "order":
        opcode = chance.choice((TEXT, BINARY)) if draft.goes_on else CONTINUATION
        return frame(opcode, b"abc", final=chance.random() < 0.7), [BROKEN]
    if kind == "text":
        # The last frame of its message: a server may refuse text as soon as it sees that it is none, or at the end.
        opcode = CONTINUATION if draft.goes_on else TEXT
        if draft.goes_on and draft.goes_on[0] == BINARY:
            draft.add_fragment(b"", kind=BINARY, final=True)
            opcode = TEXT
        return frame(opcode, b"." * chance.choice((1, 40)) + chance.choice(BAD_ENDS)), [BAD_TEXT]
    if chance.random() < 0.3:
        return frame(CLOSE, chance.randbytes(1)), [BROKEN]
    if chance.random() < 0.5:
        return frame(CLOSE, chance.choice(NEVER_SENT).to_bytes(2, "big")), [BROKEN]
    return frame(CLOSE, (1000).to_bytes(2, "big") + b"bye" + chance.choice(BAD_ENDS)), [BAD_TEXT]


def draw_case(chance: random.Random) -> dict[str, Any]:
    """A conversation, with what must come back after each of its turns."""
    draft, turns = Draft(chance), []
    for _ in range(chance.choice((0, 1, 2, 3))):
        chance.choice((draft.add_message, draft.add_message, draft.add_control))()
    if chance.random() < 0.3:  # the end comes in the middle of a message
        draft.add_fragment("aß€🙂".encode()[: chance.randint(0, 10)], kind=chance.choice((TEXT, BINARY)), final=False)
    if chance.random() < 0.3:
        draft.add_control()
    if chance.random() < 0.3:
        turns.append(turn_of(draft, b"", [None]))
    end, codes = draw_end(draft)
    behind = chance.choice((b"", frame(PING, b"late"), frame(TEXT, b"late"), frame(CLOSE, b"")))
    turns.append(turn_of(draft, end + behind, codes))
    longest = max(len(turn["bytes"]) for turn in turns)
    piece = chance.choice((1, 2, 7, 100, 1 << 20) if longest < 1000 else (1000, 1 << 20))
    messages = [[opcode, encode(payload)] for opcode, payload in draft.messages]
    return {"turns": turns, "messages": messages, "piece": piece}


def turn_of(draft: Draft, end: bytes, codes: Sequence[int | None]) -> dict[str, Any]:
    """What is sent since the turn before, and what must have come back then; a code None: no Close frame yet."""
    sent, draft.frames = b"".join(draft.frames) + end, []
    pong = [encode(payload) for payload in draft.pong]
    return {"bytes": encode(sent), "messages": len(draft.messages), "pong": pong, "codes": codes}


def encode(data: bytes) -> str:
    """Bytes as JSON can hold them."""
    return b64encode(data).decode()


def main() -> None:
    """Write the folder, unless it is there already."""
    data, chance = begin(), random.SystemRandom()
    options = argparse.ArgumentParser()
    options.add_argument("--cases", type=int, default=300, help="conversations of validation, and of the holdout")
    options.add_argument("--slices", type=int, default=48, help="slices of the reserve")
    chosen, _ = options.parse_known_args()
    sizes = {"validation": chosen.cases, "holdout": chosen.cases}
    sizes |= {f"reserve/{number:03d}": FRESH for number in range(chosen.slices)}
    for name, count in sizes.items():
        (data / name).mkdir(parents=True)
        (data / name / "cases.json").write_text(json.dumps([draw_case(chance) for _ in range(count)]))
    seal(data, source="conversations with a WebSocket server, composed at random")
    print(f"{chosen.cases} conversations an exam and {FRESH} fresh ones")


if __name__ == "__main__":
    main()
