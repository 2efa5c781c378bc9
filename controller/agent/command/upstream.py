"""Passes requests on to the vendors, each with the key that only this module holds.

A request can be hung up on from another thread: a read from a socket cannot be interrupted, but shutting the socket
down ends it. The vendor then makes no more tokens that nobody hears.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from controller.costs.model_calls import Vendor

if TYPE_CHECKING:
    import httpx2

ADDRESSES: Mapping[Vendor, str] = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com"}

SILENCE_SECONDS = 300.0
"""Silence after which an answer counts as dead: a reply that is no stream comes all at once, after minutes."""

CONNECT_SECONDS = 10.0

ANTHROPIC_VERSION = "2026-10-21"
"""The version of the API that is asked for where the program names none."""


FIRST_WITH_BEARER = "2026-10-21"
"""The first version of Anthropic's API that wants the key as a bearer and refuses `x-api-key`; earlier ones want it
there. Versions are dates."""


class Unsent(Exception):
    """The vendor could not be reached, so that the request cannot be billed; the text says why."""


class Broken(Exception):
    """The connection broke after the request had left; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Access to one vendor."""

    vendor: Vendor
    address: str
    """Address of its API, without a path."""

    read_key: Callable[[], SecretStr | None]
    """Reads the key where it is kept: for each request anew, so that it can be replaced while a campaign runs."""

    def headers(self, key: str, asked: Mapping[str, str]) -> dict[str, str]:
        """Headers of a request; asked: those of the program's, by their names in lower case.

        The key stands where the version of Anthropic's API that the program speaks wants it, wherever the bearer stood.
        """
        # What is compressed could not be read here.
        common = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "autoresearch"}
        if self.vendor == "anthropic":
            common["anthropic-version"] = version = asked.get("anthropic-version", ANTHROPIC_VERSION)
            if "anthropic-beta" in asked:
                common["anthropic-beta"] = asked["anthropic-beta"]
            if version < FIRST_WITH_BEARER:
                return {**common, "x-api-key": key}
        return {**common, "authorization": f"Bearer {key}"}


class Answer:
    """An answer that has begun."""

    def __init__(self, response: httpx2.Response, key: str) -> None:
        self._response, self._key = response, key.encode()
        self.status: int = response.status_code
        self.kind: str = response.headers.get("content-type", "application/json")
        self.request_id: str = response.headers.get("request-id") or response.headers.get("x-request-id") or ""
        self.retry_after: str = response.headers.get("retry-after", "")

    def lines(self) -> Iterator[bytes]:
        """The body, line by line with their ends; the key is taken out wherever a server repeats it. Raises Broken."""
        import httpx2

        kept = b""
        try:
            for chunk in self._response.iter_bytes():
                *whole, kept = (kept + chunk).split(b"\n")
                for line in whole:
                    yield self._redact(line + b"\n")
        except httpx2.HTTPError as error:
            raise Broken(f"{type(error).__name__}") from error
        if kept:
            yield self._redact(kept)

    def _redact(self, line: bytes) -> bytes:
        return line.replace(self._key, b"[key]")


class Upstream:
    """Connections to the vendors, for all proposals; safe to share between threads."""

    def __init__(self, accounts: Mapping[Vendor, Account], *, silence_seconds: float = SILENCE_SECONDS) -> None:
        import httpx2

        self._accounts = accounts
        # No connection is kept: the other side may close it in the minutes between proposals, which fails a request.
        self._client = httpx2.Client(
            limits=httpx2.Limits(max_keepalive_connections=0),
            timeout=httpx2.Timeout(silence_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,
        )

    def answers_for(self, vendor: Vendor) -> bool:
        """True if there is an account with this vendor."""
        return vendor in self._accounts

    @contextmanager
    def ask(self, vendor: Vendor, path: str, body: bytes, *, asked: Mapping[str, str], line: Line) -> Iterator[Answer]:
        """Send a request and give the answer once it has begun. Raises Unsent, Broken."""
        import httpx2

        account = self._accounts[vendor]
        secret = account.read_key()
        if secret is None:
            raise Unsent("the key is gone")
        key = secret.get_secret_value()
        try:
            with self._client.stream(
                "POST",
                account.address + path,
                content=body,
                headers=account.headers(key, asked),
                extensions={"trace": line.trace},
            ) as response:
                yield Answer(response, key)
        except httpx2.HTTPError as error:
            unsent = isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout))
            raise (Unsent if unsent else Broken)(type(error).__name__) from error


class Line:
    """The connection of one request, on which another thread can hang up."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._over = False

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by the HTTP library at each step of the request; remembers the connection."""
        # TLS wraps the socket in a new one, and the old one is detached.
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
            if self._over:
                self.hang_up()

    def hang_up(self) -> None:
        """End the request, also if it has no connection yet."""
        self._over = True
        # Shutting down raises if the other side or the reader has closed the socket already.
        with self._lock, suppress(OSError, ValueError):
            if self._socket is not None:
                # A read that blocks returns after shutdown(2), whereas close(2) would leave it waiting.
                self._socket.shutdown(socket.SHUT_RDWR)
