"""Every slot gets as much of the machine as every other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.local.shares import cores_of_slot, cpus_of_slot


@pytest.mark.parametrize(
    ("cpus", "slots", "cores", "share"),
    [(None, 1, 8, None), (None, 2, 8, 4), (None, 3, 16, 5), (None, 4, 2, 0.5), (1.5, 4, 2, 1.5), (2, 1, 8, 2)],
)
def test_share_is_what_is_set_or_else_equal_and_whole_where_it_can_be(
    cpus: float | None, slots: int, cores: int, share: float | None
) -> None:
    assert cpus_of_slot(cpus, slots=slots, cores=cores) == share


@given(slots=st.integers(2, 64), cores=st.integers(1, 128))
def test_all_shares_together_are_never_more_than_there_is(slots: int, cores: int) -> None:
    share = cpus_of_slot(None, slots=slots, cores=cores)

    assert share is not None
    assert 0 < share * slots <= cores + 1e-9


@given(slots=st.integers(2, 64), cores=st.sets(st.integers(0, 255), min_size=1, max_size=128))
def test_slots_share_no_core_if_there_is_one_for_each(slots: int, cores: set[int]) -> None:
    cpus = cpus_of_slot(None, slots=slots, cores=len(cores))
    given_out = [cores_of_slot(slot, slots=slots, cores=sorted(cores), cpus=cpus) for slot in range(slots)]

    used = [core for slot in given_out for core in slot]
    assert set(used) <= cores
    assert len({len(slot) for slot in given_out}) == 1
    most = max(used.count(core) for core in used)
    assert most == 1 if slots <= len(cores) else most <= -(-slots // len(cores))


def test_one_slot_without_a_limit_runs_everywhere() -> None:
    assert cores_of_slot(0, slots=1, cores=[0, 1, 2], cpus=None) == ()
