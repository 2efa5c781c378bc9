"""Deletes the Jobs of ours that are no tries at the end of what they were for, and those that could not be deleted."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from controller.errors import ClusterError
from controller.executor.kubernetes.client import JOBS, Client


class Leftovers:
    """Jobs of one kind, which nobody needs once they have ended; safe to use from several threads."""

    def __init__(self, what: str, *, warn: Callable[[str], None]) -> None:
        """what: such as `a proposal`. warn: takes a sentence for the operator."""
        self._what, self._warn = what, warn
        self._lock = Lock()
        self._left: set[str] = set()
        """Names of Jobs that could not be deleted."""

    def delete(self, client: Client, name: str) -> None:
        """Delete the Job of this name, if there is one. One that stays is told, and deleted another time."""
        try:
            if found := client.find(JOBS, name):
                client.delete(JOBS, name, uid=found["metadata"]["uid"])
        except ClusterError as error:
            with self._lock:
                self._left.add(name)
            self._warn(f"Job {name} of {self._what} is not deleted yet: {error}")

    def delete_left(self, client: Client) -> None:
        """Delete the Jobs that could not be deleted before."""
        with self._lock:
            left, self._left = self._left, set()
        for name in left:
            self.delete(client, name)


def delete_jobs(client: Client, selector: str) -> None:
    """Delete every Job with these labels, whoever made it. Raises ClusterError.

    For Jobs that nobody takes over: what waited for them ended with the controller that made them.
    """
    for job in client.list(JOBS, labelSelector=selector)["items"]:
        if "deletionTimestamp" not in job["metadata"]:
            client.delete(JOBS, job["metadata"]["name"], uid=job["metadata"]["uid"])
