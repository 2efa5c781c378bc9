"""Pods and Jobs as a real cluster shows them: recorded ones, and ones made from the states of their containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from controller.executor.kubernetes.running_try import RunningTry
from controller.settings import Settings
from tests.support.requests import try_request

OBSERVED = Path(__file__).parent / "observed"
Thing = dict[str, Any]


def recorded(name: str) -> Thing:
    found: Thing = json.loads((OBSERVED / f"{name}.json").read_text())
    return found


def ended(status: int, *, reason: str = "", at: str = "2026-11-24T07:30:20Z", message: str | None = None) -> Thing:
    end: Thing = {"exitCode": status, "startedAt": "2026-11-24T07:30:10Z", "finishedAt": at}
    end["reason"] = reason or ("Completed" if status == 0 else "Error")
    return {"terminated": end | ({"message": message} if message else {})}


RUNNING: Thing = {"running": {"startedAt": "2026-11-24T07:30:10Z"}}
INITIALIZING: Thing = {"waiting": {"reason": "PodInitializing"}}


def make_pod(
    train: Thing = INITIALIZING,
    candidate: Thing = INITIALIZING,
    examine: Thing = INITIALIZING,
    *,
    phase: str = "Running",
    last: Thing | None = None,
    deleted: bool = False,
    conditions: tuple[Thing, ...] = (),
    **status: Any,
) -> Thing:
    """A pod of the three phases; each container is given by its state, `last` is the candidate's lastState."""
    states = {"train": train, "candidate": candidate}
    init = [{"name": name, "state": state, "lastState": {}} for name, state in states.items()]
    init[-1]["lastState"] = last or {}
    containers: list[Thing] = [{"name": name, "image": "trainer:1"} for name in states]
    containers[0]["resources"] = {"limits": {"memory": "32Gi"}}
    containers[-1]["restartPolicy"] = "Always"
    metadata: Thing = {"creationTimestamp": "2026-11-24T07:30:00Z"}
    return {
        "metadata": metadata | ({"deletionTimestamp": "2026-11-24T07:30:20Z"} if deleted else {}),
        "spec": {"nodeName": "node-1", "initContainers": containers, "containers": [{"name": "examine"}]},
        "status": {
            "phase": phase,
            "startTime": "2026-11-24T07:30:05Z",
            "conditions": list(conditions),
            "initContainerStatuses": init,
            "containerStatuses": [{"name": "examine", "state": examine}],
            **status,
        },
    }


def make_job(*conditions: tuple[str, str], suspend: bool = False, deleted: bool = False) -> Thing:
    """A Job with conditions given as (type, reason)."""
    return {
        "metadata": {"creationTimestamp": "2026-11-24T07:29:59Z"} | ({"deletionTimestamp": "x"} if deleted else {}),
        "spec": {"suspend": suspend},
        "status": {"conditions": [{"type": kind, "status": "True", "reason": reason} for kind, reason in conditions]},
    }


FAILED = make_job(("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded"))
DRAIN: Thing = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
    "lastTransitionTime": "2026-11-24T07:30:15Z",
}


def kubernetes_settings(*, score: str = "exam", **kubernetes: Any) -> Settings:
    """Settings of a campaign on a cluster; `kubernetes` are fields of that group."""
    cluster = {"image": "registry.test/trainer@sha256:0123", **kubernetes}
    return Settings.model_validate(
        {"task": {"score": score}, "executor": {"kind": "kubernetes", "kubernetes": cluster}}
    )


def running_try(*, adopted: bool = False) -> RunningTry:
    """A try whose Job is named ar-t and has the uid job-1."""
    return RunningTry(request=try_request(), name="ar-t", uid="job-1", adopted=adopted)
