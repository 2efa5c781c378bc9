"""The names that the author of a task's prepare.py imports: `from exam.sealing import begin, seal`.

A data folder has the parts `train` (seen by training alone), `validation`, `reserve/000` and so on, `holdout` (each
seen by the examiner alone), and a manifest of their hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from exam.kit.manifest import LAYOUT, identity_of

PARTS = ("train", "validation", "holdout")
"""Folders that every task of this kind has; one that holds nothing is made."""


def begin() -> Path:
    """Read `--data DIR` from the command line and return the folder to fill.

    Ends the program where there is nothing to make: with 0 if the folder is sealed already, and with 1 if it is not
    and `--check` asks for no more than that. Other arguments (`task.prepare`) are the author's.
    """
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--check", action="store_true")
    chosen, _ = options.parse_known_args()
    if is_sealed(chosen.data):
        print(f"data: all files in {chosen.data} are as the manifest says")
        sys.exit(0)
    if chosen.check:
        sys.exit(f"prepare.py: {chosen.data} is not what its manifest says: prepare it again")
    if (chosen.data / "manifest.json").exists():
        sys.exit(f"prepare.py: files in {chosen.data} were changed after they were sealed: move the folder away")
    return Path(chosen.data)


def is_sealed(folder: Path) -> bool:
    """True if the folder holds what its manifest says: then there is nothing to make."""
    path = folder / "manifest.json"
    if not path.is_file():
        return False
    manifest = json.loads(path.read_text())
    return bool(manifest.get("files") == _table(folder))


def seal(folder: Path, **notes: Any) -> str:
    """Write the manifest of a finished data folder, and return its identity. notes: more fields for people."""
    for part in PARTS:
        (folder / part).mkdir(parents=True, exist_ok=True)
    files = _table(folder)
    identity = identity_of(files)
    manifest = {**notes, "version": LAYOUT, "identity": identity, "files": files}
    draft = folder / "manifest.json.new"
    draft.write_text(json.dumps(manifest, indent=1, sort_keys=True))
    draft.replace(folder / "manifest.json")  # last: a folder with a manifest is whole
    return identity


def _table(folder: Path) -> dict[str, dict[str, Any]]:
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("manifest.json", "manifest.json.new"):
            content = path.read_bytes()
            files[str(path.relative_to(folder))] = {
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
            }
    return files
