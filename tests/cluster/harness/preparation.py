"""Makes once what is slow to make and many tests need: lists it with its time, makes one after another, and watches."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from .cache import cache_folder
from .errors import ClusterError
from .telling import TERMINAL, announce

REPEAT_SECONDS = 60.0
"""How often the way that is left is told."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be made. what: its name; minutes: how long it takes on two idle cores with nothing cached.

    made: whether it is there; quick, and makes nothing. make: makes it, and does nothing where it is there.
    """

    what: str
    minutes: float
    made: Callable[[], bool]
    make: Callable[[], object]


def prepare(steps: Iterable[Step]) -> dict[str, str]:
    """Make what is missing; returns the words of those that could not be made, by the names of their steps.

    One process works and tells about it; others that miss something wait until it is done. Those of the same run do not
    try again what failed.
    """
    wanted = {step.what: step for step in steps}
    if all(step.made() for step in wanted.values()):
        return {}  # tests that need nothing more do not wait half an hour for a run beside them that does
    with _alone() as failed:
        missing = [step for step in wanted.values() if step.what not in failed and not step.made()]
        if missing:
            failed |= _make(missing)
        return {what: failed[what] for what in wanted if what in failed}


def _make(missing: Sequence[Step]) -> dict[str, str]:
    listed = ", ".join(f"{step.what} ({step.minutes:g} min)" for step in missing)
    total = sum(step.minutes for step in missing)
    announce(f"made once, before the tests: {listed}; in all about {total:g} min on two idle cores")
    started, past = time.monotonic(), 0.0
    failed = {}
    for number, step in enumerate(missing, start=1):
        place = f"{number} of {len(missing)}, {step.what}"
        announce(f"{place}: begins; usually {step.minutes:g} min; {past:g} of {total:g} min are done")
        try:
            with _repeated(place, step.minutes):
                step.make()
        except (ClusterError, OSError) as error:
            failed[step.what] = f"{step.what} could not be made: {error}"
            announce(f"{place}: could not be made, its tests will not run: {error}")
        past += step.minutes
    announce(f"all is made, in {_minutes(started)}" if not failed else f"made but for {', '.join(failed)}")
    return failed


@contextmanager
def _repeated(place: str, minutes: float) -> Iterator[None]:
    """Tell every minute for how long it has gone on, and in the end how long it took."""
    started, over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(REPEAT_SECONDS):
            announce(f"{place}: {_minutes(started)} of usually {minutes:g} min")

    teller = threading.Thread(target=tell, name="preparation", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
    announce(f"{place}: made in {_minutes(started)}")


@contextmanager
def _alone() -> Iterator[dict[str, str]]:
    """Wait for other processes that prepare, and say so where they belong to another run of the tests.

    Yields what the same run could not make, and keeps what is added to it for the processes that come after.
    """
    lock = cache_folder() / "preparing.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    run = os.environ.get(TERMINAL, "")
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _read(file)["run"] != run:
                announce("another run of the tests on this machine prepares them; this one waits for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        before = _read(file)
        failed = dict(before["failed"]) if run and before["run"] == run else {}
        _write(file, run=run, failed=failed)
        yield failed
        _write(file, run=run, failed=failed)


def _read(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        found: dict[str, Any] = json.loads(file.read())
    except ValueError:
        return {"run": None, "failed": {}}
    return found


def _write(file: IO[str], *, run: str, failed: Mapping[str, str]) -> None:
    file.truncate(0)  # opened for appending: what is written goes to the end
    file.write(json.dumps({"run": run, "failed": failed}))
    file.flush()


def _minutes(started: float) -> str:
    return f"{(time.monotonic() - started) / 60:.1f} min"
