"""The harness keeps its promises: what a test sees on its cluster is what a real cluster does."""

from __future__ import annotations

from typing import Any

from tests.cluster.harness import BUSYBOX_IMAGE, Cluster, Manifest, NamespacePair

SECURE = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def make_job(name: str, script: str, *, pod: dict[str, Any] | None = None, **container: Any) -> Manifest:
    """A Job of one shell script that Pod Security `restricted` admits."""
    main = {"name": "main", "image": BUSYBOX_IMAGE, "args": ["-c", script], "securityContext": SECURE, **container}
    spec = {"restartPolicy": "Never", "dnsPolicy": "Default", "containers": [main], **(pod or {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": {"automountServiceAccountToken": False, **spec}}},
    }


def finished(job: Manifest) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(condition["type"] in ("Complete", "Failed") for condition in conditions)


def run_job(cluster: Cluster, namespace: str, job: Manifest, *, seconds: float = 60) -> tuple[Manifest, Manifest]:
    """Create the Job and wait for its end; returns Job and pod."""
    name = job["metadata"]["name"]
    cluster.apply(job, namespace=namespace)
    done = cluster.wait_for(
        "job", name, "-n", namespace, until=finished, what=f"the end of Job {name}", seconds=seconds
    )
    pods = cluster.get("pods", "-n", namespace, "-l", f"batch.kubernetes.io/job-name={name}")["items"]
    return done, pods[0]


def test_job_runs_and_its_log_and_termination_message_can_be_read(cluster: Cluster, namespaces: NamespacePair) -> None:
    script = "echo to the log; printf 'to the kubelet' > /dev/termination-log"

    job, pod = run_job(cluster, namespaces.runner, make_job("hello", script))

    assert job["status"]["succeeded"] == 1
    assert cluster.kubectl("logs", "job/hello", "-n", namespaces.runner) == "to the log\n"
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "to the kubelet"
