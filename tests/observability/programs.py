"""The programs that these tests need: Prometheus' own, built from Go modules as for the test cluster."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.harness.binaries import binary
from tests.cluster.harness.choice import look_around
from tests.support.needs import CLUSTER, give_up


def need(name: str) -> Path:
    """prometheus or promtool in the version that go.mod pins; skips loudly, or fails where they are required."""
    if not look_around().go:
        give_up(f"{name} cannot be built here: install Go 1.26 or newer", required_by=CLUSTER)
    return binary(name)
