"""The wire between examiner and candidate: fixed headers, exact sizes, absolute deadlines.

The examiner's half distrusts its peer: every header field must equal what is expected before a byte is
read or allocated, and every wait ends at a deadline that a slow drip cannot move. Whatever differs is a
Rejection with a sentence of its own. The candidate's half is for our own server and trusts the examiner.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exam.errors import DataError, Rejection

Tokens = npt.NDArray[np.integer]
Half = npt.NDArray[np.float16]

READY = struct.Struct("<2I")  # magic, version
REQUEST = struct.Struct("<4I")  # magic, id, B, T
REPLY = struct.Struct("<4IQ")  # magic, id, item size, V, byte count

READY_MAGIC = 0x59445245
REQUEST16_MAGIC = 0x36315141  # token ids as uint16
REQUEST32_MAGIC = 0x32335141  # token ids as uint32, where V > 65,536
REPLY_MAGIC = 0x54474F4C
VERSION = 1

SOCKET = "exam.sock"
RESTART, FINISH = b"restart\n", b"finish\n"  # orders over the control connection
DEAD = b"dead\n"  # the supervisor's last word: nothing of its incarnation lives

ITEM_BYTES = 2  # float16
READ_BYTES = 1 << 20
REPLY_LIMIT = 256 << 20
BATCH_BYTES = 16 << 20  # on two cores 8 and 16 MiB cost alike, 32 a tenth more; memory stays bounded


def batch_rows(length: int, vocabulary: int, most: int | None = None) -> int:
    """Sequences per batch for T = length and V = vocabulary, so that a reply stays near BATCH_BYTES.

    most: a cap, 1 for models whose answers depend on the batch. Raises DataError when a single sequence
    would need more than REPLY_LIMIT.
    """
    row = length * vocabulary * ITEM_BYTES
    if row > REPLY_LIMIT:
        raise DataError(
            f"one sequence of {length} tokens over {vocabulary} logits needs {row} bytes, more than {REPLY_LIMIT}: "
            "prepare the data with a shorter --sequence-length"
        )
    return max(1, min(BATCH_BYTES // row, most or BATCH_BYTES))


def socket_address(folder: Path) -> tuple[int, str]:
    """An open handle on a folder and the exam socket's path through it: a plain path may exceed 107 bytes."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return handle, f"/proc/self/fd/{handle}/{SOCKET}"


@dataclass(slots=True)
class Deadline:
    """A moment on the monotonic clock by which the candidate must have answered; ours to move, never its."""

    at: float
    limit: str  # how a rejection names it

    @classmethod
    def after(cls, seconds: float, *, latest: float = float("inf")) -> Deadline:
        """The moment `seconds` from now, but not beyond `latest`, where the exam's own time ends."""
        until = time.monotonic() + seconds
        return cls(until, f"within {seconds:.3g} s") if until < latest else cls(latest, "before the exam's time was up")

    def left(self) -> float:
        """Seconds that remain, 0 when it has passed."""
        return max(0.0, self.at - time.monotonic())


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, and so what the reply must look like: B = rows, T = length, V = vocabulary."""

    id: int
    rows: int
    length: int
    vocabulary: int

    @property
    def reply_bytes(self) -> int:
        """Size of the logits (B, T, V) in float16."""
        return self.rows * self.length * self.vocabulary * ITEM_BYTES


def encode_request(question: Question, tokens: Tokens) -> bytes:
    """Header and token ids (B, T) as one message."""
    wide = question.vocabulary > 65_536
    magic = REQUEST32_MAGIC if wide else REQUEST16_MAGIC
    header = REQUEST.pack(magic, question.id, question.rows, question.length)
    return header + np.ascontiguousarray(tokens, dtype="<u4" if wide else "<u2").tobytes()


def check_reply(header: bytes, question: Question) -> None:
    """Compare a reply's header with the question; raises Rejection for the first field that differs."""
    magic, id_, item, vocabulary, size = REPLY.unpack(header)
    if magic != REPLY_MAGIC:
        raise _fault(f"answer {question.id} does not begin as an answer must (magic {magic:#x})")
    if id_ != question.id:
        raise _fault(f"an answer to question {id_} came where question {question.id} was asked")
    if item != ITEM_BYTES:
        raise _fault(f"answer {question.id} has items of {item} bytes instead of {ITEM_BYTES} (float16)")
    if vocabulary != question.vocabulary:
        raise _fault(
            f"answer {question.id} has {vocabulary} logits for each token, the vocabulary has {question.vocabulary}"
        )
    if size != question.reply_bytes:
        raise _fault(
            f"answer {question.id} announces {size} bytes, but logits of shape "
            f"({question.rows}, {question.length}, {question.vocabulary}) take {question.reply_bytes}"
        )


