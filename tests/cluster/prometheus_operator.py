"""The Prometheus operator's own kinds, as its module ships them, for as long as a test wants them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.harness import Cluster, ClusterError
from tests.cluster.harness.binaries import GO, source_of

GROUP = "monitoring.coreos.com"
KINDS = ("servicemonitors", "prometheusrules", "prometheuses")
MODULE = "github.com/prometheus-operator/prometheus-operator"


def fetch_kinds() -> None:
    """Have the module's sources at hand; nothing of it is built. A preparation of test modules."""
    command = ["go", "mod", "download", MODULE]
    done = subprocess.run(command, cwd=GO / "prometheus-operator", capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")


@contextmanager
def operator_kinds(cluster: Cluster, *more: str) -> Iterator[None]:
    """Make the kinds that the chart uses, and others by their plural names, with their real schemas."""
    folder = source_of("operator", MODULE) / "example" / "prometheus-operator-crd"
    plurals = (*KINDS, *more)
    files: list[Path] = [folder / f"{GROUP}_{plural}.yaml" for plural in plurals]
    # Server-side: these are too large for the annotation that `kubectl apply` leaves otherwise.
    cluster.kubectl("apply", "--server-side", *(part for path in files for part in ("-f", str(path))))
    names = [f"crd/{plural}.{GROUP}" for plural in plurals]
    try:
        cluster.kubectl("wait", "--for=condition=Established", *names, "--timeout=30s")
        yield
    finally:
        cluster.kubectl("delete", *names)
