"""A fresh pair of namespaces for each test, what happened in them if it failed, and their end."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from .cluster import Cluster, Manifest

# What design and chart ask of the namespace of attempts.
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}


@dataclass(frozen=True, slots=True)
class NamespacePair:
    """controller: where the controller and its key would live; runner: where attempts run, Pod Security restricted."""

    controller: str
    runner: str


def create_pair(cluster: Cluster) -> NamespacePair:
    """Create both under names that nobody uses, and wait until pods can be made in them."""
    suffix = secrets.token_hex(3)
    pair = NamespacePair(controller=f"controller-{suffix}", runner=f"runner-{suffix}")
    cluster.apply(_namespace(pair.controller, {}), _namespace(pair.runner, RESTRICTED))
    for name in (pair.controller, pair.runner):
        # Pods are refused until the controller-manager has made this.
        cluster.wait_for("serviceaccount", "default", f"--namespace={name}", until=bool, what=f"{name}'s account")
    return pair


def delete_pair(cluster: Cluster, pair: NamespacePair) -> None:
    """Free the pods' resources at once; the namespaces themselves go in the background."""
    for name in (pair.controller, pair.runner):
        scope = f"--namespace={name}"
        # Owners first, or they would make new pods.
        cluster.kubectl(
            "delete", "jobs,deployments,replicasets", "--all", scope, "--wait=false", "--cascade=background"
        )
        cluster.kubectl("delete", "pods", "--all", scope, "--force", "--grace-period=0", "--wait=false")
    cluster.kubectl("delete", "namespace", pair.controller, pair.runner, "--wait=false")


def diagnosis(cluster: Cluster, pair: NamespacePair) -> str:
    """Events, objects and pod logs of both namespaces, best effort: for the report of a failed test."""
    return "\n".join(_diagnose(cluster, name) for name in (pair.controller, pair.runner))


def _diagnose(cluster: Cluster, namespace: str) -> str:
    scope = f"--namespace={namespace}"
    parts = [f"==== namespace {namespace} ===="]
    for arguments in (("get", "jobs,pods", "-o", "wide"), ("events",)):
        done = cluster.try_kubectl(*arguments, scope)
        parts.append(f"-- kubectl {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    pods = cluster.try_kubectl("get", "pods", scope, "-o", "json")
    for pod in json.loads(pods.stdout)["items"] if pods.returncode == 0 else []:
        parts += [_container_log(cluster, pod, container) for container in _containers(pod)]
    return "\n".join(parts)


def _containers(pod: Manifest) -> list[str]:
    spec = pod["spec"]
    return [container["name"] for container in [*spec.get("initContainers", []), *spec["containers"]]]


def _container_log(cluster: Cluster, pod: Manifest, container: str) -> str:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    done = cluster.try_kubectl("logs", name, f"--namespace={namespace}", f"--container={container}", "--tail=60")
    return f"-- log of {name}, container {container}\n{done.stdout}{done.stderr}"


def _namespace(name: str, labels: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
