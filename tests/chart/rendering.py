"""The chart as the real Helm renders it, without a cluster: values in, parsed manifests out."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.harness.binaries import binary

Manifest = dict[str, Any]

CHART = Path(__file__).resolve().parents[2] / "helm"
CI = tuple(sorted((CHART / "ci").glob("*-values.yaml")))
OPERATOR = ("monitoring.coreos.com/v1/ServiceMonitor", "monitoring.coreos.com/v1/PrometheusRule")
"""What the Prometheus operator adds to a cluster."""


class HelmError(Exception):
    """Helm refused; its words."""


def run_helm(*arguments: str) -> str:
    """Run Helm and return what it printed. Raises HelmError."""
    done = subprocess.run(
        [str(binary("helm")), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise HelmError(done.stderr.strip())
    return done.stdout


def render(
    values: Mapping[str, Any] | None = None,
    *files: Path,
    chart: Path = CHART,
    sets: Sequence[str] = (),
    apis: Sequence[str] = (),
    release: str = "autoresearch",
    namespace: str = "research",
    kubernetes: str = "1.34.0",
) -> list[Manifest]:
    """Every manifest of a release, hooks included; values are laid over the files."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as given:
        json.dump(dict(values or {}), given, ensure_ascii=False)
        given.flush()
        arguments = [argument for file in files for argument in ("-f", str(file))]
        arguments += ["-f", given.name, "--kube-version", kubernetes]
        arguments += [argument for one in sets for argument in ("--set", one)]
        arguments += [argument for api in apis for argument in ("--api-versions", api)]
        text = run_helm("template", release, str(chart), "--namespace", namespace, *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


def notes(*arguments: str) -> str:
    """The notes that Helm prints after an install, if it knows of no cluster."""
    everything = run_helm(
        "install", "autoresearch", str(CHART), "--namespace", "research", "--dry-run=client", *arguments
    )
    return everything.partition("NOTES:\n")[2]


def one(manifests: Sequence[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only manifest of its kind, or of that name."""
    found = [m for m in manifests if m["kind"] == kind and name in (None, m["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
    return found[0]


def of_kind(manifests: Sequence[Manifest], kind: str) -> list[Manifest]:
    """All of a kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def is_hook(manifest: Manifest) -> bool:
    """True if Helm makes it for a test or after the end only."""
    return "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})


def pods(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and specification of everything that becomes a pod."""
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            yield manifest["metadata"]["name"], manifest["spec"]
        if manifest["kind"] in ("Deployment", "Job"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def containers(pod: Manifest) -> list[Manifest]:
    """All containers of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def campaign(manifests: Sequence[Manifest]) -> str:
    """The settings file that the controller reads."""
    [found] = [m for m in of_kind(manifests, "ConfigMap") if "campaign.yaml" in m["data"]]
    text: str = found["data"]["campaign.yaml"]
    return text


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its path; lists and empty maps are values."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
