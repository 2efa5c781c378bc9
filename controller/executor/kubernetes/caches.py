"""Caches of a campaign's Jobs and pods, and of the namespace's warning events.

There are three watches per campaign, however many attempts run. The handlers are called on the watches' threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.errors import ClusterError
from controller.executor.kubernetes.client import EVENTS, JOBS, PODS, Client, Object
from controller.executor.kubernetes.watch import READ_SECONDS, Handler, Reflector

JOB_NAME = "batch.kubernetes.io/job-name"
"""Label that the Job controller gives to a pod: the name of its Job."""

SYNC_SECONDS = 30.0
"""Seconds to wait at the start for the first complete lists; ten thousand Jobs take a few seconds."""

SILENT_SECONDS = 2 * READ_SECONDS
"""Seconds of silence that are reported as trouble: by then a watch was found dead and could not be opened anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """The functions that are called when an object changes."""

    job: Handler
    pod: Handler
    event: Handler


class Caches:
    """The three caches, started and stopped together."""

    def __init__(self, client: Client, selector: str, handlers: Handlers) -> None:
        """selector: of labels. The Job controller copies those of the Job's template to its pods, so it finds both."""
        self._namespace = client.namespace
        self._jobs = Reflector(client, JOBS, key=_name_of, changed=handlers.job, labelSelector=selector)
        self._pods = Reflector(client, PODS, key=job_of_pod, changed=handlers.pod, labelSelector=selector)
        # Events carry no labels of the object that they are about, so the campaign's cannot be selected.
        self._events = Reflector(
            client, EVENTS, key=_uid_of_subject, changed=handlers.event, fieldSelector="type=Warning"
        )
        self._all = (self._jobs, self._pods, self._events)

    def start(self) -> None:
        """Start, and wait for the first complete lists. Raises ClusterError.

        Nothing may be created before that: it could exist already.
        """
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
        """True if every cache has had its first complete list."""
        return all(reflector.wait_synced(0) for reflector in self._all)

    def every_job(self) -> tuple[Object, ...]:
        """All Jobs of the campaign."""
        return self._jobs.all()

    def jobs(self, name: str) -> tuple[Object, ...]:
        """Jobs of this name: one, or for a moment two when a name is reused."""
        return self._jobs.find(name)

    def pods(self, job: str) -> tuple[Object, ...]:
        """Pods of the Job of this name."""
        return self._pods.find(job)

    def warnings(self, *uids: str) -> tuple[Object, ...]:
        """Warning events about the objects with these uids."""
        found: list[Object] = []
        for uid in uids:
            found.extend(self._events.find(uid))
        return tuple(found)

    def ages(self) -> Mapping[str, float]:
        """Seconds since each watch last heard from the API server, bookmarks included."""
        return {reflector.plural: reflector.age for reflector in self._all}

    def silence(self) -> str:
        """One sentence if the API server has sent nothing for longer than it can be silent; else empty."""
        oldest = max(self._all, key=lambda reflector: reflector.age)
        if oldest.age < SILENT_SECONDS:
            return ""
        return f"the Kubernetes API has said nothing for {oldest.age:.0f} s: {oldest.error or 'no error'}"


def job_of_pod(pod: Object) -> str:
    """Name of the Job that a pod belongs to."""
    return str(pod["metadata"].get("labels", {}).get(JOB_NAME, ""))


def _name_of(found: Object) -> str:
    return str(found["metadata"]["name"])


def _uid_of_subject(event: Object) -> str:
    """Uid of the object that an event is about."""
    return str(event["involvedObject"].get("uid", ""))
