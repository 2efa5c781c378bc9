"""Measures attempts: time beside kubectl's, requests to the API server, and the controller's own CPU and memory."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from controller.executor.kubernetes.client import PODS
from controller.executor.kubernetes.job import build_config_map, build_job
from controller.executor.kubernetes.naming import job_name
from controller.executor.kubernetes.pod_status import is_terminal
from controller.executor.kubernetes.watch import Reflector
from controller.executor.phases import phases
from tests.cluster.executor_task import SCORES, Running, TaskNamespace, running, task_namespace_on
from tests.cluster.harness import BuiltCluster, Cluster, ClusterSpec, FreshCluster, Manifest
from tests.cluster.harness.binaries import binary, program
from tests.cluster.harness.fake_nodes import SELECTOR, logs_that_say, pods_that_succeed, start_fake_nodes
from tests.cluster.harness.namespaces import create_pair
from tests.support.waiting import wait_until

pytestmark = pytest.mark.bench

PREPARATIONS = [program("kwok")]
ATTEMPTS = 10
IN_FLIGHT = 1000
GPUS = 8
QUICK = ("--kube-api-qps=300", "--kube-api-burst=500")
"""The controllers' own limits would make pods for a minute longer; nothing here is about them."""

SERIES = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\d+)", re.MULTILINE)


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


def with_kubectl(namespace: TaskNamespace, manifests: list[Manifest], name: str) -> float:
    base = [
        str(binary("kubectl")),
        f"--kubeconfig={namespace.cluster.kubeconfig}",
        f"--namespace={namespace.name}",
    ]
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    began = time.monotonic()
    subprocess.run([*base, "apply", "-f", "-"], input=bundle, text=True, check=True, capture_output=True)
    wait = ["wait", f"job/{name}", "--for=condition=complete", "--timeout=60s"]
    subprocess.run([*base, *wait], check=True, capture_output=True)
    return time.monotonic() - began


@pytest.mark.timeout(600)
def test_turnaround_is_at_most_that_of_kubectl_apply_and_wait(namespace: TaskNamespace) -> None:
    recorded = threading.Event()

    def observe(verb: str, resource: str, code: str, seconds: float) -> None:
        if (verb, resource, code) == ("patch", "jobs", "200"):
            recorded.set()

    ours: list[float] = []
    theirs: list[float] = []
    with running(namespace, parts={"observe": observe}) as one:
        # In turns, so that the machine's mood is the same for both.
        for number in range(1, ATTEMPTS + 1):
            ours.append(with_executor(one, recorded, number))
            request = one.request(SCORES, number=1000 + number)
            plan = phases(one.settings, request)
            manifests = [build_config_map(one.settings, request), build_job(one.settings, request, plan)]
            # Under the executor's eyes it would count as an orphan of its campaign.
            for manifest in manifests:
                manifest["metadata"]["labels"]["campaign"] = "kubectl"
            theirs.append(with_kubectl(namespace, manifests, job_name(request.id)))

    print(f"executor {statistics.median(ours):.2f} s, kubectl {statistics.median(theirs):.2f} s")
    assert statistics.median(ours) <= 1.05 * statistics.median(theirs), (ours, theirs)


def test_attempt_costs_at_most_12_requests_and_none_while_it_runs(namespace: TaskNamespace) -> None:
    seen: Counter[str] = Counter()

    def observe(verb: str, resource: str, code: str, seconds: float) -> None:
        seen[f"{verb} {resource}"] += 1

    before = served(namespace.cluster)
    with running(namespace, parts={"observe": observe}) as one:
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

    counted = served(namespace.cluster) - before
    of_attempts = seen - Counter(
        {key: seen[key] for key in seen if "leases" in key or key.split()[0] in ("list", "get version")}
    )
    print(counted, of_attempts)
    assert counted.total() / 4 <= 12
    assert of_attempts.total() / 4 <= 12
    assert counted["POST jobs"] == counted["POST configmaps"] == 4


