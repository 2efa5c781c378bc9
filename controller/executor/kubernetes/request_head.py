"""Reads the beginning of a request of HTTP from a connection: as much as tells whose it is."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from time import monotonic

HEAD_BYTES = 2**16
"""Most bytes of a request's line and headers (64 KiB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The line and headers of a request."""

    method: str
    path: str

    bearer: str
    """The key that it carries, in either header that vendors' programs use; empty without one."""

    length: int | None
    """Bytes of its body; None if that is not told."""

    raw: bytes
    """Everything that was read."""

    beyond: bytes
    """What of it comes behind the headers."""


def read_head(client: socket.socket) -> Head | None:
    """The head of the next request; None if it is none, is too long, or takes longer than the socket's time-out.

    Raises OSError where the other side goes.
    """
    read, until = b"", monotonic() + (client.gettimeout() or 0.0)
    while b"\r\n\r\n" not in read:
        if len(read) > HEAD_BYTES or monotonic() > until:
            return None
        part = client.recv(2**14)
        if not part:
            return None
        read += part
    return parse_head(read)


def parse_head(read: bytes) -> Head | None:
    """The head that these bytes begin with; None if they begin with none."""
    text, _, beyond = read.partition(b"\r\n\r\n")
    if len(text) > HEAD_BYTES:
        return None
    first, *lines = text.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        # As http.server does, the first of two headers with one name counts.
        headers.setdefault(name.lower(), value.strip())
    length = headers.get("content-length", "")
    return Head(
        method=words[0],
        path=words[1],
        bearer=headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer "),
        length=int(length) if re.fullmatch(r"[0-9]{1,12}", length) else None,
        raw=read,
        beyond=beyond,
    )
