"""Which tests share a worker where several run at once (`make test`): those that share what is slow to make.

A group's tests run one after another on one worker, in the order of this list: the longest groups begin first, and the
first always on the first worker, whose cluster keeps the large images. Without workers it does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster.harness.preparation import Step, prepare
from tests.cluster.harness.telling import TERMINAL, heard
from tests.support.needs import CLUSTER, give_up

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling
    from xdist.workermanage import WorkerController

GROUPS = {
    "tests/cluster/test_chart_": "chart",
    "tests/cluster/test_executor_images": "chart",
    "tests/observability/test_cluster_": "chart",
    "tests/cluster/test_executor_outages": "outages",
    "tests/cluster/test_executor_load": "outages",
    "tests/cluster/test_executor_": "executor",
    "tests/trainer/": "training",
    "tests/redteam/": "training",
    "tests/cluster/": "harness",
}


def group_of(nodeid: str) -> str:
    """The group of a test; a file that names none is a group of its own."""
    file = nodeid.partition("::")[0]
    return next((group for prefix, group in GROUPS.items() if file.startswith(prefix)), file)


# The same examples in every run, as many as ever, and no clock: a change is judged by what it changes, and neither by a
# draw that nobody had before nor by a busy machine. `--hypothesis-profile default` draws anew.
settings.register_profile("gate", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gate")

UNMADE = pytest.StashKey[list[str]]()
"""What a test needs and could not be made, in words."""


class Preparing:
    """The hook by which a folder's conftest.py says what its tests need that is slow and made once."""

    @pytest.hookspec
    def pytest_preparations(self, items: Sequence[pytest.Item]) -> list[Step]:
        """The preparations of the collected tests; called after collection."""
        raise NotImplementedError


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Make it known, before conftest.py files that have it are read."""
    pluginmanager.add_hookspecs(Preparing)


def pytest_configure(config: pytest.Config) -> None:
    """Let workers be heard at the terminal."""
    if TERMINAL in os.environ:
        return
    capturing = config.pluginmanager.getplugin("capturemanager")
    with capturing.global_and_fixture_disabled():
        terminal = os.dup(2)
    until_the_end = ExitStack()
    until_the_end.callback(os.close, terminal)
    until_the_end.enter_context(heard(terminal))
    config.add_cleanup(until_the_end.close)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make what the selected tests need, while no test's clock is running."""
    if not session.config.option.collectonly:
        failed = prepare(_steps_of(session.config, session.items))
        for item in session.items if failed else ():
            item.stash[UNMADE] = [
                failed[step.what] for step in _steps_of(session.config, [item]) if step.what in failed
            ]


def _steps_of(config: pytest.Config, items: Sequence[pytest.Item]) -> list[Step]:
    return [step for steps in config.hook.pytest_preparations(items=items) for step in steps]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test without what it needs does not run."""
    for words in item.stash.get(UNMADE, []):
        give_up(words, required_by=CLUSTER)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which groups are handed out is the order of their first tests."""
    rank = {group: place for place, group in enumerate(dict.fromkeys(GROUPS.values()))}
    items.sort(key=lambda item: rank.get(group_of(item.nodeid), len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Hand out whole groups."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]  # the library is not typed
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

        def remove_node(self, node: WorkerController) -> str | None:
            # Finished groups of a dead process would be handed out again, and a worker without work waits for ever.
            groups = self.assigned_work[node]
            self.assigned_work[node] = {group: tests for group, tests in groups.items() if not all(tests.values())}
            died_in: str | None = super().remove_node(node)
            return died_in

    config.option.loadscopereorder = False
    return Groups(config, log)
