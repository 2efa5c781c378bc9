"""The command line: reads settings and flags, runs a campaign, or tells what its lab says.

Results go to stdout, progress to stderr. Bad input is one sentence and exit code 2; a traceback is a bug.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.syntax import Syntax

from controller import __version__, terminal
from controller.domain import BASELINE, Experiment
from controller.errors import AutoresearchError, LabError
from controller.folder import CampaignFolder, find, read_manifest
from controller.lab import Lab
from controller.records import experiment_facts, results_tsv, wide_tsv
from controller.settings import Settings, home_of_campaigns
from controller.settingsfile import load_settings
from controller.tables import experiments_table, yields_table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Unattended machine-learning research whose scores cannot be forged.",
)
out = Console(highlight=False, soft_wrap=True)
err = Console(highlight=False, soft_wrap=True, stderr=True)

CampaignOption = Annotated[
    Path | None, typer.Option("--campaign", "-C", help="Campaign folder; found by itself where there is one.")
]
LabOption = Annotated[Path | None, typer.Option("--lab", help="Lab to use instead of the campaign folder's own.")]
SettingsOption = Annotated[Path | None, typer.Option("--settings", help="YAML file to use from now on.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="One setting, such as budget.experiments=20.")]
SandboxOption = Annotated[str | None, typer.Option("--sandbox", help="bubblewrap, or none: scores marked unsealed.")]
ExecutorOption = Annotated[str | None, typer.Option("--executor", help="local or kubernetes.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
NumberArgument = Annotated[int, typer.Argument(min=0, help="Number of the experiment; 0 is the baseline.")]


def main() -> None:
    """Run the command line; the one place where the project's errors become a sentence and an exit code."""
    try:
        app()
    except AutoresearchError as error:
        err.print(f"autoresearch: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        out.print(f"autoresearch {__version__}")
        raise typer.Exit


@app.command()
def prepare(
    campaign: Annotated[Path | None, typer.Argument(help="Campaign folder.")] = None,
    settings_file: SettingsOption = None,
    executor: ExecutorOption = None,
    overrides: SetOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="On a cluster: read the data again, though they were prepared before.")
    ] = False,
) -> None:
    """Prepare the data: tokenizer, splits, probe sets and the manifest that seals them."""
    from controller.prepare import prepare_data

    folder = CampaignFolder(find(campaign, preferred=home_of_campaigns(), here=Path()))
    settings = _settings(folder, settings_file, overrides, executor=executor)
    prepare_data(folder, settings, say=lambda line: err.print(line, markup=False), check=check)
    if settings.executor.kind == "local":
        out.print(f"  data    {terminal.data_line(read_manifest(folder.data))}")


@app.command()
def run(
    campaign: Annotated[Path | None, typer.Argument(help="Campaign folder, made where there is none.")] = None,
    settings_file: SettingsOption = None,
    executor: ExecutorOption = None,
    sandbox: SandboxOption = None,
    lab_path: LabOption = None,
    overrides: SetOption = None,
) -> None:
    """Run the campaign, or go on with it, until its budget ends. Ctrl-C stops cleanly."""
    from controller.running import run_campaign

    folder = CampaignFolder(find(campaign, preferred=home_of_campaigns(), here=Path()), lab_override=lab_path)
    settings = _settings(folder, settings_file, overrides, executor=executor, sandbox=sandbox)
    ended = run_campaign(folder, settings, out=out, err=err)
    raise typer.Exit(3 if ended.failed else 0)


@app.command()
def status(campaign: CampaignOption = None, lab_path: LabOption = None, as_json: JsonOption = False) -> None:
    """Say in a few lines where the campaign stands."""
    folder, settings, experiments = _read(campaign, lab_path)
    from controller.report import summary

    facts = summary(experiments, settings, now=time.time(), dollars=_dollars(folder, settings))
    trouble = Lab.open(folder.lab).trouble(settings.tag)
    if as_json:
        out.print_json(json.dumps(facts.as_dict() | {"trouble": trouble}))
        return
    if trouble:
        out.print(f"paused: {trouble}", markup=False)
    out.print(f"{facts.sentence()}\n{facts.costs()}", markup=False)
    if facts.strategies:
        out.print(yields_table(facts.strategies))
    out.print(f"lab {folder.lab} · go on with: autoresearch run {folder.path}", markup=False)


@app.command()
def log(campaign: CampaignOption = None, lab_path: LabOption = None, as_json: JsonOption = False) -> None:
    """List every experiment with its verdict, score, expected gain and cost."""
    _, settings, experiments = _read(campaign, lab_path)
    if as_json:
        out.print_json(json.dumps([experiment_facts(e, settings) for e in experiments]))
        return
    out.print(experiments_table(experiments, settings))