def start_crowd_of_nodes(cluster: BuiltCluster) -> None:
    """Fake nodes for all attempts at once, whose pods train for a while and print a score."""
    printed = logs_that_say(cluster, "loss 1.5", "---", "val_bpb: 1.25")
    stages = [*pods_that_succeed(seconds=140, jitter=30), printed]
    start_fake_nodes(cluster, nodes=IN_FLIGHT // GPUS + 1, gpus=GPUS, pod_stages=stages)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, verbs: [patch, update], resources: [{group: "", resources: [pods/status]}]}
  - {level: None}
"""


@dataclass(frozen=True, slots=True)
class Audit:
    """The API server's own log of who changed a pod's status when; its times have microseconds, a pod's have not."""

    folder: Path

    def arguments(self) -> tuple[str, ...]:
        """The arguments with which the API server is started."""
        policy = self.folder / "policy.yaml"
        policy.write_text(AUDIT)
        return (f"--audit-policy-file={policy}", f"--audit-log-path={self.folder / 'audit.log'}")

    def ends(self) -> dict[str, float]:
        """When the last change by a node was in the store, by pod, seconds since the epoch."""
        found: dict[str, float] = {}
        for line in (self.folder / "audit.log").read_text().splitlines():
            event = json.loads(line)
            if event["userAgent"].startswith("kwok"):
                found[event["objectRef"]["name"]] = datetime.fromisoformat(event["stageTimestamp"]).timestamp()
        return found


@contextmanager
def other_watch(namespace: TaskNamespace, one: Running) -> Iterator[dict[str, float]]:
    """When another watch, which does nothing else, learned that a pod had ended, by pod."""
    seen: dict[str, float] = {}

    def note(pod: Manifest, gone: bool) -> None:
        if is_terminal(pod):
            seen.setdefault(pod["metadata"]["name"], time.time())

    with namespace.client(one.settings) as client:
        reflector = Reflector(client, PODS, key=lambda pod: str(pod["metadata"]["name"]), changed=note)
        reflector.start()
        yield seen
        reflector.stop()


def told(what: str, seconds: Iterable[float]) -> float:
    """Print how late something was; returns the 99th percentile."""
    ordered = sorted(seconds)
    slowest = ordered[int(len(ordered) * 0.99)]
    print(f"{what}: median {statistics.median(ordered):.3f} s, p99 {slowest:.3f} s, last {ordered[-1]:.3f} s")
    return slowest


@pytest.mark.timeout(900)
def test_thousand_attempts_cost_little_and_are_seen_to_end_within_two_seconds(
    fresh_cluster: FreshCluster, tmp_path: Path
) -> None:
    audit = Audit(tmp_path)
    arguments = {
        "kube-apiserver": audit.arguments(),
        "kube-controller-manager": (*QUICK, "--concurrent-job-syncs=10"),
        "kube-scheduler": QUICK,
    }
    cluster = fresh_cluster("crowd", ClusterSpec(arguments=arguments))
    start_crowd_of_nodes(cluster)
    overrides: Manifest = {
        "budget": {"train_seconds": 600, "experiments": 1},
        "kubernetes": {"node_selector": SELECTOR["nodeSelector"], "tolerations": SELECTOR["tolerations"]},
    }
    with task_namespace_on(cluster, create_pair(cluster).runner) as namespace:
        with running(namespace, score="log", **overrides) as one, other_watch(namespace, one) as noticed:
            cpu, began = time.process_time(), time.monotonic()
            for number in range(1, IN_FLIGHT + 1):
                one.launch("", number=number)
            wait_until(
                lambda: sum(progress.phase == "train" for progress in one.executor.progress()) == IN_FLIGHT,
                what="a thousand attempts in training",
                seconds=200,
                interval=2,
            )
            for _ in range(IN_FLIGHT):
                one.executor.recorded(one.end(seconds=300).id)
            cores = (time.process_time() - cpu) / (time.monotonic() - began)
            memory = resident_mb()
        pods = cluster.get("pods", f"--namespace={namespace.name}")["items"]

    ended, names = audit.ends(), [pod["metadata"]["name"] for pod in pods]
    reported = {name: one.ended_at[name.rpartition("-")[0]] for name in names}
    told("in the store until another watch had it", (noticed[name] - ended[name] for name in names))
    slowest = told("in the store until the result was reported", (reported[name] - ended[name] for name in names))
    print(f"{len(names)} attempts: {cores:.2f} cores, {memory:.0f} MB")
    assert len(names) == IN_FLIGHT
    assert slowest <= 2.0
    assert cores < 1.0
    assert memory < 250
