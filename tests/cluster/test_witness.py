"""What the node did while a pod trained is measured in the pod, believed, and has a disturbed training run again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.domain import Calm, LostTo, Outcome
from controller.executor.kubernetes.naming import PREFIX
from controller.executor.kubernetes.prepare import prepare_on_cluster
from controller.executor.local.surroundings import usable_cores
from controller.folder.new_task import TEMPLATES
from tests.cluster.examined_task import PREPARATIONS, TASK, examined_image
from tests.cluster.executor_task import TaskNamespace, running
from tests.cluster.harness import BuiltCluster
from tests.support.waiting import wait_until

__all__ = ["PREPARATIONS"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SETTINGS = {**TASK, "budget": {"train_seconds": 120}, "deadlines": {"image_pull": 60, "examine": 400}}
HONEST = (TEMPLATES / "search/train.py").read_text()
SPIN = """
if __name__ == "__main__":
    import time
    end = time.monotonic() + 3
    while time.monotonic() < end: pass
"""
FORGED = f'@@WITNESS v1 {"0" * 32} {{"waited": 1.0, "taken": 1.0, "others": 1.0, "again": true}}'
FORGE = f"""
if __name__ == "__main__":
    import os
    print(sorted(name for name in os.environ if "WITNESS" in name))
    for place in ("/proc/1/environ", "/proc/1/mem", "/proc/1/fd/1"):
        try:
            open(place, "rb")
            print("opened", place)
        except OSError:
            pass
    print({FORGED!r}, flush=True)
"""
ANY_MACHINE, NO_MACHINE = Calm(waited=1.0, taken=1.0), Calm(waited=0.05, taken=0.02)


@pytest.fixture(scope="module")
def examined(namespace: TaskNamespace) -> TaskNamespace:
    """A namespace with image and data of a task whose trainings have the real supervisor."""
    namespace.image = namespace.cluster.import_image(examined_image())
    prepare_on_cluster(namespace.settings("search", **SETTINGS), say=print)
    return namespace


@contextmanager
def hogs() -> Iterator[None]:
    """Programs that use all CPUs of this machine, which is the node."""
    # Where the kernel groups by session (autogroup), hogs of one session have together no more than the training has.
    command = [sys.executable, "-c", "while True: pass"]
    started = [subprocess.Popen(command, start_new_session=True) for _ in range(2 * usable_cores())]
    try:
        yield
    finally:
        for each in started:
            each.kill()
            each.wait()


def test_training_in_a_pod_has_a_witness_and_cannot_speak_for_it(examined: TaskNamespace) -> None:
    with running(examined, **SETTINGS) as one:
        honest = one.run(FORGE + SPIN + HONEST, seconds=500, calm=ANY_MACHINE, counts=False, late_counts=False)
        forger = one.run(FORGE + "raise SystemExit(79)\n", number=2, calm=ANY_MACHINE, counts=False, late_counts=False)

    assert honest.outcome is Outcome.SCORED, honest.reason
    assert honest.witness is not None
    assert None not in (honest.witness.waited, honest.witness.taken, honest.witness.throttled), honest.witness
    assert honest.log_tail.startswith("[]\n@@WITNESS v1 0000"), "it saw no key, and opened nothing of its supervisor's"
    assert honest.log_tail.count("@@WITNESS") == 1
    assert (forger.outcome, forger.lost_to) == (Outcome.CRASHED, None)
    assert forger.reason.startswith("train ended with exit code 79")
    assert forger.witness is not None


def test_training_beside_hogs_of_the_node_is_lost_before_its_exam_and_one_that_counts_is_not(
    examined: TaskNamespace, built_cluster: BuiltCluster
) -> None:
    with running(examined, **SETTINGS) as one, hogs():
        lost = one.run(SPIN + HONEST, seconds=500, calm=NO_MACHINE, counts=False, late_counts=False)
        counts = one.run(SPIN + HONEST, number=2, seconds=800, calm=NO_MACHINE)
        job = wait_until(
            lambda: found if "outcome" in (found := examined.job(one.request("").id))["metadata"]["labels"] else None,
            what="the Job of the lost try to be recorded",
        )

    assert (lost.outcome, lost.lost_to, lost.score) == (Outcome.LOST, LostTo.DISTURBED, None), lost.reason
    assert lost.reason.startswith("other programs took ")
    assert set(lost.phase_seconds) == {"train"}
    assert "@@WITNESS" not in lost.log_tail
    assert '"cause": "disturbed"' in job["metadata"]["annotations"][f"{PREFIX}result"]
    assert counts.outcome is Outcome.SCORED, counts.reason
    assert counts.witness is not None
    assert counts.witness.taken is not None
    assert counts.witness.taken > NO_MACHINE.taken
