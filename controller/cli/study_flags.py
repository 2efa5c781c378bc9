"""The flags that all commands for studies have, written once, and the campaign that they open."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.cli.shared import (
    CampaignOption,
    ExecutorOption,
    JsonOption,
    LabOption,
    SandboxOption,
    SetOption,
    choose_settings,
    name_once,
)
from controller.errors import SettingsError
from controller.folder import CampaignFolder, find
from controller.settings import Settings, home_of_campaigns


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFlags:
    """The flags of every study, in the order of its help."""

    again: Annotated[bool, typer.Option("--again", help="Ask anew, with fresh seeds, what was answered before.")] = (
        False
    )
    campaign: CampaignOption = None
    executor: ExecutorOption = None
    sandbox: SandboxOption = None
    lab_path: LabOption = None
    overrides: SetOption = None
    as_json: JsonOption = False

    def open(self, named: Path | None) -> tuple[CampaignFolder, Settings]:
        """Folder and settings of a campaign that exists. A setting that is given here holds for this study alone."""
        named = name_once(named, self.campaign)
        folder = CampaignFolder(find(named, preferred=home_of_campaigns(), here=Path()), lab_override=self.lab_path)
        if folder.known_settings is None:
            raise SettingsError(f"{folder.path} is no campaign: start one with `{folder.run_command}`")
        return folder, self.settings_of(folder)

    def settings_of(self, folder: CampaignFolder, further: Sequence[str] = ()) -> Settings:
        """The campaign's settings with the flags on top, and `further` settings of a place on top of those."""
        flags = [*(self.overrides or []), *further]
        return choose_settings(folder, None, flags, executor=self.executor, sandbox=self.sandbox, begun=True)


def with_study_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the flags of StudyFlags behind its own, in place of its first parameter, `flags`."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    shared = inspect.signature(StudyFlags, eval_str=True).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        command(StudyFlags(**{name: given.pop(name) for name in shared}), **given)

    # typer reads a command's flags from its signature, which this attribute replaces (PEP 362).
    vars(run)["__signature__"] = inspect.Signature([*own, *shared.values()])
    return run
