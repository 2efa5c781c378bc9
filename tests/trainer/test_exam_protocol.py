"""The wire between examiner and candidate: nothing unexpected is read, and no wait outlives its deadline."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from exam.kit import wire
from exam.kit.errors import DataError, Rejection
from exam.kit.wire import REPLY_LIMIT, Closed, Deadline
from exam.language import protocol
from exam.language.protocol import REPLY, REPLY_MAGIC, Question
from hypothesis import given
from hypothesis import strategies as st

QUESTION = Question(id=3, rows=2, length=5, vocabulary=7)
TRUE_HEADER = (REPLY_MAGIC, 3, 2, 7, 2 * 5 * 7 * 2)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_the_expected_header_passes() -> None:
    protocol.check_reply(REPLY.pack(*TRUE_HEADER), QUESTION)


@given(st.binary(min_size=REPLY.size, max_size=REPLY.size))
def test_any_other_header_is_rejected(header: bytes) -> None:
    if REPLY.unpack(header) == TRUE_HEADER:
        return
    with pytest.raises(Rejection) as caught:
        protocol.check_reply(header, QUESTION)
    assert caught.value.test == "protocol"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        pytest.param(0, 1, "does not begin as an answer must", id="magic"),
        pytest.param(1, 4, "an answer to question 4 came", id="id"),
        pytest.param(2, 8, "items of 8 bytes", id="item size"),
        pytest.param(3, 6, "6 logits for each token", id="vocabulary"),
        pytest.param(4, 2**60, "announces 1152921504606846976 bytes", id="byte count"),
    ],
)
def test_each_wrong_field_has_its_own_sentence(field: int, value: int, sentence: str) -> None:
    fields = [*TRUE_HEADER]
    fields[field] = value

    with pytest.raises(Rejection, match=sentence):
        protocol.check_reply(REPLY.pack(*fields), QUESTION)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 8),
    st.sampled_from([300, 65_536, 65_537, 200_000]),
    st.integers(0, 2**32 - 1),
)
def test_a_request_arrives_as_it_was_sent(id_: int, rows: int, length: int, vocabulary: int, seed: int) -> None:
    tokens = np.random.default_rng(seed).integers(0, vocabulary, (rows, length))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(protocol.encode_request(Question(id_, rows, length, vocabulary), tokens))
        received = protocol.read_request(theirs)

    assert received is not None
    assert (received.id, received.cuts) == (id_, None)
    np.testing.assert_array_equal(received.tokens, tokens)


@given(st.integers(1, 4), st.integers(1, 8), st.sampled_from([300, 200_000]), st.integers(0, 2**32 - 1))
def test_a_request_at_cuts_arrives_with_them(rows: int, length: int, vocabulary: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    tokens, cuts = generator.integers(0, vocabulary, (rows, length)), generator.integers(0, length, rows)
    question = Question(1, rows, length, vocabulary, at_cut=True)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(protocol.encode_request(question, tokens, cuts))
        received = protocol.read_request(theirs)

    assert received is not None
    np.testing.assert_array_equal(received.tokens, tokens)
    np.testing.assert_array_equal(received.cuts, cuts)
    logits = generator.standard_normal((rows, length, 3)).astype(np.float16)
    np.testing.assert_array_equal(received.choose(logits), [each[cut] for each, cut in zip(logits, cuts, strict=True)])
    assert question.reply_bytes == rows * vocabulary * 2


def test_an_answer_arrives_as_it_was_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    logits = np.random.default_rng(0).standard_normal((2, 5, 7)).astype(np.float16)
    protocol.write_reply(theirs, 3, logits)

    header, body = bytearray(REPLY.size), bytearray(QUESTION.reply_bytes)
    wire.receive(ours, header, Deadline.after(60), what="header")
    protocol.check_reply(bytes(header), QUESTION)
    wire.receive(ours, body, Deadline.after(60), what="body")

    np.testing.assert_array_equal(np.frombuffer(body, "<f2").reshape(2, 5, 7), logits)


def test_the_candidate_sees_the_end_of_the_exam_as_no_question(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.close()
    assert protocol.read_request(theirs) is None


def test_silence_is_rejected_at_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(Rejection, match=r"silence: nothing of answer 3 came within 0\.1 s"):
        wire.receive(pair[0], bytearray(10), Deadline.after(0.1), what="answer 3")


def test_a_drip_cannot_move_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.02):
            theirs.send(b"\0")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        with pytest.raises(Rejection, match=r"too slow: only \d+ of 1000 bytes of answer 3 came within 2 s"):
            wire.receive(ours, bytearray(1000), Deadline.after(2), what="answer 3")
    finally:
        done.set()
        dripping.join()  # and all 1000 bytes, which take 20 s and more, would have been no fault


def test_a_closed_connection_is_told_from_silence(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"abc")
    theirs.close()

    with pytest.raises(Closed, match="after 3 of 10 bytes of answer 3"):
        wire.receive(ours, bytearray(10), Deadline.after(60), what="answer 3")


def test_a_candidate_that_does_not_read_cannot_hold_the_examiner(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(Rejection, match=r"question 3 was not read within 0\.2 s"):
        wire.send(pair[0], bytes(64 << 20), Deadline.after(0.2), what="question 3")


def test_bytes_that_nobody_asked_for_are_seen(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    assert not wire.has_unread(ours)
    theirs.sendall(b"x")
    assert wire.has_unread(ours)


@given(st.binary(max_size=20))
def test_only_the_greeting_is_a_greeting(message: bytes) -> None:
    if message == struct.pack("<2I", wire.READY_MAGIC, wire.VERSION):
        return
    with pytest.raises(Rejection, match="something else than its greeting"):
        wire.check_ready(message)


@given(st.integers(1, 8192), st.integers(1, 200_000), st.none() | st.integers(1, 100))
def test_a_batch_never_exceeds_the_limits(length: int, vocabulary: int, most: int | None) -> None:
    if length * vocabulary * 2 > REPLY_LIMIT:
        with pytest.raises(DataError, match="shorter --sequence-length"):
            protocol.batch_rows(length, vocabulary, most)
        return
    rows = protocol.batch_rows(length, vocabulary, most)

    assert 1 <= rows <= (most or rows)
    assert rows == 1 or rows * length * vocabulary * 2 <= protocol.BATCH_BYTES


def test_a_deadline_never_lies_beyond_the_exams_own() -> None:
    assert Deadline.after(1000, latest=time.monotonic() + 1).left() <= 1
    assert Deadline.after(-1).left() == 0
