"""Lines for people about single attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.domain import Attempt, ExamReport, Try, Witness
from controller.reports.text import attempt_line, exam_line
from tests.support.scripted import scored


@pytest.mark.parametrize(
    ("phases", "witness", "said"),
    [
        pytest.param({"train": 20.0}, Witness(waited=0.5), "while it trained: waited for a CPU 50.0 %", id="witnessed"),
        pytest.param({"train": 20.0}, None, "while it trained: nobody measured the machine", id="not witnessed"),
        pytest.param({}, None, "", id="never trained"),
    ],
)
def test_an_attempt_says_what_its_machine_did_or_that_nobody_looked(
    phases: dict[str, float], witness: Witness | None, said: str
) -> None:
    result = replace(scored(2.0), phase_seconds=phases, witness=witness)
    tried = Try(number=1, probe_set=0, launched_at=1e9, seconds=20.0)

    line = attempt_line(Attempt(number=1, seed=1, tries=(tried,), result=result), "val_bpb")

    assert said in line
    assert ("while it trained" in line) == bool(said)


@pytest.mark.parametrize(
    ("exam", "line"),
    [
        pytest.param(ExamReport(test="crash"), "exam  failed: crash", id="ended before anything was measured"),
        pytest.param(
            ExamReport(inflation=2.5, inflation_error=0.1, hits=9, probes=64, test="inflation"),
            "exam  inflation +2.50 ± 0.10 nats  hits 9 of 64 probes  failed: inflation",
            id="looked ahead",
        ),
    ],
)
def test_an_exam_tells_what_was_measured_and_which_test_failed(exam: ExamReport, line: str) -> None:
    assert exam_line(exam) == line
