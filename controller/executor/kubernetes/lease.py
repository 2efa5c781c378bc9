"""Lets only one controller per campaign write to the cluster, by a Lease object that it renews.

A holder that cannot renew in time stops writing (`guard` raises) before another may take the lease. A write that was
under way may still take effect after that. It does no harm: names of Jobs follow from the try and deletions name a
uid, so the next holder finds that Job and adopts it.

Clocks of two machines are never compared, because they may differ by minutes. A lease has expired if it did not
change for its whole duration while we watched it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from controller.errors import ClusterError
from controller.executor.kubernetes.client import LEASES, Client, Object
from controller.executor.kubernetes.errors import Refused, Unavailable
from controller.executor.kubernetes.naming import MANAGED_BY, MANAGER

RENEWALS = 4
"""Renewals within one duration, so that two in a row may fail without harm."""

MARGIN = 0.2
"""Share of the duration by which writing stops before its end, so that a request under way should still be in time."""

POLL_SECONDS = 0.5
"""Seconds between two looks at another controller's lease; it changes every few seconds if the holder is alive."""

TO_A_CAMPAIGN = "stop it, or choose another tag"
TO_A_STUDY = "a study needs the campaign to itself: ask again when that has ended, or stop it first"
"""What to do where another controller holds the campaign."""


class LeaseLost(ClusterError):
    """Another controller may hold this campaign now, so this process may no longer write."""


class Lease:
    """The Lease object `autoresearch-TAG`: `acquire` takes it and starts renewing, `release` gives it back."""

    def __init__(
        self,
        client: Client,
        tag: str,
        *,
        holder: str,
        duration: float,
        advice: str = TO_A_CAMPAIGN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._advice = advice
        self._name = f"autoresearch-{tag}"
        self._tag = tag
        self._holder = holder
        self._duration = duration
        self._clock = clock
        self._until = 0.0
        """Clock seconds until which the lease is ours, counted from before the last renewal was sent."""
        self._taken = ""
        """Holder that took the lease from us; empty if none did."""
        self._held: Object = {}
        """The Lease object as we last wrote it."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._renew_for_ever, name="lease", daemon=True)

    def wait_until_free(self) -> Object | None:
        """Wait for the lease of a dead holder to expire; returns the lease if there is one.

        Raises ClusterError if its holder is alive.
        """
        found = self._client.find(LEASES, self._name)
        return self._wait_for_expiry(found) if found is not None and self._is_anothers(found) else found

    def acquire(self) -> None:
        """Take the lease, or wait for that of a dead holder to expire. Raises ClusterError if its holder is alive."""
        found = self.wait_until_free()
        asked = self._clock()
        try:
            self._held = self._write(found)
        except Refused as refused:
            if refused.status != 409:
                raise
            raise ClusterError(f"another controller took campaign {self._tag} just now; stop one of them") from refused
        self._until = asked + self._duration
        self._thread.start()

    def guard(self) -> None:
        """Raise LeaseLost if this process may no longer write."""
        if self.lost:
            raise LeaseLost(self.lost)

    @property
    def lost(self) -> str:
        """One sentence on why writing must stop; empty if it need not.

        A lease that could not be renewed in time is ours again as soon as a renewal succeeds.
        """
        if self._taken:
            return f"campaign {self._tag} was taken over by {self._taken}: stop this controller"
        if self._clock() > self._until - MARGIN * self._duration:
            return f"the lease of campaign {self._tag} could not be renewed: the Kubernetes API does not answer"
        return ""

    def release(self) -> None:
        """Give the lease back, so that the next controller need not wait. One that was taken from us is left alone."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        if self._held and not self._taken:
            # An empty holder means that the lease is free; client-go's leader election releases it in the same way.
            self._held["spec"]["holderIdentity"] = ""
            self._client.replace(LEASES, self._name, self._held)

    def _is_anothers(self, lease: Object) -> bool:
        return lease["spec"].get("holderIdentity") not in ("", None, self._holder)

    def _wait_for_expiry(self, seen: Object) -> Object | None:
        """Watch another's lease for its duration; returns it if it expired or was given back, None if it is gone.

        Raises ClusterError if its holder renewed it.
        """
        holder = seen["spec"]["holderIdentity"]
        deadline = self._clock() + float(seen["spec"].get("leaseDurationSeconds") or self._duration)
        while self._clock() < deadline:
            self._stopping.wait(POLL_SECONDS)
            found = self._client.find(LEASES, self._name)
            if found is None or not self._is_anothers(found):
                return found
            # Every write changes the resourceVersion, so a change means that the holder is alive.
            if found["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]:
                raise ClusterError(
                    f"campaign {self._tag} is run by {holder} in namespace {self._client.namespace}; {self._advice}"
                )
        return seen

    def _write(self, found: Object | None) -> Object:
        """Create the lease, or write ourselves into `found`.

        The API server refuses (409) the second of two that create it, or that replace the same resourceVersion.
        """
        # The field is a MicroTime: the API server wants exactly six digits after the second.
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        # The duration is a whole number of seconds above zero.
        spec = {"holderIdentity": self._holder, "leaseDurationSeconds": math.ceil(self._duration), "renewTime": now}
        if found is None:
            metadata = {"name": self._name, "labels": {MANAGED_BY: MANAGER, "campaign": self._tag}}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
            return self._client.create(LEASES, body | {"spec": spec | {"acquireTime": now, "leaseTransitions": 0}})
        old = found["spec"]
        if old.get("holderIdentity") != self._holder:
            spec |= {"acquireTime": now, "leaseTransitions": int(old.get("leaseTransitions") or 0) + 1}
        return self._client.replace(LEASES, self._name, found | {"spec": old | spec})

    def _renew_for_ever(self) -> None:
        while not self._stopping.wait(self._duration / RENEWALS):
            try:
                self._renew()
            except (Unavailable, Refused):
                # `guard` counts the time that is left. Even a 403 passes: an API server gives it while it starts.
                continue

    def _renew(self) -> None:
        asked = self._clock()
        try:
            self._held = self._write(self._held)
        except Refused as refused:
            if refused.status not in (404, 409):
                raise
            found = self._client.find(LEASES, self._name)
            if found is not None and self._is_anothers(found):
                self._taken = str(found["spec"]["holderIdentity"])
                self._stopping.set()
                return
            self._held = self._write(found)
        self._until = asked + self._duration
