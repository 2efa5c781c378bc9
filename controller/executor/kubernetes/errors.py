"""Errors of a request to the API server: `Refused` (the server did not do it) and `Unavailable` (it may have done it).

HTTP statuses and errors of the connection get their meaning here, and only here. The server's text is cut, because
anything that it quotes could be long. The caller decides what to do: the work queue repeats whole steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import urllib3

from controller.errors import ClusterError

OVER_QUOTA = "exceeded quota"
"""The API server's words, with status 403, for a ResourceQuota that leaves no room. It is a wait and no error."""

MESSAGE_LIMIT = 512
"""Characters of a server's text that are kept: enough to act on, too few to flood a log."""


class Refused(ClusterError):
    """The API server answered and did not do what was asked."""

    def __init__(self, text: str, *, status: int, reason: str, message: str) -> None:
        super().__init__(text)
        self.status = status
        """The HTTP status."""
        self.reason = reason
        """One word from the Status object, such as AlreadyExists; empty if there is none."""
        self.message = message
        """The server's text, cut to MESSAGE_LIMIT."""

    @property
    def over_quota(self) -> bool:
        """True if the namespace's quota leaves no room now."""
        return self.status == 403 and OVER_QUOTA in self.message


class Unavailable(ClusterError):
    """There was no usable answer, so the request may or may not have taken effect."""

    def __init__(self, text: str, *, retry_after: float = 0.0, answered: bool = False) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        """Seconds that the server asked us to wait; 0 if it did not say."""
        self.answered = answered
        """True if the API server itself answered, with an error."""


@contextmanager
def translate_errors(host: str) -> Iterator[None]:
    """Turn errors of the connection into Unavailable. They come from urllib3, or from the socket as OSError."""
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as error:
        said = " ".join(str(error).split())[:MESSAGE_LIMIT]
        raise Unavailable(f"the Kubernetes API at {host} does not answer: {said}") from error


def _advice(status: int, message: str) -> str:
    """Advice for the operator, for answers that do not say what to do."""
    if status == 401:
        return "; the credentials are not accepted: renew them, or set executor.kubernetes.kubeconfig or context"
    if status == 404 and message.startswith("namespaces "):
        return "; create the namespace, or set executor.kubernetes.namespace"
    return ""


def error_of_response(response: urllib3.BaseHTTPResponse, what: str) -> Refused | Unavailable:
    """The error for an answer with status 300 or more. what: the request in words, as a verb and its object."""
    with translate_errors(what):
        body = response.data
    status = _status_of(body)
    message = str(status.get("message") or body[:MESSAGE_LIMIT].decode(errors="replace"))[:MESSAGE_LIMIT]
    reason = str(status.get("reason", ""))
    text = f"the cluster refused to {what}: {response.status} {reason}: {message}{_advice(response.status, message)}"
    # A 409 is a refusal, with one exception: two creations updated the status of one ResourceQuota at the same time.
    # Nothing was decided then, and the server asks to send the request again.
    race = response.status == 409 and reason == "Conflict" and "resourcequotas" in message
    if response.status == 429 or response.status >= 500 or race:
        return Unavailable(text, retry_after=_seconds(response.headers.get("Retry-After")), answered=True)
    return Refused(text, status=response.status, reason=reason, message=message)


def _status_of(body: bytes) -> Mapping[str, Any]:
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def _seconds(header: str | None) -> float:
    return float(header) if header and header.isdigit() else 0.0
