"""Runs smoke tests, each as a Job of its own beside the attempts, and deletes it at its end.

A proposal waits for it, so every wait has an end: for a node, for the image, for the program. Where the cluster has no
place, or does not answer, edits go without a smoke test, and for a while none is tried. Attempts go first: a smoke test
under way makes way for one that cannot be placed beside it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from secrets import token_hex
from threading import Condition

from controller.errors import ClusterError
from controller.executor.kubernetes.caches import Caches
from controller.executor.kubernetes.client import CONFIG_MAPS, JOBS, Client, Object
from controller.executor.kubernetes.launching import too_large
from controller.executor.kubernetes.leftovers import Leftovers
from controller.executor.kubernetes.logs import fetch_log_end
from controller.executor.kubernetes.smoke_job import build_smoke_files, build_smoke_job, smoke_request
from controller.executor.kubernetes.smoke_state import Failed, NotHeld, Passed, SmokeEnd, SmokeState, tell_crash
from controller.executor.phase_output import read_tail
from controller.ports import SmokeCrash, Untested
from controller.settings import Settings
from controller.text.safe_text import SENTENCE, one_line

LOG = logging.getLogger("autoresearch.kubernetes")

LOOK_SECONDS = 1.0
"""Longest pause between two looks at what the watches hold; news end it sooner."""

REST_SECONDS = 300.0
"""Seconds without a smoke test after one that the cluster could not run, so that proposals do not wait in vain."""

_STOPPED = NotHeld("the controller stops", lasting=False)
_CROWDED = NotHeld("an attempt waits for its place", lasting=False)


class SmokeRuns:
    """The smoke tests of one executor; safe to use from several threads.

    caches: those of the executor, whose watches show smoke tests too. crowded: True if a try waits for the place that
    a smoke test has. warn: takes a sentence for the operator.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        client: Client,
        caches: Caches,
        crowded: Callable[[], bool],
        warn: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._client, self._caches = settings, client, caches
        self._crowded, self._warn, self._monotonic = crowded, warn, monotonic
        self._leftovers = Leftovers("a smoke test", warn=warn)
        self._news = Condition()
        """Guards what follows, and tells that something happened."""
        self._stopping = False
        self._running = 0
        self._rests_until = monotonic()
        self._told = False
        """True once the operator was told that the cluster could not run one."""

    def run(self, files: Mapping[str, str]) -> SmokeCrash | Untested | None:
        """Run the smoke test of these files; None if they did not crash. Blocks for some minutes at most."""
        with self._news:
            if self._stopping or self._monotonic() < self._rests_until:
                return Untested.UNTESTED
            self._running += 1
        try:
            return self._run(files)
        finally:
            with self._news:
                self._running -= 1
                self._news.notify_all()

    def tell_news(self) -> None:
        """Have smoke tests under way look at the caches. Never called with a lock that `crowded` takes."""
        with self._news:
            self._news.notify_all()

    def stop(self, seconds: float) -> None:
        """End smoke tests under way, which delete their Jobs, and let none begin any more; waits at most `seconds`."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
            self._news.wait_for(lambda: not self._running, timeout=seconds)

    def _run(self, files: Mapping[str, str]) -> SmokeCrash | Untested | None:
        request = smoke_request(self._settings, files)
        if too_large(request) or self._crowded():
            return Untested.UNTESTED
        manifest = build_smoke_job(self._settings, request, token_hex(4))
        asked = False
        try:
            self._leftovers.delete_left(self._client)
            asked = True
            job = self._client.create(JOBS, manifest)
            self._client.create(CONFIG_MAPS, build_smoke_files(self._settings, request, job))
            return self._conclude(*self._wait(job))
        except ClusterError as error:
            return self._go_without(NotHeld(one_line(str(error), SENTENCE), lasting=True))
        finally:
            # Also after a creation that was not answered: it may have come about.
            if asked:
                self._leftovers.delete(self._client, manifest["metadata"]["name"])

    def _wait(self, job: Object) -> tuple[SmokeEnd, str]:
        """Wait for the end; the end, and the name of the pod if there was one."""
        state = SmokeState(job=job, settings=self._settings)
        name = str(job["metadata"]["name"])
        while True:
            crowded = self._crowded()
            with self._news:
                now = self._monotonic()
                state.see(self._caches.jobs(name), self._caches.pods(name), now=now)
                end = state.end(self._caches.warnings(*state.uids), now=now)
                end = end or (_STOPPED if self._stopping else _CROWDED if crowded else None)
                if end is not None:
                    return end, state.pod_name
                self._news.wait(LOOK_SECONDS)

    def _conclude(self, end: SmokeEnd, pod: str) -> SmokeCrash | Untested | None:
        match end:
            case Passed():
                return None
            case NotHeld():
                return self._go_without(end)
            case Failed():
                log = fetch_log_end(self._client, pod, end.container)
                # Without its last words nobody can tell whether the program is to blame.
                return Untested.UNTESTED if log is None else tell_crash(self._settings, end, read_tail(log))

    def _go_without(self, end: NotHeld) -> Untested:
        LOG.info("smoke test not held", extra={"reason": end.reason})
        if end.lasting:
            with self._news:
                first, self._told = not self._told, True
                self._rests_until = self._monotonic() + REST_SECONDS
            if first:
                self._warn(
                    f"edits go without their smoke test for now ({end.reason}); it is tried again every "
                    f"{REST_SECONDS / 60:.0f} min, and this is said once"
                )
        return Untested.UNTESTED
