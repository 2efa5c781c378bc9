"""What an attempt costs beside what kubectl costs: time from creation to record, and requests to the API server."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from controller.executor.kubernetes.job import build_config_map, build_job, job_name
from controller.phases import phases
from tests.cluster.executor_task import SCORES, Laboratory, Running, laboratory_on, running
from tests.cluster.harness import Cluster, Manifest, wait_until
from tests.cluster.harness.binaries import binary
from tests.cluster.harness.namespaces import create_pair, delete_pair

pytestmark = pytest.mark.slow

ATTEMPTS = 10
SERIES = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\d+)", re.MULTILINE)


@pytest.fixture(scope="module")
def laboratory(cluster: Cluster) -> Iterator[Laboratory]:
    pair = create_pair(cluster)
    with laboratory_on(cluster, pair.runner) as one:
        yield one
    delete_pair(cluster, pair)


def served(cluster: Cluster) -> Counter[str]:
    """Requests that the API server counts and that only a controller of ours sends, by verb and resource."""
    found: Counter[str] = Counter()
    for series in SERIES.finditer(cluster.kubectl("get", "--raw", "/metrics")):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', series["labels"]))
        place = labels["resource"] + (f"/{labels['subresource']}" if labels["subresource"] else "")
        if place in ("configmaps", "jobs", "pods/log") and labels["verb"] not in ("LIST", "WATCH"):
            found[f"{labels['verb']} {place}"] += int(series["count"])
    return found


def with_executor(one: Running, recorded: threading.Event, number: int) -> float:
    recorded.clear()
    began = time.monotonic()
    one.run(SCORES, number=number)
    assert recorded.wait(30)
    return time.monotonic() - began


def with_kubectl(laboratory: Laboratory, manifests: list[Manifest], name: str) -> float:
    base = [
        str(binary("kubectl")),
        f"--kubeconfig={laboratory.cluster.kubeconfig}",
        f"--namespace={laboratory.namespace}",
    ]
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    began = time.monotonic()
    subprocess.run([*base, "apply", "-f", "-"], input=bundle, text=True, check=True, capture_output=True)
    wait = ["wait", f"job/{name}", "--for=condition=complete", "--timeout=60s"]
    subprocess.run([*base, *wait], check=True, capture_output=True)
    return time.monotonic() - began


@pytest.mark.timeout(600)
def test_turnaround_is_at_most_that_of_kubectl_apply_and_wait(laboratory: Laboratory) -> None:
    recorded = threading.Event()

    def observe(verb: str, resource: str, code: str, seconds: float) -> None:
        if (verb, resource, code) == ("patch", "jobs", "200"):
            recorded.set()

    ours: list[float] = []
    theirs: list[float] = []
    with running(laboratory, parts={"observe": observe}) as one:
        # In turns, so that the machine's mood is the same for both.
        for number in range(1, ATTEMPTS + 1):
            ours.append(with_executor(one, recorded, number))
            request = one.request(SCORES, number=1000 + number)
            plan = phases(one.settings, request)
            manifests = [build_config_map(one.settings, request), build_job(one.settings, request, plan)]
            # Under the executor's eyes it would count as an orphan of its campaign.
            for manifest in manifests:
                manifest["metadata"]["labels"]["campaign"] = "kubectl"
            theirs.append(with_kubectl(laboratory, manifests, job_name(request.id)))

    print(f"executor {statistics.median(ours):.2f} s, kubectl {statistics.median(theirs):.2f} s")
    assert statistics.median(ours) <= 1.05 * statistics.median(theirs), (ours, theirs)


def test_attempt_costs_at_most_12_requests_and_none_while_it_runs(laboratory: Laboratory) -> None:
    seen: Counter[str] = Counter()

    def observe(verb: str, resource: str, code: str, seconds: float) -> None:
        seen[f"{verb} {resource}"] += 1

    before = served(laboratory.cluster)
    with running(laboratory, parts={"observe": observe}) as one:
        for number in range(1, 5):
            one.launch(f"sleep 12; {SCORES}", number=number)
        wait_until(
            lambda: sum(progress.phase == "train" for progress in one.executor.progress()) == 4,
            what="four attempts in training",
            seconds=60,
        )
        idle = seen.total() - seen["update leases"]
        quiet = time.monotonic() + 5
        wait_until(lambda: time.monotonic() > quiet, what="five quiet seconds", seconds=10)
        assert seen.total() - seen["update leases"] == idle
        for _ in range(4):
            one.executor.recorded(one.end().id)
        wait_until(lambda: seen["create events"] == 4, what="four records", seconds=30)

    counted = served(laboratory.cluster) - before
    of_attempts = seen - Counter(
        {key: seen[key] for key in seen if "leases" in key or key.split()[0] in ("list", "get version")}
    )
    print(counted, of_attempts)
    assert counted.total() / 4 <= 12
    assert of_attempts.total() / 4 <= 12
    assert counted["POST jobs"] == counted["POST configmaps"] == 4
