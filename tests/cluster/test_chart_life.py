"""A release's life on a real cluster: pods killed and evicted, upgrades, its end, and what is left for the next."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from tests.chart.live import PREPARATIONS, Release, a_release, reachable_from_pods
from tests.cluster.harness import BuiltCluster, Cluster, Manifest
from tests.standin.server import KEY, StandIn
from tests.support.waiting import wait_until

__all__ = ["PREPARATIONS"]

ONE_RUN: dict[str, Any] = {"judge": {"policy": "greedy", "baseline_runs": 1, "max_runs": 1}}
"""One training for each experiment: nothing here is about verdicts."""

KILLS = 20
IDLE_SECONDS = 5.0
"""How much longer than its own restart a killed controller may leave the slot idle."""


def jobs(release: Release) -> list[Manifest]:
    """Jobs of tries, oldest first."""
    tag = release.values["campaign"]["tag"]
    found: list[Manifest] = release.get("jobs", f"-lcampaign={tag}", namespace=release.runs)["items"]
    return sorted(found, key=lambda job: str(job["metadata"]["creationTimestamp"]))


def tries_in_lab(release: Release) -> Counter[str]:
    """Names of all tries that the lab has on record."""
    tag = release.values["campaign"]["tag"]
    return Counter(
        f"ar-{tag}-e{experiment['number']:04}-a{attempt['number']}-t{number}"
        for experiment in release.experiments()
        for attempt in experiment.get("attempts", [])
        for number in range(1, len(attempt["tries"]) + 1)
    )


def outcomes(release: Release) -> set[str]:
    return {a["result"]["outcome"] for e in release.experiments() for a in e.get("attempts", []) if a.get("result")}


def running_job(release: Release) -> Manifest:
    """Wait until a try runs."""
    return wait_until(
        lambda: next((job for job in jobs(release) if job["status"].get("active")), None),
        what="a running Job",
    )


def kill_controller(release: Release) -> str:
    """Kill it as a dying node would: at once, without a word. Returns the pod's name."""
    name = str(release.controller()["metadata"]["name"])
    release.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false")
    return name


def started_at(pod: Manifest) -> float | None:
    """When the controller's container began, None while it has not."""
    statuses = pod.get("status", {}).get("containerStatuses", [])
    began = [status["state"].get("running", {}).get("startedAt") for status in statuses]
    return datetime.fromisoformat(began[0]).timestamp() if began and began[0] else None


@pytest.mark.timeout(1800)
def test_upgrade_pod_loss_and_reinstall_lose_nothing(built_cluster: BuiltCluster) -> None:
    with a_release(built_cluster, campaign=ONE_RUN | {"budget": {"experiments": 1}}) as release:
        release.install()
        release.wait_ready()

        # The pod dies in the middle of an attempt: the next one adopts it.
        running = running_job(release)["metadata"]
        # A study in its pod is told to come later.
        command = ("exec", f"--namespace={release.own}", "deploy/autoresearch", "--", "autoresearch", "rerun", "0")
        refused = release.cluster.try_kubectl(*command)
        assert refused.returncode == 2, refused.stderr
        assert "and a study needs the lab to itself: ask again when that has ended" in refused.stderr
        before = kill_controller(release)
        wait_until(lambda: release.controller()["metadata"]["name"] != before, what="the next controller")
        release.wait_ready()
        # A drain ends it with notice.
        release.cluster.faults.evict_pod(release.own, release.controller()["metadata"]["name"])
        release.wait_ready()
        first = release.wait_judged(1)
        assert running["uid"] in {job["metadata"]["uid"] for job in jobs(release)}

        # An upgrade that raises the budget goes on where the campaign ended.
        release.values["campaign"]["budget"]["experiments"] = 2
        release.upgrade()
        release.wait_ready()
        second = release.wait_judged(2)
        assert second[: len(first)] == first
        assert outcomes(release) == {"scored"}
        names = [job["metadata"]["name"] for job in jobs(release)]
        assert Counter(names) == tries_in_lab(release)

        # The end leaves the lab, and nothing of ours besides.
        release.uninstall()
        wait_until(lambda: not left(release), what="everything but the lab to be gone")

        # The same lab in a new release: history is there, and the campaign goes on.
        prepare_volume_again(release)
        release.values["campaign"]["budget"]["experiments"] = 3
        release.install()
        release.wait_ready()
        third = release.wait_judged(3)
        assert third[: len(second)] == second


def left(release: Release) -> set[str]:
    """Objects that were not there before the install, without the lab."""
    expected = {"configmap/kube-root-ca.crt", "configmap/task", "serviceaccount/default"}
    expected |= {"persistentvolumeclaim/autoresearch-lab"}
    return release.objects() - {f"{release.own}: {name}" for name in expected}


def prepare_volume_again(release: Release) -> None:
    """The data's claim went with its namespace; what a cluster's provisioner would do, a new volume."""
    wait_until(
        lambda: release.cluster.try_kubectl("get", "namespace", release.runs).returncode != 0,
        what="the namespace of attempts to be gone",
    )
    change = json.dumps([{"op": "remove", "path": "/spec/claimRef/uid"}])
    release.cluster.kubectl("patch", "pv", f"{release.own}-data", "--type=json", f"--patch={change}")
    release.cluster.machine.run("rm", "-rf", f"/var/tmp/{release.own}/data/data")


@dataclass(frozen=True, slots=True)
class Restart:
    """When it was killed and when the next one's container began, in seconds since the epoch."""

    killed: float
    back: float


def kill_and_wait(release: Release, *, hard: bool) -> Restart:
    """End the controller, with notice or without, and wait until the container of the next one runs."""
    killed, before = time.time(), str(release.controller()["metadata"]["name"])
    if hard:
        kill_controller(release)
    else:
        release.kubectl("delete", "pod", before, "--wait=false")

    def back() -> float | None:
        pod = release.controller()
        return started_at(pod) if pod and pod["metadata"]["name"] != before else None

    began = wait_until(back, what="the next controller", seconds=120, interval=0.2)
    return Restart(killed, began)


@pytest.mark.slow
@pytest.mark.bench  # ten minutes: part of make bench
@pytest.mark.timeout(1500)
def test_twenty_kills_lose_and_double_nothing_and_leave_no_slot_idle(built_cluster: BuiltCluster) -> None:
    experiments = 12
    changes: dict[str, Any] = {"budget": {"experiments": experiments}}
    random = Random(5)
    restarts: list[Restart] = []
    with a_release(built_cluster, campaign=changes) as release:
        release.install()
        release.wait_ready()
        for number in range(KILLS):
            restarts.append(kill_and_wait(release, hard=number % 4 == 3))
            # At any point of its life, the first moments and the middle of an attempt alike.
            time.sleep(random.uniform(0, 12))
        release.wait_ready()
        release.wait_judged(experiments, seconds=600)

        assert outcomes(release) == {"scored"}
        assert Counter(job["metadata"]["name"] for job in jobs(release)) == tries_in_lab(release)
        idle = idle_seconds(jobs(release), restarts)
        print(f"slot idle beyond the controller's own restarts: {', '.join(f'{seconds:.0f}' for seconds in idle)} s")
        assert max(idle) <= IDLE_SECONDS


def idle_seconds(found: list[Manifest], restarts: list[Restart]) -> list[float]:
    """Seconds between each two Jobs, without those in which there was no controller."""

    def moment(text: str) -> float:
        return datetime.fromisoformat(text).timestamp()

    gaps = []
    for one, following in pairwise(found):
        ended, began = moment(one["status"]["completionTime"]), moment(following["metadata"]["creationTimestamp"])
        away = [(max(ended, restart.killed), min(began, restart.back)) for restart in restarts]
        gaps.append(began - ended - covered([(start, end) for start, end in away if start < end]))
    return gaps


def covered(spans: list[tuple[float, float]]) -> float:
    """Length of a union of spans."""
    total, until = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


@pytest.fixture(scope="module")
def with_key(cluster: Cluster) -> Iterator[tuple[Release, StandIn, str]]:
    """A release that keeps its data and asks Claude, played by a server of this machine; and its install's notes."""
    if not isinstance(cluster, BuiltCluster):
        pytest.skip("needs a cluster that the harness built: unset AUTORESEARCH_TEST_KUBECONFIG")
    with StandIn() as standin, reachable_from_pods(cluster, int(standin.url.rpartition(":")[2])) as address:
        claude = {"claude": {"base_url": f"http://{address}", "fallback": "none"}}
        campaign: dict[str, Any] = ONE_RUN | {"budget": {"experiments": 8}, "agent": claude}
        agent = {"existingSecret": "anthropic"}
        with a_release(cluster, campaign=campaign, agent=agent, data={"keep": True}) as release:
            release.kubectl("create", "secret", "generic", "anthropic", f"--from-literal=api-key={KEY}")
            yield release, standin, release.install()


@pytest.mark.timeout(900)
def test_key_in_a_secret_lets_claude_propose_and_is_found_nowhere_else(
    with_key: tuple[Release, StandIn, str],
) -> None:
    release, standin, notes = with_key
    assert "agent claude" in notes
    release.wait_judged(1)

    assert standin.answered
    places = [
        release.helm("get", "all", "autoresearch"),
        *(
            release.kubectl("get", "all,configmaps,events", "-o", "yaml", namespace=n)
            for n in (release.own, release.runs)
        ),
        release.kubectl("logs", "deploy/autoresearch", "-c", "controller"),
    ]
    assert not [place for place in places if KEY in place]


@pytest.mark.timeout(900)
def test_kept_data_stays_and_everything_else_goes(with_key: tuple[Release, StandIn, str]) -> None:
    """In the middle of an attempt; the key is not the release's, so it stays as well."""
    release, _, _ = with_key
    running_job(release)

    release.uninstall()

    kept = {f"{release.own}: secret/anthropic", f"{release.runs}: persistentvolumeclaim/autoresearch-data"}
    kept |= {f"{release.runs}: {name}" for name in ("configmap/kube-root-ca.crt", "serviceaccount/default")}
    wait_until(lambda: left(release) == kept, what=f"only the data in {release.runs}")
