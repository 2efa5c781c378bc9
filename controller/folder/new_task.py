"""Writes a small task that runs as it is, for somebody to change step by step into his own."""

from __future__ import annotations

import re
import shutil
from enum import StrEnum
from pathlib import Path

from controller.errors import TaskError
from controller.folder.task_folder import read_brief, shipped_task
from controller.settings import Settings

TEMPLATES = Path(__file__).resolve().parent / "templates"
"""A folder for each kind but the language model, which is the task that ships."""

LANGUAGE = """\
tag: TAG
task: {folder: .}
budget: {}
agent: {kind: perturb}
"""
"""Settings of a language model: the defaults follow the device."""


class TaskKind(StrEnum):
    """The subject of a new task."""

    LANGUAGE = "language"
    SEARCH = "search"
    CONTROL = "control"
    PROTOCOL = "protocol"
    SPEED = "speed"
    LOG = "log"


def write_task(folder: Path, kind: TaskKind) -> list[str]:
    """Write a task of this kind into a folder that is new or empty; returns its files. Raises TaskError."""
    if folder.is_file():
        raise TaskError(f"{folder} is a file: name a folder that does not exist yet")
    if folder.exists() and any(folder.iterdir()):
        raise TaskError(f"{folder} is not empty: name a folder that does not exist yet")
    folder_is_new = not folder.exists()
    try:
        if kind is TaskKind.LANGUAGE:
            _copy_language(folder)
        else:
            shutil.copytree(TEMPLATES / kind, folder, dirs_exist_ok=True, ignore=_CACHES)
        settings = folder / "settings.yaml"
        settings.write_text(settings.read_text(encoding="utf-8").replace("TAG", tag_of(folder), 1), encoding="utf-8")
    except OSError as error:
        if folder_is_new:
            # Half a task would be refused as a folder that holds something when the command is given again.
            shutil.rmtree(folder, ignore_errors=True)
        raise TaskError(f"{folder} cannot be written: {_reason(error)}: name another folder") from error
    return sorted(path.name for path in folder.iterdir())


_CACHES = shutil.ignore_patterns("__pycache__")


def _reason(error: OSError) -> str:
    """The system's words for what failed. `copytree` goes on after a failure, and raises a list of all at its end."""
    if isinstance(error, shutil.Error):
        _, _, first = error.args[0][0]
        return str(first)
    return error.strerror or str(error)


def tag_of(folder: Path) -> str:
    """A campaign's tag made from a folder's name."""
    return re.sub(r"[^a-z0-9-]+", "-", folder.absolute().name.lower()).strip("-")[:30].rstrip("-") or "task"


def _copy_language(folder: Path) -> None:
    task = shipped_task()
    for name in ("train.py", "prepare.py"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(task / name, folder / name)
    for name in ("corpus", "exam"):
        shutil.copytree(task / name, folder / name, ignore=_CACHES)
    (folder / "program.md").write_text(read_brief(Settings()), encoding="utf-8")
    (folder / "settings.yaml").write_text(LANGUAGE, encoding="utf-8")
