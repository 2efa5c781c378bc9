"""An API server of the tests' own, over real HTTP: replies are scripted by path, or objects are stored as told.

It knows no Kubernetes beyond what a test puts in, so it can answer what a real one answers only on bad days.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3

from controller.executor.kubernetes.client import Client
from tests.support.waiting import PATIENCE_S

NAMESPACE = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. `stream`: lines sent one by one; then the connection ends, is cut, or stays `silent`."""

    status: int = 200
    body: Any = None
    stream: Sequence[Any] | None = None
    silent: bool = False
    cut: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    headers: Mapping[str, str]


class ScriptedApi:
    """Replies by (method, path), first come first served; the last reply of a path is repeated."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.over = threading.Event()
        self._replies: dict[tuple[str, str], deque[Reply]] = defaultdict(deque)
        self._store: dict[str, dict[str, Any]] | None = None
        self._version = 0
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, *replies: Reply) -> None:
        """Script the replies of a path, below the namespace where it does not begin with a slash."""
        self._replies[method, path if path.startswith("/") else f"/api/v1/namespaces/{NAMESPACE}/{path}"].extend(
            replies
        )

    def keep_objects(self) -> None:
        """From now on store what is created, and refuse a replacement that was read too early."""
        self._store = {}

    def seen(self, method: str, end: str) -> list[Request]:
        """The requests of this method whose path ends so."""
        return [request for request in self.requests if request.method == method and request.path.endswith(end)]

    def reply_to(self, request: Request) -> Reply:
        """The reply to a request."""
        with self._lock:
            self.requests.append(request)
            if self._store is not None:
                return self._stored(request)
            queued = self._replies[request.method, request.path]
            if not queued:
                return Reply(status=404, body={"reason": "NotFound", "message": f"nothing at {request.path}"})
            return queued.popleft() if len(queued) > 1 else queued[0]

    def _stored(self, request: Request) -> Reply:
        assert self._store is not None
        path = request.path if request.method != "POST" else f"{request.path}/{request.body['metadata']['name']}"
        found = self._store.get(path)
        if request.method == "GET":
            return Reply(body=found) if found else Reply(status=404, body={"reason": "NotFound"})
        if request.method == "POST" and found:
            return Reply(status=409, body={"reason": "AlreadyExists"})
        if request.method == "PUT":
            if found is None:
                return Reply(status=404, body={"reason": "NotFound"})
            if request.body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
                return Reply(status=409, body={"reason": "Conflict"})
        self._version += 1
        metadata = request.body["metadata"] | {"resourceVersion": str(self._version)}
        self._store[path] = request.body | {"metadata": metadata}
        return Reply(body=self._store[path])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ScriptedApi

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        reply = self.api.reply_to(Request(self.command, parts.path, query, body, dict(self.headers)))
        if reply.stream is None:
            self._send_whole(reply)
        else:
            self._send_stream(reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the library's names

    def _send_whole(self, reply: Reply) -> None:
        text = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text) + (10 if reply.cut else 0)))
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = reply.cut

    def _send_stream(self, reply: Reply) -> None:
        assert reply.stream is not None
        self.send_response(reply.status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for item in reply.stream:
            line = item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()
        if reply.silent:
            self.api.over.wait(PATIENCE_S)
        if not reply.cut:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # beyond it the kernel lets a connection wait for a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what some tests are about."""


@contextmanager
def serving(api: ScriptedApi) -> Iterator[str]:
    """Serve on a free port; yields the address."""
    handler = type("Handler", (_Handler,), {"api": api})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            api.over.set()
            server.shutdown()
            thread.join()


@contextmanager
def client_of(api: ScriptedApi, **parts: Any) -> Iterator[Client]:
    """A client that talks to it."""
    with serving(api) as host, urllib3.PoolManager(maxsize=16) as pool:
        yield Client(
            host=host, namespace=NAMESPACE, pool=pool, credentials=lambda: {"authorization": "Bearer t"}, **parts
        )
