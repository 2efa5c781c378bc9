"""Kueue, a queue in front of Jobs, beside the components of a cluster: quotas, suspension, preemption by priority.

It runs on the node like the components themselves, from its own chart's manifests without what only a pod needs.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml

from tests.support.waiting import wait_until

from .binaries import binary, source_of
from .built import BuiltCluster
from .certificates import ca_bundle
from .cluster import Manifest, tail
from .errors import ClusterError

NAMESPACE = "kueue-system"
METRICS = "/etc/kueue/metrics"
PORT = 9443
KINDS = ("CustomResourceDefinition", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
WEBHOOKS_OF = ("batch", "kueue.x-k8s.io")
"""API groups whose webhooks are kept: that on pods would stop every other test's."""


def start_kueue(cluster: BuiltCluster) -> None:
    """Install its kinds and webhooks, start its manager, and wait until it serves. It ends with the cluster."""
    keys = cluster.layout.certificates
    manifests = [_on_the_node(cluster, manifest) for manifest in _chart() if manifest["kind"] in KINDS]
    # Applied by the server: the definitions are larger than the annotation of a client's apply may be.
    bundle = yaml.safe_dump_all(manifests)
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=bundle)
    cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
    certificates = cluster.layout.root / "kueue"
    certificates.mkdir()
    for kind in ("crt", "key"):
        (certificates / f"tls.{kind}").symlink_to(keys / f"kubelet-server.{kind}")
    config = cluster.layout.root / "kueue.yaml"
    config.write_text(yaml.safe_dump(_configuration(cluster.node_address, str(certificates))))
    program = [str(binary("kueue")), f"--config={config}", f"--kubeconfig={cluster.harness_kubeconfig}"]
    # It looks for the certificate of its metrics in /etc and nowhere else: give it an /etc of its own.
    place = f"mount -t tmpfs none /etc && mkdir -p {METRICS} && ln -s {certificates} {METRICS}/certs"
    command = ["unshare", "--mount", "sh", "-c", f'{place} && exec "$@"', "kueue", *program]
    cluster.machine.start("kueue", [*command, "--feature-gates=VisibilityOnDemand=false"])
    probe = json.dumps(_kueue("ResourceFlavor", "probe"))

    def serves() -> bool:
        if "kueue" in cluster.machine.ended():
            raise ClusterError("kueue ended: " + "\n".join(tail(cluster.logs / "kueue.log", lines=2)))
        # Its webhook answers even where nothing is kept.
        return cluster.try_kubectl("create", "--dry-run=server", "-f", "-", stdin=probe).returncode == 0

    wait_until(serves, what="Kueue's webhooks to answer", seconds=60, interval=0.3)


def queue(namespace: str, quotas: dict[str, str]) -> list[Manifest]:
    """A ClusterQueue that preempts lower priorities, and its LocalQueue `research` in the namespace.

    quotas: amounts by resource; a pod that asks for any other resource is never admitted.
    """
    flavor = {"name": "plain", "resources": [{"name": name, "nominalQuota": amount} for name, amount in quotas.items()]}
    return [
        _kueue("ResourceFlavor", "plain"),
        _kueue(
            "ClusterQueue",
            "research",
            namespaceSelector={},
            preemption={"withinClusterQueue": "LowerPriority"},
            resourceGroups=[{"coveredResources": list(quotas), "flavors": [flavor]}],
        ),
        _kueue("LocalQueue", "research", namespace=namespace, clusterQueue="research"),
    ]


def priority(name: str, value: int) -> Manifest:
    """A WorkloadPriorityClass: for Kueue alone, the scheduler does not know it."""
    return _kueue("WorkloadPriorityClass", name) | {"value": value}


def _kueue(kind: str, name: str, *, namespace: str | None = None, **spec: Any) -> Manifest:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": metadata} | (
        {"spec": spec} if spec else {}
    )


def _chart() -> list[Manifest]:
    chart = source_of("kueue", "sigs.k8s.io/kueue") / "charts" / "kueue"
    command = [str(binary("helm")), "template", "kueue", str(chart), f"--namespace={NAMESPACE}"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def _on_the_node(cluster: BuiltCluster, manifest: Manifest) -> Manifest:
    """Let its webhooks call the node's address instead of a Service, and trust the cluster's own authority."""
    if "webhooks" in manifest:
        kept = [hook for hook in manifest["webhooks"] if hook["rules"][0]["apiGroups"][0] in WEBHOOKS_OF]
        for hook in kept:
            hook["clientConfig"] = _call(cluster, hook["clientConfig"])
        return manifest | {"webhooks": kept}
    conversion = manifest["spec"].get("conversion")
    if conversion:
        conversion["webhook"]["clientConfig"] = _call(cluster, conversion["webhook"]["clientConfig"])
    return manifest


def _call(cluster: BuiltCluster, client: Manifest) -> Manifest:
    url = f"https://{cluster.node_address}:{PORT}{client['service']['path']}"
    return {"url": url, "caBundle": ca_bundle(cluster.layout.certificates)}


def _configuration(address: str, certificates: str) -> Manifest:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": NAMESPACE,
        "webhook": {"host": address, "port": PORT, "certDir": certificates},
        "internalCertManagement": {"enable": False},
        "leaderElection": {"leaderElect": False},
        "integrations": {"frameworks": ["batch/job"]},
    }
