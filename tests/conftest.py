"""Which tests share a worker where several run at once (`make test`): those that share what is slow to make.

A room's tests run one after another on one worker, in the order of this list: the longest rooms begin first, and the
first always on the first worker, whose cluster keeps the large images. Without workers it does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling
    from xdist.workermanage import WorkerController

ROOMS = {
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


def room_of(nodeid: str) -> str:
    """The room of a test; a file that names none is a room of its own."""
    file = nodeid.partition("::")[0]
    return next((room for prefix, room in ROOMS.items() if file.startswith(prefix)), file)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which rooms are handed out is the order of their first tests."""
    rank = {room: place for place, room in enumerate(dict.fromkeys(ROOMS.values()))}
    items.sort(key=lambda item: rank.get(room_of(item.nodeid), len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Hand out whole rooms."""
    from xdist.scheduler import LoadScopeScheduling

    class Rooms(LoadScopeScheduling):  # type: ignore[misc]  # the library is not typed
        def _split_scope(self, nodeid: str) -> str:
            return room_of(nodeid)

        def remove_node(self, node: WorkerController) -> str | None:
            # Finished rooms of a process that died would be handed out again, and who gets nothing to do waits forever.
            rooms = self.assigned_work[node]
            self.assigned_work[node] = {room: tests for room, tests in rooms.items() if not all(tests.values())}
            died_in: str | None = super().remove_node(node)
            return died_in

    config.option.loadscopereorder = False
    return Rooms(config, log)
