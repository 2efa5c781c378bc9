"""Shared by all commands: the two consoles, the flags, and the search for folder and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from controller.errors import SettingsError
from controller.folder import CampaignFolder
from controller.reports.exports import json_text
from controller.settings import Device, Settings

# Without `emoji`, rich replaces words such as :smile: in a title.
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(highlight=False, soft_wrap=True, emoji=False, stderr=True)

CampaignArgument = Annotated[
    Path | None, typer.Argument(metavar="[CAMPAIGN]", help="Campaign folder; may be left out where there is only one.")
]
CampaignOption = Annotated[Path | None, typer.Option("--campaign", "-C", help="The campaign folder, as a flag.")]
ExperimentArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="[CAMPAIGN] NUMBER", help="Number of the experiment, 0 is the baseline; before it the campaign."
    ),
]
LabOption = Annotated[Path | None, typer.Option("--lab", help="Lab to use instead of the campaign folder's own.")]
WordsArgument = Annotated[
    list[str],
    typer.Argument(metavar="[CAMPAIGN] WORDS", help="What to say, in quotation marks; before it the campaign."),
]
SettingsOption = Annotated[Path | None, typer.Option("--settings", help="YAML file to use from now on.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="One setting, such as budget.experiments=20.")]
SandboxOption = Annotated[str | None, typer.Option("--sandbox", help="bubblewrap, or none: scores marked unsealed.")]
ExecutorOption = Annotated[str | None, typer.Option("--executor", help="local or kubernetes.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def print_json(facts: object) -> None:
    """Print facts as coloured JSON; plain where the output is no terminal."""
    out.print(JSONHighlighter()(Text(json_text(facts))))


def name_once(named: Path | None, flagged: Path | None) -> Path | None:
    """The campaign folder, given by position or by flag. Raises SettingsError if the two differ."""
    if named and flagged and named != flagged:
        raise SettingsError(f"the campaign is named twice, {named} and --campaign {flagged}: name it once")
    return named or flagged


def choose_settings(
    folder: CampaignFolder,
    given: Path | None,
    overrides: list[str] | None,
    *,
    executor: str | None = None,
    sandbox: str | None = None,
    begun: bool = False,
) -> Settings:
    """The campaign's settings, with the flags of the command on top. begun: the lab has its programs already."""
    flags = [f"executor.kind={executor}"] if executor else []
    flags += [f"executor.sandbox={sandbox}"] if sandbox else []
    return folder.choose_settings(given, [*(overrides or []), *flags], here=device_here, begun=begun)


def device_here() -> Device:
    """The device of this machine. Few commands ask, so that the others start without looking."""
    from controller.run.wiring import device_here as look

    return look()
