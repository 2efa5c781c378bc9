"""Several releases on one cluster: each has names of its own, and a place that is taken is told in one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import CHART, HelmError, Manifest, campaign, one, render, run_helm
from tests.support.kubernetes_api import Reply, ScriptedApi, serving

LONG = "a-release-whose-name-is-as-long-as-helm-allows-it"


def identities(manifests: list[Manifest]) -> set[tuple[str, str, str]]:
    """Kind, namespace (empty where it has none) and name of everything that a release makes."""
    return {(m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]) for m in manifests}


@pytest.mark.parametrize(
    ("one_release", "other"),
    [
        pytest.param(("autoresearch", "research"), ("second", "research"), id="beside each other"),
        pytest.param(("autoresearch", "research"), ("autoresearch-2", "research"), id="numbered"),
        pytest.param(("autoresearch", "research"), ("autoresearch", "lab"), id="one name in two namespaces"),
        pytest.param(("a", "team"), ("autoresearch", "team-a"), id="what is joined by a hyphen looks alike"),
        pytest.param((f"{LONG}-1", "research"), (f"{LONG}-2", "research"), id="long names that begin alike"),
        pytest.param((LONG, "n" * 60 + "-1"), (LONG, "n" * 60 + "-2"), id="long namespaces that begin alike"),
    ],
)
def test_releases_share_nothing(one_release: tuple[str, str], other: tuple[str, str]) -> None:
    values = {"dashboards": {"namespace": "monitoring"}, "data": {"keep": True}}

    found = [
        identities(render(values, release=release, namespace=namespace)) for release, namespace in (one_release, other)
    ]

    shared = found[0] & found[1]
    alike = one_release == ("a", "team")
    # A name without dots cannot tell these two pairs apart; the second install is refused in a sentence, see below.
    assert {kind for kind, _, _ in shared} == ({"Namespace"} if alike else set())


@pytest.mark.parametrize(
    ("release", "namespace", "runs"),
    [
        ("autoresearch", "research", "research-runs"),
        ("mar8", "mar8", "mar8-runs"),
        ("second", "research", "research-second-runs"),
    ],
)
def test_attempts_have_a_namespace_that_tells_whose_they_are(release: str, namespace: str, runs: str) -> None:
    manifests = render(release=release, namespace=namespace)

    assert one(manifests, "Namespace")["metadata"]["name"] == runs
    assert f"namespace: {runs}" in campaign(manifests)


@pytest.mark.parametrize("release", ["autoresearch", "a", f"{LONG}-1"])
@pytest.mark.parametrize("namespace", ["n", "n" * 63])
def test_namespace_of_attempts_is_a_name_that_a_namespace_may_have(release: str, namespace: str) -> None:
    name = one(render(release=release, namespace=namespace), "Namespace")["metadata"]["name"]

    assert len(name) <= 63
    assert name.endswith("-runs")


# -- what the cluster tells -------------------------------------------------------------------------------------------

GROUPS = {
    "apps/v1": {"DaemonSet": "daemonsets", "Deployment": "deployments"},
    "batch/v1": {"Job": "jobs"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "rbac.authorization.k8s.io/v1": {
        "Role": "roles",
        "RoleBinding": "rolebindings",
        "ClusterRole": "clusterroles",
        "ClusterRoleBinding": "clusterrolebindings",
    },
    "admissionregistration.k8s.io/v1": {
        "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    },
    "storage.k8s.io/v1": {"StorageClass": "storageclasses"},
    "v1": {
        "ConfigMap": "configmaps",
        "LimitRange": "limitranges",
        "Namespace": "namespaces",
        "Node": "nodes",
        "PersistentVolumeClaim": "persistentvolumeclaims",
        "Pod": "pods",
        "ResourceQuota": "resourcequotas",
        "Secret": "secrets",
        "Service": "services",
        "ServiceAccount": "serviceaccounts",
    },
}
"""The kinds that the chart makes or looks up, with the names of their resources."""

CLUSTER_WIDE = ("Namespace", "Node", "StorageClass", "ClusterRole", "ClusterRoleBinding")
NAMESPACE = "/api/v1/namespaces/research-runs"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/research-runs/roles"


def resources(version: str) -> dict[str, Any]:
    """The kinds of one version of the API, as the server lists them."""
    listed = [
        {
            "name": name,
            "singularName": "",
            "namespaced": kind not in CLUSTER_WIDE and not kind.startswith("Validating"),
            "kind": kind,
            "verbs": ["get", "list", "create"],
        }
        for kind, name in GROUPS[version].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}


def an_api(objects: Mapping[str, Any]) -> ScriptedApi:
    """An API server that has these objects, by path, and no others."""
    api = ScriptedApi()
    api.answer("GET", "/version", _json({"major": "1", "minor": "34", "gitVersion": "v1.34.0"}))
    api.answer("GET", "/api", _json({"kind": "APIVersions", "versions": ["v1"]}))
    groups = []
    for version, kinds in GROUPS.items():
        api.answer("GET", f"/api/{version}" if version == "v1" else f"/apis/{version}", _json(resources(version)))
        if version != "v1":
            named = {"groupVersion": version, "version": "v1"}
            groups.append({"name": version.split("/")[0], "versions": [named], "preferredVersion": named})
        for name in kinds.values():
            prefix = "/api/v1" if version == "v1" else f"/apis/{version}"
            for path in (f"{prefix}/{name}", f"{prefix}/namespaces/research-runs/{name}"):
                if path not in objects:
                    api.answer("GET", path, _json({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []}))
    api.answer("GET", "/apis", _json({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
    for path, found in objects.items():
        api.answer("GET", path, _json(found))
    return api


def _json(body: Any) -> Reply:
    return Reply(body=body, headers={"Content-Type": "application/json"})


def rendered_on(objects: Mapping[str, Any], folder: Path, *arguments: str) -> str:
    """Render the chart while lookups find these objects. Raises HelmError."""
    with serving(an_api(objects)) as address:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "a", "cluster": {"server": address}}],
                    "users": [{"name": "a", "user": {}}],
                    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                    "current-context": "a",
                }
            )
        )
        return run_helm(
            *("template", "autoresearch", str(CHART), "--namespace", "research", "--kubeconfig", str(kubeconfig)),
            *("--dry-run=server", "--disable-openapi-validation", *arguments),
        )


def owned(release: str, namespace: str) -> dict[str, str]:
    """The annotations by which Helm knows whose an object is."""
    return {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}


def a_namespace(annotations: Mapping[str, str], **more: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "Helm"} if annotations else {}
    metadata = {"name": "research-runs", "labels": labels, "annotations": annotations, **more}
    return {NAMESPACE: {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}}


def a_role(annotations: Mapping[str, str]) -> dict[str, Any]:
    """The controller's rights in the namespace of attempts: every release has some there."""
    labels = {"app.kubernetes.io/part-of": "autoresearch"}
    metadata = {"name": "r", "namespace": "research-runs", "labels": labels, "annotations": annotations}
    api = "rbac.authorization.k8s.io/v1"
    role = {"apiVersion": api, "kind": "Role", "metadata": metadata}
    return {ROLES: {"apiVersion": api, "kind": "RoleList", "metadata": {}, "items": [role]}}


