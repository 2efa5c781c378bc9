"""Parquet files of a Hugging Face data set: from the local cache where it is whole, else fetched by huggingface_hub.

The asked revision decides which snapshot is meant, `main` unless `@REVISION` says otherwise, and never the first that
happens to be there. `snapshot.py` tells whether one is whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import PrepareError
from corpus.snapshot import Snapshot

PREFIX = "hf:"
OTHERWISE = "set HF_HUB_CACHE, or ask for what is there with hf:ORG/NAME@REVISION/GLOB"
NAME = re.compile(
    r"hf:(?P<owner>\w[\w.-]*)/(?P<name>\w[\w.-]*)(@(?P<revision>refs/(convert/[\w.-]+|pr/\d+)|\w[\w.-]*))?(/(?P<pattern>.+))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """The files to read, the commit that they belong to, and what is not known about them, in a sentence or None."""

    files: list[Path]
    revision: str
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The request of an `hf:` source; pattern: of the files' paths, as fnmatch reads it."""

    source: str
    repository: str
    revision: str
    pattern: str

    @property
    def folder(self) -> str:
        """The repository's folder in the cache."""
        return "datasets--" + self.repository.replace("/", "--")


def parse_name(source: str) -> Wanted:
    """Read `hf:ORG/NAME[@REVISION][/GLOB]`. Raises PrepareError for anything else."""
    match = NAME.fullmatch(source)
    if not match:
        raise PrepareError(
            f"source {source} names no data set: write hf:ORG/NAME, hf:ORG/NAME@REVISION or hf:ORG/NAME/GLOB"
        )
    found = match.groupdict()
    return Wanted(
        source, f"{found['owner']}/{found['name']}", found["revision"] or "main", found["pattern"] or "*.parquet"
    )


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Folder in which huggingface_hub keeps what it fetched, by its own rules."""
    user = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or f"{user}/huggingface"
    cache = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(cache)).expanduser()


def find_dataset(source: str) -> Dataset:
    """The files that a source means. Raises PrepareError where they are not whole and cannot be fetched."""
    wanted = parse_name(source)
    storage = cache_folder(os.environ) / wanted.folder
    snapshot = Snapshot.find(storage, wanted.revision)
    if snapshot is None:
        there = ", ".join(sorted(path.name for path in storage.glob("snapshots/*")))
        return _fetch(
            wanted, f"is not in the cache {storage.parent}" + (f", which holds {there} only" if there else "")
        )
    missing = snapshot.find_gap(wanted.pattern)
    if missing:
        return _fetch(wanted, f"is not whole in the cache {storage.parent}: revision {snapshot.revision} {missing}")
    doubt = (
        None
        if snapshot.is_proven(wanted.pattern)
        else (f"nothing in the cache tells whether revision {snapshot.revision} has more files than these")
    )
    return Dataset(snapshot.files(wanted.pattern), snapshot.revision, doubt)


def other_revision(source: str, made_from: str | None) -> list[str]:
    """A sentence where the cache would now give other text than a data folder was made from."""
    if not source.startswith(PREFIX):
        return []
    wanted = parse_name(source)
    snapshot = Snapshot.find(cache_folder(os.environ) / wanted.folder, wanted.revision)
    if snapshot is None or snapshot.revision == made_from:
        return []
    return [f"older: {source} means revision {snapshot.revision} by now (delete the data folder to take that)"]


def _fetch(wanted: Wanted, trouble: str) -> Dataset:
    """Let huggingface_hub complete the cache. What is asked for is listed first: offline it may return half of it."""
    problem = f"{wanted.source} {trouble}"
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise PrepareError(
            f"{problem}, and huggingface_hub is not installed to fetch it: install it, {OTHERWISE}"
        ) from error
    wire: type[Exception] = vars(errors)["HTTPError"]  # its HTTP library's own base, which some errors reach us as
    name, cache = wanted.repository, cache_folder(os.environ)
    try:
        listed = snapshot_download(
            name,
            repo_type="dataset",
            revision=wanted.revision,
            allow_patterns=wanted.pattern,
            cache_dir=cache,
            dry_run=True,
        )
        fetched = snapshot_download(
            name, repo_type="dataset", revision=wanted.revision, allow_patterns=wanted.pattern, cache_dir=cache
        )
    except (OSError, ValueError, wire) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise PrepareError(
            f"{problem}, and could not be fetched ({words}): check name and network, {OTHERWISE}"
        ) from error
    folder = Path(fetched)
    files = sorted(folder / entry.filename for entry in listed if entry.filename.endswith(".parquet"))
    if not files:
        raise PrepareError(f"{wanted.source} holds no parquet files: try a pattern, as in hf:ORG/NAME/data/*.parquet")
    lost = [path for path in files if not path.is_file()]
    if lost:
        raise PrepareError(f"{wanted.source} was fetched without {lost[0]}: run it again, {OTHERWISE}")
    return Dataset(files, folder.name)
