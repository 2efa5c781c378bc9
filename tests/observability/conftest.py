"""Prometheus and promtool as fixtures, and the test cluster's; what is slow is built before any test's clock starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cluster.harness import fixtures
from tests.cluster.harness.binaries import program
from tests.cluster.harness.choice import look_around
from tests.cluster.harness.fixtures import cluster, pytest_runtest_makereport
from tests.cluster.harness.preparation import Step
from tests.observability.programs import need

__all__ = ["cluster", "pytest_runtest_makereport"]


@pytest.fixture
def promtool() -> Path:
    return need("promtool")


def pytest_preparations(items: Sequence[pytest.Item]) -> list[Step]:
    here = any(Path(__file__).parent in item.path.parents for item in items)
    own = [program("promtool")] if here and look_around().go else []
    return [*fixtures.pytest_preparations(items), *own]
