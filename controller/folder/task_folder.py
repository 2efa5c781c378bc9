"""Reads the task's folder: which files may change, their text, and the research brief."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from controller.errors import SettingsError, TaskError
from controller.folder.missing_parts import is_pointer
from controller.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
"""The checkout, if the controller runs from one."""


def expand_globs(settings: Settings) -> Settings:
    """The settings with the files that patterns in task.editable and task.readable name now. Raises TaskError.

    A campaign goes on with the files that it began with: the lab keeps these and no others.
    """
    folder, task = _existing_folder(settings), settings.task
    editable, readable = _expanded(folder, task.editable, "editable"), _expanded(folder, task.readable, "readable")
    if (editable, readable) == (task.editable, task.readable):
        return settings
    readable = tuple(name for name in readable if name not in editable)
    return settings.model_copy(update={"task": task.model_copy(update={"editable": editable, "readable": readable})})


def _expanded(folder: Path, names: Sequence[str], setting: str) -> tuple[str, ...]:
    """The names, and in place of each pattern the files that fit it, without those that a sandbox hides."""
    found: dict[str, None] = {}
    for name in names:
        if not set(name) & set("*?[") or (folder / name).exists() or Path(name).is_absolute():
            found[name] = None
            continue
        # For glob, two stars at the end are folders alone; whoever writes them means what is in these.
        pattern = f"{name}/*" if name.endswith("**") else name
        files = [path.relative_to(folder) for path in sorted(folder.glob(pattern)) if path.is_file()]
        shown = [str(path) for path in files if not any(part.startswith(".") for part in path.parts)]
        if not shown:
            raise TaskError(f"task.{setting} {name!r} fits no file of task folder {folder}: name files that exist")
        found.update(dict.fromkeys(shown))
    return tuple(found)


def has_task_folder(settings: Settings) -> bool:
    """True if the folder of the task is on this machine."""
    return (settings.task.folder or shipped_task()).is_dir()


def _existing_folder(settings: Settings) -> Path:
    folder = settings.task.folder or shipped_task()
    if not has_task_folder(settings):
        fault = "is a file: set task.folder to the folder that holds it" if folder.exists() else ""
        raise TaskError(f"task folder {folder} {fault or 'does not exist: set task.folder'}")
    return folder


def task_folder(settings: Settings) -> Path:
    """The folder of the task: the one in the settings, else the language-model task that comes with the controller.

    Raises TaskError if the folder or one of its editable files does not exist.
    """
    folder = _existing_folder(settings)
    outside = [name for name in settings.task.editable if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise TaskError(f"task.editable {outside[0]!r} lies outside of the task folder: name files below {folder}")
    _refuse_examiner(folder, settings)
    missing = [name for name in settings.task.editable if not (folder / name).is_file()]
    if missing:
        raise TaskError(f"task folder {folder} has no {missing[0]}: set task.editable to the files that may change")
    return folder


def _refuse_examiner(folder: Path, settings: Settings) -> None:
    """Raises TaskError where what scores is among the files that an agent sees, by a pattern, a link or its folder."""
    task = settings.task
    if task.score != "exam":
        return
    examiner = (folder / (task.examiner_file or task.examiner.replace(".", "/"))).resolve()
    shown = task.editable if not task.examiner_file else (*task.editable, *task.readable)
    for name in shown:
        if (folder / name).resolve().is_relative_to(examiner):
            raise TaskError(
                f"task.editable or task.readable takes in {name}, which belongs to the examiner {task.examiner}: an "
                "examiner that the agent can change or knows is no exam; name the other files one by one"
            )


def task_files(settings: Settings) -> dict[str, str]:
    """Text of the editable and readable files and of the brief, by name. The lab keeps them as the baseline."""
    folder = task_folder(settings)
    names = [*settings.task.editable, *(n for n in settings.task.readable if (folder / n).is_file())]
    return {name: _text_of(folder, name) for name in names} | {"program.md": read_brief(settings)}


def _text_of(folder: Path, name: str) -> str:
    """The text of a file of the task. Raises TaskError for one that is no text or cannot be read."""
    if is_pointer(folder / name):
        raise TaskError(f"task folder {folder}: of {name} only the pointer of git-lfs is there: run `git lfs pull`")
    try:
        return (folder / name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TaskError(
            f"task folder {folder}: {name} is no UTF-8 text ({error.reason} at byte {error.start}), and agents edit "
            "and read text alone: save it as UTF-8, or leave it out of task.editable and task.readable"
        ) from error
    except OSError as error:
        raise TaskError(f"task folder {folder}: cannot read {name}: {error.strerror}; make it readable") from error


def read_brief(settings: Settings) -> str:
    """The research brief: the one in the settings, else the task's program.md, else the one of this repository."""
    choices = [settings.brief] if settings.brief else [task_folder(settings) / "program.md", REPOSITORY / "program.md"]
    found = next((path for path in choices if path and path.is_file()), None)
    if settings.brief and settings.brief.is_dir():
        raise SettingsError(f"brief {settings.brief} is a folder: set brief to a text file that says what is wanted")
    if found is None:
        names = " or ".join(str(path) for path in choices)
        raise SettingsError(f"brief {names} does not exist: set brief to a text file that says what is wanted")
    try:
        return found.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"brief {found} cannot be read as text: {error}; save it as UTF-8") from error


def shipped_task() -> Path:
    """The folder of the language-model task that comes with the controller, whatever task a campaign has."""
    return next((place for place in _shipped() if place.is_dir()), _shipped()[0])


def _shipped() -> tuple[Path, Path]:
    """Places of the language-model task: in a checkout, and in an installed package."""
    return REPOSITORY / "trainer-image", Path(__file__).resolve().parents[1] / "_task"
