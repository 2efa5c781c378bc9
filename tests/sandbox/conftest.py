"""What some of these tests need that is made once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.cluster.harness.preparation import Step
from tests.support.mujoco import mujoco


def pytest_preparations(items: Sequence[pytest.Item]) -> list[Step]:
    """MuJoCo, where the tests of examples/control are to run."""
    return [mujoco()] if any(item.path.name == "test_example_control.py" for item in items) else []
