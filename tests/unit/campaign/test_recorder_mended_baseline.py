"""A campaign whose unchanged code could not be scored goes on once its task or settings were mended, and not before."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.domain import BASELINE, Outcome, Result, TryRequest
from controller.lab.reader import Lab
from controller.lab.writer import LabWriter
from tests.support.scripted import InstantExecutor, campaign, scored, settings

FAILED = Result(outcome=Outcome.CRASHED, reason="train printed no val_bpb", seconds=4.0)


def test_mended_settings_measure_the_baseline_again_and_keep_what_it_took(tmp_path: Path) -> None:
    broken = InstantExecutor(lambda _: FAILED)
    assert campaign(tmp_path, broken, chosen=settings("budget.experiments=1")).run().failed

    asked: list[TryRequest] = []

    def score(request: TryRequest) -> Result:
        asked.append(request)
        return scored(1.0)

    chosen = settings("budget.experiments=1", "task.metric=loss")
    ended = campaign(tmp_path, InstantExecutor(score), chosen=chosen).run()

    baseline = Lab.open(tmp_path / "lab.git").experiments("t")[BASELINE]
    assert not ended.failed
    assert asked[0].id.number > 1
    assert asked[0].commit == baseline.commit == baseline.base
    assert len(baseline.scores) == chosen.judge.baseline_runs
    lost = [a_try for attempt in baseline.attempts for a_try in attempt.tries if a_try.lost]
    assert lost
    assert {a_try.lost for a_try in lost} == {"the task or its settings were changed after it"}


def test_nothing_is_tried_again_while_nothing_has_changed(tmp_path: Path) -> None:
    broken = InstantExecutor(lambda _: FAILED)
    campaign(tmp_path, broken, chosen=settings("budget.experiments=1")).run()
    asked: list[TryRequest] = []

    def fail(request: TryRequest) -> Result:
        asked.append(request)
        return FAILED

    ended = campaign(tmp_path, InstantExecutor(fail), chosen=settings("budget.experiments=1")).run()

    assert ended.failed
    assert asked == []


def test_crash_between_note_and_branch_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign(tmp_path, InstantExecutor(lambda _: FAILED), chosen=settings("budget.experiments=1")).run()
    chosen = settings("budget.experiments=2")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(LabWriter, "_move_ref", _die)
        campaign(tmp_path, InstantExecutor(lambda _: scored(1.0)), chosen=chosen)

    ended = campaign(tmp_path, InstantExecutor(lambda _: scored(1.0)), chosen=chosen).run()

    assert not ended.failed
    assert len(Lab.open(tmp_path / "lab.git").experiments("t")[BASELINE].scores) == chosen.judge.baseline_runs


def _die(*words: object, **more: object) -> None:
    raise KeyboardInterrupt
