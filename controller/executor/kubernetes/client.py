"""Requests to the API server: plain dicts in, parsed JSON out.

Paths and bodies are ours: the client library's models drop fields that a newer cluster knows, and cost three to
five times the time. Every request has a timeout, is counted once, and answers in one of three ways: a value,
`Refused` or `Unavailable`. Nothing is sent twice here: the work queue repeats whole steps, which look at the
cluster first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from controller.executor.kubernetes.errors import Refused, failure_of, translated

Object = dict[str, Any]
Observe = Callable[[str, str, str, float], None]

CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of namespaced object: the path of its API group and its plural name."""

    group: str
    plural: str


JOBS = Resource("apis/batch/v1", "jobs")
PODS = Resource("api/v1", "pods")
EVENTS = Resource("api/v1", "events")
CONFIG_MAPS = Resource("api/v1", "configmaps")
LEASES = Resource("apis/coordination.k8s.io/v1", "leases")


def unobserved(verb: str, resource: str, code: str, seconds: float) -> None:
    """Count nothing."""


def _unguarded() -> None:
    """Let every write pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Requests to one namespace; may be used by many threads at once.

    observe: called after each request with verb, resource, HTTP code (or `error`) and seconds.
    guard: called before each write; raises when this process may not write any more (`lease`).
    """

    host: str
    namespace: str
    pool: Any
    credentials: Callable[[], Mapping[str, str]]
    observe: Observe = unobserved
    guard: Callable[[], None] = _unguarded

    def guarded(self, guard: Callable[[], None]) -> Client:
        """The same client, whose writes ask `guard` first."""
        return replace(self, guard=guard)

    def close(self) -> None:
        """Close the connections that are idle; those in use close when they are done."""
        pools = self.pool.pools
        for key in pools.keys():  # noqa: SIM118 - it is no dict, and refuses to be iterated
            pools[key].close()
        self.pool.clear()  # alone, it leaves open sockets to the garbage collector

    def version(self) -> tuple[int, int]:
        """Major and minor version of the API server."""
        answer = self._json("get", "version", "GET", "/version")
        return int(answer["major"]), int("".join(c for c in answer["minor"] if c.isdigit()))

    def get(self, resource: Resource, name: str) -> Object:
        """One object. Raises Refused with status 404 where there is none."""
        return self._json("get", resource.plural, "GET", self._path(resource, name))

    def find(self, resource: Resource, name: str) -> Object | None:
        """One object, or None where there is none."""
        try:
            return self.get(resource, name)
        except Refused as refused:
            if refused.status != 404:
                raise
            return None

    def list(self, resource: Resource, **query: str) -> Object:
        """One page: `items`, and `metadata` with resourceVersion and perhaps continue."""
        return self._json("list", resource.plural, "GET", self._path(resource), query=query)

    def create(self, resource: Resource, body: Object) -> Object:
        """Raises Refused with reason AlreadyExists where the name is taken, be it by an earlier try of ours."""
        self.guard()
        return self._json("create", resource.plural, "POST", self._path(resource), body=body)

    def patch(self, resource: Resource, name: str, change: Object) -> Object:
        """Merge `change` into the object (JSON merge patch: repeating it changes nothing)."""
        self.guard()
        return self._json(
            "patch",
            resource.plural,
            "PATCH",
            self._path(resource, name),
            body=change,
            kind="application/merge-patch+json",
        )

    def replace(self, resource: Resource, name: str, body: Object) -> Object:
        """Raises Refused with reason Conflict where it changed since `body` was read."""
        self.guard()
        return self._json("update", resource.plural, "PUT", self._path(resource, name), body=body)

    def delete(self, resource: Resource, name: str, *, uid: str) -> None:
        """Delete this very object and what it owns; one that is gone, or was replaced, counts as deleted.

        Without a propagation policy the API server would leave a Job's pods behind.
        """
        self.guard()
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            self._json("delete", resource.plural, "DELETE", self._path(resource, name), body=body)
        except Refused as refused:
            if refused.status not in (404, 409):
                raise

    def log(self, pod: str, container: str, *, tail_lines: int, limit_bytes: int) -> bytes:
        """The end of a container's newest log file."""
        query = {"container": container, "tailLines": str(tail_lines), "limitBytes": str(limit_bytes)}
        path = self._path(PODS, pod) + "/log"
        with self._send("get", "pods/log", "GET", path, query=query) as response:
            return bytes(response.data)

    @contextmanager
    def watch(self, resource: Resource, *, read_seconds: float, **query: str) -> Iterator[urllib3.BaseHTTPResponse]:
        """An open watch, to be read with `lines`. `read_seconds` of silence raise Unavailable there."""
        query |= {"watch": "1", "allowWatchBookmarks": "true"}
        path = self._path(resource)
        with self._send("watch", resource.plural, "GET", path, query=query, stream=True, read=read_seconds) as response:
            yield response

    @contextmanager
    def follow(
        self, pod: str, container: str, *, read_seconds: float, **query: str
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """An open log that goes on while the container runs, to be read with `lines`."""
        query |= {"container": container, "follow": "true", "timestamps": "true"}
        path = self._path(PODS, pod) + "/log"
        with self._send("watch", "pods/log", "GET", path, query=query, stream=True, read=read_seconds) as response:
            yield response

    def _path(self, resource: Resource, name: str = "") -> str:
        path = f"/{resource.group}/namespaces/{quote(self.namespace)}/{resource.plural}"
        return f"{path}/{quote(name)}" if name else path

    def _json(
        self,
        verb: str,
        resource: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        kind: str = "application/json",
    ) -> Object:
        with self._send(verb, resource, method, path, query=query, body=body, kind=kind) as response:
            parsed: Object = json.loads(response.data)
        return parsed

    @contextmanager
    def _send(
        self,
        verb: str,
        resource: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        kind: str = "application/json",
        stream: bool = False,
        read: float = READ_SECONDS,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        began, code = time.monotonic(), "error"
        try:
            with translated(self.host):
                response = self.pool.request(
                    method,
                    f"{self.host}{path}" + (f"?{urlencode(query)}" if query else ""),
                    body=None if body is None else json.dumps(body).encode(),
                    headers={"Accept": "application/json, */*", "Content-Type": kind, **self.credentials()},
                    timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read),
                    preload_content=not stream,
                    retries=False,
                )
            code = str(response.status)
        finally:
            self.observe(verb, resource, code, time.monotonic() - began)
        try:
            if response.status >= 300:
                raise failure_of(response, f"{verb} {resource} {path.rpartition('/')[2]}")
            with translated(self.host):
                yield response
        finally:
            # A stream that was not read to its end cannot carry another request.
            if stream:
                response.close()
            else:
                response.release_conn()


def lines(response: urllib3.BaseHTTPResponse, *, limit: int = 2**22) -> Iterator[bytes]:
    """Lines of a stream as they arrive; a line beyond `limit` bytes is cut. Raises Unavailable on silence."""
    rest = b""
    for chunk in response.stream(2**16):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > limit:
            yield rest
            rest = b""
    if rest:
        yield rest


def let_go(response: urllib3.BaseHTTPResponse) -> None:
    """End a stream for the thread that reads it; nothing where that has ended by itself."""
    # It may end at any moment, and each step of its end has an error of its own.
    with suppress(ValueError, RuntimeError, OSError):
        response.shutdown()