def check_ready(message: bytes) -> None:
    """Compare the greeting of a candidate that has loaded its model; raises Rejection when it differs."""
    if message != READY.pack(READY_MAGIC, VERSION):
        raise _fault("the candidate sent something else than its greeting before the first question")


def send(peer: socket.socket, message: bytes, deadline: Deadline, *, what: str) -> None:
    """Send all of a message before the deadline; raises Rejection when the candidate does not take it."""
    view = memoryview(message)
    while view:
        peer.settimeout(max(deadline.left(), 1e-3))
        try:
            view = view[peer.send(view[:READ_BYTES]) :]
        except TimeoutError:
            raise _fault(f"{what} was not read {deadline.limit}") from None
        except OSError:
            raise Closed(f"the candidate closed the connection before it took {what}") from None
        if view and not deadline.left():
            raise _fault(f"{what} was not read {deadline.limit}")


def receive(peer: socket.socket, buffer: bytearray | memoryview, deadline: Deadline, *, what: str) -> None:
    """Fill a buffer before the deadline; raises Rejection on silence, on a drip and on a closed connection."""
    view, size, got = memoryview(buffer), len(buffer), 0
    while got < size:
        if not deadline.left():
            raise _late(what, got, size, deadline)
        peer.settimeout(max(deadline.left(), 1e-3))
        try:
            count = peer.recv_into(view[got : got + READ_BYTES])
        except TimeoutError:
            raise _late(what, got, size, deadline) from None
        except OSError:
            count = 0
        if count == 0:
            raise Closed(f"the candidate closed the connection after {got} of {size} bytes of {what}")
        got += count


def is_waiting(peer: socket.socket) -> bool:
    """Whether the candidate has sent something that nobody asked for yet."""
    peer.setblocking(False)
    try:
        return bool(peer.recv(1, socket.MSG_PEEK))
    except OSError:  # nothing there, or closed: the next read tells which
        return False


class Closed(Rejection):
    """The candidate's end of the connection closed in the middle of something; its supervisor may know why."""

    def __init__(self, sentence: str) -> None:
        super().__init__("protocol", sentence)


def _fault(sentence: str) -> Rejection:
    return Rejection("protocol", sentence)


def _late(what: str, got: int, size: int, deadline: Deadline) -> Rejection:
    if got == 0:
        return _fault(f"silence: nothing of {what} came {deadline.limit}")
    return _fault(f"too slow: only {got} of {size} bytes of {what} came {deadline.limit}")


# The candidate's half.


def read_request(peer: socket.socket) -> tuple[int, npt.NDArray[np.int64]] | None:
    """The next question as (id, tokens (B, T)), or None when the examiner has closed."""
    header = _read_exactly(peer, REQUEST.size)
    if header is None:
        return None
    magic, id_, rows, length = REQUEST.unpack(header)
    kind = np.dtype("<u4" if magic == REQUEST32_MAGIC else "<u2")
    body = _read_exactly(peer, rows * length * kind.itemsize)
    if body is None:
        return None
    return id_, np.frombuffer(body, dtype=kind).reshape(rows, length).astype(np.int64)


def write_reply(peer: socket.socket, id_: int, logits: Half) -> None:
    """Answer question id_ with logits (B, T, V)."""
    peer.sendall(REPLY.pack(REPLY_MAGIC, id_, logits.itemsize, logits.shape[-1], logits.nbytes))
    peer.sendall(np.ascontiguousarray(logits).data.cast("B"))


def _read_exactly(peer: socket.socket, size: int) -> bytes | None:
    buffer = bytearray(size)
    view, got = memoryview(buffer), 0
    while got < size:
        count = peer.recv_into(view[got:])
        if count == 0:
            return None
        got += count
    return bytes(buffer)
