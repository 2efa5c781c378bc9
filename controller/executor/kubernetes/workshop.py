"""Runs programs that propose edits, each as a Job of its own in the namespace of attempts: the Workshop protocol.

- **In.** The pod's first container is our porter, in the image of attempts. It fetches the working folder from a port
  of the controller (`door`) with a bearer of this session, and writes it to an empty volume.
- **Between.** The operator's program runs in an image of its own with that volume and nothing else: no token, no data,
  no DNS, no other session, the limits and walls of an attempt. NetworkPolicy leaves one way, to the same port, where
  its own bearer leads to the gateway of its session.
- **Out.** Only when all of its processes have ended with exit code 0 the porter runs once more, reads the wanted files
  as it would on one machine, and hands them in with its bearer, which the program never had. The end of the program's
  log becomes the transcript.

Pods come to the controller's own address: sessions live in this process alone, so a Service in between would add
nothing but a name that nobody may look up. The deadline is kept here, from when the program was seen to run, and by the
kubelet and the Job should this controller be gone. Whatever happens, the Job is deleted at the end; the executor
deletes those that an earlier controller left when it takes over (`orphans`). The cluster's own failures are told as
the reason why there is no proposal.

Not covered: a program under way is not frozen while an exam is held, as no one may freeze a pod; on the same node the
two could tell each other something by how busy they make it (`agent.command.node_selector` keeps them apart).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from threading import Condition, Lock
from urllib.parse import urlsplit

from controller.errors import AgentError, ClusterError, SandboxError, SettingsError
from controller.executor.kubernetes.caches import Caches, Handlers
from controller.executor.kubernetes.client import JOBS, Client, Object
from controller.executor.kubernetes.connection import connect
from controller.executor.kubernetes.delivery import most_bytes, read_delivery
from controller.executor.kubernetes.door import Door, Guest
from controller.executor.kubernetes.leftovers import Leftovers
from controller.executor.kubernetes.logs import fetch_log_end
from controller.executor.kubernetes.naming import proposals_selector
from controller.executor.kubernetes.proposal_job import PROGRAM, Place, build_proposal_job
from controller.executor.kubernetes.rights import require_image, require_rights, require_version
from controller.executor.kubernetes.session_state import Ended, SessionState
from controller.executor.workshop import OUTPUT_SHOWN, Serve, Session, SessionCause, SessionEnd
from controller.settings import Settings
from controller.text.safe_text import SENTENCE, one_line, safe_tail

LOOK_SECONDS = 1.0
"""Longest pause between two looks at what the watches hold; news end it sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """What all sessions share."""

    client: Client
    door: Door
    address: str
    """At which pods reach the door."""


