"""Activities for tests: a living loop, and any set of facts there can be."""

from __future__ import annotations

from hypothesis import strategies as st

from controller.notices import Activity, Cause, End, RunningTry
from controller.ports import Waiting, WaitReason
from controller.text.safe_text import one_line

NOW = 1_900_000_000.0
LIVE = Activity(tag="mar8", turned=True, pid=4121, since=NOW - 900, heard_at=NOW - 1)
TRAINS = (RunningTry(43, 1, "train"),)

SENTENCES = st.text(max_size=8).map(one_line)
"""Text as a loop has it: it was made safe before."""

WAITS = st.builds(Waiting, reason=st.sampled_from(WaitReason), text=SENTENCES, until=st.none() | st.floats(0, 2e9))
ENDS = st.builds(End, cause=st.sampled_from(Cause), reason=SENTENCES, at=st.floats(0, 2e9))
TRIES = st.builds(
    RunningTry, st.integers(0, 9), st.integers(1, 3), st.sampled_from(["", "train", "examine", "queued", "terminating"])
)
ACTIVITIES = st.builds(
    Activity,
    tag=st.just("mar8"),
    alive=st.booleans(),
    turned=st.booleans(),
    pid=st.integers(0, 9),
    since=st.floats(0, 2e9),
    tries=st.lists(TRIES, max_size=6).map(tuple),
    proposing=st.integers(0, 3),
    asked_at=st.none() | st.floats(0, 2e9),
    waiting=st.lists(WAITS, max_size=3).map(tuple),
    trouble=st.sampled_from(["", "image x cannot be had"]),
    end=st.none() | ENDS,
    retry_at=st.none() | st.floats(0, 2e9),
    heard_at=st.floats(0, 2e9),
)
