"""Chromium and a served campaign; without Chromium the tests say what to install, or fail where it must be there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Page, Pipe, chromium, tab
from tests.browser.site import Site, serving

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


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
    required = os.environ.get("AUTORESEARCH_REQUIRE_BROWSER") == "1"
    if required and not _found() and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "chromium"], check=True)
    if found := _found():
        return Path(found)
    reason = "no Chromium for the browser tests: install one of " + ", ".join(NAMES)
    if required:
        pytest.fail(reason)
    pytest.skip(reason)


def _found() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)
