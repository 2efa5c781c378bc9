"""The controller's one port: /metrics, /healthz, /readyz, the live page, and the lab as a read-only git clone.

Nothing here can change anything; requests other than GET and HEAD are refused. It reads what the loop
published and opens the lab anew, so a slow client never holds the loop up.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from prometheus_client.exposition import choose_encoder

from controller import report
from controller.domain import Experiment, Progress
from controller.errors import AutoresearchError, LabError, SettingsError
from controller.lab import Lab, LabNotebook
from controller.metrics import Metrics
from controller.settings import Settings
from controller.summary import Summary, summarise

STALE_SECONDS = 60.0
"""A loop that has not turned for so long is stuck: it turns every second even when it only waits."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the server reads from; every call is safe from another thread."""

    settings: Settings
    metrics: Metrics
    lab: Path
    experiments: Callable[[], Sequence[Experiment]]
    progress: Callable[[], Sequence[Progress]]
    trouble: Callable[[], str]
    ready: Callable[[], bool]
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply."""

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


class Server:
    """Serves until `close`. Raises SettingsError where the port cannot be had."""

    def __init__(self, sources: Sources) -> None:
        chosen = sources.settings.server
        handler = type("Handler", (_Handler,), {"sources": sources})
        try:
            self._http = ThreadingHTTPServer((chosen.host, chosen.port), handler)
        except OSError as error:
            where = f"{chosen.host}:{chosen.port}"
            raise SettingsError(
                f"cannot listen on {where}: {error.strerror}; set server.port or stop its user"
            ) from error
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, name="server", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port in use, which settings may leave to the system with 0."""
        return int(self._http.server_address[1])

    def close(self) -> None:
        """Stop listening; replies under way end with their threads."""
        self._http.shutdown()
        self._http.server_close()


def answer(path: str, *, accept: str, sources: Sources) -> Answer:
    """The reply to a GET of `path`."""
    match unquote(urlsplit(path).path):
        case "/metrics":
            encode, kind = choose_encoder(accept)
            return Answer(encode(sources.metrics.registry), kind)
        case "/healthz":
            return _health(sources)
        case "/readyz":
            return _said("ready") if sources.ready() else _said("not ready", HTTPStatus.SERVICE_UNAVAILABLE)
        case "/":
            return Answer(_page(sources).encode(), "text/html; charset=utf-8")
        case "/status.json":
            facts = _summary(sources).as_dict() | {"trouble": sources.trouble()}
            return Answer(json.dumps(facts).encode(), "application/json")
        case route if route.startswith("/experiments/"):
            return _experiment(route.removeprefix("/experiments/"), sources)
        case route if route.startswith("/lab.git/"):
            return _lab_file(route.removeprefix("/lab.git/"), sources.lab)
        case _:
            return _said("no such page: / /metrics /healthz /readyz /status.json /lab.git", HTTPStatus.NOT_FOUND)


def _health(sources: Sources) -> Answer:
    idle = sources.clock() - sources.metrics.snapshot.turned_at
    if idle > STALE_SECONDS:
        return _said(f"the loop has not turned for {idle:.0f} s", HTTPStatus.SERVICE_UNAVAILABLE)
    return _said("alive")


def _summary(sources: Sources) -> Summary:
    return summarise(sources.metrics.snapshot)


def _page(sources: Sources) -> str:
    now = report.Now(
        at=sources.clock(),
        progress=sources.progress(),
        trouble=sources.trouble(),
        waiting=sources.metrics.snapshot.waiting,
    )
    return report.live_page(sources.experiments(), sources.settings, facts=_summary(sources), now=now)


def _experiment(name: str, sources: Sources) -> Answer:
    found = next((e for e in sources.experiments() if str(e.number) == name), None)
    if found is None:
        return _said(f"no experiment {name}", HTTPStatus.NOT_FOUND)
    notebook = LabNotebook(sources.lab, tag=sources.settings.tag)
    body = report.details(found, sources.settings, diff=notebook.diff(found), log=notebook.log_tail(found))
    return Answer(body.encode(), "text/html; charset=utf-8")


def _lab_file(name: str, lab: Path) -> Answer:
    """Git's dumb HTTP protocol: two listings made on the spot, everything else the repository's own files."""
    if name == "info/refs":
        return Answer(Lab.open(lab).listing())
    if name == "objects/info/packs":
        packs = sorted(path.name for path in (lab / "objects" / "pack").glob("*.pack"))
        return Answer("".join(f"P {pack}\n" for pack in packs).encode() + b"\n")
    path = (lab / name).resolve()
    served = path.is_relative_to(lab.resolve() / "objects") or name == "HEAD"
    if not served or not path.is_file():
        return _said("no such file in the lab", HTTPStatus.NOT_FOUND)
    return Answer(path.read_bytes(), "application/octet-stream")


def _said(text: str, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(f"{text}\n".encode(), status=status)


class _Handler(BaseHTTPRequestHandler):
    sources: Sources
    server_version = "autoresearch"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        reply = self._answer()
        self._head(reply)
        self.wfile.write(reply.body)

    def do_HEAD(self) -> None:
        self._head(self._answer())

    def _answer(self) -> Answer:
        try:
            return answer(self.path, accept=self.headers.get("Accept", ""), sources=self.sources)
        except LabError as error:
            return _said(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        except AutoresearchError as error:
            return _said(str(error), HTTPStatus.INTERNAL_SERVER_ERROR)

    def _head(self, reply: Answer) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes and probes would drown the log."""
