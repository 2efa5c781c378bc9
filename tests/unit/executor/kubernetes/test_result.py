"""From the end of a try to the attempt's result, and to what people find in the cluster afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from controller.domain import LostTo, Outcome, Provenance, Result, Score, TryId
from controller.executor.kubernetes.naming import RECORDED
from controller.executor.kubernetes.observation import FAULTS, LOSSES, EndCause, TryEnd
from controller.executor.kubernetes.recorded_job import build_event, recorded_patch
from controller.executor.kubernetes.result import accelerator, conclude, label_values
from controller.executor.phase_output import UNREADABLE_LOG
from controller.settings import Settings
from tests.support.kubernetes_objects import kubernetes_settings

ID = TryId("demo", 3, 1, 1)
REPORT = {"attempt": str(ID), "verdict": "scored", "test": None, "val_bpb": 0.9871, "holdout_bpb": 0.99, "hits": 0}
LINE = f"@@RESULT v1 {json.dumps(REPORT)}"
EXAMINED = TryEnd(cause=EndCause.FINISHED, container="examine", message=LINE, seconds=12.0, node="node-1")
TRAINED = TryEnd(cause=EndCause.FINISHED, container="train")


def result_of(
    ended: TryEnd, *, exam_log: str | None = LINE, train_log: bytes | None = b"", score: str = "exam"
) -> Result:
    settings = Settings.model_validate({"task": {"score": score}, "executor": {"kind": "kubernetes"}})
    return conclude(settings, ID, ended, exam_log=exam_log, train_log=train_log)


def test_examined_score_is_sealed() -> None:
    result = result_of(EXAMINED)

    assert (result.outcome, result.score) == (Outcome.SCORED, Score(value=0.9871, provenance=Provenance.SEALED))
    assert (result.seconds, result.node) == (12.0, "node-1")


@pytest.mark.parametrize(
    "cause", [cause for cause in EndCause if cause not in FAULTS and cause is not EndCause.FINISHED]
)
def test_lost_try_says_to_what_and_only_preemption_is_on_purpose(cause: EndCause) -> None:
    known = None if cause is EndCause.NEVER_STARTED else LOSSES[cause]
    result = result_of(TryEnd(cause=cause, lost_to=None if known else LostTo.QUOTA))

    assert (result.outcome, result.lost_to) == (Outcome.LOST, known or LostTo.QUOTA)
    assert result.interrupted is (cause is EndCause.PREEMPTED)


@pytest.mark.parametrize("cause", FAULTS)
def test_attempts_own_fault_is_lost_to_nothing(cause: EndCause) -> None:
    assert result_of(TryEnd(cause=cause)).lost_to is None


def test_unreadable_exam_log_is_flagged_and_the_message_stands() -> None:
    result = result_of(EXAMINED, exam_log=None)

    assert result.outcome is Outcome.SCORED
    assert result.exam is not None
    assert result.exam.flag == UNREADABLE_LOG


def test_disagreement_of_log_and_message_rejects() -> None:
    assert result_of(EXAMINED, exam_log=LINE.replace("0.9871", "0.1")).outcome is Outcome.REJECTED


def test_message_of_another_attempt_rejects() -> None:
    line = LINE.replace(str(ID), "demo-e0004-a1-t1")

    assert result_of(replace(EXAMINED, message=line), exam_log=line).outcome is Outcome.REJECTED


def test_candidate_out_of_memory_explains_a_failed_exam_but_not_a_good_one() -> None:
    silent = f"@@RESULT v1 {json.dumps({'attempt': str(ID), 'verdict': 'rejected', 'test': 'protocol'})}"
    failed = result_of(replace(EXAMINED, message=silent, oom="candidate"), exam_log=silent)

    assert (failed.outcome, failed.reason) == (Outcome.CRASHED, "out of memory in candidate")
    assert result_of(replace(EXAMINED, oom="candidate")).outcome is Outcome.SCORED


def test_crash_of_training_ends_with_its_last_words() -> None:
    log = b"step 1\nTraceback (most recent call last):\n  File x\nValueError: heads must divide\n"
    result = result_of(TryEnd(cause=EndCause.CRASH, exit_code=1, container="train"), train_log=log)

    assert result.reason == "train ended with exit code 1: heads must divide"


def test_examiner_that_fails_says_why_in_its_own_words() -> None:
    ended = TryEnd(cause=EndCause.EXAMINER_ERROR, reason="examine itself failed with exit code 2", container="examine")
    result = result_of(ended, exam_log="examine: holdout is missing\n")

    assert result.reason == "examine itself failed with exit code 2: examine: holdout is missing"


def test_log_score_is_marked_as_such_and_needs_its_log() -> None:
    log = b"---\nval_bpb: 1.25\npeak_vram_mb: 7\n"
    scored = result_of(TRAINED, score="log", train_log=log)

    assert scored.score == Score(value=1.25, provenance=Provenance.LOG)
    assert scored.summary == {"val_bpb": 1.25, "peak_vram_mb": 7.0}
    assert result_of(TRAINED, score="log", train_log=None).outcome is Outcome.LOST
    assert result_of(TRAINED, score="log", train_log=b"---\nval_bpb: nan\n").outcome is Outcome.CRASHED


@pytest.mark.parametrize("cause", [c for c in EndCause if c is not EndCause.FINISHED])
def test_no_other_end_has_a_score(cause: EndCause) -> None:
    for score in ("exam", "log"):
        assert result_of(TryEnd(cause=cause), score=score, train_log=b"---\nval_bpb: 1.0\n").score is None


@pytest.mark.parametrize(
    ("kubernetes", "kind"),
    [
        ({}, "nvidia.com/gpu"),
        ({"gpus": 0}, "cpu"),
        ({"node_selector": {"nvidia.com/gpu.product": "NVIDIA-H100"}}, "NVIDIA-H100"),
        ({"gpus": 0, "extra_resources": {"nvidia.com/mig-1g.5gb": "1"}}, "nvidia.com/mig-1g.5gb"),
    ],
)
def test_kind_of_accelerator_is_what_the_settings_pin(kubernetes: dict[str, Any], kind: str) -> None:
    assert accelerator(kubernetes_settings(**kubernetes).executor.kubernetes) == kind


def scored(value: float) -> Result:
    return Result(outcome=Outcome.SCORED, score=Score(value=value, provenance=Provenance.SEALED))


@pytest.mark.parametrize(
    ("value", "metric", "labels"),
    [
        (0.98712345, "val_bpb", {"outcome": "scored", "val_bpb": "0.98712345"}),
        (-1.0, "reward", {"outcome": "scored"}),
        (1.0, "_private", {"outcome": "scored"}),
        (1e70, "loss", {"outcome": "scored", "loss": "1e70"}),
        (1e-12, "loss", {"outcome": "scored", "loss": "1e-12"}),
        (1.0, "m" * 64, {"outcome": "scored"}),
        (1.0, "m" * 63, {"outcome": "scored", "m" * 63: "1"}),
        (1.0, "ndcg@10", {"outcome": "scored"}),
        (1.0, "outcome", {"outcome": "scored"}),
        (1.0, "campaign", {"outcome": "scored"}),
    ],
    ids=[
        *("score", "negative is no label", "underscore is no key", "huge", "tiny", "too long a key"),
        *("longest key", "no key", "key of the outcome", "key by which tries are found"),
    ],
)
def test_labels_are_valid_label_values(value: float, metric: str, labels: dict[str, str]) -> None:
    assert label_values(scored(value), metric) == labels


def test_record_and_time_to_go_are_one_change_and_failures_stay_longer() -> None:
    settings = kubernetes_settings(keep_succeeded_seconds=10, keep_failed_seconds=99)
    good = recorded_patch(settings, EXAMINED, scored(1.0), uid="u-1", now=0.0)
    bad = recorded_patch(settings, TryEnd(cause=EndCause.OOM), Result(outcome=Outcome.CRASHED), uid="u-1", now=0.0)

    assert (good["spec"]["ttlSecondsAfterFinished"], bad["spec"]["ttlSecondsAfterFinished"]) == (10, 99)
    assert good["metadata"]["uid"] == "u-1"
    assert good["metadata"]["annotations"][RECORDED] == "1970-01-01T00:00:00Z"
    assert json.loads(good["metadata"]["annotations"]["autoresearch.dev/result"])["score"] == 1.0


def test_holdout_stays_out_of_what_the_cluster_shows() -> None:
    settings, result = kubernetes_settings(), result_of(EXAMINED)
    shown = [
        recorded_patch(settings, EXAMINED, result, uid="u", now=0.0),
        build_event("runs", "ar-x", "u", EXAMINED, result, now=0.0),
    ]

    assert "0.99" not in json.dumps(shown)


def test_event_says_what_happened_and_where_the_log_is() -> None:
    ended = TryEnd(cause=EndCause.OOM, container="train")
    result = Result(outcome=Outcome.CRASHED, reason="out of memory in train: it needed more than 32Gi")

    event = build_event("runs", "ar-x", "u-1", ended, result, now=0.0)
    again = build_event("runs", "ar-x", "u-1", ended, result, now=5.0)
    assert (event["type"], event["reason"]) == ("Warning", "AttemptCrashed")
    assert event["message"] == f"{result.reason}. Logs: kubectl logs job/ar-x -c train"
    assert event["metadata"]["name"] == again["metadata"]["name"]
