"""Lays out the folders of a phase that runs without a sandbox, as links in place of mounts.

This shows a phase the paths that it expects. It does not keep code from reading elsewhere, so such scores are marked
unsealed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from controller.executor.local.deletion import delete
from controller.executor.local.sandbox import Places
from controller.executor.phases import TASK, Phase


def make_view(view: Path, phase: Phase, places: Places, *, copied: Path) -> Path:
    """Lay out a phase's task folder and mounts below `view`; return its folder for temporary files.

    Files below `copied`, the edited ones, are copied and all others are linked: Python resolves the link of a script
    and imports modules from the folder to which it leads.
    """
    delete(view)
    for source, name in places.task:
        place = _place(view, f"{TASK}/{name}")
        if source.is_relative_to(copied):
            shutil.copy(source, place)
        else:
            place.symlink_to(source)
    for mount in phase.mounts:
        _place(view, mount.path).symlink_to(places.volumes[mount.volume] / mount.subpath)
    temporary = view / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return temporary


def _place(view: Path, path: str) -> Path:
    place = view / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
