"""The last step of a try: what ended it and what it left in its logs, as the domain's `Result`.

Pure. It distrusts every log but the examiner's: training's log gives a reason in words, a tail to read and
numbers to show. The logs of `probe` and `candidate` are not even asked for, as they could carry test text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.domain import INTERRUPTIONS, Outcome, Provenance, Result, Score, TryId
from controller.executor.kubernetes.verdict import FAULTS, LOSSES, Cause, Ended
from controller.phases import PhaseName
from controller.scores import last_error, read_exam_report, read_log_score, read_summary, safe_tail
from controller.settings import KubernetesSettings, Settings

TAIL_BYTES = 65_536
PRODUCT_LABELS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "accelerator")


def conclude(settings: Settings, id: TryId, ended: Ended, *, exam_log: str | None, train_log: bytes | None) -> Result:
    """The attempt's result. None stands for a log that could not be read."""
    text = safe_tail(train_log or b"", TAIL_BYTES)
    lost_to = ended.lost_to or LOSSES.get(ended.cause)
    result = Result(
        outcome=FAULTS.get(ended.cause, Outcome.LOST),
        reason=ended.reason,
        interrupted=lost_to in INTERRUPTIONS,
        lost_to=lost_to,
        seconds=ended.seconds,
        phase_seconds=ended.phase_seconds,
        node=ended.node,
        accelerator=accelerator(settings.executor.kubernetes),
        summary=read_summary(text),
        log_tail=text,
    )
    if ended.cause is not Cause.FINISHED:
        return _explained(result, ended, text)
    if settings.task.score == "log":
        return _log_scored(result, settings.task.metric, readable=train_log is not None)
    return _examined(result, settings, id, ended, exam_log)


def _explained(result: Result, ended: Ended, train_text: str) -> Result:
    """Add what training said last. What the other phases said stays in the cluster, out of the agent's sight."""
    if ended.cause is not Cause.CRASH or ended.container != PhaseName.TRAIN:
        return result
    said = last_error(train_text)
    return replace(result, reason=f"{result.reason}: {said}") if said else result


def _log_scored(result: Result, metric: str, *, readable: bool) -> Result:
    value = read_log_score(result.log_tail, metric)
    if value is not None:
        return replace(result, outcome=Outcome.SCORED, score=Score(value=value, provenance=Provenance.LOG))
    if not readable:
        return replace(result, outcome=Outcome.LOST, reason="the log that holds the score could not be read")
    return replace(result, outcome=Outcome.CRASHED, reason=f"train ended without printing {metric} after a line ---")


def _examined(result: Result, settings: Settings, id: TryId, ended: Ended, exam_log: str | None) -> Result:
    reading = read_exam_report(exam_log, ended.message, str(id), metric=settings.task.metric)
    if reading.outcome is not Outcome.SCORED and ended.oom:
        # The examiner only saw an answer that never came; the kubelet saw why.
        return replace(result, outcome=Outcome.CRASHED, reason=f"out of memory in {ended.oom}", exam=reading.exam)
    score = None if reading.value is None else Score(value=reading.value, provenance=Provenance.SEALED)
    return replace(result, outcome=reading.outcome, reason=reading.reason, exam=reading.exam, score=score)


def accelerator(cluster: KubernetesSettings) -> str:
    """What the attempt ran on, as far as the settings pin it: one ranking never mixes kinds."""
    product = next((cluster.node_selector[label] for label in PRODUCT_LABELS if label in cluster.node_selector), "")
    if product:
        return product
    if cluster.gpus:
        return cluster.gpu_resource
    return next(iter(cluster.extra_resources), "claim" if cluster.resource_claims else "cpu")


def label_values(result: Result, metric: str) -> Mapping[str, str]:
    """Labels that `kubectl get jobs -L outcome,val_bpb` shows: an outcome, and a score where it is a valid value."""
    labels = {"outcome": str(result.outcome)}
    if result.score is not None and result.score.value >= 0 and metric[0] != "_" and metric[-1] != "_":
        labels[metric] = f"{result.score.value:.6f}"
    return labels
