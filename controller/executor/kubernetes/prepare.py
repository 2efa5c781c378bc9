"""Runs `autoresearch prepare --executor kubernetes`: a Job that runs the task's own prepare.py on the data volume.

The command may be repeated at any time. If a Job with the same recipe (image, command, claim) has succeeded and is
still there, nothing is run. A Job that still runs is joined. Any other one that ended is replaced; prepare.py keeps a
folder that is intact.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable

from controller.errors import ClusterError, DataError, SettingsError
from controller.executor.kubernetes.client import EVENTS, JOBS, PODS, Client, Object
from controller.executor.kubernetes.connection import connect
from controller.executor.kubernetes.errors import Refused
from controller.executor.kubernetes.logs import fetch_log_end
from controller.executor.kubernetes.naming import COMPONENT, MANAGED_BY, MANAGER, PREFIX
from controller.executor.kubernetes.observation import EndCause, Observation, TryEnd, TryProgress
from controller.executor.kubernetes.outcome import assess
from controller.executor.kubernetes.pod import Manifest, container_security, pod_baseline
from controller.executor.kubernetes.pod_status import condition_of
from controller.executor.last_words import last_words
from controller.executor.phase_output import READ_BYTES
from controller.executor.phases import TASK, prepare_environment
from controller.settings import Settings
from controller.text.safe_text import safe_tail

Say = Callable[[str], None]

RECIPE = f"{PREFIX}recipe"
"""Annotation of the Job: a hash of image, command and claim."""

READERS = 65533
"""The group that may read the text of exams in the trainer image (trainer-image/Dockerfile); attempts are not in it."""

ROLE = f"{PREFIX}role"
"""Label by which a NetworkPolicy can let this pod, and no attempt, fetch data from outside."""

VOLUME = "/volume"
"""Folder of the data volume in the container."""

LONGEST_SECONDS = 6 * 3600
"""Deadline of the Job in seconds: six hours, for the download of a large corpus over a slow line."""

KEPT_SECONDS = 7 * 24 * 3600
"""Seconds that a finished Job is kept. While it exists, a repeated command need not read all data again."""

DISK_REQUEST = "1Gi"
"""Scratch disk that the scheduler reserves; the limit is a setting."""

POLL_SECONDS = 1.0
"""Seconds between two looks at the Job: a person waits for one command, so asking each second costs little."""

PATIENCE_SECONDS = 60.0
"""Seconds that a trouble may last, and that a deleted Job may take to go, before the command gives up."""


def prepare_on_cluster(
    settings: Settings, *, say: Say, check: bool = False, patience: float = PATIENCE_SECONDS
) -> None:
    """Fill the data volume, unless it is filled. Raises DataError with prepare.py's words, SettingsError, ClusterError.

    check: have prepare.py look at the data even if a Job that made them is still there.
    patience: seconds that a trouble such as a missing image may last; the Job is then left for people to look at.
    """
    if not settings.executor.kubernetes.image:
        raise SettingsError("executor.kubernetes.image is not set: name the trainer image that holds prepare.py")
    client = connect(settings.executor.kubernetes)
    try:
        manifest = build_prepare_job(settings)
        if not check and _is_done(client, manifest):
            say(f"  prepared before by Job {manifest['metadata']['name']}; --check looks at the data again")
            return
        job = _create(client, manifest, say)
        _report_end(client, job, _wait(client, job, say, patience=patience), say)
    finally:
        client.close()


def build_prepare_job(settings: Settings) -> Manifest:
    """The manifest of the Job. Its pod may use DNS and write the volume, which no attempt may; it has no GPU."""
    cluster = settings.executor.kubernetes
    labels = {MANAGED_BY: MANAGER, COMPONENT: "prepare", ROLE: "prepare"}
    amounts = {"cpu": cluster.cpu, "memory": cluster.memory}
    command = ["python", "prepare.py", "--data", f"{VOLUME}/{cluster.data_folder}", *settings.task.prepare]
    environment = prepare_environment(settings.task)
    recipe = json.dumps([cluster.image, command, cluster.data_claim, environment])
    plain = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", **environment}
    baseline = pod_baseline(cluster)
    pod = baseline | {
        "securityContext": {**baseline["securityContext"], "supplementalGroups": [READERS]},
        "dnsPolicy": "ClusterFirst",
        "containers": [
            {
                "name": "prepare",
                "image": cluster.image,
                "imagePullPolicy": cluster.image_pull_policy,
                "command": command,
                "workingDir": TASK,
                "env": [{"name": name, "value": value} for name, value in plain.items()],
                "resources": {
                    "requests": amounts | {"ephemeral-storage": DISK_REQUEST},
                    "limits": amounts | {"ephemeral-storage": cluster.prepare_disk},
                },
                "securityContext": container_security(),
                "volumeMounts": [{"name": "data", "mountPath": VOLUME}, {"name": "tmp", "mountPath": "/tmp"}],
                # The kubelet then takes the end of a failed container's log as its message.
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": cluster.data_claim}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    # The nameserver of a try answers nothing, and a claim would take a GPU that prepare.py does not use.
    for unused in ("dnsConfig", "resourceClaims"):
        pod.pop(unused, None)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            # The names of its pods have six characters more, and are values of labels, which end at 63.
            "name": f"ar-prepare-{cluster.data_claim}"[:57].rstrip("-."),
            "labels": labels,
            "annotations": {RECIPE: hashlib.sha256(recipe.encode()).hexdigest()},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": LONGEST_SECONDS,
            # Set from the start, unlike that of a try: the result is on the volume and not in the Job.
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _is_done(client: Client, manifest: Manifest) -> bool:
    """True if a Job with this recipe has succeeded and is still there."""
    found = client.find(JOBS, manifest["metadata"]["name"])
    if not found or not _has_recipe_of(found, manifest):
        return False
    # The Job's own condition counts: its pod may have been garbage-collected since.
    if condition_of(found, "Complete").get("status") == "True":
        return True
    status = assess(_observe(client, found))
    return isinstance(status, TryEnd) and status.cause is EndCause.FINISHED


def _has_recipe_of(found: Object, manifest: Manifest) -> bool:
    said = found["metadata"].get("annotations", {}).get(RECIPE)
    return bool(said == manifest["metadata"]["annotations"][RECIPE])


def _create(client: Client, manifest: Manifest, say: Say) -> Object:
    """Create the Job and return it. A Job that runs is returned instead; one that ended is replaced."""
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
        if found and isinstance(assess(_observe(client, found)), TryProgress):
            if not _has_recipe_of(found, manifest):
                raise ClusterError(f"Job {name} prepares other data for this claim: wait for its end, or delete it")
            say(f"Job {name} runs already")
            return found
        if found:
            client.delete(JOBS, name, uid=found["metadata"]["uid"])
        time.sleep(POLL_SECONDS)
    raise ClusterError(f"Job {name} of an earlier prepare does not go away: delete it")


def _wait(client: Client, job: Object, say: Say, *, patience: float) -> TryEnd:
    """Wait for the Job's end, and tell its progress. Raises ClusterError if a trouble lasts longer than `patience`."""
    shown, trouble_since = "", None
    while True:
        status = assess(_observe(client, job))
        if isinstance(status, TryEnd):
            return status
        now = time.monotonic()
        trouble_since = (trouble_since or now) if status.trouble else None
        if trouble_since is not None and now - trouble_since > patience:
            raise ClusterError(f"{status.trouble}; the Job {job['metadata']['name']} is left for you to look at")
        line = f"{status.phase} {status.line}".strip()
        if line != shown:
            say(f"  {line}")
        shown = line
        time.sleep(POLL_SECONDS)


def _observe(client: Client, job: Object) -> Observation:
    uid = job["metadata"]["uid"]
    found = client.find(JOBS, job["metadata"]["name"])
    # Another Job may have taken the name since.
    if found and found["metadata"]["uid"] != uid:
        found = None
    pods = client.list(PODS, labelSelector=f"batch.kubernetes.io/controller-uid={uid}")["items"]
    warnings = client.list(EVENTS, fieldSelector=f"type=Warning,involvedObject.uid={uid}")["items"]
    return Observation(job=found or job, job_gone=found is None, pod=pods[-1] if pods else {}, events=warnings)


def _report_end(client: Client, job: Object, ended: TryEnd, say: Say) -> None:
    pods = client.list(PODS, labelSelector=f"batch.kubernetes.io/controller-uid={job['metadata']['uid']}")["items"]
    log = (fetch_log_end(client, pods[-1]["metadata"]["name"], "prepare") if pods else None) or b""
    text = safe_tail(log, READ_BYTES)
    if ended.cause is not EndCause.FINISHED:
        raise DataError(f"the data could not be prepared: {ended.reason}: {last_words(text) or 'no log'}")
    for line in text.splitlines():
        say(f"  {line}")
