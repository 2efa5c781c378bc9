"""Builds the manifests of one smoke test: a Job around its pod, and a ConfigMap with the edited files. Pure.

The pod has the image, the walls and the mounts of an attempt's training. It asks for no accelerator, requests little,
and may use as much processor and memory as a training. Its container `train` takes the step, and
`candidate` loads the artifact.

What it prints is told to the agent. So where there is an exam, no such pod is placed on a node on which a pod of an
attempt of this campaign runs, and none of those beside it: the scheduler holds a required anti-affinity both ways.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from controller.domain import TryId, TryRequest
from controller.executor.kubernetes.job import build_config_map, owner_patch
from controller.executor.kubernetes.naming import ATTEMPT, COMPONENT, MANAGED_BY, MANAGER, SMOKE, smoke_name
from controller.executor.kubernetes.pod import COPY_SECONDS, GRACE, Manifest, build_pod
from controller.executor.kubernetes.quantities import smaller
from controller.executor.kubernetes.short_job import build_short_job
from controller.executor.phases import Phase, PhaseName, phases
from controller.executor.smoke import SMOKE_SECONDS, STEP_SECONDS, smoke_phases
from controller.settings import Settings

STEP, LOAD = PhaseName.TRAIN, PhaseName.CANDIDATE
"""Names of the containers, in the order in which they run."""

PLACE_SECONDS = 30.0
"""Seconds that a smoke test waits for a node: the scheduler finds a free one at once, and a proposal waits with it."""

START_SECONDS = 300.0
"""Most seconds from there to its first process, in which the node may have to pull the image."""

WALLS_SECONDS = 60.0
"""Most seconds that an examined training's supervisor needs until the network is closed and all files were read."""

MOST_CPU_ASKED = "1"
"""Most CPUs that are set aside for it: small nodes without accelerators have hardly two to give."""

ACCELERATOR = re.compile(r"gpu|accelerator|nvidia", re.IGNORECASE)
"""Found in labels of nodes, and in names of resources, that tell of an accelerator."""

_NO_ACCELERATOR = {
    # A container that asked for no GPU gets all of its node's where the image says so, as those of CUDA do.
    "NVIDIA_VISIBLE_DEVICES": "void",
    "CUDA_VISIBLE_DEVICES": "",
}

_RUN_FOR = (
    "import os, sys; os.environ['AUTORESEARCH_TRAIN_SECONDS'] = sys.argv[1]; os.execvp(sys.argv[2], sys.argv[2:])"
)
"""Runs a command that is told another budget than its supervisor."""

# Within this time the autoscaler of Kubernetes adds no node for the pod, and it is gone by then.
_NO_SCALE_UP = {"cluster-autoscaler.kubernetes.io/pod-scale-up-delay": "1h"}


def smoke_request(settings: Settings, files: Mapping[str, str]) -> TryRequest:
    """The request of a smoke test of these files. No attempt has the number 0, so that no try has its name."""
    return TryRequest(id=TryId(settings.tag, 0, 0, 1), commit="", files=files, seed=0, probe_set=0, reserve=None)


def start_seconds(settings: Settings) -> float:
    """Most seconds from a place on a node to the first process."""
    return min(settings.deadlines.image_pull, START_SECONDS)


def run_seconds(settings: Settings) -> float:
    """Most seconds from the first process on. What runs longer has passed."""
    return SMOKE_SECONDS + (WALLS_SECONDS if settings.task.score == "exam" else 0.0)


def build_smoke_job(settings: Settings, request: TryRequest, id: str) -> Manifest:
    """The Job of one smoke test. id: drawn at random."""
    name = smoke_name(settings.tag, id)
    return build_short_job(
        settings.executor.kubernetes.namespace,
        name,
        _build_pod(settings, request, name),
        labels=_labels(settings, id),
        place_seconds=PLACE_SECONDS,
        annotations=_NO_SCALE_UP,
    )


def build_smoke_files(settings: Settings, request: TryRequest, job: Manifest) -> Manifest:
    """The ConfigMap of a Job that was created, by whose name its pod waits for it.

    It comes after the Job and has it for its owner from the first, so that none is left behind.
    """
    of_job = job["metadata"]
    metadata = {key: of_job[key] for key in ("name", "namespace", "labels")} | owner_patch(job)["metadata"]
    return build_config_map(settings, request) | {"metadata": metadata}


def _labels(settings: Settings, id: str) -> dict[str, str]:
    return {MANAGED_BY: MANAGER, COMPONENT: "smoke-test", "campaign": settings.tag, SMOKE: id}