THEIRS = owned("other", "elsewhere")
OURS = owned("autoresearch", "research")
GIVEN = ("--set", "runner.createNamespace=false")


@pytest.mark.parametrize(
    ("objects", "arguments", "words"),
    [
        pytest.param(
            a_namespace(THEIRS),
            (),
            "namespace research-runs holds the attempts of release other in namespace elsewhere: give this release "
            "another, campaign.executor.kubernetes.namespace=...",
            id="of another release",
        ),
        pytest.param(
            a_role(THEIRS),
            GIVEN,
            "namespace research-runs holds the attempts of release other in namespace elsewhere",
            id="of nobody, and another release is in it",
        ),
        pytest.param(
            a_namespace({}),
            (),
            "namespace research-runs is there already, and of no release: use it as it is with "
            "runner.createNamespace=false",
            id="of nobody",
        ),
        pytest.param(
            a_namespace(OURS, deletionTimestamp="2026-11-29T00:00:00Z"),
            (),
            "namespace research-runs is still being removed",
            id="going away",
        ),
    ],
)
def test_namespace_of_attempts_that_is_taken_is_refused_in_one_sentence(
    objects: dict[str, Any], arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(HelmError) as refused:
        rendered_on(objects, tmp_path, *arguments)

    assert words in str(refused.value)
    assert "ownership" not in str(refused.value)


@pytest.mark.parametrize(
    ("objects", "arguments"),
    [
        pytest.param({}, (), id="not there yet"),
        pytest.param(a_namespace(OURS) | a_role(OURS), (), id="our own"),
        pytest.param(a_namespace({}) | a_role(OURS), GIVEN, id="given, with us in it"),
        pytest.param(a_role(THEIRS), (*GIVEN, "--set", "lookups=false"), id="nobody may look"),
    ],
)
def test_namespace_of_attempts_that_is_free_or_ours_is_taken(
    objects: dict[str, Any], arguments: tuple[str, ...], tmp_path: Path
) -> None:
    assert "kind: Deployment" in rendered_on(objects, tmp_path, *arguments)
