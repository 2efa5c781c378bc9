"""The Prometheus operator's own kinds, as its module ships them, for as long as a test wants them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.harness import Cluster, ClusterError
from tests.cluster.harness.binaries import GO, source_of
from tests.cluster.harness.preparation import Step
from tests.support.waiting import wait_until

GROUP = "monitoring.coreos.com"
KINDS = ("servicemonitors", "prometheusrules", "prometheuses")
MODULE = "github.com/prometheus-operator/prometheus-operator"


def fetch_kinds() -> None:
    """Have the module's sources at hand; nothing of it is built."""
    command = ["go", "mod", "download", MODULE]
    done = subprocess.run(command, cwd=GO / "prometheus-operator", capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")


def _are_fetched() -> bool:
    """True if Go has the sources, which it can tell without a network."""
    try:
        return (source_of("operator", MODULE) / "example").is_dir()
    except ClusterError:
        return False


KINDS_STEP = Step("the Prometheus operator's kinds", 1, made=_are_fetched, make=fetch_kinds)


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
        # `kubectl wait` would fail on a kind so new that it has no conditions. Helm asks discovery what there is, and a
        # kind is found there a moment after it is established.
        wait_until(lambda: _are_discovered(cluster, plurals), what="the kinds in the API server's discovery")
        yield
    finally:
        cluster.kubectl("delete", *names)


def _are_discovered(cluster: Cluster, plurals: Sequence[str]) -> bool:
    for plural in plurals:
        if cluster.try_kubectl("get", f"{plural}.{GROUP}", "--all-namespaces").returncode != 0:
            return False
    return True
