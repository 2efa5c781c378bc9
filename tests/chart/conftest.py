"""Every test in this folder wants the real Helm: built once, before a test's clock runs, or skipped loudly."""

from pathlib import Path

import pytest

from tests.cluster.harness.binaries import binary
from tests.cluster.harness.cache import cache_folder
from tests.cluster.harness.choice import look_around, required

HERE = Path(__file__).parent
MISSING = "no Helm for the chart tests: install Go 1.26 or newer, which builds it"


def _can_have_helm() -> bool:
    return look_around().go or any((cache_folder() / "bin").glob("helm-*/helm"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build Helm outside of any test's time limit; minutes the first time."""
    wanted = any(HERE in item.path.parents for item in session.items)
    if wanted and not session.config.option.collectonly and _can_have_helm():
        capturing = session.config.pluginmanager.getplugin("capturemanager")
        with capturing.global_and_fixture_disabled():
            binary("helm")


@pytest.fixture(autouse=True)
def _helm() -> None:
    if _can_have_helm():
        return
    if required():
        pytest.fail(MISSING)
    pytest.skip(MISSING)
