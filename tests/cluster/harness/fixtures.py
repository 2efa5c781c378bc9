"""The pytest fixtures of every test that wants a Kubernetes: a shared cluster, fresh ones, a namespace pair.

Slow one-time work (packages, Go builds, images) happens after collection, outside of any test's time limit. A test
module adds its own by a list of steps named PREPARATIONS.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.needs import CLUSTER, give_up

from . import slots
from .binaries import program
from .built import COMPONENTS, ORPHANED_LOGS, BuiltCluster
from .choice import Built, Given, Kind, Missing, choose, choose_built, look_around
from .cluster import Cluster, ForeignCluster, KindCluster
from .components import DEFAULT, ClusterSpec
from .images import busybox_image
from .namespaces import NamespacePair, create_pair, delete_pair, diagnosis
from .packages import packages_step
from .preparation import Step
from .telling import announce

FAILED = pytest.StashKey[bool]()


class FreshCluster(Protocol):
    """Starts a cluster that only this test uses, and may break; it ends with the test."""

    def __call__(self, name: str = "fresh", spec: ClusterSpec = ...) -> BuiltCluster: ...


def pytest_preparations(items: Sequence[pytest.Item]) -> list[Step]:
    """The programs of a cluster, and what the modules of the selected tests name."""
    wanted = [item for item in items if item.get_closest_marker("cluster")]
    if not wanted or not isinstance(choose_built(look_around()), Built):
        return []
    modules = dict.fromkeys(item.getparent(pytest.Module) for item in wanted)
    own = [step for module in modules if module for step in getattr(module.obj, "PREPARATIONS", ())]
    return [packages_step(), *(program(name) for name in (*COMPONENTS, "pause")), *own]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test failed, for the fixtures that end after it."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster that tests share: leave it as it was found. Skips, or fails where one is required."""
    match choose(look_around()):
        case Given(kubeconfig):
            yield _given(kubeconfig)
        case Kind():
            yield from _by_kind(f"autoresearch-tests-{_worker()}")
        case Built():
            yield from _shared(request.session)
        case Missing(reason):
            give_up(reason, required_by=CLUSTER)


@pytest.fixture
def built_cluster(cluster: Cluster) -> BuiltCluster:
    """The shared cluster, for tests that look into its node; skips on clusters that the harness did not build."""
    if not isinstance(cluster, BuiltCluster):
        pytest.skip("needs a cluster that the harness built, and this one is kind's or AUTORESEARCH_TEST_KUBECONFIG's")
    return cluster


@pytest.fixture(scope="session")
def buildable() -> None:
    """For tests that start clusters of their own: skips, or fails, where the harness cannot build one."""
    match choose_built(look_around()):
        case Missing(reason):
            give_up(reason, required_by=CLUSTER)


@pytest.fixture
def fresh_cluster(buildable: None, request: pytest.FixtureRequest) -> Iterator[FreshCluster]:
    """A factory of clusters that one test may break."""
    started: list[BuiltCluster] = []

    def start(name: str = "fresh", spec: ClusterSpec = DEFAULT) -> BuiltCluster:
        started.append(BuiltCluster.start(name, spec))
        return started[-1]

    yield start
    for one in started:
        _tell_and_stop(one, failed=request.node.stash.get(FAILED, False))


@pytest.fixture
def namespaces(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[NamespacePair]:
    """Two fresh namespaces; AUTORESEARCH_KEEP_NAMESPACES=1 keeps those of failed tests."""
    pair = create_pair(cluster)
    yield pair
    failed = request.node.stash.get(FAILED, False)
    if failed:
        print(diagnosis(cluster, pair))
    if not (failed and os.environ.get("AUTORESEARCH_KEEP_NAMESPACES") == "1"):
        delete_pair(cluster, pair)


def _worker() -> int:
    """Number of this pytest-xdist worker; 0 where the tests run in one process."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def _given(kubeconfig: Path) -> Cluster:
    """A kubeconfig of `up` belongs to a cluster of ours, with faults and images; any other to a foreign one."""
    ours = [layout for layout in slots.occupied() if kubeconfig.resolve() == layout.kubeconfig]
    return BuiltCluster.attach_to(ours[0]) if ours else ForeignCluster(kubeconfig)


def _by_kind(name: str) -> Iterator[Cluster]:
    one = KindCluster.start(name, kubeconfig=ORPHANED_LOGS.with_name(f"{name}.kubeconfig"))
    try:
        one.import_image(busybox_image())
        yield one
    finally:
        one.stop()


def _shared(session: pytest.Session) -> Iterator[Cluster]:
    # A worker keeps to its place, where the images that its tests use lie already.
    one = BuiltCluster.start("shared", slot=_worker())
    failed_before = session.testsfailed
    yield one
    _tell_and_stop(one, failed=session.testsfailed > failed_before)


def _tell_and_stop(one: BuiltCluster, *, failed: bool) -> None:
    if failed:
        announce(f"logs of cluster {one.layout.name}: {one.keep_logs()}")
        print(one.try_kubectl("events", "--all-namespaces").stdout)
    one.stop()
