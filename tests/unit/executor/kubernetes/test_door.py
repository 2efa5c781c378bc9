"""The one port that pods of proposals reach: each bearer opens what belongs to its own session, and nothing else."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.kubernetes.door import MOST_CONNECTIONS, Door
from controller.executor.kubernetes.request_head import parse_head
from tests.support.waiting import PATIENCE_S, wait_until

Serve = Callable[[socket.socket], AbstractContextManager[None]]


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door("127.0.0.1", 0)
    yield door
    door.close()


def ask(door: Door, method: str, path: str, bearer: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of one request."""
    line = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE_S)
    try:
        line.request(method, path, body, {"authorization": f"Bearer {bearer}"})
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def gateway_that_says(word: bytes) -> Serve:
    """A gateway that answers every connection's first bytes with one word."""

    @contextmanager
    def serve(listener: socket.socket) -> Iterator[None]:
        def answer() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(1000)
                    client.sendall(b"HTTP/1.1 200 .\r\ncontent-length: %d\r\n\r\n" % len(word) + word)

        answers = Thread(target=answer, daemon=True)
        answers.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        answers.join(PATIENCE_S)

    return serve


def test_each_session_gets_its_own_folder_and_reaches_its_own_gateway(door: Door) -> None:
    taken: dict[str, bytes] = {}
    with (
        door.admit(
            folder=b"first folder",
            most_bytes=100,
            handed_in=lambda result: taken.update(first=result),
            bearer="model-1",
            serve=gateway_that_says(b"first"),
        ) as first,
        door.admit(
            folder=b"second folder",
            most_bytes=100,
            handed_in=lambda result: taken.update(second=result),
            bearer="model-2",
            serve=gateway_that_says(b"second"),
        ) as second,
    ):
        assert ask(door, "GET", "/folder", first.key) == (200, b"first folder")
        assert ask(door, "GET", "/folder", second.key) == (200, b"second folder")
        assert ask(door, "POST", "/v1/messages", "model-1", b"{}") == (200, b"first")
        assert ask(door, "POST", "/v1/messages", "model-2", b"{}") == (200, b"second")
        assert ask(door, "POST", "/result", second.key, b"mine")[0] == 200

    assert taken == {"second": b"mine"}


def test_the_programs_bearer_neither_fetches_nor_hands_in(door: Door) -> None:
    taken: list[bytes] = []
    with door.admit(
        folder=b"folder", most_bytes=100, handed_in=taken.append, bearer="model", serve=gateway_that_says(b"model")
    ):
        assert ask(door, "GET", "/folder", "model") == (200, b"model")
        assert ask(door, "POST", "/result", "model", b"forged") == (200, b"model")

    assert taken == []


@pytest.mark.parametrize("bearer", ["", "porter-", "guess", "é"])
def test_any_other_bearer_opens_nothing(door: Door, bearer: str) -> None:
    with door.admit(folder=b"folder", most_bytes=100, handed_in=lambda _: None):
        assert ask(door, "GET", "/folder", bearer)[0] == 401


def test_bearers_end_with_their_session(door: Door) -> None:
    with door.admit(
        folder=b"folder", most_bytes=100, handed_in=lambda _: None, bearer="model", serve=gateway_that_says(b"x")
    ) as guest:
        pass

    assert ask(door, "GET", "/folder", guest.key)[0] == 401
    assert ask(door, "POST", "/v1/messages", "model", b"{}")[0] == 401


def test_connections_under_way_end_with_their_session(door: Door) -> None:
    said = Event()

    @contextmanager
    def silent(listener: socket.socket) -> Iterator[None]:
        def hear() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                said.set()
                client.recv(1000)

        hears = Thread(target=hear, daemon=True)
        hears.start()
        yield
        hears.join(PATIENCE_S)

    with socket.create_connection(("127.0.0.1", door.port), timeout=PATIENCE_S) as program:
        with door.admit(folder=b"", most_bytes=1, handed_in=lambda _: None, bearer="model", serve=silent):
            program.sendall(b"POST / HTTP/1.1\r\nx-api-key: model\r\n\r\n")
            assert said.wait(PATIENCE_S)
        assert program.recv(100) == b""


def test_only_the_first_result_counts_and_none_that_is_too_long(door: Door) -> None:
    taken: list[bytes] = []
    with door.admit(folder=b"", most_bytes=5, handed_in=taken.append) as guest:
        assert ask(door, "POST", "/result", guest.key, b"123456")[0] == 413
        assert ask(door, "POST", "/result", guest.key, b"first")[0] == 200
        assert ask(door, "POST", "/result", guest.key, b"later")[0] == 404

    assert taken == [b"first"]


def test_one_address_cannot_take_the_door_for_itself_for_ever(door: Door) -> None:
    idle = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(MOST_CONNECTIONS + 5)]
    with door.admit(folder=b"folder", most_bytes=1, handed_in=lambda _: None) as guest:
        for connection in idle:
            connection.close()

        def is_served() -> bool:
            try:
                return ask(door, "GET", "/folder", guest.key) == (200, b"folder")
            except (OSError, http.client.HTTPException):
                return False  # while threads of earlier connections have not ended yet

        assert wait_until(is_served, what="room at the door")


@given(read=st.binary(max_size=300))
def test_any_bytes_are_a_head_or_none(read: bytes) -> None:
    head = parse_head(read)

    assert head is None or (head.raw == read and read.endswith(head.beyond))


@given(
    lines=st.lists(
        st.sampled_from(["x-api-key: a", "X-Api-Key: b", "authorization: Bearer c", "content-length: -1", "a", ":"]),
        max_size=5,
    )
)
def test_head_of_odd_headers_has_one_bearer_and_no_odd_length(lines: list[str]) -> None:
    head = parse_head("\r\n".join(["POST / HTTP/1.1", *lines, "", "body"]).encode())

    assert head is not None
    assert head.bearer in ("", "a", "b", "c")
    assert head.length is None
    assert head.beyond == b"body"
