"""The programs that these tests need: Prometheus' own, built from Go modules as for the test cluster."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.harness.binaries import binary
from tests.cluster.harness.choice import required


def need(name: str) -> Path:
    """prometheus or promtool in the version that go.mod pins; skips loudly, or fails where they are required."""
    if shutil.which("go") is None:
        reason = f"{name} cannot be built here: install Go 1.26 or newer"
        if required():
            pytest.fail(reason)
        pytest.skip(reason)
    return binary(name)
