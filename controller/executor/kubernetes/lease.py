"""One controller per campaign: a Lease that is held while this process may write to the cluster.

A holder that cannot renew in time stops writing before anybody else may start: `guard` raises. A write that
was already on its way may still land after that. It does no harm, because names are deterministic and
deletions name a uid: the next holder meets that Job and adopts it.

No clock is compared with another machine's. A lease has expired when it did not change for its whole
duration while we watched it.
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
"""Attempts to renew within one duration: two may fail without harm."""

MARGIN = 0.2
"""Share of the duration before its end at which writing stops: a request that is under way should land inside."""

POLL_SECONDS = 0.5


class LeaseLost(ClusterError):
    """Another controller may have this campaign now: nothing may be written any more."""


class Lease:
    """The lease `autoresearch-TAG`. Start it with `acquire`; give it back with `release`."""

    def __init__(
        self,
        client: Client,
        tag: str,
        *,
        holder: str,
        duration: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._name = f"autoresearch-{tag}"
        self._tag = tag
        self._holder = holder
        self._duration = duration
        self._clock = clock
        self._until = 0.0
        self._taken = ""
        self._held: Object = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._renew_for_ever, name="lease", daemon=True)

    def acquire(self) -> None:
        """Take it, or wait for a dead holder's to expire. Raises ClusterError when its holder is alive."""
        found = self._client.find(LEASES, self._name)
        if found is not None and self._is_anothers(found):
            found = self._wait_for_expiry(found)
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
        """Raises LeaseLost when this process may not write any more."""
        if self.lost:
            raise LeaseLost(self.lost)

    @property
    def lost(self) -> str:
        """Why writing must stop, or nothing. A lease that could not be renewed is regained when it can."""
        if self._taken:
            return f"campaign {self._tag} was taken over by {self._taken}: stop this controller"
        if self._clock() > self._until - MARGIN * self._duration:
            return f"the lease of campaign {self._tag} could not be renewed: the Kubernetes API does not answer"
        return ""

    def release(self) -> None:
        """Give it back, so that the next controller need not wait. One that is lost is left alone."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        if self._held and not self._taken:
            self._held["spec"]["holderIdentity"] = ""
            self._client.replace(LEASES, self._name, self._held)

    def _is_anothers(self, lease: Object) -> bool:
        return lease["spec"].get("holderIdentity") not in ("", None, self._holder)

    def _wait_for_expiry(self, seen: Object) -> Object | None:
        holder = seen["spec"]["holderIdentity"]
        deadline = self._clock() + float(seen["spec"].get("leaseDurationSeconds") or self._duration)
        while self._clock() < deadline:
            self._stopping.wait(POLL_SECONDS)
            found = self._client.find(LEASES, self._name)
            if found is None or not self._is_anothers(found):
                return found
            if found["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]:
                raise ClusterError(
                    f"campaign {self._tag} is run by {holder} in namespace {self._client.namespace}; "
                    "stop it, or choose another tag"
                )
        return seen

    def _write(self, found: Object | None) -> Object:
        """Create or take over; the API server lets only one of two do so."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
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
                continue  # `guard` counts the time that is left; a 403 right after an API server's start passes

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
