"""The release that tests share: they may look at it and try to break out of it, and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chart.live import Release, a_release
from tests.cluster.harness import BuiltCluster, Cluster


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Iterator[Release]:
    """A release that runs a short campaign, on a cluster that enforces network policies."""
    if not isinstance(cluster, BuiltCluster):
        pytest.skip("needs a cluster that the harness built: unset AUTORESEARCH_TEST_KUBECONFIG")
    with a_release(cluster) as release:
        release.install()
        release.wait_ready()
        yield release
