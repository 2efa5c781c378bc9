"""One data folder and artifact for all attacks on the exam."""

from __future__ import annotations

import pytest

from tests.redteam.exams import Exams


@pytest.fixture(scope="session")
def exams(tmp_path_factory: pytest.TempPathFactory) -> Exams:
    exams = Exams(tmp_path_factory.mktemp("exams"))
    exams.prepare()
    return exams


@pytest.fixture(scope="session")
def honest_score(exams: Exams) -> float:
    """Score of the honest model; no cheat may be scored below it."""
    result = exams.hold("honest_float32").result
    assert result is not None
    assert result["verdict"] == "scored"
    return float(result["val_bpb"])
