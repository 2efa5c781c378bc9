"""A wait before the next call is as long as the API asks, within limits."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from controller.agent.claude.setbacks import LONGEST_OWN_SECONDS, LONGEST_TOLD_SECONDS, choose_wait_seconds


@given(failures=st.integers(1, 50), seed=st.integers(0, 99), told=st.none() | st.floats(0, 1e9))
def test_no_wait_is_longer_than_its_cap(failures: int, seed: int, told: float | None) -> None:
    seconds = choose_wait_seconds(failures=failures, retry_after=told, random=Random(seed))

    assert 0 <= seconds <= (LONGEST_OWN_SECONDS if told is None else LONGEST_TOLD_SECONDS * 1.1)
    if told is not None and told < LONGEST_TOLD_SECONDS:
        assert seconds >= told
