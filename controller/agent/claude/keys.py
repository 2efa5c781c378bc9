"""The API key in use. A refused one is read again, so that a key can be replaced while a campaign runs.

There is none where a platform knows this process by its identity.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import Lock

from pydantic import SecretStr

BEARER = re.compile(r"Bearer +[\w.~+/=-]{16,}")
"""A header with a key or token, as a gateway may repeat it."""


class Keys:
    """The key of the moment, and every earlier one, because error messages may repeat those too."""

    def __init__(self, key: SecretStr | None, read: Callable[[], SecretStr | None] | None = None) -> None:
        """read: reads the key from where it is kept; None there means that no key is to be found."""
        self._read = read
        self._known = [key] if key else []
        self._lock = Lock()

    @property
    def current(self) -> str:
        """The key to use now; empty if there is none."""
        with self._lock:
            return self._known[-1].get_secret_value() if self._known else ""

    def renew(self, refused: str) -> bool:
        """True if there is another key than the refused one: another thread has read it, or it is read now."""
        with self._lock:
            if not self._known:
                return False
            if self._known[-1].get_secret_value() != refused:
                return True
            found = self._read() if self._read else None
            if found is None or found.get_secret_value() == refused:
                return False
            self._known.append(found)
            return True

    def redact(self, text: str) -> str:
        """`text` without any key, and without the token that stands in for one."""
        with self._lock:
            known = [key.get_secret_value() for key in self._known]
        for key in known:
            text = text.replace(key, "[key]")
        return BEARER.sub("Bearer [key]", text)
