"""The work queue: each key once at a time, none forgotten, urgent ones first."""

from __future__ import annotations

import threading

from controller.executor.kubernetes.workqueue import WorkQueue
from tests.support.waiting import PATIENCE_S, wait_until


def test_same_key_is_never_worked_on_twice_at_once_and_never_forgotten() -> None:
    busy, overlaps, done = threading.Lock(), [], []
    first, go_on = threading.Event(), threading.Event()

    def work(key: str) -> None:
        if not busy.acquire(blocking=False):
            overlaps.append(key)
            return
        first.set()
        assert go_on.wait(PATIENCE_S)
        done.append(key)
        busy.release()

    queue = WorkQueue(work, threads=4, name="test")
    queue.start()
    queue.add("a")
    assert first.wait(PATIENCE_S)
    for _ in range(5):
        queue.add("a")
    go_on.set()

    wait_until(lambda: len(done) == 2, what="two pieces of work")
    queue.stop(PATIENCE_S)
    assert overlaps == []


def test_later_keys_come_in_the_order_of_their_time() -> None:
    done: list[str] = []
    queue = WorkQueue(done.append, threads=1, name="test")
    queue.add_after("second", 0.1)
    queue.add_after("first", 0.02)
    queue.start()

    wait_until(lambda: len(done) == 2, what="two pieces of work")
    queue.stop(PATIENCE_S)
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

    wait_until(lambda: len(done) >= 4, what="four pieces of work")
    queue.stop(PATIENCE_S)
    assert done == ["c", "d", "a", "b"]


def test_urgent_news_of_a_key_that_is_being_worked_on_comes_next() -> None:
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(key: str) -> None:
        done.append(key)
        begun.set()
        assert go_on.wait(PATIENCE_S)

    queue = WorkQueue(work, threads=1, name="test")
    queue.add("a")
    queue.add("b")
    queue.start()
    assert begun.wait(PATIENCE_S)
    queue.add("a", urgent=True)
    queue.add("a")
    go_on.set()

    wait_until(lambda: len(done) >= 3, what="three pieces of work")
    queue.stop(PATIENCE_S)
    assert done == ["a", "a", "b"]


def test_bug_in_a_worker_reaches_the_thread_that_asks() -> None:
    def work(key: str) -> None:
        raise KeyError(key)

    queue = WorkQueue(work, threads=2, name="test")
    queue.start()
    queue.raise_bug()
    queue.add("a")

    def raised() -> bool:
        try:
            queue.raise_bug()
        except KeyError:
            return True
        return False

    wait_until(raised, what="the error of the worker")
