"""Documents with the name of where each lay, and the count of what no document could be made of.

The order of documents depends on nothing but their content and the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """One text, and the file that holds it; row: from 1, in a file that holds many."""

    text: str
    path: str
    row: int | None = None
    folder: str = ""
    """Folder of Python's library that can be hidden from trainings; empty for text that they may see."""

    @property
    def origin(self) -> str:
        """The place at which a person finds it."""
        return self.path if self.row is None else f"{self.path}, row {self.row:,}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in a source that is no document, said in the plural: "files that are no UTF-8 text"."""

    path: str
    kind: str


@dataclass(slots=True)
class Gathered:
    """Distinct documents in their order; left_out: how many of each kind, and the first of them."""

    documents: list[Document] = field(default_factory=list)
    left_out: dict[str, tuple[int, str]] = field(default_factory=dict)

    def told(self) -> list[str]:
        """Documents that were left out, a line each. File names are bytes on disk, not all of which can be printed."""
        lines = (f"{count:,} {kind}, such as {path}" for kind, (count, path) in self.left_out.items())
        return [line.encode("utf-8", "backslashreplace").decode() for line in lines]


def gather(found: Iterable[Document | LeftOut], seed: int) -> Gathered:
    """Exact duplicates dropped, then ordered by a hash of seed and content: never by path, time or arrival."""
    salt = seed.to_bytes(8, "little")
    by_digest: dict[bytes, Document] = {}
    gathered = Gathered()
    for item in found:
        if isinstance(item, LeftOut):
            count, first = gathered.left_out.get(item.kind, (0, item.path))
            gathered.left_out[item.kind] = (count + 1, min(first, item.path))
        else:
            digest = hashlib.sha256(salt + item.text.encode()).digest()
            # A text that lies in two folders is hidden only if both are.
            if digest not in by_digest or not item.folder:
                by_digest[digest] = item
    gathered.documents = [by_digest[digest] for digest in sorted(by_digest)]
    return gathered
