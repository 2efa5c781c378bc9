"""Without a sandbox there is nothing to mount into: a phase gets a folder of links instead.

It arranges what a phase should see. It keeps nobody from looking elsewhere: such scores are marked unsealed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from controller.executor.local.folders import delete
from controller.executor.local.sandbox import Places
from controller.phases import TASK, Phase


def make_view(view: Path, phase: Phase, places: Places, *, copied: Path) -> Path:
    """Lay out a phase's task folder and mounts below `view`; files below `copied` are copied, all else is linked.

    The edited files are copies, because Python looks for a script's neighbours where the script really lies.
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
