"""The chart beside a real Prometheus operator: it selects our objects, and its job finds the controller."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart import live
from tests.chart.live import Release, a_release
from tests.chart.rendering import CHART
from tests.cluster.harness import BuiltCluster, Manifest
from tests.cluster.harness.binaries import binary, program
from tests.cluster.prometheus_operator import GROUP, KINDS_STEP, operator_kinds
from tests.support.waiting import wait_until

pytestmark = pytest.mark.bench  # the operator is two minutes of compiling

PREPARATIONS = [*live.PREPARATIONS, KINDS_STEP, program("operator"), program("prometheus")]
OTHER_KINDS = (
    *("alertmanagerconfigs", "alertmanagers", "podmonitors", "probes"),
    *("prometheusagents", "scrapeconfigs", "thanosrulers"),
)
STACK = {"release": "stack"}
PORT = 19090


@pytest.fixture
def release(built_cluster: BuiltCluster) -> Iterator[Release]:
    """A release with the labels that kube-prometheus-stack selects by, beside a running operator and its Prometheus."""
    monitoring = {"serviceMonitor": {"additionalLabels": STACK}, "prometheusRule": {"additionalLabels": STACK}}
    with operator_kinds(built_cluster, *OTHER_KINDS), a_release(built_cluster, **monitoring) as release:
        start_operator(built_cluster)
        release.cluster.apply(prometheus(release.own))
        assert "! Prometheus will not select" not in release.install()
        yield release
        built_cluster.machine.kill("prometheus-operator")


def start_operator(cluster: BuiltCluster) -> None:
    keys = cluster.layout.certificates
    command = [str(binary("operator")), f"-apiserver={cluster.layout.api_server}", f"-ca-file={keys}/ca.crt"]
    command += [f"-cert-file={keys}/admin.crt", f"-key-file={keys}/admin.key", "-web.listen-address=127.0.0.1:18080"]
    cluster.machine.start("prometheus-operator", command)


def prometheus(namespace: str) -> Manifest:
    """As the stack makes it: it selects by the label of its own release, in every namespace."""
    selected = {"matchLabels": STACK}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Prometheus",
        "metadata": {"name": "stack", "namespace": namespace},
        "spec": {
            "replicas": 0,
            **{f"{kind}Selector": selected for kind in ("serviceMonitor", "rule")},
            **{f"{kind}NamespaceSelector": {} for kind in ("serviceMonitor", "rule")},
        },
    }


def configuration(release: Release) -> dict[str, Any]:
    """The configuration that the operator wrote for its Prometheus, once our job is in it."""
    job = f"serviceMonitor/{release.own}/autoresearch/0"

    def written() -> dict[str, Any] | None:
        done = release.cluster.try_kubectl("get", "secret", "prometheus-stack", f"--namespace={release.own}", "-o=json")
        if done.returncode:
            return None
        text = gzip.decompress(base64.b64decode(json.loads(done.stdout)["data"]["prometheus.yaml.gz"]))
        # What the reloader beside each Prometheus fills in.
        found: dict[str, Any] = yaml.safe_load(text.replace(b"$(SHARD)", b"0"))
        return found if job in [one["job_name"] for one in found.get("scrape_configs") or []] else None

    return wait_until(written, what=f"scrape job {job}", seconds=60)


def rules(release: Release) -> dict[str, Any]:
    """The rule files that it wrote, by name."""
    listed = wait_until(
        lambda: release.get("configmaps", "-lprometheus-name=stack")["items"], what="the rules", seconds=60
    )
    return {name: yaml.safe_load(text) for one in listed for name, text in (one.get("data") or {}).items()}


def from_outside(configured: dict[str, Any], release: Release) -> dict[str, Any]:
    """The same for a Prometheus that is no pod: it looks the cluster up by a kubeconfig."""
    for job in configured["scrape_configs"]:
        for discovery in job["kubernetes_sd_configs"]:
            discovery["kubeconfig_file"] = str(release.cluster.harness_kubeconfig)
    return {"global": configured["global"], "scrape_configs": configured["scrape_configs"]}


def asked(release: Release, path: str) -> Any:
    """The answer of the Prometheus, asked on the node."""
    url = f"http://127.0.0.1:{PORT}/api/v1/{path}"
    said = release.cluster.machine.run("busybox", "wget", "-q", "-O", "-", url, check=False)
    return json.loads(said)["data"] if said else None


@pytest.mark.timeout(600)
def test_operator_selects_monitor_and_rules_and_its_scrape_job_finds_the_controller(release: Release) -> None:
    configured = configuration(release)
    [job] = configured["scrape_configs"]
    assert job["kubernetes_sd_configs"][0]["namespaces"]["names"] == [release.own]
    assert (job["metrics_path"], job["scrape_interval"]) == ("/metrics", "30s")

    shipped = yaml.safe_load((CHART / "rules" / "autoresearch.yaml").read_text())
    [made] = rules(release).values()
    alerts = {rule["alert"] for group in shipped["groups"] for rule in group["rules"] if "alert" in rule}
    assert {rule["alert"] for group in made["groups"] for rule in group["rules"] if "alert" in rule} == alerts

    machine, root = release.cluster.machine, release.cluster.layout.root
    (root / "prometheus.yaml").write_text(yaml.safe_dump(from_outside(configured, release)))
    command = [str(binary("prometheus")), f"--config.file={root}/prometheus.yaml"]
    command += [f"--storage.tsdb.path={root}/prometheus", f"--web.listen-address=127.0.0.1:{PORT}"]
    machine.start("prometheus", command)
    try:
        up = f'up{{namespace="{release.own}",service="autoresearch",job="autoresearch"}}'
        query = "query?query=" + up.replace("{", "%7B").replace("}", "%7D").replace('"', "%22")
        found = wait_until(
            lambda: [one for one in (asked(release, query) or {}).get("result", []) if one["value"][1] == "1"],
            what="a scrape of the controller",
            seconds=120,
            interval=1,
        )
        assert [one["metric"]["endpoint"] for one in found] == ["http"]
    finally:
        machine.kill("prometheus")
