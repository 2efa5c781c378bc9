"""The controller's one port: /metrics, /healthz, /readyz, the live page, and the lab as a read-only git clone.

Nothing here can change anything; requests other than GET and HEAD are refused. It reads what the loop
published and opens the lab anew, so a slow client never holds the loop up.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from prometheus_client.exposition import choose_encoder

from controller.costs.slots import SlotPrices
from controller.domain import Experiment, Progress, find_undone
from controller.errors import AutoresearchError, LabError, SettingsError
from controller.lab import Lab, LabNotebook
from controller.monitoring.metrics import Metrics
from controller.notices import with_phases
from controller.reports.exports import json_text
from controller.reports.page import Now, details, live_page
from controller.reports.summary import Summary, summarise
from controller.settings import Settings
from controller.text.faults import fault_line
from controller.text.safe_text import SENTENCE, one_line

STALE_SECONDS = 60.0
"""A loop that has not turned for so long is stuck: it turns every second even when it only waits."""

LONGEST_ROUTE = 1024
"""Letters of an address: the longest is a file of the lab, and Linux opens no name beyond 4,096 bytes."""

MOST_FAULTS = 100
"""Different faults that the operator is told of; more would flood the log."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The places that the server reads from. Every call is safe from another thread."""

    settings: Settings
    metrics: Metrics
    lab: Path
    experiments: Callable[[], Sequence[Experiment]]
    progress: Callable[[], Sequence[Progress]]
    ready: Callable[[], bool]
    clock: Callable[[], float]
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply."""

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


LAST_REPLIES_SECONDS = 2.0
"""Seconds that replies under way get when the server closes; a slower client loses its reply."""


class Server:
    """Serves until `close`. Raises SettingsError where the port cannot be had."""

    def __init__(self, sources: Sources) -> None:
        chosen = sources.settings.server
        faults = _Faults(sources.say)
        handler = type("Handler", (_Handler,), {"sources": sources, "faults": faults})
        try:
            self._http = _Http((chosen.host, chosen.port), handler, faults)
        except OSError as error:
            where = f"{chosen.host}:{chosen.port}"
            raise SettingsError(
                f"cannot listen on {where}: {error.strerror}; set server.port or stop its user"
            ) from error
        self._thread = threading.Thread(target=self._http.serve_forever, name="server", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port in use, which settings may leave to the system with 0."""
        return int(self._http.server_address[1])

    def close(self) -> None:
        """Stop listening, and let replies under way end."""
        self._http.shutdown()
        self._http.finish_replies(LAST_REPLIES_SECONDS)
        self._http.server_close()


def answer(path: str, *, accept: str, sources: Sources) -> Answer:
    """The reply to a GET of `path`."""
    route = _route(path)
    if route is None:
        return _said("this is no address", HTTPStatus.BAD_REQUEST)
    match route:
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
            return Answer(json_text(_summary(sources).as_dict()).encode(), "application/json")
        case route if route.startswith("/experiments/"):
            return _experiment(route.removeprefix("/experiments/"), sources)
        case route if route.startswith("/lab.git/"):
            return _lab_file(route.removeprefix("/lab.git/"), sources.lab)
        case _:
            return _said("no such page: / /metrics /healthz /readyz /status.json /lab.git", HTTPStatus.NOT_FOUND)


def _route(path: str) -> str | None:
    """The path without its query and with percent escapes resolved; None if no page or file can have such a path."""
    try:
        route = unquote(urlsplit(path).path, errors="strict")
    except ValueError:
        return None
    # open(2) takes no NUL, and Python raises ValueError for one.
    return route if route.isprintable() and len(route) <= LONGEST_ROUTE else None


def _health(sources: Sources) -> Answer:
    idle = sources.clock() - sources.metrics.snapshot.turned_at
    if idle > STALE_SECONDS:
        return _said(f"the loop has not turned for {idle:.0f} s", HTTPStatus.SERVICE_UNAVAILABLE)
    return _said("alive")


