"""Finds a campaign's folder and the files in it.

demo/campaign.yaml   settings; written at the first run, for the operator to edit
demo/lab.git         the lab
demo/data/           prepared data, with a manifest of their checksums
demo/work            running tries, and the logs of earlier ones
demo/report.html     the chart, written anew whenever `autoresearch run` ends
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controller.errors import SettingsError
from controller.folder.task_folder import expand_globs, has_task_folder, task_folder
from controller.settings import Settings
from controller.settings.defaults import Device
from controller.settings.file import dump_settings, load_settings
from controller.settings.places import fault_of_name
from controller.text.shell_words import shell_word

SHORT_LIVED = ("/tmp", "/var/tmp", "/dev/shm", "/run")
"""Emptied at a restart, or by systemd-tmpfiles of what is older than ten days (/tmp) or thirty (/var/tmp)."""


@dataclass(frozen=True, slots=True)
class CampaignFolder:
    """Paths of one campaign. Reading a path creates nothing."""

    path: Path

    lab_override: Path | None = None
    """The lab, if it is not in the folder (`--lab`)."""

    data_override: Path | None = None
    """The prepared data, if others than the campaign's own are meant."""

    def __post_init__(self) -> None:
        """Raise SettingsError for a place whose name is no text, before anything is written there."""
        for place in filter(None, (self.path, self.lab_override, self.data_override)):
            if fault := fault_of_name(place):
                raise SettingsError(f"{fault}: rename that folder, or give another")

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
        return self.data_override or self.path / "data"

    @property
    def work(self) -> Path:
        """The folder in which tries run."""
        return self.path / "work"

    @property
    def run_command(self) -> str:
        """The command that goes on with this campaign, to copy into a shell."""
        lab = f" --lab {shell_word(self.lab_override)}" if self.lab_override else ""
        return f"autoresearch run {shell_word(self.path)}{lab}"

    @property
    def known_settings(self) -> Path | None:
        """The campaign's own settings file; None if there is none yet, as before the first run."""
        return self.settings if self.settings.exists() else None

    def choose_settings(
        self, given: Path | None, overrides: Sequence[str], *, here: Callable[[], Device], begun: bool = False
    ) -> Settings:
        """Load the given settings file, else the campaign's own, with `overrides` on top, and write it to the folder.

        `here` looks at what this machine trains on. begun: the lab has the programs already, so that on a cluster the
        task's folder may be missing here. Raises SettingsError if the given file is another campaign's, TaskError if
        its task cannot be run.
        """
        known = self.known_settings
        settings = load_settings(given or known, overrides, here=here)
        if begun and settings.executor.kind == "kubernetes" and not has_task_folder(settings):
            return settings
        if given and known and (tag := load_settings(known).tag) != settings.tag:
            raise SettingsError(
                f"{self.path} holds campaign {tag}, not {settings.tag}: give {given} a folder of its own"
            )
        expanded = expand_globs(settings)
        task_folder(expanded)
        self._remember(expanded, replace=given is not None or expanded is not settings)
        return expanded

    def _remember(self, settings: Settings, *, replace: bool) -> None:
        """Write the settings file. An existing one is kept unless `replace`."""
        if self.settings.exists() and not replace:
            return
        place = Path(os.path.realpath(self.settings))  # an operator may keep it elsewhere
        draft = place.with_name(f".{place.name}.new")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # A full disk leaves the file as it was, and not the half of it.
            draft.write_text(
                f"# Settings of this campaign: docs/settings.md\n{dump_settings(settings)}", encoding="utf-8"
            )
            draft.replace(place)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise SettingsError(f"cannot write {self.settings}: {error.strerror}; give another folder") from error


def find(named: Path | None, *, preferred: Path | None, here: Path) -> Path:
    """The campaign folder: the named one, else the preferred one, else `here`, else the only one directly below `here`.

    Raises SettingsError if there is none, or more than one to choose from.
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
    raise SettingsError(f"{what}: name one, as in `autoresearch status DIR`, or start one with `autoresearch run DIR`")


def short_lived_place(path: Path) -> str:
    """The folder above `path` whose files a system deletes by itself, or nothing."""
    return next((place for place in SHORT_LIVED if path.is_relative_to(place)), "")
