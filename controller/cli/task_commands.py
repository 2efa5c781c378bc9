"""The commands about a task: `new` writes one, `doctor` looks at one before anything is spent."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.shared import ExecutorOption, SetOption, SettingsOption, choose_settings, err, out
from controller.folder import CampaignFolder, find
from controller.folder.new_task import TaskKind, write_task
from controller.settings import home_of_campaigns
from controller.text.safe_text import safe_text
from controller.text.shell_words import shell_word


def new(
    folder: Annotated[Path, typer.Argument(help="Folder of the new task; made, or empty.")],
    kind: Annotated[TaskKind, typer.Option("--kind", help="What the task is about.")] = TaskKind.SEARCH,
) -> None:
    """Write a small task that runs as it is: settings, brief, program, examiner, data. Change it into your own."""
    files = write_task(folder, kind)
    campaign, settings = shell_word(folder / "campaign"), shell_word(folder / "settings.yaml")
    out.print(f"{folder}: {', '.join(files)}", markup=False)
    out.print(f"next  autoresearch doctor {campaign} --settings {settings}", markup=False)
    out.print(f"      autoresearch run {campaign} --settings {settings}", markup=False)


def doctor(
    campaign: Annotated[Path | None, typer.Argument(help="Campaign folder, also one that is new.")] = None,
    settings_file: SettingsOption = None,
    executor: ExecutorOption = None,
    overrides: SetOption = None,
    exam: Annotated[bool, typer.Option("--exam", help="Try honest code and known cheats against the exam.")] = False,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Longest of its short trainings.")] = 15.0,
) -> None:
    """Look at everything before anything is spent: sandbox, data, a short run, seeds, agent, disk, machine."""
    from controller.cli.doctor.checkup import check_up
    from controller.cli.doctor.exam import hold_exam
    from controller.cli.doctor.findings import is_fit, table
    from controller.run.signals import clearing_away_on_signals

    folder = CampaignFolder(find(campaign, preferred=home_of_campaigns(), here=Path()))
    settings = choose_settings(folder, settings_file, overrides, executor=executor)
    found = []
    looks = (hold_exam if exam else check_up)(folder, settings, seconds=seconds)
    with clearing_away_on_signals(), closing(looks):
        for finding in looks:
            err.print(f"  {finding.subject} ...", markup=False)
            found.append(finding)
    for line in table(found):
        out.print(safe_text(line), markup=False)
    fit = is_fit(found)
    wrong = "the exam does not hold" if exam else "the campaign would not get anywhere: mend what is BAD"
    out.print("fit" if fit else f"not fit: {wrong}", markup=False)
    raise typer.Exit(0 if fit else 2)
