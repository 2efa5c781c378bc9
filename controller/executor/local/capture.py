"""Keep a phase's output: the first and the last part of it, however much there is.

Output is bytes from code that is not trusted; nothing here interprets them.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from controller.scores import safe_tail


class CappedLog:
    """A log file of at most `limit` bytes: its head is written as it comes, its tail when the phase ends."""

    def __init__(self, path: Path, *, limit: int) -> None:
        self._file = path.open("wb", buffering=0)
        self._half = limit // 2
        self._head_left = self._half
        self._tail = bytearray()
        self._dropped = 0
        self._recent = b""

    def __enter__(self) -> CappedLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the phase's output."""
        head, rest = chunk[: self._head_left], chunk[self._head_left :]
        self._file.write(head)
        self._head_left -= len(head)
        self._tail += rest
        if len(self._tail) > 2 * self._half:
            self._forget()
        self._recent = (self._recent + chunk[-4096:])[-4096:]

    def last_line(self) -> str:
        """The newest line, safe to show; of a line that rewrites itself the newest state. Safe from any thread."""
        return next((line for line in reversed(safe_tail(self._recent, 4096).split("\n")) if line.strip()), "").strip()

    def close(self) -> None:
        """Write the tail behind a line that says how much is missing."""
        if self._file.closed:
            return
        self._forget()
        if self._dropped:
            self._file.write(f"\n… {self._dropped} bytes left out …\n".encode())
        self._file.write(self._tail)
        self._file.close()

    def _forget(self) -> None:
        excess = max(0, len(self._tail) - self._half)
        del self._tail[:excess]
        self._dropped += excess