def _plan(settings: Settings, request: TryRequest) -> tuple[Phase, ...]:
    """The phases of a smoke test as containers of one pod."""
    step, *load = (
        replace(phase, environment={**phase.environment, **_NO_ACCELERATOR})
        for phase in smoke_phases(settings, request)
    )
    return (_behind_supervisor(settings, request, step), *(replace(phase, name=LOAD) for phase in load))


def _behind_supervisor(settings: Settings, request: TryRequest, step: Phase) -> Phase:
    """The step behind the walls that an examined training's supervisor waits for; it has more time than it tells."""
    if settings.task.score != "exam":
        return step
    supervisor = phases(settings, request)[0].command[: -len(settings.task.command)]
    return replace(
        step,
        command=(*supervisor, "python", "-c", _RUN_FOR, STEP_SECONDS, *step.command),
        environment={**step.environment, "AUTORESEARCH_TRAIN_SECONDS": f"{SMOKE_SECONDS:g}"},
        receives_messages=True,
    )


def _build_pod(settings: Settings, request: TryRequest, config_map: str) -> Manifest:
    pod = build_pod(settings, request, _plan(settings, request), config_map=config_map)
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        container["resources"] = _resources(settings, container)
    # A claim would take an accelerator.
    for replaced in ("resourceClaims", "nodeSelector", "affinity"):
        pod.pop(replaced, None)
    places = {"nodeSelector": _node_selector(settings), "affinity": _affinity(settings)}
    work = start_seconds(settings) + COPY_SECONDS + run_seconds(settings)
    return (
        pod
        | {name: place for name, place in places.items() if place}
        | {
            "activeDeadlineSeconds": math.ceil(work + 3 * GRACE),
            # A program is asked for nothing more once it has to end.
            "terminationGracePeriodSeconds": 1,
        }
    )


def _resources(settings: Settings, container: Manifest) -> Manifest:
    """Little is set aside, so that it finds a place; what the node has left it may use as a training may."""
    cluster = settings.executor.kubernetes
    disk = {"ephemeral-storage": container["resources"]["limits"]["ephemeral-storage"]}
    least = {
        "cpu": smaller(MOST_CPU_ASKED, smaller(cluster.examine_cpu, cluster.cpu)),
        "memory": smaller(cluster.examine_memory, cluster.memory),
    }
    return {"requests": least | disk, "limits": {"cpu": cluster.cpu, "memory": cluster.memory} | disk}


def _node_selector(settings: Settings) -> dict[str, str]:
    cluster = settings.executor.kubernetes
    if cluster.smoke_node_selector:
        return dict(cluster.smoke_node_selector)
    return {label: value for label, value in cluster.node_selector.items() if not ACCELERATOR.search(label)}


def _affinity(settings: Settings) -> Manifest:
    """The attempts' own affinity without what asks for an accelerator, and no attempt with an exam beside it."""
    cluster = settings.executor.kubernetes
    affinity: Manifest = {} if cluster.smoke_node_selector else dict(cluster.affinity)
    nodes = _without_accelerators(affinity.pop("nodeAffinity", None) or {})
    affinity |= {"nodeAffinity": nodes} if nodes else {}
    if settings.task.score == "exam":
        apart = affinity.get("podAntiAffinity") or {}
        affinity["podAntiAffinity"] = {**apart, _REQUIRED: [*(apart.get(_REQUIRED) or ()), _no_attempt(settings.tag)]}
    return affinity


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def _no_attempt(tag: str) -> Manifest:
    """A term that keeps clear of every node on which an attempt of the campaign, or of one of its studies, runs."""
    labels = {MANAGED_BY: MANAGER, COMPONENT: ATTEMPT, "campaign": tag}
    return {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}


def _without_accelerators(nodes: Mapping[str, Any]) -> Manifest:
    """A nodeAffinity without its conditions on labels that tell of an accelerator."""
    terms = [_without_conditions(term) for term in (nodes.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()]
    preferred = [
        {**one, "preference": rest}
        for one in nodes.get(_PREFERRED) or ()
        if (rest := _without_conditions(one["preference"]))
    ]
    # A node has to meet one of the terms, and one without conditions is met by all. As such it is not allowed to stand.
    required = {_REQUIRED: {"nodeSelectorTerms": terms}} if terms and all(terms) else {}
    return required | ({_PREFERRED: preferred} if preferred else {})


def _without_conditions(term: Mapping[str, Any]) -> Manifest:
    kept = [one for one in term.get("matchExpressions") or () if not ACCELERATOR.search(one["key"])]
    rest = {key: value for key, value in term.items() if key != "matchExpressions" and value}
    return rest | ({"matchExpressions": kept} if kept else {})
