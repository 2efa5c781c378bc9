"""A campaign folder: where its settings, lab, data and work lie, and how it is found.

demo/campaign.yaml   settings, written at the first run, yours to edit
demo/lab.git         the lab
demo/data/           prepared data, sealed by its manifest
demo/work            running tries and the logs of old ones
demo/report.html     the chart, made anew whenever a run ends
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.errors import DataError, SettingsError, TaskError
from controller.settings import Settings
from controller.settingsfile import dump_settings, load_settings

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class CampaignFolder:
    """Paths of one campaign; nothing is created by asking."""

    path: Path
    lab_override: Path | None = None

    @property
    def settings(self) -> Path:
        """The campaign's own settings file."""
        return self.path / "campaign.yaml"

    @property
    def lab(self) -> Path:
        """The bare git repository."""
        return self.lab_override or self.path / "lab.git"

    @property
    def data(self) -> Path:
        """The prepared data."""
        return self.path / "data"

    @property
    def work(self) -> Path:
        """Where tries run."""
        return self.path / "work"

    @property
    def known_settings(self) -> Path | None:
        """The campaign's own settings file; None before the first run."""
        return self.settings if self.settings.exists() else None

    def choose_settings(self, given: Path | None, overrides: Sequence[str]) -> Settings:
        """What to go on with: the given file, else the campaign's own, `overrides` on top; written to the folder.

        Raises SettingsError where the given file is another campaign's, TaskError where its task cannot be run.
        """
        known = self.known_settings
        settings = load_settings(given or known, overrides)
        if given and known and (tag := load_settings(known).tag) != settings.tag:
            raise SettingsError(
                f"{self.path} holds campaign {tag}, not {settings.tag}: give {given} a folder of its own"
            )
        task_folder(settings)
        self._remember(settings, replace=given is not None)
        return settings

    def _remember(self, settings: Settings, *, replace: bool) -> None:
        """Write the settings file where there is none yet, or in place of the one there is."""
        if self.settings.exists() and not replace:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.settings.write_text(f"# Settings of this campaign: docs/settings.md\n{dump_settings(settings)}")
        except OSError as error:
            raise SettingsError(f"cannot write {self.settings}: {error.strerror}; give another folder") from error


def find(named: Path | None, *, preferred: Path | None, here: Path) -> Path:
    """The campaign folder: the one named, else the preferred one, else the only one in reach.

    Raises SettingsError when there is none or more than one to choose from.
    """
    if named or preferred:
        return named or preferred or here
    if (here / "campaign.yaml").exists():
        return here
    found = sorted(path.parent for path in here.glob("*/campaign.yaml"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found)
    what = f"several campaigns here ({names})" if found else "no campaign here"
    raise SettingsError(f"{what}: name one with --campaign DIR, or start one with `autoresearch run DIR`")


def task_folder(settings: Settings) -> Path:
    """The folder of the task: the one in the settings, else the language-model task that ships with us."""
    folder = settings.task.folder or next((p for p in _shipped() if p.is_dir()), _shipped()[0])
    if not folder.is_dir():
        raise TaskError(f"task folder {folder} does not exist: set task.folder")
    missing = [name for name in settings.task.editable if not (folder / name).is_file()]
    if missing:
        raise TaskError(f"task folder {folder} has no {missing[0]}: set task.editable to the files that may change")
    return folder


def task_files(settings: Settings) -> dict[str, str]:
    """Text of the editable and readable files, and of the brief: what the lab keeps."""
    folder = task_folder(settings)
    names = [*settings.task.editable, *(n for n in settings.task.readable if (folder / n).is_file())]
    try:
        files = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"task folder {folder}: cannot read {', '.join(names)} as text: {error}") from error
    return files | {"program.md": read_brief(settings)}


def read_brief(settings: Settings) -> str:
    """The research brief: the one named, else the task's program.md, else ours."""
    choices = [settings.brief] if settings.brief else [task_folder(settings) / "program.md", REPOSITORY / "program.md"]
    found = next((path for path in choices if path and path.is_file()), None)
    if found is None:
        names = " or ".join(str(path) for path in choices)
        raise SettingsError(f"brief {names} does not exist: set brief to a text file that says what is wanted")
    return found.read_text(encoding="utf-8")


def read_manifest(data: Path) -> dict[str, object]:
    """The data folder's manifest, after every file was checked against it. Raises DataError."""
    path = data / "manifest.json"
    again = f"run `autoresearch prepare --campaign {data.parent}` to make it again"
    if not path.is_file():
        raise DataError(f"data folder {data} has no manifest.json: {again}")
    try:
        manifest = json.loads(path.read_text())
        for name, entry in manifest["files"].items():
            _check_file(data / name, entry, again)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"data folder {data}: its manifest cannot be read ({error}); {again}") from error
    return dict(manifest)


def _check_file(path: Path, entry: dict[str, object], again: str) -> None:
    if not path.is_file():
        raise DataError(f"data file {path} is missing: {again}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != entry["sha256"]:
        raise DataError(f"data file {path} is not what the manifest says (sha256 differs): {again}")


def _shipped() -> tuple[Path, Path]:
    return REPOSITORY / "trainer-image", Path(__file__).resolve().parent / "_task"
