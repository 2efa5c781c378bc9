"""The smaller parts: the work queue, the lease, followed lines, and what a try remembers of its pods."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import TryId, TryRequest
from controller.errors import ClusterError
from controller.executor.kubernetes.attempt import BACKOFF_SECONDS, JOB_UID, RunningTry
from controller.executor.kubernetes.client import LEASES, Client
from controller.executor.kubernetes.lease import Lease, LeaseLost
from controller.executor.kubernetes.logs import Follower, SeenLines
from controller.executor.kubernetes.naming import RECORDED
from controller.executor.kubernetes.orphans import find_orphans
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.verdict import Cause, Ended, Going
from controller.executor.kubernetes.workqueue import WorkQueue
from tests.unit.kubernetes_api import Reply, ScriptedApi, client_of
from tests.unit.test_kubernetes_watch import eventually

# -- the work queue -----------------------------------------------------------


def test_same_key_is_never_worked_on_twice_at_once_and_never_forgotten() -> None:
    busy, overlaps, done = threading.Lock(), [], []
    first, go_on = threading.Event(), threading.Event()

    def work(key: str) -> None:
        if not busy.acquire(blocking=False):
            overlaps.append(key)
            return
        first.set()
        assert go_on.wait(10)
        done.append(key)
        busy.release()

    queue = WorkQueue(work, threads=4, name="test")
    queue.start()
    queue.add("a")
    assert first.wait(10)
    for _ in range(5):
        queue.add("a")
    go_on.set()

    eventually(lambda: len(done) == 2)
    queue.stop(5)
    assert overlaps == []


def test_later_keys_come_in_the_order_of_their_time() -> None:
    done: list[str] = []
    queue = WorkQueue(done.append, threads=1, name="test")
    queue.add_after("second", 0.1)
    queue.add_after("first", 0.02)
    queue.start()

    eventually(lambda: len(done) == 2)
    queue.stop(5)
    assert done == ["first", "second"]


def test_urgent_keys_come_first_and_each_key_once() -> None:
    done: list[str] = []
    queue = WorkQueue(done.append, threads=1, name="test")
    for key in ("a", "b", "c"):
        queue.add(key)
    queue.add("c", urgent=True)
    queue.add("d", urgent=True)
    queue.add("c")
    queue.start()

    eventually(lambda: len(done) >= 4)
    queue.stop(5)
    assert done == ["c", "d", "a", "b"]


def test_urgent_news_of_a_key_that_is_being_worked_on_comes_next() -> None:
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(key: str) -> None:
        done.append(key)
        begun.set()
        assert go_on.wait(10)

    queue = WorkQueue(work, threads=1, name="test")
    queue.add("a")
    queue.add("b")
    queue.start()
    assert begun.wait(10)
    queue.add("a", urgent=True)
    queue.add("a")
    go_on.set()

    eventually(lambda: len(done) >= 3)
    queue.stop(5)
    assert done == ["a", "a", "b"]


def test_bug_in_a_worker_reaches_the_thread_that_asks() -> None:
    def work(key: str) -> None:
        raise KeyError(key)

    queue = WorkQueue(work, threads=2, name="test")
    queue.start()
    queue.check()
    queue.add("a")

    def raised() -> bool:
        try:
            queue.check()
        except KeyError:
            return True
        return False

    eventually(raised)


# -- the lease ----------------------------------------------------------------


def make_lease(client: Client, holder: str, *, duration: float = 0.8) -> Lease:
    return Lease(client, "demo", holder=holder, duration=duration)


def stored() -> ScriptedApi:
    api = ScriptedApi()
    api.keep_objects()
    return api


def test_second_holder_is_refused_while_the_first_renews() -> None:
    with client_of(stored()) as client:
        first = make_lease(client, "first")
        first.acquire()
        try:
            with pytest.raises(ClusterError, match="campaign demo is run by first"):
                make_lease(client, "second").acquire()
            first.guard()
        finally:
            first.release()


def test_released_lease_is_taken_at_once() -> None:
    with client_of(stored()) as client:
        first = make_lease(client, "first", duration=60)
        first.acquire()
        first.release()
        second = make_lease(client, "second", duration=60)
        second.acquire()

        second.guard()
        second.release()


def test_dead_holders_lease_expires_and_counts_a_transition() -> None:
    dead = {"metadata": {"name": "autoresearch-demo"}, "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 1}}
    with client_of(stored()) as client:
        client.create(LEASES, dead)
        lease = make_lease(client, "next")
        lease.acquire()
        lease.release()

        assert client.get(LEASES, "autoresearch-demo")["spec"]["leaseTransitions"] == 1


def test_only_one_of_many_takes_an_expired_lease() -> None:
    dead = {"metadata": {"name": "autoresearch-demo"}, "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 1}}
    outcomes: list[str] = []
    with client_of(stored()) as client:
        client.create(LEASES, dead)
        leases = [make_lease(client, f"holder-{i}") for i in range(6)]

        def compete(lease: Lease) -> None:
            try:
                lease.acquire()
                outcomes.append("held")
            except ClusterError:
                outcomes.append("refused")

        threads = [threading.Thread(target=compete, args=(lease,)) for lease in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for lease in leases:
            lease.release()

    assert sorted(outcomes) == ["held"] + 5 * ["refused"]


def test_holder_that_cannot_renew_stops_writing_before_its_time_is_over() -> None:
    now = [0.0]
    with client_of(stored()) as client:
        lease = Lease(client, "demo", holder="me", duration=10, clock=lambda: now[0])
        lease.acquire()
        now[0] = 7.9
        lease.guard()
        now[0] = 8.1

        with pytest.raises(LeaseLost, match="could not be renewed"):
            lease.guard()
        lease.release()


def test_holder_that_was_replaced_stops_for_good() -> None:
    with client_of(stored()) as client:
        lease = make_lease(client, "first")
        lease.acquire()
        found = client.get(LEASES, "autoresearch-demo")
        client.replace(LEASES, "autoresearch-demo", found | {"spec": found["spec"] | {"holderIdentity": "thief"}})

        eventually(lambda: "taken over by thief" in lease.lost)
        lease.release()
        assert client.get(LEASES, "autoresearch-demo")["spec"]["holderIdentity"] == "thief"


# -- followed lines -----------------------------------------------------------


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
        eventually(lambda: follower.line == "step 2")

        assert follower.tail.startswith(b"step 1\n")
        follower.stop()
        follower.join(5)
        assert not follower.alive


def test_follower_ends_when_nobody_wants_it_or_the_pod_is_gone() -> None:
    api = ScriptedApi()
    api.answer("GET", "pods/p/log", Reply(stream=[]))
    with client_of(api) as client:
        for follower in (
            Follower(client, "p", "train", wanted=lambda: False),
            Follower(client, "gone", "train", wanted=lambda: True),
        ):
            follower.join(5)
            assert not follower.alive


# -- what a try remembers -----------------------------------------------------


def make_try() -> RunningTry:
    request = TryRequest(id=TryId("t", 1, 1, 1), commit="c", files={}, seed=0, probe_set=0)
    return RunningTry(request=request, name="ar-t", uid="job-1")


def a_pod(
    uid: str, *, job: str = "job-1", created: str = "1", phase: str = "Running", **metadata: Any
) -> dict[str, Any]:
    labels = {JOB_UID: job}
    return {
        "metadata": {"uid": uid, "labels": labels, "creationTimestamp": created, **metadata},
        "status": {"phase": phase},
    }


def a_job(uid: str = "job-1", *, suspend: bool = False) -> dict[str, Any]:
    return {"metadata": {"uid": uid}, "spec": {"suspend": suspend}}


def test_pod_and_job_of_an_earlier_holder_of_the_name_are_ignored() -> None:
    trial = make_try()
    trial.see_pod(a_pod("p", job="job-0"), gone=False, now=0)
    trial.see_job(a_job("job-0"), gone=True)

    assert (trial.pod, trial.job, trial.job_gone) == ({}, {}, False)


def test_newest_pod_counts() -> None:
    trial = make_try()
    trial.see_pod(a_pod("new", created="2"), gone=False, now=0)
    trial.see_pod(a_pod("old", created="1"), gone=True, now=0)

    assert (trial.pod["metadata"]["uid"], trial.pod_gone) == ("new", False)


def test_pod_of_a_suspended_job_is_forgotten_and_the_next_one_counts() -> None:
    trial = make_try()
    trial.see_pod(a_pod("first"), gone=False, now=0)
    trial.see_job(a_job(suspend=True), gone=False)
    trial.see_pod(a_pod("first", phase="Failed", deletionTimestamp="3"), gone=True, now=1)
    assert (trial.pod, trial.ending_since) == ({}, None)

    trial.see_job(a_job(), gone=False)
    trial.see_pod(a_pod("second", created="4"), gone=False, now=2)
    assert trial.pod["metadata"]["uid"] == "second"


def test_time_of_an_ending_runs_by_our_own_clock_from_when_it_was_first_seen() -> None:
    trial = make_try()
    for now in (5.0, 9.0):
        trial.see_pod(a_pod("p", deletionTimestamp="2030"), gone=False, now=now)

    assert trial.ending_since == 5.0


def test_silence_says_something_once_the_deadline_and_patience_are_over() -> None:
    trial = make_try()
    trial.job = a_job()
    pod = a_pod("p", created="2026-11-24T07:30:00Z") | {"spec": {"activeDeadlineSeconds": 100}}
    pod["status"]["startTime"] = "2026-11-24T07:30:00Z"
    trial.see_pod(pod, gone=False, now=1000.0)

    for now in (1010.0, 1159.0):
        seen = trial.observation(now=now, events=())
        assert isinstance(assess(seen), Going)
        assert trial.patience(seen) == pytest.approx(1160.0 - now)
    seen = trial.observation(now=1161.0, events=())
    lost = assess(seen)
    assert isinstance(lost, Ended)
    assert (lost.cause, trial.patience(seen)) == (Cause.NODE_LOST, -1.0)


def test_pauses_double_up_to_a_minute_and_respect_the_servers_wish() -> None:
    trial = make_try()
    pauses = [trial.backoff() for _ in range(12)]

    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == BACKOFF_SECONDS[1]
    assert make_try().backoff(asked=30.0) == 30.0


# -- orphans ------------------------------------------------------------------


def a_found_job(name: str, *, created: str = "1", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": created, **metadata}}


def test_orphans_are_what_nobody_claims_and_nobody_recorded_oldest_first() -> None:
    jobs = [
        a_found_job("claimed"),
        a_found_job("recorded", annotations={RECORDED: "2026-11-24T07:30:00Z"}),
        a_found_job("going", deletionTimestamp="2"),
        a_found_job("younger", created="2"),
        a_found_job("older", created="1"),
    ]

    assert [job["metadata"]["name"] for job in find_orphans(jobs, ours={"claimed"})] == ["older", "younger"]
