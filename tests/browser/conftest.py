"""Chromium and a served campaign; without Chromium the tests say what to install, or fail where it must be there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.browser.chromium import NAMES, Page, Pipe, chromium, find_program, tab
from tests.browser.site import Site, serving
from tests.cluster.harness.packages import can_install, install
from tests.cluster.harness.preparation import Step
from tests.support.needs import BROWSER, give_up, is_required


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            # Only ends a test that hangs: the first one starts Chromium and a campaign, beside busy neighbours.
            item.add_marker(pytest.mark.timeout(900))


def pytest_preparations(items: Sequence[pytest.Item]) -> list[Step]:
    """Chromium, where it must be there and can be installed; elsewhere it is 500 MB that nobody asked for."""
    wanted = any(item.get_closest_marker("browser") for item in items)
    if not (wanted and is_required(BROWSER) and can_install()):
        return []
    return [Step("Chromium", 1, made=lambda: find_program() is not None, make=partial(install, ["chromium"]))]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipe]:
    with chromium(_program(), tmp_path_factory.mktemp("chromium")) as pipe:
        yield pipe


@pytest.fixture
def page(browser: Pipe) -> Iterator[Page]:
    with tab(browser) as page:
        yield page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("site")) as site:
        yield site


def _program() -> Path:
    found = find_program()
    if found is None:
        give_up("no Chromium for the browser tests: install one of " + ", ".join(NAMES), required_by=BROWSER)
    return found