@app.command()
def show(
    number: NumberArgument,
    campaign: CampaignOption = None,
    lab_path: LabOption = None,
    transcript: Annotated[bool, typer.Option("--transcript", help="Print the agent's conversation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one experiment: hypothesis, diff, attempts, exam report, verdict and why, end of the log."""
    folder, settings, experiments = _read(campaign, lab_path)
    experiment = _pick(experiments, number)
    lab = Lab.open(folder.lab)
    if transcript:
        text = lab.attachment(settings.tag, f"{number:06d}/transcript.jsonl")
        out.print((text or b"no transcript: this agent does not talk").decode(), markup=False)
        return
    if as_json:
        out.print_json(json.dumps(experiment_facts(experiment, settings) | {"diff": lab.diff(experiment)}))
        return
    for block in terminal.experiment_blocks(experiment, settings):
        out.print(block)
    if patch := lab.diff(experiment):
        out.print(Syntax(patch, "diff", background_color="default"))
    for path, data in lab.attachments(settings.tag, f"{number:06d}"):
        if path.endswith(".log") and path.split("/")[-1].startswith(f"a{len(experiment.attempts)}-"):
            out.print(f"[bold]end of the training's log[/bold] ({path.split('/')[-1]})")
            out.print(data.decode(errors="replace").rstrip(), markup=False)


@app.command()
def diff(number: NumberArgument, campaign: CampaignOption = None, lab_path: LabOption = None) -> None:
    """Print an experiment's patch, ready for `git apply`."""
    folder, _, experiments = _read(campaign, lab_path)
    typer.echo(Lab.open(folder.lab).diff(_pick(experiments, number)), nl=False)


@app.command()
def best(campaign: CampaignOption = None, lab_path: LabOption = None) -> None:
    """Print the incumbent's code: the best that was kept."""
    folder, settings, _ = _read(campaign, lab_path)
    lab = Lab.open(folder.lab)
    for path in settings.task.editable:
        typer.echo(lab.source(lab.incumbent(settings.tag), path), nl=False)


@app.command()
def report(
    campaign: CampaignOption = None,
    lab_path: LabOption = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder to write to; empty: the campaign folder.")] = None,
) -> None:
    """Write report.html (the chart) and report.md (to paste into a discussion)."""
    folder, settings, experiments = _read(campaign, lab_path)
    from controller.report import write_reports

    lab = Lab.open(folder.lab)
    dollars = _dollars(folder, settings)
    for path in write_reports(experiments, settings, diff=lab.diff, folder=to or folder.path, dollars=dollars):
        out.print(str(path), markup=False)


@app.command()
def export(
    campaign: CampaignOption = None,
    lab_path: LabOption = None,
    wide: Annotated[bool, typer.Option("--wide", help="More columns: strategy, hours, dollars, ...")] = False,
) -> None:
    """Print results.tsv in upstream's five columns; with --wide, columns of our own behind them."""
    _, settings, experiments = _read(campaign, lab_path)
    table = wide_tsv(experiments, settings) if wide else results_tsv(experiments, metric=settings.task.metric)
    typer.echo(table, nl=False)


def _settings(
    folder: CampaignFolder,
    given: Path | None,
    overrides: list[str] | None,
    *,
    executor: str | None = None,
    sandbox: str | None = None,
) -> Settings:
    """The campaign's settings, with the flags of the command on top."""
    flags = [f"executor.kind={executor}"] if executor else []
    flags += [f"executor.sandbox={sandbox}"] if sandbox else []
    return folder.choose_settings(given, [*(overrides or []), *flags])


def _read(campaign: Path | None, lab_path: Path | None) -> tuple[CampaignFolder, Settings, list[Experiment]]:
    """Folder, settings and experiments for a command that only reads."""
    folder = CampaignFolder(find(campaign, preferred=home_of_campaigns(), here=Path()), lab_override=lab_path)
    settings = load_settings(folder.known_settings)
    experiments = Lab.open(folder.lab).experiments(settings.tag)
    if not experiments:
        raise LabError(f"the lab {folder.lab} has no campaign {settings.tag}: start it with `autoresearch run`")
    return folder, settings, experiments


def _dollars(folder: CampaignFolder, settings: Settings) -> float:
    """What the campaign's model calls have cost."""
    from controller.booking import read_calls
    from controller.money import total

    return total(read_calls(Lab.open(folder.lab), settings.tag)).dollars


def _pick(experiments: list[Experiment], number: int) -> Experiment:
    found = next((e for e in experiments if e.number == number), None)
    if found is None:
        last = experiments[-1].number
        raise LabError(
            f"no experiment {number}: this campaign has {BASELINE} to {last} (`autoresearch log` lists them)"
        )
    return found


if __name__ == "__main__":
    main()
