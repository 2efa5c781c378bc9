"""Builds the domain's `Result` from the end of a try and from its logs.

Pure. Only the examiner's log is trusted. The training's log gives a reason in words, an end to read and numbers to
show. The log of `candidate` is never fetched, because it could carry test text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.domain import INTERRUPTIONS, Outcome, Provenance, Result, TryId, Witness
from controller.executor import attempt_end
from controller.executor.attempt_end import EndedBy, PhaseEnding
from controller.executor.kubernetes.naming import OWN_LABELS, is_label
from controller.executor.kubernetes.observation import FAULTS, LOSSES, EndCause, TryEnd
from controller.executor.last_words import last_words
from controller.executor.log_score import read_numbers
from controller.executor.phase_output import read_tail
from controller.executor.phases import PhaseName
from controller.executor.walls import WITH_COPY, Walls
from controller.settings import KubernetesSettings, Settings
from controller.text.figures import score_text

PRODUCT_LABELS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "accelerator")
"""Labels of nodes that name the kind of accelerator: NVIDIA's GPU feature discovery, GKE, others."""

_ENDED_BY = {
    EndCause.CRASH: EndedBy.ITSELF,
    EndCause.DEADLINE: EndedBy.DEADLINE,
    EndCause.OOM: EndedBy.MEMORY,
}


def conclude(
    settings: Settings,
    id: TryId,
    ended: TryEnd,
    *,
    exam_log: str | None,
    train_log: bytes | None,
    witness: Witness | None = None,
) -> Result:
    """The attempt's result. exam_log, train_log: None if the log could not be read or was not needed."""
    text = read_tail(train_log or b"")
    lost_to = ended.lost_to or LOSSES.get(ended.cause)
    judged = _judge_end(settings, id, ended, text=text, exam_log=exam_log, readable=train_log is not None)
    return replace(
        judged,
        interrupted=lost_to in INTERRUPTIONS,
        lost_to=lost_to,
        seconds=ended.seconds,
        phase_seconds=ended.phase_seconds,
        node=ended.node,
        accelerator=accelerator(settings.executor.kubernetes),
        witness=witness,
        summary=read_numbers(text, settings.task.guards),
        log_tail=text,
    )


def walls_of(settings: Settings) -> Walls:
    """The limits around an attempt in a cluster, in the words of a result's reason."""
    cluster, limits = settings.executor.kubernetes, settings.executor.limits
    return Walls(
        closed=True,
        programs=f"task.command may use the programs of the image {cluster.image} and of the task folder alone",
        packages=f"the image {cluster.image} does not have it: build one that has, as there is no network inside",
        **({"writable": WITH_COPY} if settings.task.score == "log" else {}),
        memory=cluster.memory,
        scratch=f"{limits.scratch_gb:g} GB",
        artifact=f"{limits.artifact_gb:g} GB",
        shared=f"{cluster.shared_memory} (executor.kubernetes.shared_memory)",
        processes="the kubelet's podPidsLimit bounds its processes and threads",
    )


def _judge_end(
    settings: Settings, id: TryId, ended: TryEnd, *, text: str, exam_log: str | None, readable: bool
) -> Result:
    """Outcome and reason, score and exam of the attempt."""
    if ended.cause is EndCause.FINISHED and settings.task.score == "log":
        if not readable:
            return Result(outcome=Outcome.LOST, reason="the log that holds the score could not be read")
        return attempt_end.log_scored(text, task=settings.task, walls=walls_of(settings))
    if ended.cause is EndCause.FINISHED:
        return attempt_end.examined(
            exam_log,
            ended.message,
            attempt=str(id),
            task=settings.task,
            provenance=Provenance.SEALED,
            starved=ended.oom,
        )
    failure = _agent_failure(settings, ended, text)
    return failure or Result(outcome=FAULTS.get(ended.cause, Outcome.LOST), reason=_reason(ended, exam_log))


def _agent_failure(settings: Settings, ended: TryEnd, text: str) -> Result | None:
    """The result if the agent's code ended the try; None if something else did, or its code never ran."""
    by = _ENDED_BY.get(ended.cause)
    if by is None or ended.container != PhaseName.TRAIN or (by is EndedBy.ITSELF and ended.exit_code is None):
        return None
    ending = PhaseEnding(
        by=by if ended.exit_code is None else EndedBy.ITSELF,
        code=ended.exit_code or 0,
        detail=ended.whose,
        first=settings.task.score == "log",
    )
    return attempt_end.failure_of(
        ending,
        text=text,
        task=settings.task,
        train_seconds=settings.budget.train_seconds,
        walls=walls_of(settings),
    )


def _reason(ended: TryEnd, exam_log: str | None) -> str:
    """The reason if something else ended the try.

    The examiner's last words are added, because it is our code. Those of other containers never reach the agent.
    """
    words = last_words(exam_log or "") if ended.cause is EndCause.EXAMINER_ERROR else ""
    return f"{ended.reason}: {words}" if words else ended.reason


def accelerator(cluster: KubernetesSettings) -> str:
    """Kind of the accelerator, as far as the settings fix it. Scores of different kinds are never ranked together."""
    for label in PRODUCT_LABELS:
        product = cluster.node_selector.get(label)
        if product:
            return product
    if cluster.gpus:
        return cluster.gpu_resource
    for resource in cluster.extra_resources:
        return resource
    return "claim" if cluster.resource_claims else "cpu"


def label_values(result: Result, metric: str) -> Mapping[str, str]:
    """Labels for `kubectl get jobs -L outcome,val_bpb`: the outcome, and the score if it is a valid label."""
    labels = {"outcome": str(result.outcome)}
    value = "" if result.score is None else score_text(result.score.value)
    if is_label(metric, value) and metric not in (*labels, *OWN_LABELS):
        labels[metric] = value
    return labels
