"""Followed logs: no line lost or repeated by a new connection, and none shown that could harm a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.executor.kubernetes.logs import Follower, SeenLines
from tests.support.kubernetes_api import Reply, ScriptedApi, client_of
from tests.support.waiting import PATIENCE_S, wait_until


@given(st.lists(st.integers(0, 3 * 10**9), min_size=1, max_size=40, unique=True), st.lists(st.integers(0, 40)))
def test_reconnecting_neither_loses_nor_repeats_a_line(nanoseconds: list[int], cuts: list[int]) -> None:
    log = [(f"2026-11-24T07:30:{n // 10**9:02}.{n % 10**9:09}".rstrip("0") + "Z", n) for n in sorted(nanoseconds)]
    log = [(stamp.replace(".Z", "Z"), n) for stamp, n in log]
    seen, kept = SeenLines(), []
    for cut in [*sorted(cuts), len(log)]:
        served = [line for line in log[:cut] if line[0][:19] >= seen.since[:19]]
        kept += [n for stamp, n in served if seen.is_new(stamp, str(n).encode())]

    assert kept == sorted(nanoseconds)


def test_lines_with_one_stamp_are_all_kept() -> None:
    seen = SeenLines()
    lines = [b"a", b"b", b"a", b"c"]

    assert [line for line in lines if seen.is_new("2026-11-24T07:30:00Z", line)] == [b"a", b"b", b"c"]


def test_follower_shows_the_last_line_safely_and_keeps_the_tail() -> None:
    lines = [
        b"2026-11-24T07:30:00.1Z step 1\n",
        b"2026-11-24T07:30:00.2Z \x1b[31mstep 2\x07\n",
        b"2026-11-24T07:30:00.3Z \n",
    ]
    api = ScriptedApi()
    api.answer("GET", "pods/p/log", Reply(stream=lines, silent=True))
    with client_of(api) as client:
        follower = Follower(client, "p", "train", wanted=lambda: True)
        wait_until(lambda: follower.line == "step 2", what="the last line")

        assert follower.tail.startswith(b"step 1\n")
        follower.stop()
        follower.join(PATIENCE_S)
        assert not follower.alive


def test_follower_ends_when_nobody_wants_it_or_the_pod_is_gone() -> None:
    api = ScriptedApi()
    api.answer("GET", "pods/p/log", Reply(stream=[]))
    with client_of(api) as client:
        for follower in (
            Follower(client, "p", "train", wanted=lambda: False),
            Follower(client, "gone", "train", wanted=lambda: True),
        ):
            follower.join(PATIENCE_S)
            assert not follower.alive
