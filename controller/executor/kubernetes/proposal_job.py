"""Builds the manifest of the Job in which a program proposes. Pure.

Three containers run one after the other, with the working folder as their one common volume: `fetch` and `deliver`
run our porter in the image of attempts, and `program` runs the operator's program in between. `deliver` starts only
when every process of `program` has ended well, so nobody exchanges a file while it is read. The program has neither
the porter's bearer nor a volume beside its folder, no token, no DNS, and the walls that attempts have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from controller.executor import porter
from controller.executor.kubernetes.naming import COMPONENT, MANAGED_BY, MANAGER, PROPOSAL, proposal_name
from controller.executor.kubernetes.pod import (
    GRACE,
    Manifest,
    container_security,
    empty_dir,
    mebibytes,
    pod_baseline,
)
from controller.executor.kubernetes.short_job import build_short_job
from controller.executor.phases import TASK
from controller.executor.workshop import FOLDER_GB, Session
from controller.settings import Settings

FETCH, PROGRAM, DELIVER = "fetch", "program", "deliver"
"""Names of the containers, in the order in which they run."""

PORTER_SECONDS = 120
"""Seconds that fetching and delivering may take together, on top of the program's own."""

SHARED_MEMORY = "64Mi"
"""/dev/shm of the program, which counts as its memory."""

PORTER_AMOUNTS = {"cpu": "250m", "memory": "256Mi", "ephemeral-storage": "64Mi"}
"""What the porter may use: the folder of a long campaign, as text and once more as JSON, has some ten megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The way from a pod to the controller, for one session."""

    id: str
    """Name of this session among all, drawn at random: no session comes twice."""

    address: str
    port: int

    key: str
    """The porter's bearer."""


def build_proposal_job(settings: Settings, session: Session, place: Place) -> Manifest:
    """The Job of one session."""
    labels = {
        MANAGED_BY: MANAGER,
        COMPONENT: "proposal",
        "campaign": settings.tag,
        PROPOSAL: str(session.number),
    }
    return build_short_job(
        settings.executor.kubernetes.namespace,
        proposal_name(settings.tag, session.number, place.id),
        _build_pod(settings, session, place),
        labels=labels,
        place_seconds=settings.deadlines.pending,
    )


def _build_pod(settings: Settings, session: Session, place: Place) -> Manifest:
    cluster, command = settings.executor.kubernetes, settings.agent.command
    pod = pod_baseline(cluster)
    # A claim would take a GPU, and the preferred nodes are those that have one.
    for unused in ("resourceClaims", *(("nodeSelector", "affinity") if command.node_selector else ())):
        pod.pop(unused, None)
    if command.node_selector:
        pod["nodeSelector"] = dict(command.node_selector)
    return pod | {
        "activeDeadlineSeconds": math.ceil(
            settings.deadlines.image_pull + session.seconds + PORTER_SECONDS + 3 * GRACE
        ),
        # A program is asked for nothing more once it has to end.
        "terminationGracePeriodSeconds": 1,
        "initContainers": [
            _build_porter(settings, place, FETCH, TASK),
            _build_program(settings, session),
        ],
        "containers": [_build_porter(settings, place, DELIVER, TASK, json.dumps(dict(session.wanted)))],
        "volumes": [
            empty_dir("folder", mebibytes(FOLDER_GB)),
            empty_dir("tmp", mebibytes(FOLDER_GB)),
            empty_dir("shm", SHARED_MEMORY, medium="Memory"),
        ],
    }


def _build_porter(settings: Settings, place: Place, verb: str, *words: str) -> Manifest:
    """A container that runs our porter in the image of attempts, which is nobody's but the operator's."""
    cluster = settings.executor.kubernetes
    said = [verb, place.address, str(place.port), *words]
    return {
        "name": verb,
        "image": cluster.image,
        "imagePullPolicy": cluster.image_pull_policy,
        "command": [_plain(word) for word in ("python", "-I", "-S", "-c", _porter_text(), *said)],
        "workingDir": "/",
        "env": [{"name": "PORTER_KEY", "value": place.key}],
        "resources": {"requests": dict(PORTER_AMOUNTS), "limits": dict(PORTER_AMOUNTS)},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "folder", "mountPath": TASK} | ({} if verb == FETCH else {"readOnly": True}),
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


@cache
def _porter_text() -> str:
    # Read once: an upgrade beneath a running controller must not mix two versions.
    return Path(porter.__file__).read_text(encoding="utf-8")


def _build_program(settings: Settings, session: Session) -> Manifest:
    cluster, command = settings.executor.kubernetes, settings.agent.command
    log_gb = 0.1
    amounts = {"memory": mebibytes(command.memory_gb), "ephemeral-storage": mebibytes(2 * FOLDER_GB + log_gb)}
    if command.cpus is not None:
        amounts["cpu"] = f"{math.ceil(command.cpus * 1000)}m"
    variables: Mapping[str, str] = {"HOME": "/tmp", **session.environment}
    return {
        "name": PROGRAM,
        "image": command.image or cluster.image,
        "imagePullPolicy": cluster.image_pull_policy,
        "command": [_plain(word) for word in session.command],
        # Over whatever the image has there, as the trainer image has the exam's own files.
        "workingDir": TASK,
        "env": [{"name": name, "value": _plain(value)} for name, value in variables.items()],
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "folder", "mountPath": TASK},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _plain(text: str) -> str:
    """The text as Kubernetes leaves it alone: it would put a variable in the place of `$(NAME)`."""
    return text.replace("$(", "$$(")
