"""Keeps the first and the last part of a phase's output, so that endless output cannot fill the disk.

The output comes from code that is not trusted, and people look at the file with `cat` and `tail`: what a terminal would
obey does not reach it.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from types import TracebackType

from controller.executor.phase_output import READ_BYTES
from controller.folder.ballast import is_full
from controller.text.safe_text import safe_tail, safe_text

_LINE_BYTES = 4096
"""Bytes of the newest line that are shown while a phase runs."""


class CappedLog:
    """A log file of at most `limit` bytes: its head is written as it comes, its tail when the phase ends.

    Its last bytes are kept in memory too, so that the limit does not decide what is read from a log.
    """

    def __init__(self, path: Path, *, limit: int) -> None:
        self._file = path.open("wb", buffering=0)
        self._half = limit // 2
        self._head_left = self._half
        self._tail = bytearray()
        self._dropped = 0
        self._recent = bytearray()
        # A character can begin in one chunk and end in the next. Bytes that are no UTF-8 are left out, because a sign
        # in their place would be longer, and the file must not pass its limit.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")

    def __enter__(self) -> CappedLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, chunk: bytes) -> None:
        """Add the next bytes of the phase's output."""
        head, rest = chunk[: self._head_left], chunk[self._head_left :]
        self._write_safe(head)
        self._head_left -= len(head)
        self._tail += rest
        if len(self._tail) > 2 * self._half:
            self._forget()
        self._recent += chunk[-READ_BYTES:]
        if len(self._recent) > 2 * READ_BYTES:
            del self._recent[:-READ_BYTES]

    def end(self) -> bytes:
        """The last READ_BYTES that the phase printed, fewer where there are not so many."""
        return bytes(self._recent[-READ_BYTES:])

    def last_line(self) -> str:
        """The newest line, safe to show; of a line that rewrites itself the newest state. Safe from any thread."""
        recent = bytes(self._recent[-_LINE_BYTES:])
        return next((line for line in reversed(safe_tail(recent, _LINE_BYTES).split("\n")) if line.strip()), "").strip()

    def close(self) -> None:
        """Write the tail behind a line that says how much is missing."""
        if self._file.closed:
            return
        self._forget()
        if self._dropped:
            self._store(f"\n… {self._dropped} bytes left out …\n".encode())
        self._write_safe(self._tail)
        self._file.close()

    def _write_safe(self, data: bytes | bytearray) -> None:
        self._store(safe_text(self._decoder.decode(data)).encode())

    def _store(self, data: bytes) -> None:
        """Write to the file; on a full disk these bytes count as left out. What is read from a log is in memory."""
        try:
            # A disk that becomes full takes a part of a write(2), and fails the next one with ENOSPC.
            written = self._file.write(data)
        except OSError as error:
            if not is_full(error):
                raise
            written = 0
        self._dropped += len(data) - written

    def _forget(self) -> None:
        excess = max(0, len(self._tail) - self._half)
        del self._tail[:excess]
        self._dropped += excess
