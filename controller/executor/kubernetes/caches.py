"""What the cluster last said about one campaign: its Jobs, its pods, and the namespace's warnings.

Three watches for a whole campaign, however many attempts run. The handlers are called on the watches' threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.errors import ClusterError
from controller.executor.kubernetes.client import EVENTS, JOBS, PODS, Client, Object
from controller.executor.kubernetes.naming import campaign_selector
from controller.executor.kubernetes.watch import READ_SECONDS, Handler, Reflector

JOB_NAME = "batch.kubernetes.io/job-name"
SYNC_SECONDS = 30.0
SILENT_SECONDS = 2 * READ_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """Who is told of a change: called with the object and whether it is gone."""

    job: Handler
    pod: Handler
    event: Handler


class Caches:
    """The three reflectors, started and stopped together."""

    def __init__(self, client: Client, tag: str, handlers: Handlers) -> None:
        selector = campaign_selector(tag)
        self._namespace = client.namespace
        self._jobs = Reflector(client, JOBS, key=_name, changed=handlers.job, labelSelector=selector)
        self._pods = Reflector(client, PODS, key=job_of_pod, changed=handlers.pod, labelSelector=selector)
        self._events = Reflector(client, EVENTS, key=_about, changed=handlers.event, fieldSelector="type=Warning")
        self._all = (self._jobs, self._pods, self._events)

    def start(self) -> None:
        """Begin, and wait for the first complete lists: nothing may be created before. Raises ClusterError."""
        for reflector in self._all:
            reflector.start()
        for reflector in self._all:
            if not reflector.wait_synced(SYNC_SECONDS):
                raise ClusterError(
                    f"{reflector.plural} of namespace {self._namespace} cannot be listed: {reflector.error}"
                )

    def stop(self) -> None:
        """End the watches."""
        for reflector in self._all:
            reflector.stop()

    def synced(self) -> bool:
        """Whether every cache has had its first complete list."""
        return all(reflector.wait_synced(0) for reflector in self._all)

    def every_job(self) -> tuple[Object, ...]:
        """All Jobs of the campaign."""
        return self._jobs.all()

    def jobs(self, name: str) -> tuple[Object, ...]:
        """Jobs of this name: one, or for a moment two while a name is reused."""
        return self._jobs.find(name)

    def pods(self, job: str) -> tuple[Object, ...]:
        """Pods of the Job of this name."""
        return self._pods.find(job)

    def warnings(self, *uids: str) -> tuple[Object, ...]:
        """Warning events about these objects."""
        return tuple(event for uid in uids for event in self._events.find(uid))

    def ages(self) -> Mapping[str, float]:
        """Seconds since each watch last heard anything, bookmarks included."""
        return {reflector.plural: reflector.age for reflector in self._all}

    def silence(self) -> str:
        """Says for how long the API server has said nothing, once that is longer than bookmarks explain."""
        oldest = max(self._all, key=lambda reflector: reflector.age)
        if oldest.age < SILENT_SECONDS:
            return ""
        return f"the Kubernetes API has said nothing for {oldest.age:.0f} s: {oldest.error or 'no error'}"


def job_of_pod(pod: Object) -> str:
    """Name of the Job that a pod belongs to."""
    return str(pod["metadata"].get("labels", {}).get(JOB_NAME, ""))


def _name(found: Object) -> str:
    return str(found["metadata"]["name"])


def _about(event: Object) -> str:
    return str(event["involvedObject"].get("uid", ""))
