"""Sends requests to the Kubernetes API server: plain dicts in, parsed JSON out.

The client library's models are not used: they drop fields that only a newer cluster knows, and parsing takes three to
five times as long. Every request has a timeout, is counted once, and ends in one of three ways: a value, `Refused` or
`Unavailable`. No request is repeated here. The work queue repeats whole steps, which look at the cluster first.
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

from controller.executor.kubernetes.errors import Refused, error_of_response, translate_errors

Object = dict[str, Any]
Observe = Callable[[str, str, str, float], None]
"""Called after each request with its verb, resource, HTTP code (or `error`) and seconds."""

CONNECT_SECONDS = 3.0
"""Seconds to open a connection; within a network that takes milliseconds, so three mean that the host is away."""

READ_SECONDS = 30.0
"""Seconds to wait for the next bytes of an answer. The library's default is to wait for ever."""


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
    """Do nothing: the `Observe` of a client whose requests are not counted."""


def _unguarded() -> None:
    """Do nothing: the guard of a client that may always write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Requests to one namespace. Several threads may use it at once."""

    host: str
    """Address of the API server, such as `https://10.96.0.1:443`."""

    namespace: str

    pool: Any
    """urllib3's pool of connections, with TLS set up."""

    credentials: Callable[[], Mapping[str, str]]
    """Returns the headers that authenticate a request."""

    observe: Observe = unobserved

    guard: Callable[[], None] = _unguarded
    """Called before each write. Raises if this process may no longer write (`lease`)."""

    def guarded(self, guard: Callable[[], None]) -> Client:
        """The same client with another guard."""
        return replace(self, guard=guard)

    def close(self) -> None:
        """Close the idle connections. Those in use close when their request ends."""
        pools = self.pool.pools
        for key in pools.keys():  # noqa: SIM118 - urllib3's container is no dict, and cannot be iterated
            pools[key].close()
        self.pool.clear()  # forgets the pools; their sockets would stay open until garbage collection

    def version(self) -> tuple[int, int]:
        """Major and minor version of the API server."""
        # The default role system:public-info-viewer lets everybody read this path.
        answer = self._json("get", "version", "GET", "/version")
        minor = "".join(c for c in answer["minor"] if c.isdigit())  # some vendors write `29+`
        return int(answer["major"]), int(minor)

    def may(self, verb: str, resource: Resource, part: str = "") -> bool:
        """True if these credentials may do this in the namespace. part: such as `log` of pods.

        Whoever is known to an API server may ask this about himself. Raises Refused where it does not answer.
        """
        attributes = {
            "namespace": self.namespace,
            "verb": verb,
            "group": resource.group.split("/")[1] if resource.group.startswith("apis/") else "",
            "resource": resource.plural,
            **({"subresource": part} if part else {}),
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._json("create", "selfsubjectaccessreviews", "POST", path, body=body)
        return bool(answer.get("status", {}).get("allowed"))

    def get(self, resource: Resource, name: str) -> Object:
        """One object. Raises Refused with status 404 if there is none."""
        return self._json("get", resource.plural, "GET", self._path(resource, name))

    def find(self, resource: Resource, name: str) -> Object | None:
        """One object; None if there is none."""
        try:
            return self.get(resource, name)
        except Refused as refused:
            if refused.status != 404:
                raise
            return None

    def list(self, resource: Resource, **query: str) -> Object:
        """One page of objects: `items`, and `metadata` with resourceVersion, and `continue` if there are more pages."""
        return self._json("list", resource.plural, "GET", self._path(resource), query=query)

    def create(self, resource: Resource, body: Object) -> Object:
        """Create an object. Raises Refused with reason AlreadyExists if the name is taken.

        An earlier request of ours, whose answer was lost, may have taken it.
        """
        self.guard()
        return self._json("create", resource.plural, "POST", self._path(resource), body=body)

    def patch(self, resource: Resource, name: str, change: Object) -> Object:
        """Merge `change` into the object. It is a JSON merge patch, so repeating it changes nothing."""
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
        """Replace an object. Raises Refused with reason Conflict if it changed since `body` was read."""
        self.guard()
        # A PUT with a resourceVersion is a compare-and-swap.
        return self._json("update", resource.plural, "PUT", self._path(resource, name), body=body)

    def delete(self, resource: Resource, name: str, *, uid: str) -> None:
        """Delete the object with this uid and all that it owns. One that is gone or was replaced counts as deleted."""
        self.guard()
        # Without a propagation policy the API server keeps a Job's pods. The uid keeps a later object of this name.
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            self._json("delete", resource.plural, "DELETE", self._path(resource, name), body=body)
        except Refused as refused:
            if refused.status not in (404, 409):
                raise

    def log(self, pod: str, container: str, *, tail_lines: int, limit_bytes: int) -> bytes:
        """The end of a container's log. The kubelet serves only the newest file of a log that it has rotated."""
        query = {"container": container, "tailLines": str(tail_lines), "limitBytes": str(limit_bytes)}
        path = self._path(PODS, pod) + "/log"
        with self._send("get", "pods/log", "GET", path, query=query) as response:
            return bytes(response.data)

    @contextmanager
    def watch(self, resource: Resource, *, read_seconds: float, **query: str) -> Iterator[urllib3.BaseHTTPResponse]:
        """An open watch, to be read with `lines`, which raises Unavailable after `read_seconds` of silence."""
        # Bookmarks are events without an object: they keep a quiet watch alive and its resourceVersion fresh.
        query |= {"watch": "1", "allowWatchBookmarks": "true"}
        path = self._path(resource)
        with self._send("watch", resource.plural, "GET", path, query=query, stream=True, read=read_seconds) as response:
            yield response

    @contextmanager
    def follow(
        self, pod: str, container: str, *, read_seconds: float, **query: str
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """An open log that goes on as long as the container runs, to be read with `lines`."""
        # The server puts a timestamp before each line. After a cut, `sinceTime` goes on from the last one.
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
        """Send one request; the context holds its answer. Raises Refused, Unavailable."""
        began, code = time.monotonic(), "error"
        try:
            with translate_errors(self.host):
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
                raise error_of_response(response, f"{verb} {resource} {path.rpartition('/')[2]}")
            with translate_errors(self.host):
                yield response
        finally:
            # On HTTP/1.1, a connection whose answer was not read to its end cannot carry another request.
            if stream:
                response.close()
            else:
                response.release_conn()


def lines(response: urllib3.BaseHTTPResponse, *, limit: int = 2**22) -> Iterator[bytes]:
    """Lines of a stream as they arrive. A line over `limit` bytes is cut. Raises Unavailable on silence."""
    rest = b""
    for chunk in response.stream(2**16):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > limit:
            yield rest
            rest = b""
    if rest:
        yield rest


def shut_down_stream(response: urllib3.BaseHTTPResponse) -> None:
    """End a stream that another thread reads. Does nothing if the stream has ended."""
    # The stream may end by itself at any moment, and then each layer (http.client, TLS, socket) raises its own error.
    with suppress(ValueError, RuntimeError, OSError):
        response.shutdown()
