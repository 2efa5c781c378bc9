"""Prometheus and promtool as fixtures, and the test cluster's; what is slow is built before any test's clock starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.harness import fixtures
from tests.cluster.harness.binaries import binary
from tests.cluster.harness.fixtures import cluster, pytest_runtest_makereport
from tests.observability.programs import need

__all__ = ["cluster", "pytest_runtest_makereport"]


@pytest.fixture
def promtool() -> Path:
    return need("promtool")


def pytest_collection_finish(session: pytest.Session) -> None:
    fixtures.pytest_collection_finish(session)
    here = any(Path(__file__).parent in item.path.parents for item in session.items)
    if here and not session.config.option.collectonly and shutil.which("go"):
        binary("promtool")
