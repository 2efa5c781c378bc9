"""MuJoCo for the tests of examples/control: an environment of its own, which `make demo-control` makes as well."""

from __future__ import annotations

import os
import subprocess

from tests.cluster.harness.errors import ClusterError
from tests.cluster.harness.preparation import Step
from tests.support.needs import CHECKOUT

READY = "examples/control/.venv/.ready"


def mujoco() -> Step:
    """The environment, from the package index; tests that need it do not run without."""
    return Step("MuJoCo", 0.5, made=_is_made, make=_make)


def _is_made() -> bool:
    return subprocess.run(["make", "--question", READY], cwd=CHECKOUT, capture_output=True, check=False).returncode == 0


def _make() -> None:
    # Without the jobs of a make that runs these tests, which this one knows nothing of.
    kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(["make", READY], cwd=CHECKOUT, env=kept, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"make {READY}: {done.stderr.strip()[-1000:]}")
