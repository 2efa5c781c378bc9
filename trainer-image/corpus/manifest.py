"""The seal of a data folder: the hash of every file in it, and one identity over them all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from corpus.errors import Damaged, OlderLayout
from corpus.recipe import Recipe

LAYOUT = 2
"""Number of the layout of a data folder. 1 had neither a reserve nor a reference model's nll."""


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity_of(files: dict[str, dict[str, str | int]]) -> str:
    """One hash for the whole folder: over the table of its files, so it names the data in every score."""
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_manifest(
    data: Path,
    recipe: Recipe,
    splits: dict[str, dict[str, int]],
    *,
    revision: str | None = None,
    hidden: Sequence[str] = (),
) -> None:
    """Seal the folder: written last and flushed, so a folder with a manifest is a finished one.

    revision: the commit of the data set, where the source is one. hidden: folders of Python's library that hold the
    exam's text, which the controller keeps from trainings.
    """
    paths = sorted(path for path in data.rglob("*") if path.is_file())
    files: dict[str, dict[str, str | int]] = {
        path.relative_to(data).as_posix(): {"sha256": _hash_file(path), "bytes": path.stat().st_size} for path in paths
    }
    origin: dict[str, object] = {} if revision is None else {"revision": revision}
    origin |= {"hidden": list(hidden)} if hidden else {}
    sealed = {"splits": splits, "identity": identity_of(files), "files": files}
    manifest = {"version": LAYOUT, **asdict(recipe), **origin, **sealed}
    with (data / "manifest.json").open("w") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def find_mismatch(data: Path, manifest: dict[str, Any]) -> str | None:
    """The first way in which a folder differs from its manifest, or None."""
    present = {path.relative_to(data).as_posix() for path in data.rglob("*") if not path.is_dir()} - {"manifest.json"}
    for name in sorted(present | manifest["files"].keys()):
        if name not in manifest["files"]:
            return f"{data / name} is not in the manifest"
        if name not in present:
            return f"{data / name} is missing"
        expected, path = manifest["files"][name], data / name
        if path.stat().st_size != expected["bytes"] or _hash_file(path) != expected["sha256"]:
            return f"{path} does not match the manifest"
    if identity_of(manifest["files"]) != manifest.get("identity"):
        return f"{data / 'manifest.json'} does not match its own identity"
    return None


def read_manifest(data: Path) -> dict[str, Any]:
    """The manifest of a finished and intact folder.

    Raises Damaged with the first thing that is wrong, OlderLayout for a folder that an earlier version made.
    """
    try:
        manifest = json.loads((data / "manifest.json").read_text())
    except FileNotFoundError as error:
        raise Damaged(f"{data} has no manifest.json, so it is no finished data folder") from error
    except ValueError as error:
        raise Damaged(f"{data / 'manifest.json'} is no JSON") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise Damaged(f"{data / 'manifest.json'} is no manifest")
    if manifest.get("version") != LAYOUT:
        raise OlderLayout(f"{data} has layout {manifest.get('version')}, and this version makes layout {LAYOUT}")
    mismatch = find_mismatch(data, manifest)
    if mismatch:
        raise Damaged(mismatch)
    return manifest
