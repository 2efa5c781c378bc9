"""Which cluster the tests run on: one that is given, kind, one built here, or none, with what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .packages import can_install, missing_packages


@dataclass(frozen=True, slots=True)
class Given:
    """A running cluster, by its kubeconfig."""

    kubeconfig: Path


@dataclass(frozen=True, slots=True)
class Kind:
    """Docker runs and kind is installed."""


@dataclass(frozen=True, slots=True)
class Built:
    """The harness can build one."""


@dataclass(frozen=True, slots=True)
class Missing:
    """No cluster is possible here. reason: one sentence that ends in what to do."""

    reason: str


Choice = Given | Kind | Built | Missing


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the choice depends on. missing: packages that are neither there nor can be installed."""

    given_kubeconfig: str | None
    kind: bool
    root: bool
    go: bool
    missing: Sequence[str]


def choose(here: Surroundings) -> Choice:
    """Take the first that is possible, in the order of the classes above."""
    if here.given_kubeconfig:
        return Given(Path(here.given_kubeconfig))
    if here.kind:
        return Kind()
    return choose_built(here)


def choose_built(here: Surroundings) -> Built | Missing:
    """As choose, for tests that break their cluster and so need one that the harness built."""
    wants = [] if here.root else ["root (the harness makes namespaces and mounts)"]
    wants += [] if here.go else ["Go 1.26 or newer"]
    wants += [f"the Debian packages {' '.join(here.missing)}"] if here.missing else []
    if not wants:
        return Built()
    return Missing(
        f"no Kubernetes for the cluster tests: set AUTORESEARCH_TEST_KUBECONFIG, or install kind beside a running "
        f"Docker, or provide {', '.join(wants)}"
    )


def look_around(environment: Mapping[str, str] = os.environ) -> Surroundings:
    """Find out what there is."""
    return Surroundings(
        given_kubeconfig=environment.get("AUTORESEARCH_TEST_KUBECONFIG"),
        kind=shutil.which("kind") is not None and _docker_runs(),
        root=os.geteuid() == 0,
        go=shutil.which("go") is not None,
        missing=() if can_install() else missing_packages(),
    )


def required(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a missing cluster is a failure instead of a skip, as in CI."""
    return environment.get("AUTORESEARCH_REQUIRE_CLUSTER") == "1"


def _docker_runs() -> bool:
    return (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )
