"""The notes of an install warn of the cluster: each warning is seen with its cause and without."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.chart.live import helm_on, said_by
from tests.chart.rendering import CHART, OPERATOR, render
from tests.cluster.harness import BuiltCluster, Cluster, Manifest
from tests.cluster.harness.binaries import program
from tests.cluster.prometheus_operator import GROUP, KINDS_STEP, operator_kinds

PREPARATIONS = [program("helm"), KINDS_STEP]

EVERYTHING = CHART / "ci" / "everything-values.yaml"

Notes = Callable[..., str]
"""(values) -> the notes of an install that is not carried out."""


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace to pretend to install into."""
    name = f"notes-{secrets.token_hex(3)}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def notes_of(cluster: Cluster, place: str, values: dict[str, Any]) -> str:
    """Ask the real cluster, change nothing in it."""
    arguments = ("install", "autoresearch", str(CHART), "-f", "-", "--dry-run=server")
    return said_by(helm_on(cluster, place, values, *arguments)).partition("NOTES:\n")[2]


@pytest.fixture
def notes(cluster: Cluster, place: str) -> Notes:
    """The notes by values."""
    return lambda **values: notes_of(cluster, place, values)


@contextmanager
def existing(cluster: Cluster, *manifests: Manifest) -> Iterator[None]:
    """Objects that are there for a while."""
    cluster.apply(*manifests)
    try:
        yield
    finally:
        for manifest in reversed(manifests):
            place = [f"--namespace={manifest['metadata']['namespace']}"] if "namespace" in manifest["metadata"] else []
            cluster.kubectl("delete", manifest["kind"], manifest["metadata"]["name"], *place)


def test_accelerators_are_counted_where_attempts_may_run(built_cluster: BuiltCluster, notes: Notes) -> None:
    warning = "has 1 nvidia.com/gpu allocatable (found 0): attempts will wait"

    assert "1 slot of 1 nvidia.com/gpu, 4 allocatable" in notes()
    assert warning not in notes()
    elsewhere = {"executor": {"kubernetes": {"node_selector": {"pool": "none"}}}}
    assert f"no node with the labels of campaign.executor.kubernetes.node_selector {warning}" in notes(
        campaign=elsewhere
    )
    assert "1 slot on CPUs" in notes(campaign={"executor": {"kubernetes": {"gpus": 0}}})


def daemon_set(name: str, *arguments: str) -> Manifest:
    """A DaemonSet that runs nowhere; only its name is looked at."""
    labels = {"app": name}
    container = {"name": "agent", "image": "none", "args": list(arguments)}
    pod = {"nodeSelector": {"no": "node"}, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


@pytest.mark.parametrize(
    ("plug_in", "enforces"),
    [
        pytest.param(daemon_set("calico-node"), True, id="calico"),
        pytest.param(daemon_set("cilium"), True, id="cilium"),
        pytest.param(daemon_set("kube-flannel-ds"), False, id="flannel"),
        pytest.param(daemon_set("aws-node", "--enable-network-policy=false"), False, id="EKS as it comes"),
        pytest.param(daemon_set("aws-node", "--enable-network-policy=true"), True, id="EKS with policies on"),
    ],
)
def test_network_that_does_not_enforce_policies_is_noticed(
    cluster: Cluster, notes: Notes, plug_in: Manifest, enforces: bool
) -> None:
    with existing(cluster, plug_in):
        assert ("no network plug-in that enforces NetworkPolicy was found" in notes()) != enforces


def test_policies_that_are_off_are_pointed_out(notes: Notes) -> None:
    assert "networkPolicy.enabled is false: attempts can reach the network" in notes(networkPolicy={"enabled": False})


def test_key_that_is_not_there_is_noticed(cluster: Cluster, notes: Notes, place: str) -> None:
    agent = {"existingSecret": "anthropic"}
    secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "anthropic", "namespace": place},
        "data": {"token": base64.b64encode(b"sk-ant-never-shown").decode()},
    }

    assert f"there is no Secret anthropic in namespace {place}" in notes(agent=agent)
    with existing(cluster, secret):
        assert "Secret anthropic has no key api-key: set agent.secretKey to one of token" in notes(agent=agent)
        right = notes(agent=agent | {"secretKey": "token"})
        assert "Secret anthropic" not in right
        assert "never-shown" not in right


def test_missing_storage_class_is_noticed(cluster: Cluster, notes: Notes) -> None:
    warning = "the cluster has no default StorageClass"
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    default: Manifest = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "default-for-a-test", "annotations": annotations},
        "provisioner": "example.com/none",
    }

    assert warning in notes()
    assert warning not in notes(lab={"storageClass": "-"}, data={"existingClaim": "data"})
    with existing(cluster, default):
        assert warning not in notes()


def test_namespace_of_attempts_without_the_standard_is_noticed(cluster: Cluster, notes: Notes) -> None:
    name = f"others-{secrets.token_hex(3)}"
    values: dict[str, Any] = {
        "runner": {"createNamespace": False},
        "campaign": {"executor": {"kubernetes": {"namespace": name}}},
    }
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}

    assert f"there is no namespace {name}, and runner.createNamespace is false" in notes(**values)
    namespace: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    with existing(cluster, namespace):
        assert f"namespace {name} does not enforce Pod Security" in notes(**values)
        cluster.apply(namespace | {"metadata": {"name": name, "labels": labels}})
        assert "Pod Security" not in notes(**values)


def test_prometheus_that_would_not_select_the_monitor_is_noticed(cluster: Cluster, notes: Notes, place: str) -> None:
    prometheus: Manifest = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Prometheus",
        "metadata": {"name": "stack", "namespace": place},
        "spec": {"serviceMonitorSelector": {"matchLabels": {"release": "stack"}}},
    }
    warning = "Prometheus will not select the ServiceMonitor"

    assert "there is no Prometheus operator to tell about it" in notes()
    with operator_kinds(cluster):
        assert "metrics    ServiceMonitor autoresearch" in notes()
        with existing(cluster, prometheus):
            said = notes()
            assert f"{warning}: --set serviceMonitor.additionalLabels.release=stack" in said
            assert "prometheusRule.additionalLabels.release=stack" in said
            assert warning not in notes(serviceMonitor={"additionalLabels": {"release": "stack"}})

        # The API server knows their schemas now, and takes every field of both.
        on = {name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule")}
        rendered = render(on, EVERYTHING, namespace=place, apis=OPERATOR)
        manifests = [manifest for manifest in rendered if GROUP in manifest["apiVersion"]]
        assert {m["kind"] for m in manifests} == {"ServiceMonitor", "PrometheusRule"}
        bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        strictly = ("create", f"--namespace={place}", "--dry-run=server", "--validate=strict", "-f", "-")
        done = cluster.try_kubectl(*strictly, stdin=bundle)
        assert done.returncode == 0, done.stderr
        # Which is not because it takes anything.
        refused = cluster.try_kubectl(*strictly, stdin=bundle.replace('"scrapeTimeout"', '"scrapeTimeOut"'))
        assert "scrapeTimeOut" in refused.stderr


def test_installer_who_may_not_look_is_not_stopped(cluster: Cluster, place: str) -> None:
    """With lookups off nothing outside of the release's objects is read."""
    said = notes_of(cluster, place, {"lookups": False, "campaign": {"executor": {"kubernetes": {"gpus": 0}}}})

    assert [line.partition(" ")[2][:17] for line in said.splitlines() if line.startswith("!")] == ["the trainer image"]