def _summary(sources: Sources) -> Summary:
    snapshot = sources.metrics.snapshot
    activity = with_phases(snapshot.activity, sources.progress())
    return summarise(replace(snapshot, activity=activity), now=sources.clock())


def _page(sources: Sources) -> str:
    now = Now(at=sources.clock(), progress=sources.progress())
    settings = sources.settings
    train_seconds = settings.budget.train_seconds
    return live_page(
        sources.experiments(), settings.task, train_seconds=train_seconds, facts=_summary(sources), now=now
    )


def _experiment(name: str, sources: Sources) -> Answer:
    experiments = sources.experiments()
    found = next((e for e in experiments if str(e.number) == name), None)
    if found is None:
        return _said(f"no experiment {one_line(name, 40)}", HTTPStatus.NOT_FOUND)
    settings = sources.settings
    notebook = LabNotebook(sources.lab, tag=settings.tag)
    body = details(
        found,
        find_undone(experiments),
        metric=settings.task.metric,
        prices=SlotPrices.of(settings),
        diff=notebook.diff(found),
        log=notebook.log_tail(found),
    )
    return Answer(body.encode(), "text/html; charset=utf-8")


def _lab_file(name: str, lab: Path) -> Answer:
    """Git's dumb HTTP protocol: two listings made on the spot, everything else the repository's own files."""
    # A client asks for info/refs and HEAD, then for each object by its id, and for packs if one is not loose.
    if name == "info/refs":
        return Answer(Lab.open(lab).list_refs())
    if name == "objects/info/packs":
        packs = sorted(path.name for path in (lab / "objects" / "pack").glob("*.pack"))
        # The format of git's own update-server-info, which ends with an empty line.
        return Answer("".join(f"P {pack}\n" for pack in packs).encode() + b"\n")
    try:
        path = (lab / name).resolve()
        served = path.is_relative_to(lab.resolve() / "objects") or name == "HEAD"
        content = path.read_bytes() if served else None
    except OSError:  # not there, packed away meanwhile, a folder, or a name that is too long
        content = None
    if content is None:
        return _said("no such file in the lab", HTTPStatus.NOT_FOUND)
    return Answer(content, "application/octet-stream")


def _said(text: str, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(f"{one_line(text, SENTENCE)}\n".encode(), status=status)


class _Faults:
    """Tells the operator of each fault of ours in one line, once: a page asks again every three seconds."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def tell(self, path: str, error: Exception) -> None:
        """Say that `path` could not be shown."""
        line = fault_line(error)
        with self._lock:
            news = line not in self._told and len(self._told) < MOST_FAULTS
            self._told.add(line)
        if news:
            self._say(f"cannot show {one_line(path, 80)}: {line}; the campaign goes on")


class _Http(ThreadingHTTPServer):
    """Threads of replies are daemons, so that an idle client holds no exit up, and known, so that the last ones end."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], faults: _Faults) -> None:
        super().__init__(address, handler)
        self._faults = faults
        self._replies: list[threading.Thread] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self._replies = [*filter(threading.Thread.is_alive, self._replies), thread]
        thread.start()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's signature
        """Tell of a fault in one line. The library prints a traceback, also for a client that hangs up."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self._faults.tell("a reply", error)

    def finish_replies(self, seconds: float) -> None:
        """Wait for those under way, so long in all."""
        until = time.monotonic() + seconds
        for thread in self._replies:
            thread.join(max(0.0, until - time.monotonic()))


class _Handler(BaseHTTPRequestHandler):
    sources: Sources
    faults: _Faults
    server_version = "autoresearch"
    # The header Server would name Python's version as well.
    sys_version = ""
    # Seconds that the socket may be silent. Without it a client that sends nothing holds its thread for ever.
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
        except Exception as error:  # noqa: BLE001 - whatever a view does wrong, its client gets an answer
            self.faults.tell(self.path, error)
            return _said("this page cannot be shown, and the log says why", HTTPStatus.INTERNAL_SERVER_ERROR)

    def _head(self, reply: Answer) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        # A browser that sniffs takes text with tags in it for a page.
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes and probes would drown the log."""
