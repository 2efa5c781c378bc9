"""Every test in this folder is marked `cluster` and finds the harness's fixtures."""

from pathlib import Path

import pytest

from tests.chart.installed import installed
from tests.cluster.harness.fixtures import (
    buildable,
    built_cluster,
    cluster,
    fresh_cluster,
    namespaces,
    pytest_collection_finish,
    pytest_runtest_makereport,
)

__all__ = [
    "buildable",
    "built_cluster",
    "cluster",
    "fresh_cluster",
    "installed",
    "namespaces",
    "pytest_collection_finish",
    "pytest_runtest_makereport",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")
