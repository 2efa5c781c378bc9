"""`autoresearch prepare --executor kubernetes`: a Job that runs the task's own prepare.py on the data volume.

It may be repeated at any time. A Job that was done with the same recipe (image, command, claim) and is still there
answers at once; one that still runs is joined, and any other that ended makes way for the next, whose prepare.py keeps
a folder that is intact. It prepares nothing itself, and never sees the data.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable

from controller.errors import ClusterError, DataError
from controller.executor.kubernetes.client import EVENTS, JOBS, PODS, Client, Object
from controller.executor.kubernetes.connection import connect
from controller.executor.kubernetes.errors import Refused
from controller.executor.kubernetes.logs import read_tail
from controller.executor.kubernetes.naming import COMPONENT, MANAGED_BY, MANAGER, PREFIX
from controller.executor.kubernetes.objects import condition_of
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.pod import Manifest, container_security, pod_baseline
from controller.executor.kubernetes.verdict import Cause, Ended, Going, Observation
from controller.phases import TASK
from controller.scores import last_error, safe_text
from controller.settings import Settings

Say = Callable[[str], None]

RECIPE = f"{PREFIX}recipe"
ROLE = f"{PREFIX}role"
"""By this label a NetworkPolicy may let this pod, and no attempt, fetch data from outside."""

VOLUME = "/volume"
LONGEST_SECONDS = 6 * 3600
KEPT_SECONDS = 7 * 24 * 3600
"""How long a Job that is done can answer for its data: a controller that starts again need not read them all."""

DISK_REQUEST = "1Gi"
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0


def prepare_on_cluster(
    settings: Settings, *, say: Say, check: bool = False, patience: float = PATIENCE_SECONDS
) -> None:
    """Fill the data volume, or find it filled. Raises DataError with prepare.py's words, or ClusterError.

    check: look at the data themselves even where a Job that made them is still there.
    patience: seconds that trouble such as a missing image may last; the Job is then left to look at.
    """
    if not settings.executor.kubernetes.image:
        raise ClusterError("executor.kubernetes.image is not set: name the trainer image that holds prepare.py")
    client = connect(settings.executor.kubernetes)
    try:
        manifest = build_prepare_job(settings)
        if not check and _is_done(client, manifest):
            say(f"  prepared before by Job {manifest['metadata']['name']}; --check looks at the data again")
            return
        job = _create(client, manifest, say)
        _report(client, job, _wait(client, job, say, patience=patience), say)
    finally:
        client.close()


def build_prepare_job(settings: Settings) -> Manifest:
    """The Job. Its pod may look names up and write the volume, which no attempt may; it has no GPU."""
    cluster = settings.executor.kubernetes
    labels = {MANAGED_BY: MANAGER, COMPONENT: "prepare", ROLE: "prepare"}
    amounts = {"cpu": cluster.cpu, "memory": cluster.memory}
    command = ["python", "prepare.py", "--data", f"{VOLUME}/{cluster.data_folder}", *settings.task.prepare]
    recipe = json.dumps([cluster.image, command, cluster.data_claim])
    pod = pod_baseline(cluster) | {
        "dnsPolicy": "ClusterFirst",
        "containers": [
            {
                "name": "prepare",
                "image": cluster.image,
                "imagePullPolicy": cluster.image_pull_policy,
                "command": command,
                "workingDir": TASK,
                "env": [{"name": "HOME", "value": "/tmp"}, {"name": "PYTHONUNBUFFERED", "value": "1"}],
                "resources": {
                    "requests": amounts | {"ephemeral-storage": DISK_REQUEST},
                    "limits": amounts | {"ephemeral-storage": cluster.prepare_disk},
                },
                "securityContext": container_security(),
                "volumeMounts": [{"name": "data", "mountPath": VOLUME}, {"name": "tmp", "mountPath": "/tmp"}],
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": cluster.data_claim}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    for unused in ("dnsConfig", "resourceClaims"):
        pod.pop(unused, None)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"ar-prepare-{cluster.data_claim}"[:57].rstrip("-."),
            "labels": labels,
            "annotations": {RECIPE: hashlib.sha256(recipe.encode()).hexdigest()},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": LONGEST_SECONDS,
            # Unlike a try it leaves its result on the volume, so it may go by itself.
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _is_done(client: Client, manifest: Manifest) -> bool:
    found = client.find(JOBS, manifest["metadata"]["name"])
    if not found or not _has_recipe_of(found, manifest):
        return False
    if condition_of(found, "Complete").get("status") == "True":  # its pod may be gone long since
        return True
    verdict = assess(_observe(client, found))
    return isinstance(verdict, Ended) and verdict.cause is Cause.FINISHED


def _has_recipe_of(found: Object, manifest: Manifest) -> bool:
    said = found["metadata"].get("annotations", {}).get(RECIPE)
    return bool(said == manifest["metadata"]["annotations"][RECIPE])


def _create(client: Client, manifest: Manifest, say: Say) -> Object:
    """Create the Job; join one that runs, replace one that ended."""
    name = manifest["metadata"]["name"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            created = client.create(JOBS, manifest)
            say(f"Job {name} in namespace {client.namespace}")
            return created
        except Refused as refused:
            if refused.reason != "AlreadyExists":
                raise
        found = client.find(JOBS, name)
        if found and isinstance(assess(_observe(client, found)), Going):
            if not _has_recipe_of(found, manifest):
                raise ClusterError(f"Job {name} prepares other data for this claim: wait for its end, or delete it")
            say(f"Job {name} runs already")
            return found
        if found:
            client.delete(JOBS, name, uid=found["metadata"]["uid"])
        time.sleep(POLL_SECONDS)
    raise ClusterError(f"Job {name} of an earlier prepare does not go away: delete it")


def _wait(client: Client, job: Object, say: Say, *, patience: float) -> Ended:
    """Until it ends. One command of a person, so asking each second is cheap enough."""
    shown, trouble_since = "", None
    while True:
        verdict = assess(_observe(client, job))
        if isinstance(verdict, Ended):
            return verdict
        now = time.monotonic()
        trouble_since = (trouble_since or now) if verdict.trouble else None
        if trouble_since is not None and now - trouble_since > patience:
            raise ClusterError(f"{verdict.trouble}; the Job {job['metadata']['name']} is left for you to look at")
        line = f"{verdict.phase} {verdict.line}".strip()
        if line != shown:
            say(f"  {line}")
        shown = line
        time.sleep(POLL_SECONDS)


def _observe(client: Client, job: Object) -> Observation:
    uid = job["metadata"]["uid"]
    found = client.find(JOBS, job["metadata"]["name"])
    if found and found["metadata"]["uid"] != uid:
        found = None
    pods = client.list(PODS, labelSelector=f"batch.kubernetes.io/controller-uid={uid}")["items"]
    warnings = client.list(EVENTS, fieldSelector=f"type=Warning,involvedObject.uid={uid}")["items"]
    return Observation(job=found or job, job_gone=found is None, pod=pods[-1] if pods else {}, events=warnings)


def _report(client: Client, job: Object, ended: Ended, say: Say) -> None:
    pods = client.list(PODS, labelSelector=f"batch.kubernetes.io/controller-uid={job['metadata']['uid']}")["items"]
    log = (read_tail(client, pods[-1]["metadata"]["name"], "prepare") if pods else None) or b""
    text = safe_text(log.decode(errors="replace"))
    if ended.cause is not Cause.FINISHED:
        raise DataError(f"the data could not be prepared: {ended.reason}: {last_error(text) or 'no log'}")
    for line in text.splitlines():
        say(f"  {line}")
