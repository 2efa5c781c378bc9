"""Read a data folder's manifest, and files that must be what it says.

Every file is read once, and its hash is that of the bytes that are parsed, so that it cannot change in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exam.kit.errors import DataError

ADVICE = "prepare the data folder again"

LAYOUT = 2
"""Number of the layout of a data folder, as in corpus/manifest.py."""


def read_manifest(path: Path) -> tuple[Mapping[str, Any], str]:
    """The table of files with their hashes, and its own hash, which names the data; raises DataError."""
    try:
        manifest = json.loads(path.read_bytes())
        version, files, identity = manifest["version"], manifest["files"], manifest["identity"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is missing or unreadable ({error!r}); {ADVICE}") from error
    if version != LAYOUT:
        raise DataError(
            f"{path.parent} has layout {version}, and this examiner needs layout {LAYOUT}: prepare a new data folder "
            "and begin a new campaign with it, or go on with the version that made this one"
        )
    if not isinstance(files, dict) or identity != identity_of(files):
        raise DataError(f"{path} is no intact manifest; {ADVICE}")
    return files, identity


def identity_of(files: Mapping[str, Any]) -> str:
    """Hash the table of files as prepare.py does; this names the data of a folder."""
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_verified(path: Path, files: Mapping[str, Any], name: str) -> bytes:
    """The bytes of a file that the manifest knows as `name`; raises DataError if they are not what it says."""
    content = read_bytes(path)
    if name not in files or hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
        raise DataError(f"{path} does not match the manifest; {ADVICE}")
    return content


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; raises DataError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {ADVICE}") from error
