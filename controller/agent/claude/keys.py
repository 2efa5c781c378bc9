"""The API key in use. A refused one is read again, so that a key can be replaced while a campaign runs."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from pydantic import SecretStr


class Keys:
    """The key of the moment, and every earlier one, because error messages may repeat those too."""

    def __init__(self, key: SecretStr, read: Callable[[], SecretStr | None] | None = None) -> None:
        """read: reads the key from where it is kept; None there means that no key is to be found."""
        self._read = read
        self._known = [key]
        self._lock = Lock()

    @property
    def current(self) -> str:
        """The key to use now."""
        with self._lock:
            return self._known[-1].get_secret_value()

    def renew(self, refused: str) -> bool:
        """True if there is another key than the refused one: another thread has read it, or it is read now."""
        with self._lock:
            if self._known[-1].get_secret_value() != refused:
                return True
            found = self._read() if self._read else None
            if found is None or found.get_secret_value() == refused:
                return False
            self._known.append(found)
            return True

    def redact(self, text: str) -> str:
        """`text` without any key."""
        with self._lock:
            known = [key.get_secret_value() for key in self._known]
        for key in known:
            text = text.replace(key, "[key]")
        return text
