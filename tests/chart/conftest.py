"""Every test in this folder wants the real Helm: built once, before a test's clock runs, or skipped loudly."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cluster.harness.binaries import program
from tests.cluster.harness.cache import cache_folder
from tests.cluster.harness.choice import look_around
from tests.cluster.harness.preparation import Step
from tests.support.needs import CLUSTER, give_up

HERE = Path(__file__).parent
MISSING = "no Helm for the chart tests: install Go 1.26 or newer, which builds it"


def _can_have_helm() -> bool:
    return look_around().go or any((cache_folder() / "bin").glob("helm-*/helm"))


def pytest_preparations(items: Sequence[pytest.Item]) -> list[Step]:
    wanted = any(HERE in item.path.parents for item in items)
    return [program("helm")] if wanted and _can_have_helm() else []


@pytest.fixture(autouse=True)
def _helm() -> None:
    if not _can_have_helm():
        give_up(MISSING, required_by=CLUSTER)
