"""Finds what a sandbox must show of the environment in which a task runs: its own folder, and the Python below it.

A virtual environment, whether made by venv or uv, holds links to an interpreter elsewhere, which must be seen as well.
A folder of conda or node holds everything itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from controller.errors import TaskError
from controller.executor.local.linked_packages import linked_folders
from controller.executor.local.machine import Machine
from controller.settings import TaskSettings

PYTHONS = ("python", "python3")
_BARE = frozenset({"/", "/bin", "/sbin", "/lib", "/lib64", "/usr", "/usr/local"})
"""Folders that need no showing, or that no environment can be meant by."""

_MOST_LINKS = 40
"""Links in a row that Linux follows."""

_PRIVATE = ("/", "/root", "/home", "/etc", "/var", "/proc", "/sys", "/dev", "/run", "/tmp", "/boot")
"""Folders that hold more than one task may see."""


def with_environment(machine: Machine, task: TaskSettings, *, folder: Path) -> Machine:
    """The machine with the task's environment and mounts in what every sandbox shows. Raises TaskError."""
    mounts = [_mountable(folder, mount, setting="task.mounts") for mount in task.mounts]
    _refuse_edited(mounts, task, folder)
    if task.environment_folder is None:
        machine = replace(machine, folders=_outermost((*machine.folders, *mounts)))
        linked = _with_links(machine, Path(machine.interpreter).parents[1], folder)
        # What the controller's own environment links to elsewhere is the controller.
        return replace(linked, foreign_packages=())
    place = _mountable(folder, task.environment_folder, setting="task.environment_folder")
    programs = place / "bin"
    if not programs.is_dir():
        raise TaskError(
            f"task.environment_folder {place} has no folder bin: name the folder of a virtual environment, "
            "of conda or of node, the one that holds bin"
        )
    if fault := _fault_of_python(place):
        raise TaskError(f"task.environment_folder {place} {fault}: make the environment anew, or name another")
    python = next((str(programs / name) for name in PYTHONS if os.access(programs / name, os.X_OK)), "")
    found = replace(
        machine,
        interpreter=python or machine.interpreter,
        programs=str(programs),
        folders=_outermost((*machine.folders, *mounts, place, *_interpreters_of(place))),
    )
    return _with_links(found, place, folder)


def _refuse_edited(mounts: Sequence[Path], task: TaskSettings, folder: Path) -> None:
    """Raise TaskError where a mount inside the task folder holds a file that edits change: mounts are not copied."""
    root = Path(os.path.abspath(folder))
    for mount in mounts:
        held = [name for name in task.editable if (root / name).is_relative_to(mount)]
        if held and mount.is_relative_to(root):
            raise TaskError(
                f"task.mounts {mount} holds {held[0]}, which edits change, and what is mounted is only read: name "
                "the folders in it that are large"
            )


def _with_links(machine: Machine, environment: Path, task: Path) -> Machine:
    """The machine with the folders from which the environment imports: those of the task, and those not shown."""
    root, own, foreign = task.resolve(), [], []
    for place in linked_folders(environment):
        if place.is_relative_to(root):
            name = place.relative_to(root)
            own += [] if any(part.startswith(".") for part in name.parts) else [str(name)]
        elif not any(place.is_relative_to(Path(shown).resolve()) for shown in machine.folders):
            foreign.append(str(place))
    return replace(machine, task_packages=tuple(own), foreign_packages=tuple(foreign))


def with_mounts(machine: Machine, mounts: Sequence[Path], *, folder: Path, setting: str) -> Machine:
    """The machine with further files and folders in what every sandbox shows. Raises TaskError.

    folder: where relative paths begin. setting: what named them, for people.
    """
    places = [_mountable(folder, mount, setting=setting) for mount in mounts]
    return replace(machine, folders=_outermost((*machine.folders, *places)))


def own_environment_of(task: Path) -> str:
    """Name of a virtual environment that lies in the task folder, where such environments usually lie; else empty."""
    return next((name for name in (".venv", "venv", "env", ".env") if (task / name / "pyvenv.cfg").is_file()), "")


def _fault_of_python(environment: Path) -> str:
    """The fault of an environment whose Python cannot run, in words that follow its name; empty where it has none."""
    for name in PYTHONS:
        program = environment / "bin" / name
        if program.is_symlink() and not os.path.exists(program):
            return f"has a bin/{name} that leads to {program.readlink()}, which is not there"
        if os.path.lexists(program):
            return (
                "" if program.is_file() and os.access(program, os.X_OK) else f"has a bin/{name} that cannot be executed"
            )
    return "has a pyvenv.cfg and no Python in bin" if (environment / "pyvenv.cfg").is_file() else ""


def _mountable(folder: Path, path: Path, *, setting: str) -> Path:
    """The folder or file as it will be seen inside: at its own path."""
    # Links stay: the programs of an environment name its interpreter by the path at which it was made.
    place = Path(os.path.abspath(folder / path.expanduser()))
    if not place.exists():
        begins = "" if path.expanduser().is_absolute() else f" (a relative path begins in the task folder {folder})"
        raise TaskError(f"{setting} {place} does not exist: name a folder of this machine{begins}")
    for shown in {place, place.resolve()}:
        home = Path.home()
        if str(shown) in _PRIVATE or home.is_relative_to(shown):
            raise TaskError(f"{setting} {place} would show {shown} as a whole: name the folder in it that is needed")
    return place


def _interpreters_of(environment: Path) -> Sequence[Path]:
    """Folders of the interpreter to which a virtual environment leads; none of one that holds its own."""
    found = {environment.resolve()}
    with_links = environment / "pyvenv.cfg"
    if with_links.is_file():
        for line in with_links.read_text(errors="replace").splitlines():
            key, _, value = line.partition("=")
            # `home` is the folder of the interpreter that made the environment, so the bin of that Python.
            if key.strip() == "home":
                found.add(Path(os.path.normpath(value.strip())).parent)
    for name in PYTHONS:
        program = environment / "bin" / name
        for _ in range(_MOST_LINKS):
            if not program.is_symlink():
                break
            # Each link on the way has to be there as well, not only the file at the end.
            program = Path(os.path.normpath(program.parent / program.readlink()))
            found.add(program.parent.parent)
        if program.exists():
            found.add(program.resolve().parent.parent)
    found |= {folder.resolve() for folder in found if folder.exists()}
    return [folder for folder in sorted(found) if str(folder) not in _BARE and folder.is_dir() and not _is_wide(folder)]


def _is_wide(folder: Path) -> bool:
    return str(folder) in _PRIVATE or Path.home().is_relative_to(folder)


def _outermost(folders: Sequence[str | Path]) -> tuple[str, ...]:
    """Each folder once, without those that are inside another."""
    unique = sorted({str(folder) for folder in folders})
    return tuple(f for f in unique if not any(Path(f).is_relative_to(other) for other in unique if other != f))
