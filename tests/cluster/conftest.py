"""Every test in this folder is marked `cluster` and finds the harness's fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.installed import installed
from tests.cluster.executor_task import TaskNamespace, task_namespace_on
from tests.cluster.harness import BuiltCluster, Cluster, NamespacePair
from tests.cluster.harness.fixtures import (
    buildable,
    built_cluster,
    cluster,
    fresh_cluster,
    namespaces,
    pytest_preparations,
    pytest_runtest_makereport,
)
from tests.cluster.harness.namespaces import create_pair, delete_pair

__all__ = [
    "buildable",
    "built_cluster",
    "cluster",
    "fresh_cluster",
    "installed",
    "namespaces",
    "pytest_preparations",
    "pytest_runtest_makereport",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")
            # Only ends a test that hangs: on a busy machine an attempt in a pod takes a minute.
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[TaskNamespace]:
    """One namespace for all tests of a module: each has a campaign of its own."""
    pair = create_pair(cluster)
    with task_namespace_on(cluster, pair.runner) as one:
        yield one
    delete_pair(cluster, pair)


@pytest.fixture
def own_namespace(built_cluster: BuiltCluster, namespaces: NamespacePair) -> Iterator[TaskNamespace]:
    """A namespace for one test alone."""
    with task_namespace_on(built_cluster, namespaces.runner) as one:
        yield one
