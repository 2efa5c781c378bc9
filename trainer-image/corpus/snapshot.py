"""One revision of a data set in the Hugging Face cache, and what the cache itself says about files that are missing.

The cache keeps `refs/<name>` (a commit), `snapshots/<commit>/` (links), `blobs/` (the files; `.incomplete` while they
are fetched) and, by newer versions of huggingface_hub, `trees/<commit>.json`: the list of all files. Where that list is
missing, names such as `-00000-of-00003` and the data set's card tell of others.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from corpus.card import ANY, Claim, read_claims
from corpus.parquet import open_parquet

EVERYTHING = "*.parquet"
SHARD = re.compile(r"(?P<head>.*?)(?P<number>\d+)-of-(?P<total>\d+)(?P<tail>.*)", re.DOTALL)
MOST_SHARDS = 1_000_000  # a number beyond that is a date or a size, not a count of files


def missing_shards(names: Iterable[str], pattern: str) -> list[str]:
    """Names that `-00000-of-00003` promises, that the pattern asks for, and that are not there.

    Some writers put a hash behind the count, so a name that is missing may in truth end otherwise.
    """
    found: dict[tuple[str, str], dict[int, re.Match[str]]] = defaultdict(dict)
    for name in names:
        match = SHARD.fullmatch(name)
        if match and int(match["total"]) <= MOST_SHARDS:
            found[match["head"], match["total"]][int(match["number"])] = match
    missing = []
    for (head, total), shards in found.items():
        first = 1 if int(total) in shards else 0  # most count from 0
        model = next(iter(shards.values()))
        for number in range(first, int(total) + first):
            name = f"{head}{number:0{len(model['number'])}}-of-{total}{model['tail']}"
            if number not in shards and fnmatchcase(name, pattern):
                missing.append(name)
    return missing


@dataclass(frozen=True, slots=True)
class Snapshot:
    """storage: the repository's folder in the cache. revision: the commit."""

    storage: Path
    revision: str

    @classmethod
    def find(cls, storage: Path, asked: str) -> Snapshot | None:
        """The snapshot of a branch, a tag or a commit, or None where the cache does not have it."""
        try:
            revision = (storage / "refs" / asked).read_text(errors="replace").strip()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            revision = asked
        return cls(storage, revision) if revision and (storage / "snapshots" / revision).is_dir() else None

    @property
    def folder(self) -> Path:
        return self.storage / "snapshots" / self.revision

    def names(self) -> Iterator[str]:
        """Paths of all its parquet files, links without a target included."""
        for root, _, names in os.walk(self.folder):
            for name in names:
                if name.endswith(".parquet"):
                    yield Path(root, name).relative_to(self.folder).as_posix()

    def files(self, pattern: str) -> list[Path]:
        """The parquet files that a pattern asks for."""
        return sorted(self.folder / name for name in self.names() if fnmatchcase(name, pattern))

    def find_gap(self, pattern: str) -> str | None:
        """The parts that are known to be missing, as a clause about the revision; None if none are."""
        listing = self._listing()
        if listing is not None:
            expected = {name: size for name, size in listing.items() if fnmatchcase(name, pattern)}
            lost = [name for name, size in expected.items() if not _has_size(self.folder / name, size)]
            return _lacks(lost) or (None if expected else f"has no parquet files for {pattern}")
        files = self.files(pattern)
        if not files:
            return f"has no parquet files for {pattern}"
        lost = [path.relative_to(self.folder).as_posix() for path in files if not path.is_file()]
        return (
            _lacks(lost or missing_shards(self.names(), pattern))
            or self._unfinished()
            or next(filter(None, map(self._doubt_of, self._claims(pattern))), None)
        )

    def is_proven(self, pattern: str) -> bool:
        """True if something in the cache says that no file is missing; to ask where no gap was found."""
        if self._listing() is not None:
            return True
        if pattern != EVERYTHING and all(SHARD.fullmatch(path.name) for path in self.files(pattern)):
            return True
        claims = self._claims(pattern)
        return bool(claims) and all(claim.rows is not None for claim in claims)

    def _listing(self) -> dict[str, int] | None:
        """Every parquet file of the revision with its size, or None where the cache has no such list."""
        try:
            fields = json.loads((self.storage / "trees" / f"{self.revision}.json").read_text())
            entries = fields["files"].items() if fields["format_version"] == 1 else None
            sizes = {name: int(entry.get("lfs_size") or entry["size"]) for name, entry in entries or ()}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None  # as huggingface_hub does, which then asks for it again
        return (
            {name: size for name, size in sizes.items() if name.endswith(".parquet")} if entries is not None else None
        )

    def _unfinished(self) -> str | None:
        """A blob is fetched as `<hash>.incomplete` or `<hash>.<random>.incomplete`, which a kill leaves behind."""
        for path in sorted(self.storage.glob("blobs/*.incomplete")):
            if not (self.storage / "blobs" / path.name.partition(".")[0]).exists():
                return f"may lack a file whose download did not end ({path}; delete that if it belongs to another)"
        return None

    def _claims(self, pattern: str) -> list[Claim]:
        """Those claims of the card that are about files that the pattern asks for."""
        try:
            claims = read_claims((self.folder / "README.md").read_text(errors="replace"))
        except FileNotFoundError:
            return []
        return [
            claim
            for claim in claims
            if pattern == EVERYTHING or all(name != ANY and fnmatchcase(name, pattern) for name in claim.patterns)
        ]

    def _doubt_of(self, claim: Claim) -> str | None:
        names = list(self.names())
        for wanted in claim.patterns:
            if not any(fnmatchcase(name, wanted) for name in names):
                return f"lacks {wanted}, which its README.md lists"
        if claim.rows is None:
            return None
        chosen = {name for name in names if any(fnmatchcase(name, wanted) for wanted in claim.patterns)}
        rows = sum(open_parquet(self.folder / name).metadata.num_rows for name in chosen)
        if rows >= claim.rows:
            return None
        return f"has {rows:,} rows in {', '.join(claim.patterns)} where its README.md counts {claim.rows:,}"


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _lacks(names: list[str]) -> str | None:
    if not names:
        return None
    others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"lacks {names[0]}{others}"
