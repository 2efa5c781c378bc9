"""Finds the campaign, reads its lab and prints code safely, for the commands that only read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from controller.cli.shared import device_here
from controller.domain import BASELINE, Experiment
from controller.errors import LabError, SettingsError
from controller.folder import CampaignFolder, find
from controller.lab import Lab
from controller.notices import Activity, current_activity
from controller.settings import Settings, home_of_campaigns
from controller.settings.file import load_settings
from controller.text.safe_text import visible_code


def read_campaign(campaign: Path | None, lab_path: Path | None) -> tuple[CampaignFolder, Settings, list[Experiment]]:
    """Folder, settings and experiments for a command that only reads."""
    folder = CampaignFolder(find(campaign, preferred=home_of_campaigns(), here=Path()), lab_override=lab_path)
    settings = load_settings(folder.known_settings, here=device_here)
    lab = Lab.open(folder.lab)
    experiments = lab.experiments(settings.tag)
    if not experiments and (others := sorted(lab.tags())):
        raise LabError(
            f"the lab {folder.lab} has no campaign {settings.tag}, which {folder.settings} names by its tag, but "
            f"{', '.join(others)}: mend the tag there"
        )
    if not experiments:
        raise LabError(f"the lab {folder.lab} has no campaign {settings.tag}: start it with `autoresearch run`")
    return folder, settings, experiments


def split_experiment(wanted: list[str]) -> tuple[Path | None, int]:
    """Campaign folder, if one is named, and number. Raises SettingsError for anything but `[CAMPAIGN] NUMBER`."""
    *before, number = wanted
    if len(before) > 1 or not (number.isascii() and number.isdecimal()):
        raise SettingsError(f"{' '.join(wanted)!r} names no experiment: give its number, with the campaign before it")
    return (Path(before[0]) if before else None), int(number)


def split_words(wanted: list[str]) -> tuple[Path | None, str]:
    """Campaign folder, if one is named, and what is to be told. Raises SettingsError for anything else."""
    *before, words = wanted
    if len(before) > 1 or (before and not os.path.exists(before[0])):
        raise SettingsError(
            f"{before[0]!r} is no campaign's folder: put what you want to say in quotation marks, as in autoresearch "
            'tell "try smaller vocabularies"'
        )
    # Unlike Path.exists, this is false and no error for words that are longer than a file's name may be.
    if not before and os.path.exists(os.path.join(words, "campaign.yaml")):
        raise SettingsError(f'{words} is a campaign: say something to it, as in autoresearch tell {words} "try ..."')
    return (Path(before[0]) if before else None), words


def pick_experiment(experiments: list[Experiment], number: int) -> Experiment:
    """The experiment of this number. Raises LabError if there is none."""
    found = next((e for e in experiments if e.number == number), None)
    if found is None:
        last = experiments[-1].number
        raise LabError(
            f"no experiment {number}: this campaign has {BASELINE} to {last} (`autoresearch log` lists them)"
        )
    return found


def read_activity(folder: CampaignFolder, tag: str) -> Activity:
    """The campaign's activity, read from what the process that runs it wrote."""
    lab = Lab.open(folder.lab)
    return current_activity(tag, lab.read_activity(), holder=lab.find_holder())


def sum_call_dollars(folder: CampaignFolder, tag: str) -> float:
    """Dollars of the campaign's model calls."""
    from controller.costs.model_calls import sum_calls
    from controller.lab.booked_calls import read_calls

    return sum_calls(read_calls(Lab.open(folder.lab), tag)).dollars


def print_code(text: str) -> None:
    """Print a program or a patch as it is into a file or a pipe, and on a terminal without what that would obey."""
    # Of a text, but not of bytes, this function takes away what looks like a colour.
    typer.echo(visible_code(text) if sys.stdout.isatty() else text.encode(), nl=False)
