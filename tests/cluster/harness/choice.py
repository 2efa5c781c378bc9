"""Which cluster the tests run on: one that is given, kind, one built here, or none, with what to do about it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .packages import can_install, missing_packages

GO_VERSION = (1, 26)
"""What the modules below ../go ask for."""


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
    """The facts on which the choice depends. missing: packages that are neither there nor can be installed."""

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
        go=_has_go(),
        missing=() if can_install() else missing_packages(),
    )


@cache
def _has_go() -> bool:
    """True if Go is new enough, or can fetch one that is, which it does if asked within a module."""
    if shutil.which("go") is None:
        return False
    module = Path(__file__).parents[1] / "go" / "pause"
    done = subprocess.run(["go", "env", "GOVERSION"], cwd=module, capture_output=True, text=True)
    number = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return number is not None and (int(number[1]), int(number[2])) >= GO_VERSION


def _docker_runs() -> bool:
    return (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )
