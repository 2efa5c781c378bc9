"""The chart's network policies, enforced by kube-router: who reaches whom, and that nobody else does."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator, Mapping

import pytest

from controller.executor.kubernetes.naming import MANAGED_BY, MANAGER, SMOKE
from tests.chart.live import OUTSIDE_PORT, PREPARATIONS, Release
from tests.cluster.harness import Manifest
from tests.cluster.harness.policies import policies_ignored
from tests.cluster.reachability import ASKING, Addresses, reached_once

__all__ = ["PREPARATIONS"]

ANSWERING = """
import socket
listening = socket.create_server(("", 8443))
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind(("", 53))
while True:
    resolver.sendto(*resolver.recvfrom(9))
"""
"""A pod that can be reached by TCP, and answers like a resolver."""


def a_pod(release: Release, name: str, namespace: str, program: str) -> Manifest:
    """A pod of somebody else's."""
    image = release.values["image"]
    container = {
        "name": "python",
        "image": f"{image['repository']}@{image['digest']}",
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", program],
        "securityContext": {"runAsUser": 0},
    }
    spec = {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "containers": [container]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def neighbours(installed: Release) -> Iterator[Mapping[str, str]]:
    """Addresses of a pod in another namespace and of one where resolvers live, by namespace; the first is `others`."""
    others, cluster = f"others-{secrets.token_hex(3)}", installed.cluster
    name = f"answering-{others}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": others}})
    pods = [a_pod(installed, name, namespace, ANSWERING) for namespace in (others, "kube-system")]
    cluster.wait_for("serviceaccount", "default", f"--namespace={others}", until=bool, what="the account")
    cluster.apply(*pods)
    yield {
        key: cluster.wait_for(
            *("pod", name, f"--namespace={namespace}"),
            until=lambda pod: pod["status"].get("phase") == "Running",
            what=f"pod {name}",
        )["status"]["podIP"]
        for key, namespace in (("others", others), ("kube-system", "kube-system"))
    } | {"namespace": others, "name": name}
    cluster.kubectl("delete", "pod", name, "--namespace=kube-system", "--wait=false")
    cluster.kubectl("delete", "namespace", others, "--wait=false")


@pytest.fixture
def world(installed: Release) -> Iterator[Addresses]:
    """Servers on this machine: one that the release names as its source and its model, and one that it does not."""
    host = installed.cluster.host_address
    with socket.create_server((host, OUTSIDE_PORT)), socket.create_server((host, 0)) as other:
        yield {"the source": (host, OUTSIDE_PORT, False), "the world": (host, other.getsockname()[1], False)}


def inside(release: Release, neighbours: Mapping[str, str]) -> Addresses:
    """The objects in the cluster."""
    cluster, page = release.cluster, release.controller()["status"]["podIP"]
    return {
        "API server": (cluster.layout.api_service_address, 443, False),
        "kubelet": (cluster.node_address, 10250, False),
        "page": (page, 8080, False),
        "neighbour": (neighbours["others"], 8443, False),
        "resolver": (neighbours["kube-system"], 53, True),
        "neighbour's resolver": (neighbours["others"], 53, True),
    }


def reached_by(release: Release, namespace: str, pod: str, addresses: Addresses) -> set[str]:
    """Which of them a running pod reaches."""
    said = release.kubectl("exec", pod, "--", "python3", "-c", ASKING, json.dumps(addresses), namespace=namespace)
    return set(json.loads(said))


def test_controller_reaches_the_api_server_and_a_resolver_and_nothing_else(
    installed: Release, neighbours: Mapping[str, str], world: Addresses
) -> None:
    """Neither model nor git remote are used here; without enforcement every one of these answers."""
    addresses = inside(installed, neighbours) | world
    pod = "deployment/autoresearch"

    assert reached_by(installed, installed.own, pod, addresses) - {"page"} == {"API server", "resolver"}
    with policies_ignored(installed.cluster):
        assert reached_by(installed, installed.own, pod, addresses) == set(addresses)
    assert reached_by(installed, installed.own, pod, addresses) - {"page"} == {"API server", "resolver"}


def test_attempt_reaches_nothing(installed: Release, neighbours: Mapping[str, str], world: Addresses) -> None:
    assert reached_once(installed, inside(installed, neighbours) | world) == set()


def test_smoke_test_reaches_nothing(installed: Release, neighbours: Mapping[str, str], world: Addresses) -> None:
    labels = {MANAGED_BY: MANAGER, "campaign": installed.values["campaign"]["tag"], SMOKE: "0badcafe"}

    assert reached_once(installed, inside(installed, neighbours) | world, **labels) == set()


def test_preparation_reaches_its_source_and_a_resolver_only(
    installed: Release, neighbours: Mapping[str, str], world: Addresses
) -> None:
    addresses = inside(installed, neighbours) | world

    reached = reached_once(installed, addresses, **{"autoresearch.dev/role": "prepare"})
    assert reached == {"the source", "resolver"}


def test_page_and_metrics_are_reached_from_other_namespaces(installed: Release, neighbours: Mapping[str, str]) -> None:
    """As Prometheus does; attempts do not."""
    addresses = inside(installed, neighbours)
    addresses = {"page": addresses["page"], "elsewhere on it": (addresses["page"][0], 8081, False)}

    assert reached_by(installed, neighbours["namespace"], neighbours["name"], addresses) == {"page"}
