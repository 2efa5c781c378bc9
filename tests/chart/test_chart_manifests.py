"""The chart's manifests: each one that carries a wall as a whole, and properties of all of them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.executor.kubernetes.proposal_job import Place, build_proposal_job
from controller.executor.workshop import Session
from tests.chart.rendering import (
    CHART,
    CI,
    OPERATOR,
    HelmError,
    Manifest,
    containers,
    is_hook,
    notes,
    of_kind,
    one,
    pods,
    render,
    run_helm,
)
from tests.support.proposal_cluster import cluster_settings

CLUSTER_SCOPED = {
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
LABELS = {
    "helm.sh/chart": "autoresearch-0.1.0",
    "app.kubernetes.io/name": "autoresearch",
    "app.kubernetes.io/instance": "autoresearch",
    "app.kubernetes.io/version": "0.1.0",
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/part-of": "autoresearch",
}
SELECTOR = {
    "app.kubernetes.io/name": "autoresearch",
    "app.kubernetes.io/instance": "autoresearch",
    "app.kubernetes.io/component": "controller",
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
EVERYWHERE = [
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
    {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128"]}},
]
every_example = pytest.mark.parametrize("file", CI, ids=lambda file: file.name)


def tcp(*ports: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def metadata(name: str, namespace: str, **more: Any) -> Manifest:
    return {"name": name, "namespace": namespace, "labels": LABELS, **more}


def named(manifests: list[Manifest], kind: str, namespace: str) -> list[str]:
    return [m["metadata"]["name"] for m in of_kind(manifests, kind) if m["metadata"].get("namespace") == namespace]


@every_example
@pytest.mark.parametrize("apis", [(), OPERATOR], ids=["no operator", "operator"])
def test_every_object_has_one_place_and_our_labels(file: Path, apis: tuple[str, ...]) -> None:
    manifests = render(None, file, apis=apis)

    identities = Counter((m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in manifests)
    assert [identity for identity, count in identities.items() if count > 1] == []
    for manifest in manifests:
        assert ("namespace" in manifest["metadata"]) == (manifest["kind"] not in CLUSTER_SCOPED), manifest
        assert manifest["metadata"]["labels"].keys() >= LABELS.keys(), manifest


@every_example
def test_every_pod_passes_the_restricted_standard(file: Path) -> None:
    for name, pod in pods(render(None, file)):
        assert pod["securityContext"] == POD_SECURITY, name
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys(), name
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        assert all(set(volume) - {"name"} <= allowed for volume in pod.get("volumes", [])), name
        for container in containers(pod):
            assert container["securityContext"] == CONTAINER_SECURITY, name
            assert container["resources"], name


@every_example
def test_only_tests_hold_rights_over_the_cluster(file: Path) -> None:
    manifests = render(None, file)

    whole = [m for kind in ("ClusterRole", "ClusterRoleBinding") for m in of_kind(manifests, kind)]
    assert all(is_hook(manifest) for manifest in whole)
    assert [m["rules"] for m in of_kind(whole, "ClusterRole")] in (
        [],
        [[{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]],
    )


def test_controller_is_one_pod_that_is_replaced_and_never_doubled() -> None:
    deployment = one(render(), "Deployment")

    checksum = deployment["spec"]["template"]["metadata"]["annotations"].pop("checksum/config")
    assert len(checksum) == 64
    environment = [
        {"name": "HOME", "value": "/tmp"},
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        {"name": "AUTORESEARCH_CAMPAIGN", "value": "/var/lib/autoresearch"},
    ]
    mounts = [
        {"name": "lab", "mountPath": "/var/lib/autoresearch"},
        {
            "name": "campaign",
            "mountPath": "/var/lib/autoresearch/campaign.yaml",
            "subPath": "campaign.yaml",
            "readOnly": True,
        },
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    common = {
        "image": "autoresearch-controller:0.1.0",
        "imagePullPolicy": "IfNotPresent",
        "env": environment,
        "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}, "limits": {"memory": "512Mi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": mounts,
    }
    labels = LABELS | {"app.kubernetes.io/component": "controller"}
    assert deployment == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "autoresearch", "namespace": "research", "labels": labels},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 86400,
            "selector": {"matchLabels": SELECTOR},
            "template": {
                "metadata": {"labels": labels, "annotations": {}},
                "spec": {
                    "serviceAccountName": "autoresearch",
                    "automountServiceAccountToken": True,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": POD_SECURITY,
                    "initContainers": [
                        {
                            "name": "prepare",
                            "command": ["autoresearch", "prepare", "/var/lib/autoresearch"],
                            **common,
                        }
                    ],
                    "containers": [
                        {
                            "name": "controller",
                            "command": ["autoresearch", "run", "/var/lib/autoresearch"],
                            **common,
                            "ports": [{"name": "http", "containerPort": 8080}],
                            "startupProbe": {
                                "httpGet": {"path": "/healthz", "port": "http"},
                                "periodSeconds": 1,
                                "failureThreshold": 120,
                            },
                            "livenessProbe": {
                                "httpGet": {"path": "/healthz", "port": "http"},
                                "periodSeconds": 10,
                                "timeoutSeconds": 5,
                                "failureThreshold": 6,
                            },
                            "readinessProbe": {
                                "httpGet": {"path": "/readyz", "port": "http"},
                                "periodSeconds": 2,
                                "timeoutSeconds": 5,
                            },
                        }
                    ],
                    "volumes": [
                        {"name": "lab", "persistentVolumeClaim": {"claimName": "autoresearch-lab"}},
                        {"name": "campaign", "configMap": {"name": "autoresearch-campaign"}},
                        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
                    ],
                },
            },
        },
    }


def test_controller_may_run_jobs_among_the_attempts_and_nothing_else() -> None:
    manifests = render()

    assert one(manifests, "Role") == {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata("autoresearch", "research-runs"),
        "rules": [
            {
                "apiGroups": ["batch"],
                "resources": ["jobs"],
                "verbs": ["create", "get", "list", "watch", "patch", "delete"],
            },
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
            {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "list", "watch"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]},
        ],
    }
    assert one(manifests, "RoleBinding") == {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata("autoresearch", "research-runs"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "autoresearch"},
        "subjects": [{"kind": "ServiceAccount", "name": "autoresearch", "namespace": "research"}],
    }


def test_attempts_have_an_account_without_rights_or_token() -> None:
    assert one(render(), "ServiceAccount", "autoresearch-attempt") == {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata("autoresearch-attempt", "research-runs"),
        "automountServiceAccountToken": False,
    }


def test_namespace_of_attempts_enforces_the_restricted_standard() -> None:
    security = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}

    assert one(render(), "Namespace") == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "research-runs", "labels": LABELS | security},
    }


def test_attempts_reach_nothing_and_are_reached_by_nothing() -> None:
    manifests = render()

    assert named(manifests, "NetworkPolicy", "research-runs") == ["autoresearch-deny"]
    assert one(manifests, "NetworkPolicy", "autoresearch-deny") == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata("autoresearch-deny", "research-runs"),
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


def test_only_the_job_that_prepares_data_can_be_let_out() -> None:
    download = {"enabled": True, "cidrs": ["198.51.100.0/24"], "ports": [8443]}

    found = one(render({"data": {"download": download}}), "NetworkPolicy", "autoresearch-download")
    assert found["metadata"]["namespace"] == "research-runs"
    assert found["spec"] == {
        "podSelector": {"matchLabels": {"autoresearch.dev/role": "prepare"}},
        "policyTypes": ["Egress"],
        "egress": [dns(), {"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}], "ports": tcp(8443)}],
    }


def dns() -> Manifest:
    resolver = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    return {"to": [resolver], "ports": [{"protocol": "UDP", "port": 53}, *tcp(53)]}


def test_controller_without_a_model_reaches_the_api_server_only() -> None:
    policy = one(render(), "NetworkPolicy", "autoresearch")["spec"]

    assert policy == {
        "podSelector": {
            "matchLabels": {key: SELECTOR[key] for key in list(SELECTOR)[:2]},
            "matchExpressions": [
                {"key": "app.kubernetes.io/component", "operator": "In", "values": ["controller", "test"]}
            ],
        },
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [
                    {
                        "namespaceSelector": {
                            "matchExpressions": [
                                {
                                    "key": "kubernetes.io/metadata.name",
                                    "operator": "NotIn",
                                    "values": ["research-runs"],
                                }
                            ]
                        }
                    }
                ],
                "ports": [{"protocol": "TCP", "port": "http"}],
            }
        ],
        "egress": [dns(), {"to": EVERYWHERE, "ports": tcp(443, 6443)}],
    }


def test_model_and_remote_open_a_way_out_only_where_they_are_used() -> None:
    given = yaml.safe_load((CHART / "ci" / "everything-values.yaml").read_text())["networkPolicy"] | {"enabled": True}

    def egress(**more: Any) -> list[Manifest]:
        found: list[Manifest] = one(render({"networkPolicy": given, **more}), "NetworkPolicy", "autoresearch")["spec"][
            "egress"
        ]
        return found

    def rule(cidr: str, port: int) -> Manifest:
        return {"to": [{"ipBlock": {"cidr": cidr}}], "ports": tcp(port)}

    model, remote = rule("198.51.100.7/32", 8443), rule("203.0.113.0/24", 2222)
    extra = {"to": [{"ipBlock": {"cidr": "192.0.2.9/32"}}]}
    assert egress()[1:] == [rule("192.0.2.1/32", 6443), extra]
    assert egress(agent={"existingSecret": "key"})[1:] == [rule("192.0.2.1/32", 6443), model, extra]
    assert egress(campaign={"lab": {"remote": "git@example:lab"}})[1:] == [rule("192.0.2.1/32", 6443), remote, extra]


COMMAND = {"campaign": {"agent": {"kind": "command", "command": {"run": ["agent"], "image": "agents:1"}}}}
"""A campaign whose agent is a program in a Job, without a model."""

OF_PROPOSALS = {"app.kubernetes.io/managed-by": "autoresearch", "campaign": "demo"}
PROPOSALS = {"matchLabels": OF_PROPOSALS, "matchExpressions": [{"key": "proposal", "operator": "Exists"}]}


def test_programs_that_propose_reach_one_port_of_the_controller_and_nothing_else() -> None:
    manifests = render(COMMAND)
    policy = one(manifests, "NetworkPolicy", "autoresearch-proposals")

    assert policy["metadata"]["namespace"] == "research-runs"
    assert policy["spec"] == {
        "podSelector": PROPOSALS,
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "research"}},
                        "podSelector": {"matchLabels": SELECTOR},
                    }
                ],
                "ports": tcp(8642),
            }
        ],
    }
    [_, ingress] = one(manifests, "NetworkPolicy", "autoresearch")["spec"]["ingress"]
    assert ingress == {
        "from": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "research-runs"}},
                "podSelector": PROPOSALS,
            }
        ],
        "ports": [{"protocol": "TCP", "port": "proposals"}],
    }
    [controller] = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"name": "proposals", "containerPort": 8642} in controller["ports"]


def test_labels_by_which_policies_know_programs_that_propose_are_those_of_their_jobs() -> None:
    settings = cluster_settings()
    session = Session(command=("agent",), environment={}, files={}, wanted={}, seconds=1)
    job = build_proposal_job(settings, session, Place(id="x", address="10.0.0.1", port=8642, key="k"))

    labels = job["spec"]["template"]["metadata"]["labels"]
    assert OF_PROPOSALS.items() <= labels.items()
    assert "proposal" in labels


def test_model_is_let_out_to_only_where_a_program_may_ask_one() -> None:
    command = {"run": ["agent"], "gateway": ["openai"]}
    asking = {
        "agent": {"existingSecret": "key"},
        "campaign": {"agent": {"kind": "command", "command": command}},
    }
    everywhere = {"to": EVERYWHERE, "ports": tcp(443)}

    assert everywhere in one(render(asking), "NetworkPolicy", "autoresearch")["spec"]["egress"]
    assert everywhere not in one(render(COMMAND), "NetworkPolicy", "autoresearch")["spec"]["egress"]


def test_programs_that_propose_have_room_in_the_quota_and_their_image_is_admitted() -> None:
    manifests = render(COMMAND)

    assert one(manifests, "ResourceQuota")["spec"]["hard"]["pods"] == "42"
    policy = one(manifests, "ValidatingAdmissionPolicy")["spec"]
    [images] = [each["expression"] for each in policy["variables"] if each["name"] == "images"]
    assert json.loads(images)[1:] == ["agents:1"]


def test_quota_grows_with_the_slots_and_takes_what_is_added() -> None:
    values = {
        "campaign": {"executor": {"slots": 4, "kubernetes": {"gpus": 2, "gpu_resource": "amd.com/gpu"}}},
        "runner": {"quota": {"hard": {"limits.memory": "1Ti", "pods": "99"}}},
    }

    assert one(render(values), "ResourceQuota")["spec"]["hard"] == {
        "count/jobs.batch": "2000",
        "pods": "99",
        "requests.amd.com/gpu": "16",
        "limits.memory": "1Ti",
    }


def test_quota_names_no_accelerator_where_there_is_none() -> None:
    hard = one(render({"campaign": {"executor": {"kubernetes": {"gpus": 0}}}}), "ResourceQuota")["spec"]["hard"]

    assert hard == {"count/jobs.batch": "2000", "pods": "10"}


def test_admission_knows_the_images_the_claim_and_the_account() -> None:
    values = {
        "trainerImage": {"repository": "registry.example/trainer", "tag": "7"},
        "campaign": {"executor": {"kubernetes": {"runtime_class_name": "gvisor"}}},
        "runner": {"admission": {"images": ["registry.example/other:1"]}},
    }
    manifests = render(values)

    policy = one(manifests, "ValidatingAdmissionPolicy")["spec"]
    # A parameter would be lost for good when a release is removed and installed again (kubernetes#130887).
    assert "paramKind" not in policy
    variables = {variable["name"]: variable["expression"] for variable in policy["variables"]}
    assert json.loads(variables["images"]) == ["registry.example/trainer:7", "registry.example/other:1"]
    text = " ".join(validation["expression"] for validation in policy["validations"])
    for name in ('"autoresearch-data"', '"autoresearch-attempt"', "'gvisor'"):
        assert f"== {name}" in text
    assert one(manifests, "ValidatingAdmissionPolicyBinding")["spec"] == {
        "policyName": "research.autoresearch",
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "research-runs"}}},
    }


def test_admission_policy_is_left_out_where_the_cluster_has_none() -> None:
    kinds = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

    assert not kinds & {m["kind"] for m in render(kubernetes="v1.29.3-gke.100")}
    assert kinds <= {m["kind"] for m in render(kubernetes="v1.30.1-eks-abc")}


def test_older_clusters_are_refused() -> None:
    with pytest.raises(HelmError, match=r"1\.29"):
        render(kubernetes="1.28.9")


@every_example
def test_monitoring_is_made_only_where_the_operator_is(file: Path) -> None:
    monitors = {"ServiceMonitor", "PrometheusRule"}

    assert not monitors & {m["kind"] for m in render(None, file)}


def test_cilium_is_told_of_the_api_server_by_what_it_is() -> None:
    """It takes no address for a node: the plain policy alone would cut the controller off from a server on one."""
    ports = {"networkPolicy": {"apiServer": {"ports": [6443]}}}
    manifests = render(ports, apis=["cilium.io/v2/CiliumNetworkPolicy"])

    found = one(manifests, "CiliumNetworkPolicy")["spec"]
    assert found["endpointSelector"] == one(manifests, "NetworkPolicy", "autoresearch")["spec"]["podSelector"]
    reached = [{"ports": [{"protocol": "TCP", "port": "6443"}]}]
    assert found["egress"] == [{"toEntities": ["kube-apiserver"], "toPorts": reached}]
    assert not of_kind(render(), "CiliumNetworkPolicy")


def test_operator_gets_monitor_and_rules_with_the_labels_it_selects_by() -> None:
    labels = {"release": "kube-prometheus-stack"}
    values = {"serviceMonitor": {"additionalLabels": labels}, "prometheusRule": {"additionalLabels": labels}}
    manifests = render(values, apis=OPERATOR)

    assert one(manifests, "ServiceMonitor") == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata("autoresearch", "research") | {"labels": LABELS | labels},
        "spec": {
            "selector": {"matchLabels": SELECTOR},
            "endpoints": [{"port": "http", "path": "/metrics", "interval": "30s", "scrapeTimeout": "10s"}],
        },
    }
    assert one(manifests, "PrometheusRule")["metadata"]["labels"] == LABELS | labels


def test_rules_and_dashboards_arrive_as_they_are_in_their_files(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    shutil.rmtree(chart / "rules")
    shutil.rmtree(chart / "dashboards")
    groups = [{"name": "g", "rules": [{"alert": "A", "expr": "up == 0", "annotations": {"say": "{{ $labels.x }}"}}]}]
    dashboard = {"title": "T", "panels": [{"legendFormat": "{{ verdict }}", "text": "a: b # c\n  d"}]}
    for name, text in {
        "rules/a.yaml": yaml.safe_dump({"groups": groups}),
        "rules/b.yaml": yaml.safe_dump({"groups": groups}),
        "dashboards/one.json": json.dumps(dashboard, indent=1),
    }.items():
        (chart / name).parent.mkdir(exist_ok=True)
        (chart / name).write_text(text)
    manifests = render(chart=chart, apis=OPERATOR)

    assert one(manifests, "PrometheusRule")["spec"] == {"groups": [*groups, *groups]}
    found = one(manifests, "ConfigMap", "autoresearch-dashboard-one")
    assert json.loads(found["data"]["one.json"]) == dashboard
    assert found["metadata"]["labels"] == LABELS | {"grafana_dashboard": "1"}
    assert found["metadata"]["annotations"] == {"grafana_folder": "Autoresearch"}


def test_chart_without_rules_and_dashboards_renders(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("rules", "dashboards"))

    manifests = render(chart=chart, apis=OPERATOR)
    assert not of_kind(manifests, "PrometheusRule")
    assert one(manifests, "ServiceMonitor")


def test_shipped_dashboards_and_rules_are_installed() -> None:
    manifests = render(apis=OPERATOR)

    shipped = {f"autoresearch-dashboard-{path.stem}" for path in (CHART / "dashboards").glob("*.json")}
    assert shipped == {name for name in named(manifests, "ConfigMap", "research") if "-dashboard-" in name}
    files = sorted((CHART / "rules").glob("*.yaml"))
    groups = [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    assert [r["spec"]["groups"] for r in of_kind(manifests, "PrometheusRule")] == ([groups] if groups else [])


def test_lab_outlives_the_release_and_data_does_not() -> None:
    manifests = render()

    assert one(manifests, "PersistentVolumeClaim", "autoresearch-lab") == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata("autoresearch-lab", "research", annotations={"helm.sh/resource-policy": "keep"}),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
    }
    assert one(manifests, "PersistentVolumeClaim", "autoresearch-data") == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata("autoresearch-data", "research-runs"),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}},
    }


def test_kept_data_keeps_its_namespace_and_the_rest_is_cleaned_out_of_it() -> None:
    manifests = render({"data": {"keep": True}})

    for kind, name in (("Namespace", "research-runs"), ("PersistentVolumeClaim", "autoresearch-data")):
        assert one(manifests, kind, name)["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    hooks = [m for m in manifests if (m["metadata"].get("annotations") or {}).get("helm.sh/hook") == "post-delete"]
    assert sorted(m["kind"] for m in hooks) == ["Job", "Role", "RoleBinding", "ServiceAccount"]


def test_nothing_is_cleaned_where_the_namespace_goes_with_the_release() -> None:
    hooks = {m["metadata"]["annotations"]["helm.sh/hook"] for m in render() if is_hook(m)}

    assert hooks == {"test"}


def test_volume_class_may_be_the_default_one_named_or_none() -> None:
    def volume_class(value: str) -> Any:
        claim = one(render({"lab": {"storageClass": value}}), "PersistentVolumeClaim", "autoresearch-lab")
        return claim["spec"].get("storageClassName", "the default")

    assert [volume_class(value) for value in ("", "fast", "-")] == ["the default", "fast", ""]


def test_existing_objects_are_used_and_not_made() -> None:
    manifests = render(None, CHART / "ci" / "existing-values.yaml")

    assert not of_kind(manifests, "PersistentVolumeClaim")
    assert not of_kind(manifests, "Namespace")
    assert named(manifests, "ServiceAccount", "research") == ["autoresearch-cleanup"]
    pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "research-bot"
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "my-lab"}


def test_everything_that_is_passed_through_arrives_in_the_pod() -> None:
    given = yaml.safe_load((CHART / "ci" / "everything-values.yaml").read_text())
    template = one(render(None, CHART / "ci" / "everything-values.yaml"), "Deployment")["spec"]["template"]

    pod, asked = template["spec"], given["controller"]
    [main] = pod["containers"]
    assert asked["podLabels"].items() <= template["metadata"]["labels"].items()
    assert asked["podAnnotations"].items() <= template["metadata"]["annotations"].items()
    for key in ("nodeSelector", "tolerations", "affinity", "runtimeClassName", "priorityClassName"):
        assert pod[key] == asked[key]
    assert pod["terminationGracePeriodSeconds"] == 45
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert main["image"] == "registry.example/controller:7"
    assert main["resources"]["requests"] == asked["resources"]["requests"]
    assert main["ports"] == [{"name": "http", "containerPort": 9090}]
    assert all(entry in main["env"] for entry in asked["extraEnv"])
    assert all(entry in main["volumeMounts"] for entry in asked["extraVolumeMounts"])
    assert all(entry in pod["volumes"] for entry in asked["extraVolumes"])


def test_new_settings_start_the_controller_anew() -> None:
    def template(seconds: int) -> Any:
        return one(render({"campaign": {"budget": {"train_seconds": seconds}}}), "Deployment")["spec"]["template"]

    assert template(20) == template(20)
    assert template(20)["metadata"]["annotations"] != template(30)["metadata"]["annotations"]


@pytest.mark.parametrize("release", ["autoresearch", "a", "a-release-whose-name-is-as-long-as-helm-allows-it-b"])
def test_names_fit_whatever_the_release_is_called(release: str) -> None:
    for manifest in render(None, CHART / "ci" / "gpus-values.yaml", release=release, namespace="n" * 50):
        assert len(manifest["metadata"]["name"]) <= 63
        assert not manifest["metadata"]["name"].endswith("-")
        assert all(len(value) <= 63 for value in manifest["metadata"]["labels"].values())


@pytest.mark.parametrize(("gpus", "unit"), [(1, "GPU-h"), (0, "CPU-h")])
def test_notes_count_the_hours_of_the_device_that_trains(gpus: int, unit: str) -> None:
    said = notes("--set", f"campaign.budget.gpu_hours=64,campaign.executor.kubernetes.gpus={gpus}")

    assert f"until 64 {unit} are used" in said


def test_notes_tell_what_runs_and_where_to_look() -> None:
    said = notes("--set", "agent.existingSecret=anthropic,campaign.tag=mar8,campaign.budget.dollars=40")

    assert "mar8 · agent claude · 1 slot of 1 nvidia.com/gpu" in said
    assert "trains the unchanged code 3 times, 300 s each, then one edit after another until $40 are spent" in said
    for command in (
        "kubectl -n research logs -f deploy/autoresearch",
        "kubectl -n research port-forward svc/autoresearch 8080:8080",
        "kubectl -n research-runs get jobs -L experiment,attempt,outcome,val_bpb",
        "helm test autoresearch -n research",
    ):
        assert command in said


def test_notes_warn_of_a_trainer_image_that_others_can_replace() -> None:
    warning = "whoever may push it can change the exam"

    assert warning in notes()
    assert warning not in notes("--set", f"trainerImage.digest=sha256:{'a' * 64}")


def test_lint_finds_nothing() -> None:
    assert "0 chart(s) failed" in run_helm("lint", "--strict", str(CHART))
