"""How a request to the API server fails: `Refused`, it said no, or `Unavailable`, nobody knows whether it happened.

The one place where HTTP statuses and the connection's own errors get a meaning. What the server says is cut, so
that none of it floods a log. It refuses to decide what to do next: the work queue repeats whole steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import urllib3

from controller.errors import ClusterError

OVER_QUOTA = "exceeded quota"
"""How the API server says that there is no room now: a wait, nobody's fault."""

MESSAGE_LIMIT = 512
"""Characters of a server's words that are kept: enough to act on, too few to flood a log."""


class Refused(ClusterError):
    """The API server answered and did not do it. `reason` is the Status' own word, such as AlreadyExists."""

    def __init__(self, text: str, *, status: int, reason: str, message: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def over_quota(self) -> bool:
        """No room now: wait, this is nobody's fault."""
        return self.status == 403 and OVER_QUOTA in self.message


class Unavailable(ClusterError):
    """No usable answer: whether the request took effect is unknown.

    retry_after: seconds that the server asked to wait. answered: the API server itself is there.
    """

    def __init__(self, text: str, *, retry_after: float = 0.0, answered: bool = False) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.answered = answered


@contextmanager
def translated(host: str) -> Iterator[None]:
    """What the connection raises here becomes Unavailable."""
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as error:
        said = " ".join(str(error).split())[:MESSAGE_LIMIT]
        raise Unavailable(f"the Kubernetes API at {host} does not answer: {said}") from error


def failure_of(response: urllib3.BaseHTTPResponse, what: str) -> Refused | Unavailable:
    """What an answer of 300 or more means; `what` was asked, as a verb and its object."""
    with translated(what):
        body = response.data
    status = _status_of(body)
    message = str(status.get("message") or body[:MESSAGE_LIMIT].decode(errors="replace"))[:MESSAGE_LIMIT]
    reason = str(status.get("reason", ""))
    text = f"the cluster refused to {what}: {response.status} {reason}: {message}"
    # Two writers met in a quota's status: the server asks to try again, nothing was decided.
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
