"""The messages between examiner and candidate of a language model: tokens (B, T) go out, logits (B, T, V) come back.

A question of the probe round has a cut (B,) for each sequence beside the tokens, and only the logits there (B, V) come
back: at all positions they would be T times as much.

Every field of a reply's header must equal the expected value before the body is read. Each difference raises a
Rejection with a sentence of its own. The candidate's half is used by our own server and trusts the examiner.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exam.kit.errors import DataError
from exam.kit.wire import REPLY_LIMIT, fault, read_exactly

Tokens = npt.NDArray[np.integer]
Half = npt.NDArray[np.float16]

REQUEST = struct.Struct("<4I")  # magic, id, B, T; then the tokens, and in the probe round the cuts
REPLY = struct.Struct("<4IQ")  # magic, id, item size, V, byte count

REQUEST16_MAGIC = 0x36315141  # token ids as uint16
REQUEST32_MAGIC = 0x32335141  # token ids as uint32, where V > 65,536
PROBE16_MAGIC = 0x36315150  # the same two, followed by cuts as uint32
PROBE32_MAGIC = 0x32335150
REPLY_MAGIC = 0x54474F4C

ITEM_BYTES = 2  # float16

BATCH_BYTES = 16 << 20
"""Aim for the logits of one reply, in bytes (16 MiB): on two cores 8 and 16 MiB cost the same, 32 MiB a tenth more."""


def batch_rows(length: int, vocabulary: int, most: int | None = None) -> int:
    """Number of sequences in a batch for T = length and V = vocabulary, so that a reply takes about BATCH_BYTES.

    most: a cap, 1 for models whose answers depend on the batch. Raises DataError if a single sequence needs more
    than REPLY_LIMIT.
    """
    row = length * vocabulary * ITEM_BYTES
    if row > REPLY_LIMIT:
        raise DataError(
            f"one sequence of {length} tokens over {vocabulary} logits needs {row} bytes, more than {REPLY_LIMIT}: "
            "prepare the data with a shorter --sequence-length"
        )
    return max(1, min(BATCH_BYTES // row, most or BATCH_BYTES))


@dataclass(frozen=True, slots=True)
class Question:
    """One question, which fixes the shape (B, P, V) of its reply."""

    id: int
    """Its number in the round, from 0."""
    rows: int
    """Sequences, B."""
    length: int
    """Tokens in each, T."""
    vocabulary: int
    """Logits for each position, V."""
    at_cut: bool = False
    """True if one position of each sequence is answered, its cut, and not all of them."""

    @property
    def reply_bytes(self) -> int:
        """Size of the logits (B, P, V) in float16."""
        return self.rows * self.positions * self.vocabulary * ITEM_BYTES

    @property
    def positions(self) -> int:
        """Positions of each sequence that are answered, P."""
        return 1 if self.at_cut else self.length


def encode_request(question: Question, tokens: Tokens, cuts: Tokens | None = None) -> bytes:
    """Encode header, token ids (B, T) and, for a question at cuts, these (B,) as one message."""
    wide = question.vocabulary > 65_536
    magic = (
        (PROBE32_MAGIC if wide else PROBE16_MAGIC) if question.at_cut else REQUEST32_MAGIC if wide else REQUEST16_MAGIC
    )
    header = REQUEST.pack(magic, question.id, question.rows, question.length)
    body = np.ascontiguousarray(tokens, dtype="<u4" if wide else "<u2").tobytes()
    return header + body + (b"" if cuts is None else np.ascontiguousarray(cuts, dtype="<u4").tobytes())


def check_reply(header: bytes, question: Question) -> None:
    """Compare the header of a reply with the question; raises Rejection for the first field that differs."""
    magic, id_, item, vocabulary, size = REPLY.unpack(header)
    if magic != REPLY_MAGIC:
        raise fault(f"answer {question.id} does not begin as an answer must (magic {magic:#x})")
    if id_ != question.id:
        raise fault(f"an answer to question {id_} came where question {question.id} was asked")
    if item != ITEM_BYTES:
        raise fault(f"answer {question.id} has items of {item} bytes instead of {ITEM_BYTES} (float16)")
    if vocabulary != question.vocabulary:
        raise fault(
            f"answer {question.id} has {vocabulary} logits for each token, the vocabulary has {question.vocabulary}"
        )
    if size != question.reply_bytes:
        raise fault(
            f"answer {question.id} announces {size} bytes, but logits of shape "
            f"({question.rows}, {question.positions}, {question.vocabulary}) take {question.reply_bytes}"
        )


# The candidate's half.


@dataclass(frozen=True, slots=True)
class Request:
    """A question as the candidate reads it."""

    id: int
    tokens: npt.NDArray[np.int64]
    """Sequences, (B, T)."""
    cuts: npt.NDArray[np.int64] | None
    """The position of each that is asked for, (B,); None for all of them."""

    def choose(self, logits: Half) -> Half:
        """The part of the logits (B, T, V) that is asked for: all of them, or (B, V)."""
        return logits if self.cuts is None else logits[np.arange(len(self.cuts)), self.cuts]


def read_request(peer: socket.socket) -> Request | None:
    """Read the next question; None when the examiner has closed the connection."""
    header = read_exactly(peer, REQUEST.size)
    if header is None:
        return None
    magic, id_, rows, length = REQUEST.unpack(header)
    kind = np.dtype("<u4" if magic in (REQUEST32_MAGIC, PROBE32_MAGIC) else "<u2")
    body = read_exactly(peer, rows * length * kind.itemsize)
    places = read_exactly(peer, rows * 4) if magic in (PROBE16_MAGIC, PROBE32_MAGIC) else b""
    if body is None or places is None:
        return None
    tokens = np.frombuffer(body, dtype=kind).reshape(rows, length).astype(np.int64)
    return Request(id_, tokens, np.frombuffer(places, dtype="<u4").astype(np.int64) if places else None)


def write_reply(peer: socket.socket, id_: int, logits: Half) -> None:
    """Send logits (B, T, V), or (B, V) at cuts, as the answer to question `id_`."""
    peer.sendall(REPLY.pack(REPLY_MAGIC, id_, logits.itemsize, logits.shape[-1], logits.nbytes))
    peer.sendall(np.ascontiguousarray(logits).data.cast("B"))
