"""A Job of one shell script, for tests of the cluster itself."""

from __future__ import annotations

from typing import Any

from tests.cluster.harness import BUSYBOX_IMAGE, Manifest

SECURE = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def script_job(name: str, script: str, *, pod: dict[str, Any] | None = None, **container: Any) -> Manifest:
    """A Job of one shell script that Pod Security `restricted` admits."""
    main = {"name": "main", "image": BUSYBOX_IMAGE, "args": ["-c", script], "securityContext": SECURE, **container}
    spec = {"restartPolicy": "Never", "dnsPolicy": "Default", "containers": [main], **(pod or {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": {"automountServiceAccountToken": False, **spec}}},
    }
