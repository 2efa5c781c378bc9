"""One examination hall for all attacks on the exam."""

from __future__ import annotations

import pytest

from tests.redteam.hall import Hall


@pytest.fixture(scope="session")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Hall:
    hall = Hall(tmp_path_factory.mktemp("hall"))
    hall.furnish()
    return hall


@pytest.fixture(scope="session")
def honest_score(hall: Hall) -> float:
    """What the honest model scores; no cheat may be scored below it."""
    result = hall.hold("honest_float32").result
    assert result is not None
    assert result["verdict"] == "scored"
    return float(result["val_bpb"])
