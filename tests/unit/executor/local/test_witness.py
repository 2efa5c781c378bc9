"""What the kernel's counters say of the machine while a training ran, as shares."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Calm, Witness
from controller.executor.disturbance import describe_disturbance, without_stolen
from controller.executor.local.witness import (
    Counters,
    Observer,
    OwnUse,
    parse_machine,
    parse_pressure,
    parse_schedstat,
    parse_ticks,
    witness_between,
)

NOW = Counters(
    at=100.0, cpu_pressure=5.0, memory_pressure=1.0, stolen=10, total=1000, user=300, own=200, periods=50, throttled=5
)


def test_shares_are_of_the_time_between() -> None:
    later = replace(NOW, at=110.0, cpu_pressure=7.5, stolen=30, total=3000, periods=150, throttled=30)

    assert witness_between(NOW, later, waited=0.2) == Witness(
        waited=0.2, throttled=0.25, contended=0.25, starved=0.0, stolen=0.01, taken=0.01
    )


def test_what_the_campaign_computes_itself_is_not_taken_from_it() -> None:
    both = replace(NOW, user=NOW.user + 900, own=200 + 400, total=NOW.total + 1000)
    alone = replace(both, own=200 + 900)

    assert witness_between(NOW, both, waited=0.2).taken == 0.5
    assert witness_between(NOW, alone, waited=0.2).taken == 0.0
    assert witness_between(NOW, replace(alone, stolen=NOW.stolen + 300), waited=0.2).taken == 0.3
    assert witness_between(replace(NOW, own=None), both, waited=0.2).taken is None


def test_a_virtual_machine_tells_what_was_stolen_from_it() -> None:
    """Lines of a machine with two CPUs under load, 22 minutes apart."""
    between = witness_of(
        "cpu  22676 13285 12421 28462 500 0 254 425 0 0\ncpu0 11342 6630 6201 14230 250 0 127 212 0 0\n",
        "cpu  67587 203031 42099 28468 510 0 792 790 0 0\ncpu0 33790 101515 21049 14234 255 0 396 395 0 0\n",
        own=1000.0,
    )

    assert between.stolen == pytest.approx(3.65 / 2652.54)
    assert between.taken == pytest.approx((2346.57 - 1000.0 + 3.65) / 2652.54)


def test_a_training_is_not_run_again_for_stolen_time_which_it_may_have_brought_about() -> None:
    """Two threads on two CPUs, of which the host gives less than one in all: a burstable machine out of credit."""
    throttled = witness_of("cpu  500 0 100 9000 0 0 0 10 0 0\n", "cpu  1700 0 140 9000 0 0 0 810 0 0\n", own=12.0)
    beside_a_neighbour = witness_of(
        "cpu  500 0 100 9000 0 0 0 10 0 0\n", "cpu  1700 0 140 9000 0 0 0 810 0 0\n", own=5.0
    )
    calm = Calm(waited=0.05, taken=0.02)

    assert throttled.stolen == pytest.approx(0.392, abs=0.001)
    assert throttled.taken == throttled.stolen
    assert describe_disturbance(without_stolen(throttled), calm) == ""
    assert "other programs took 34% of the CPUs" in describe_disturbance(without_stolen(beside_a_neighbour), calm)
    assert without_stolen(None) is None
    assert without_stolen(Witness(waited=0.4)) == Witness(waited=0.4)


def witness_of(start: str, end: str, *, own: float) -> Witness:
    """The witness between two texts of /proc/stat, of a training that waited; own: user seconds of the campaign."""
    one, two = (
        replace(NOW, stolen=told.stolen, total=told.total, user=told.user, own=mine)
        for told, mine in ((parse_machine(start, hertz=100), 0.0), (parse_machine(end, hertz=100), own))
    )
    return witness_between(one, two, waited=0.5)


def test_what_a_machine_does_not_tell_is_left_open() -> None:
    silent = replace(NOW, cpu_pressure=None, memory_pressure=None, periods=0, throttled=0, total=0, stolen=0, own=None)

    assert witness_between(silent, replace(silent, at=200.0), waited=None) == Witness()


@given(st.lists(st.floats(0, 1e12), min_size=16, max_size=16), st.floats(0, 1e6))
def test_shares_are_shares_whatever_the_counters_do(numbers: list[float], seconds: float) -> None:
    one, two = (
        Counters(at=at, cpu_pressure=a, memory_pressure=b, stolen=c, total=d, periods=e, throttled=f, user=g, own=h)
        for at, (a, b, c, d, e, f, g, h) in ((0.0, numbers[:8]), (seconds, numbers[8:]))
    )
    witness = witness_between(one, two, waited=None)

    shares = (witness.throttled, witness.contended, witness.starved, witness.stolen, witness.taken)
    assert all(share is None or 0 <= share <= 1 for share in shares)


def test_files_of_the_kernel_are_read() -> None:
    pressure = "some avg10=0.12 avg60=0.05 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
    assert parse_pressure(pressure) == 2.5
    assert parse_pressure("") is None
    assert parse_ticks("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1\n") == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert parse_ticks("") == []
    assert parse_schedstat("340154 3853603 2\n") == (340154, 3853603)
    assert parse_schedstat("") is None


def test_this_machine_tells_something_without_a_cgroup() -> None:
    observer = Observer(None, OwnUse())
    observer.look()

    witness = observer.end()

    assert witness.waited is None
    assert witness.throttled is None
    assert witness.taken is None
