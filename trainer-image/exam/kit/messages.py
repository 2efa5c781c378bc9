"""The messages between examiner and candidate of any task: a header of fixed size, then a body of a stated type.

A message that differs from what was stated raises a Rejection; each kind of difference has its own sentence.
"""

from __future__ import annotations

import struct
from typing import Any

from exam.kit.errors import DataError
from exam.kit.types import Kind, Type
from exam.kit.wire import fault

# "<" also leaves out the padding between fields that C would have.
HEADER = struct.Struct("<4s3IQ")
"""Magic, number of the question, kind, what is wanted back (ASK) or 0, bytes of the body; little-endian."""

TASK, ASK, ANSWER, RESET, CONNECT = b"TSK\x01", b"ASK\x01", b"ANS\x01", b"RST\x01", b"CON\x01"
"""The magics: the manner of the exam; a question; an answer; a new episode begins; a connection is handed over."""


def encode_question(magic: bytes, number: int, type_: Type, value: Any, *, wanted: int) -> bytes:
    """A whole message of the examiner's. Raises DataError if its author's question is not of the type that he states.

    wanted: the code of the answer's type.
    """
    try:
        kind, body = type_.encode(value)
        code = type_.wanted if kind is Kind.ARRAY else kind
        if problem := type_.fault_of_header(code, len(body)):
            raise ValueError(problem)
        if kind is Kind.ARRAY:
            type_.decode(body)
    except ValueError as error:
        raise DataError(f"examiner: question {number} {error}") from None
    return HEADER.pack(magic, number, code, wanted, len(body)) + body


def decode_header(header: bytes, number: int, type_: Type) -> int:
    """The bytes of the body that follows; raises Rejection if it is not an answer to this question of this type."""
    magic, given, kind, _, size = HEADER.unpack(header)
    if magic != ANSWER:
        raise fault(f"answer {number} does not begin as an answer must (magic {magic.hex()})")
    if given != number:
        raise fault(f"an answer to question {given} came where question {number} was asked")
    if problem := type_.fault_of_header(kind, size):
        raise fault(f"answer {number} {problem}")
    return int(size)


def decode_answer(body: bytes | memoryview, number: int, type_: Type) -> Any:
    """The answer; raises Rejection if it is not of its type."""
    try:
        return type_.decode(body)
    except ValueError as error:
        raise fault(f"answer {number} {error}") from None