class ClusterWorkshop:
    """Runs sessions as Jobs; safe to call from several threads. warn: takes a sentence for the operator."""

    def __init__(
        self,
        settings: Settings,
        *,
        warn: Callable[[str], None],
        client: Client | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._given_client, self._monotonic = settings, client, monotonic
        self._news = Condition()
        """Guards what follows, and tells waiting sessions that something happened."""
        self._stopping = False
        self._sessions = 0
        self._leftovers = Leftovers("a proposal", warn=warn)
        self._opening = Lock()
        """Guards what sessions share. No watch takes it, whose first list is waited for under it."""
        self._site: _Site | None = None
        self._caches: Caches | None = None

    @property
    def gateway_url(self) -> str:
        """The address at which pods reach this controller."""
        site = self._open()
        host = f"[{site.address}]" if ":" in site.address else site.address
        return f"http://{host}:{site.door.port}"

    def check(self, command: tuple[str, ...]) -> None:  # noqa: ARG002 - only a pod could look for it
        """Look for the image and the rights of a session. Raises AgentError, SettingsError.

        What an image holds is known when the first program has run in it.
        """
        cluster = self._settings.executor.kubernetes
        require_image(cluster)
        client = self._given_client or connect(cluster)
        try:
            require_version(client)
            require_rights(client)
        except ClusterError as error:
            raise AgentError(f"no program can propose: {error}") from error
        finally:
            if client is not self._given_client:
                client.close()

    def run(self, session: Session, *, serve: Serve | None) -> SessionEnd:
        """Run one session to its end. Raises SandboxError where the door cannot be opened."""
        delivered: list[bytes] = []

        def take(result: bytes) -> None:
            with self._news:
                delivered.append(result)
                self._news.notify_all()

        with self._counted() as may_begin:
            if not may_begin:
                return SessionEnd(cause=SessionCause.STOPPED)
            site = self._open()
            folder = json.dumps(dict(session.files)).encode()
            with site.door.admit(
                folder=folder,
                most_bytes=most_bytes(session.wanted),
                handed_in=take,
                bearer=session.bearer,
                serve=serve,
            ) as guest:
                ended, output = self._run_job(site, session, guest, delivered)
        files, faults = read_delivery(delivered[0] if delivered else b"", session.wanted)
        return SessionEnd(
            cause=ended.cause,
            code=ended.code,
            seconds=ended.seconds,
            detail=ended.detail,
            output=safe_tail(output, OUTPUT_SHOWN),
            files=files,
            faults=faults,
        )

    def stop(self) -> None:
        """End every session, and let none begin any more; each deletes its own Job."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        self._close_if_over()

    def _run_job(self, site: _Site, session: Session, guest: Guest, delivered: list[bytes]) -> tuple[Ended, bytes]:
        """Create the Job, wait for its end, and delete it; its end, and the end of the program's log."""
        place = Place(id=token_hex(4), address=site.address, port=site.door.port, key=guest.key)
        manifest = build_proposal_job(self._settings, session, place)
        asked = False
        try:
            caches = self._watch(site.client)
            self._leftovers.delete_left(site.client)
            asked = True
            job = site.client.create(JOBS, manifest)
            ended, pod = self._wait(job, caches, session, delivered)
            return ended, b"" if ended.cause is SessionCause.STOPPED else _read_log(site.client, pod)
        except ClusterError as error:
            return Ended(cause=SessionCause.NOT_STARTED, detail=one_line(str(error), SENTENCE)), b""
        finally:
            # Also after a creation that was not answered: it may have come about.
            if asked:
                self._leftovers.delete(site.client, manifest["metadata"]["name"])

    def _wait(self, job: Object, caches: Caches, session: Session, delivered: list[bytes]) -> tuple[Ended, str]:
        """Wait for the end of a session; the end, and the name of its pod if there was one."""
        state = SessionState(job=job, most_seconds=session.seconds, pending_seconds=self._settings.deadlines.pending)
        name = str(job["metadata"]["name"])
        while True:
            with self._news:
                now = self._monotonic()
                state.see(caches.jobs(name), caches.pods(name), now=now)
                ended = state.end(caches.warnings(*state.uids), now=now)
                if delivered:
                    ended = Ended(cause=SessionCause.EXITED, seconds=state.program_seconds(now))
                elif self._stopping:
                    ended = Ended(cause=SessionCause.STOPPED)
                if ended is not None:
                    return ended, state.pod_name
                self._news.wait(LOOK_SECONDS)

    # -- what sessions share --------------------------------------------------

    @contextmanager
    def _counted(self) -> Iterator[bool]:
        """Count a session while it lasts; False if none may begin any more."""
        with self._news:
            may_begin = not self._stopping
            self._sessions += 1
        try:
            yield may_begin
        finally:
            with self._news:
                self._sessions -= 1
            self._close_if_over()

    def _open(self) -> _Site:
        """Client and door, opened at the first use. Raises SandboxError."""
        with self._opening:
            if self._site is None:
                command = self._settings.agent.command
                try:
                    client = self._given_client or connect(self._settings.executor.kubernetes)
                    address = command.address or find_own_address(client.host)
                    everywhere = "::" if ":" in address else "0.0.0.0"
                    door = Door(everywhere if command.address else address, command.port)
                except SettingsError as error:
                    raise SandboxError(str(error)) from error
                except OSError as error:
                    raise SandboxError(
                        f"pods of proposals cannot reach this controller, as port {command.port} cannot be opened: "
                        f"{error}; set agent.command.port to a free one, or agent.command.address"
                    ) from error
                self._site = _Site(client=client, door=door, address=address)
            return self._site

    def _watch(self, client: Client) -> Caches:
        """The watches of all sessions, begun with the first. Raises ClusterError."""
        with self._opening:
            if self._caches is None:
                handlers = Handlers(job=self._tell_news, pod=self._tell_news, event=self._tell_news)
                caches = Caches(client, proposals_selector(self._settings.tag), handlers)
                try:
                    caches.start()
                except ClusterError:
                    caches.stop()
                    raise
                self._caches = caches
            return self._caches

    def _tell_news(self, *_: object) -> None:
        with self._news:
            self._news.notify_all()

    def _close_if_over(self) -> None:
        """Close what sessions share once none is left after a stop."""
        with self._news:
            over = self._stopping and not self._sessions
        if not over:
            return
        with self._opening:
            site, caches, self._site, self._caches = self._site, self._caches, None, None
        if caches is not None:
            caches.stop()
        if site is not None:
            site.door.close()
            site.client.close()


def _read_log(client: Client, pod: str) -> bytes:
    """The end of what the program printed; empty where that cannot be had any more."""
    try:
        return (fetch_log_end(client, pod, PROGRAM) if pod else None) or b""
    except ClusterError:
        return b""


def find_own_address(api_server: str) -> str:
    """The address of this machine, or of this pod, from which the API server is reached. Raises SandboxError, OSError.

    Nothing is sent: a datagram socket that is connected only looks for its way.
    """
    host = urlsplit(api_server).hostname or ""
    family, _, _, _, place = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(place)
        found = str(probe.getsockname()[0])
    if found.startswith("127.") or found == "::1":
        raise SandboxError(
            f"the API server {api_server} is reached by this machine's loopback, where no pod reaches us: set "
            "agent.command.address to an address of this machine that pods reach"
        )
    return found
