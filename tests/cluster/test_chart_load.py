"""Measures the controller's Pod with sixteen attempts in flight, by its own control group."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chart.images import BIGRAM
from tests.chart.live import PREPARATIONS, Release, a_release
from tests.cluster.harness import ClusterSpec, FreshCluster
from tests.support.waiting import wait_until

__all__ = ["PREPARATIONS"]
pytestmark = pytest.mark.bench

SLOTS = 16
TRAIN_SECONDS = 60
GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Usage:
    """at, cpu: seconds; working: bytes that cannot be given back at once, as the kubelet counts; resident: bytes."""

    at: float
    cpu: float
    working: int
    resident: int


def usage(uid: str) -> Usage:
    """CPU and memory that a Pod has used so far, in either version of control groups."""
    if (GROUPS / "cgroup.controllers").exists():
        [folder] = GROUPS.glob(f"autoresearch-test-*/kubepods/**/pod{uid}")
        statistics, cpu = folder / "memory.stat", folder / "cpu.stat"
        spent = int(re.findall(r"usage_usec (\d+)", cpu.read_text())[0]) / 1e6
        total, names = int((folder / "memory.current").read_text()), ("inactive_file", "anon")
    else:
        [memory] = (GROUPS / "memory").glob(f"autoresearch-test-*/kubepods/**/pod{uid}")
        [cpu] = (GROUPS / "cpuacct").glob(f"autoresearch-test-*/kubepods/**/pod{uid}")
        spent, statistics = int((cpu / "cpuacct.usage").read_text()) / 1e9, memory / "memory.stat"
        total, names = int((memory / "memory.usage_in_bytes").read_text()), ("total_inactive_file", "total_rss")
    inactive, resident = (int(re.findall(rf"^{name} (\d+)", statistics.read_text(), re.M)[0]) for name in names)
    return Usage(at=time.monotonic(), cpu=spent, working=total - inactive, resident=resident)


def training(release: Release) -> int:
    """Number of attempts that train now."""
    pods = release.get("pods", "-lapp.kubernetes.io/managed-by=autoresearch", namespace=release.runs)["items"]
    states = [status["state"] for pod in pods for status in pod["status"].get("initContainerStatuses", [])[:1]]
    return sum("running" in state for state in states)


def measured(uid: str, *, seconds: float) -> tuple[float, Usage]:
    """Cores over so many seconds, and where it stood after them."""
    before = usage(uid)
    wait_until(lambda: time.monotonic() >= before.at + seconds, what="the time of a measurement", seconds=seconds + 5)
    after = usage(uid)
    return (after.cpu - before.cpu) / (after.at - before.at), after


@pytest.mark.timeout(900)
def test_sixteen_attempts_in_flight_cost_little(fresh_cluster: FreshCluster) -> None:
    cluster = fresh_cluster("sixteen", ClusterSpec(gpus=SLOTS))
    text = (BIGRAM / "train.py").read_text().replace("import os\n", "import os\nimport time\n")
    resting = text.replace("def main() -> None:\n", f"def main() -> None:\n    time.sleep({TRAIN_SECONDS - 15})\n")
    small = {"cpu": "50m", "memory": "256Mi", "examine_cpu": "50m", "examine_memory": "256Mi"}
    changes: dict[str, Any] = {
        "budget": {"train_seconds": TRAIN_SECONDS, "experiments": 4 * SLOTS},
        "executor": {"slots": SLOTS, "kubernetes": small},
    }
    with a_release(cluster, campaign=changes) as release:
        task = release.get("configmap", "task")
        cluster.apply(task | {"data": {**task["data"], "train.py": resting}})
        release.install()
        release.wait_ready()
        wait_until(lambda: training(release) == SLOTS, what=f"{SLOTS} trainings", seconds=400, interval=1)
        uid = release.controller()["metadata"]["uid"]
        quiet, _ = measured(uid, seconds=20)
        assert training(release) == SLOTS
        turning, after = measured(uid, seconds=120)

    print(
        f"controller's Pod, {SLOTS} in flight: {quiet:.3f} cores while all train, {turning:.3f} over two minutes with "
        f"launches, exams and records; {after.working / 1e6:.0f} MB working set, {after.resident / 1e6:.0f} MB resident"
    )
    assert turning < 0.1
    assert after.working < 200e6
