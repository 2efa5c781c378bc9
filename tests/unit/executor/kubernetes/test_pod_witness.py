"""The line of a training's supervisor is believed, and nothing that the training prints is taken for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Calm, TryId, TryRequest, Witness
from controller.executor.kubernetes.observation import EndCause, TryEnd
from controller.executor.kubernetes.pod_witness import EXIT_DISTURBED, read_told, witness_order
from controller.executor.phases import phases
from tests.support.kubernetes_objects import kubernetes_settings
from tests.support.requests import try_request

PREFIX = "AUTORESEARCH_WITNESS_"
WATCHED = try_request(calm=Calm(waited=0.05, taken=0.02), counts=False, late_counts=False)
GAVE_UP = TryEnd(cause=EndCause.CRASH, container="train", exit_code=EXIT_DISTURBED)
SHARES = {"waited": 0.4, "throttled": None, "contended": 0.9, "starved": 0.0, "taken": 0.6, "others": 0.5}


def order_of(request: TryRequest, *, score: str = "exam", **cluster: Any) -> dict[str, str]:
    """What the supervisor of this try's training is told."""
    slots = cluster.pop("slots", 1)
    settings = kubernetes_settings(score=score)
    kubernetes = settings.executor.kubernetes.model_copy(update=cluster)
    executor = settings.executor.model_copy(update={"slots": slots, "kubernetes": kubernetes})
    return witness_order(executor, request, phases(settings, request)[0])


def line(request: TryRequest = WATCHED, *, again: bool = True, key: str = "", **shares: Any) -> bytes:
    key = key or order_of(request)[f"{PREFIX}KEY"]
    return f"\n@@WITNESS v1 {key} {json.dumps({**SHARES, **shares, 'again': again})}\n".encode()


def test_a_supervisor_is_told_the_limits_of_a_try_that_may_be_run_again() -> None:
    order = order_of(WATCHED)

    assert order[f"{PREFIX}MOST_WAITED"] == "0.1500"
    assert order[f"{PREFIX}MOST_TAKEN"] == "0.1200"
    assert order[f"{PREFIX}RUN_AGAIN"] == "0 124"
    baseline = order_of(try_request(calm=Calm(waited=0.05, taken=0.02), late_counts=False))
    assert baseline[f"{PREFIX}RUN_AGAIN"] == "124"
    assert set(order_of(try_request(calm=Calm(waited=0.05, taken=0.02)))) == {f"{PREFIX}KEY", f"{PREFIX}OWN_CPUS"}


def test_only_a_training_with_a_supervisor_is_observed() -> None:
    settings = kubernetes_settings()

    assert order_of(WATCHED, score="log") == {}
    assert [bool(witness_order(settings.executor, WATCHED, each)) for each in phases(settings, WATCHED)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("slots", "cpu", "examine_cpu", "expected"),
    [
        pytest.param(1, "4", "2", "0.5", id="alone"),
        pytest.param(3, "4", "2", "12.5", id="two others, whose candidate and examiner run side by side"),
        pytest.param(2, "500m", "0.25", "1.25", id="parts of a CPU"),
        pytest.param(2, "many", "2", "inf", id="nobody knows how many"),
    ],
)
def test_the_campaigns_other_pods_may_use_their_limits(slots: int, cpu: str, examine_cpu: str, expected: str) -> None:
    order = order_of(WATCHED, slots=slots, cpu=cpu, examine_cpu=examine_cpu)

    assert order[f"{PREFIX}OWN_CPUS"] == expected


def test_a_key_belongs_to_one_try_and_a_controller_that_adopts_it_finds_it_again() -> None:
    requests = [
        WATCHED,
        try_request(id=TryId("t", 1, 1, 2)),
        try_request(commit="d" * 40),
        try_request(seed=4),
    ]
    keys = {order_of(request)[f"{PREFIX}KEY"] for request in requests}

    assert len(keys) == len(requests)
    # A later controller knows other baselines, and perhaps that the try counts.
    assert order_of(try_request())[f"{PREFIX}KEY"] == order_of(WATCHED)[f"{PREFIX}KEY"]


def test_a_disturbed_training_says_by_how_much() -> None:
    told = read_told(b"loss 1.5\n" + line(), WATCHED, GAVE_UP)

    assert told.log == b"loss 1.5\n"
    assert told.witness == Witness(waited=0.4, contended=0.9, starved=0.0, taken=0.6)
    assert told.disturbed == (
        "other programs took 50% of the CPUs while it trained (2% at the baseline), and it waited for 40% of its time"
    )


@pytest.mark.parametrize(
    ("log", "ended"),
    [
        pytest.param(line(again=False), GAVE_UP, id="the training exits with that code itself"),
        pytest.param(b"done\n", GAVE_UP, id="and an old image has no supervisor that measures"),
        pytest.param(line(key="0" * 32), GAVE_UP, id="and prints such a line"),
        pytest.param(line(), TryEnd(cause=EndCause.FINISHED, container="examine"), id="the exam was held all the same"),
        pytest.param(line(), TryEnd(cause=EndCause.CRASH, container="examine", exit_code=79), id="examine ended so"),
    ],
)
def test_nothing_else_is_run_again(log: bytes, ended: TryEnd) -> None:
    assert read_told(log, WATCHED, ended).disturbed == ""


def test_a_try_that_counts_is_never_run_again() -> None:
    counts = try_request(calm=Calm(waited=0.05, taken=0.02))

    assert read_told(line(counts), counts, GAVE_UP).disturbed == ""
    assert read_told(None, counts, GAVE_UP).disturbed == ""


def test_a_log_that_is_gone_makes_no_crash_of_a_disturbed_training() -> None:
    assert read_told(None, WATCHED, GAVE_UP).disturbed.startswith("other programs disturbed it")
    assert read_told(None, WATCHED, TryEnd(cause=EndCause.CRASH, container="train", exit_code=1)).disturbed == ""


@given(st.lists(st.binary(max_size=40)), st.sampled_from([b"@@WITNESS v1 ", b"@@WITNESS v1 " + b"a" * 32 + b" {}"]))
def test_what_a_training_prints_stays_text(printed: list[bytes], mark: bytes) -> None:
    log = b"\n".join([*printed, mark, *printed])
    told = read_told(log, WATCHED, GAVE_UP)

    assert (told.log, told.witness, told.disturbed) == (log, None, "")


@pytest.mark.parametrize(
    "rest", [b"", b"{", b"[0.5]", b"[" * 100_000, b'{"waited": NaN}', b'{"waited": 1e999, "taken": "x"}']
)
def test_a_line_that_was_cut_tells_nothing(rest: bytes) -> None:
    start = line().split(b"{")[0]
    told = read_told(b"loss\n" + start + rest, WATCHED, GAVE_UP)

    assert told.disturbed == ""
    assert told.witness in (None, Witness())
