"""The command line: reads settings and flags, runs a campaign, or tells what its lab says.

Results go to stdout, progress to stderr. Bad input is one sentence and exit code 2; a traceback is a bug.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.syntax import Syntax
from rich.text import Text
from typer.exceptions import TyperException

from controller import __version__
from controller.cli import study_commands
from controller.cli.mcp_command import mcp
from controller.cli.reading import (
    pick_experiment,
    print_code,
    read_activity,
    read_campaign,
    split_experiment,
    split_words,
    sum_call_dollars,
)
from controller.cli.shared import (
    CampaignArgument,
    CampaignOption,
    ExecutorOption,
    ExperimentArgument,
    JsonOption,
    LabOption,
    SandboxOption,
    SetOption,
    SettingsOption,
    WordsArgument,
    choose_settings,
    err,
    name_once,
    out,
    print_json,
)
from controller.cli.simulate import simulate
from controller.cli.streams import write_what_can_be_written
from controller.cli.system_errors import explain_system_error
from controller.cli.task_commands import doctor, new
from controller.costs.slots import SlotPrices
from controller.domain import find_undone
from controller.errors import AutoresearchError
from controller.folder import CampaignFolder, find, read_manifest
from controller.lab import Lab
from controller.notices import Doing
from controller.reports import text
from controller.reports.activity import activity_details
from controller.reports.exports import experiment_facts, results_tsv, wide_tsv
from controller.reports.terminal import draw_yields, experiment_blocks, experiments_table
from controller.settings import home_of_campaigns
from controller.settings.complaints import in_plain_words
from controller.text.safe_text import PARAGRAPHS, one_line, safe_text, visible_code
from controller.text.shell_words import shell_word

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Unattended machine-learning research whose scores cannot be forged.",
)
WORDLESS = ("perturb", "replay")
"""Agents that read nothing of what is told."""

SHOWN_LOG_LINES = 60
"""Lines of a training's log that `show` prints: what ended it is in the last ones."""

FIRST_COMMANDS = """\
Unattended machine-learning research whose scores cannot be forged. The commands that matter first:

  autoresearch run demo       start the campaign in the folder demo, or go on with it; Ctrl-C stops it cleanly
  autoresearch status demo    what it does now, what was kept and what it cost
  autoresearch log demo       every experiment with its verdict
  autoresearch show demo 3    one experiment: idea, diff, attempts, exam, verdict, end of the log
  autoresearch report demo    write the chart and a report to paste into a discussion

The name may be left out where there is one campaign. All commands: autoresearch --help"""


def main() -> None:
    """Run the command line; the one place where errors, ours and the parser's, become a sentence and an exit code."""
    write_what_can_be_written()
    try:
        os.getcwd()
    except FileNotFoundError:
        _fail("the current folder is not there any more: change to one that is")
    try:
        code = app(standalone_mode=False)
    except AutoresearchError as error:
        # A sentence may quote a file name, a flag or an answer of a server.
        err.print(f"autoresearch: {one_line(str(error), PARAGRAPHS)}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        usage = f"{context.command_path if context else 'autoresearch'} --help tells what can be given"
        said = in_plain_words(" ".join(safe_text(error.format_message()).split()).rstrip("."))
        err.print(f"autoresearch: {said}: {usage}", markup=False)
        sys.exit(2)
    except OSError as error:
        sentence = explain_system_error(error)
        if not sentence:
            raise
        _fail(sentence)
    sys.exit(code)


def _fail(sentence: str) -> NoReturn:
    err.print(f"autoresearch: {sentence}", markup=False, soft_wrap=True)
    sys.exit(AutoresearchError.exit_code)


@app.callback(invoke_without_command=True)
def _without_command(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        out.print(f"autoresearch {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        err.print(FIRST_COMMANDS, markup=False)
        raise typer.Exit(2)


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
    from controller.run.campaign import run_campaign

    folder = CampaignFolder(find(campaign, preferred=home_of_campaigns(), here=Path()), lab_override=lab_path)
    settings = choose_settings(folder, settings_file, overrides, executor=executor, sandbox=sandbox)
    ended = run_campaign(folder, settings, out=out, err=err)
    raise typer.Exit(3 if ended.failed else 0)


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
    from controller.run.prepare import prepare_data

    folder = CampaignFolder(find(campaign, preferred=home_of_campaigns(), here=Path()))
    settings = choose_settings(folder, settings_file, overrides, executor=executor)
    prepare_data(folder, settings, say=lambda line: err.print(line, markup=False), check=check)
    if settings.executor.kind == "local":
        out.print(f"  data    {text.data_line(read_manifest(folder.data))}", markup=False)


@app.command()
def status(
    named: CampaignArgument = None,
    campaign: CampaignOption = None,
    lab_path: LabOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say in a few lines where the campaign stands."""
    folder, settings, experiments = read_campaign(name_once(named, campaign), lab_path)
    from controller.reports.summary import summary
    from controller.reports.yields import tabulate_yields

    now, activity = time.time(), read_activity(folder, settings.tag)
    lab = Lab.open(folder.lab)
    facts = summary(
        experiments,
        settings,
        activity=activity,
        now=now,
        dollars=sum_call_dollars(folder, settings.tag),
        remarks=lab.remarks(settings.tag),
        studies=lab.studies(settings.tag),
    )
    if as_json:
        print_json(facts.as_dict())
        return
    for line in activity_details(activity, now=now):
        out.print(line, markup=False)
    for line in (facts.sentence(), *facts.claim, facts.costs(), facts.luck(), facts.reserve()):
        if line:
            out.print(line, markup=False)
    for table in tabulate_yields(facts):
        out.print(draw_yields(table))
    for remark in lab.waiting_remarks(settings.tag):
        out.print(f"you said and nobody has read yet: {one_line(remark.text)}", markup=False)
    further = f"pid {activity.pid}" if activity.alive else f"go on with: {folder.run_command}"
    if settings.server.enabled and activity.doing is Doing.ENDED:
        further = "a larger budget goes on from here"
    out.print(f"lab {shell_word(folder.lab)} · {further}", markup=False)


@app.command()
def log(
    named: CampaignArgument = None,
    campaign: CampaignOption = None,
    lab_path: LabOption = None,
    wide: Annotated[bool, typer.Option("--wide", help="Whole titles, and what an answer costs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List every experiment with its verdict, score, expected gain and cost, and what you told the agent."""
    folder, settings, experiments = read_campaign(name_once(named, campaign), lab_path)
    metric, prices = settings.task.metric, SlotPrices.of(settings)
    if as_json:
        undone = find_undone(experiments)
        print_json([experiment_facts(e, prices, undone) for e in experiments])
        return
    from controller.reports.summary import noise_of

    noise = noise_of(experiments, settings)
    # A pipe has no width: whoever searches the lines wants them whole.
    width = out.width if out.is_terminal and not wide else None
    remarks = Lab.open(folder.lab).remarks(settings.tag)
    for line in experiments_table(
        experiments, metric=metric, prices=prices, noise=noise, width=width, wide=wide, remarks=remarks
    ):
        out.print(line)


@app.command()
def show(
    wanted: ExperimentArgument,
    campaign: CampaignOption = None,
    lab_path: LabOption = None,
    transcript: Annotated[bool, typer.Option("--transcript", help="Print the agent's conversation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one experiment: hypothesis, diff, attempts, exam report, verdict and why, end of the log."""
    named, number = split_experiment(wanted)
    folder, settings, experiments = read_campaign(name_once(named, campaign), lab_path)
    experiment = pick_experiment(experiments, number)
    lab = Lab.open(folder.lab)
    if transcript:
        conversation = lab.transcript(settings.tag, number)
        out.print(conversation or "no transcript: this agent does not talk", markup=False)
        return
    prices, undone = SlotPrices.of(settings), find_undone(experiments)
    if as_json:
        print_json(experiment_facts(experiment, prices, undone) | {"diff": lab.diff(experiment)})
        return
    for block in experiment_blocks(experiment, undone, metric=settings.task.metric, prices=prices):
        out.print(block)
    if patch := lab.diff(experiment):
        out.print(Syntax(visible_code(patch), "diff", background_color="default"))
    for log in lab.logs(settings.tag, number):
        if log.attempt == len(experiment.attempts):
            lines = log.text.rstrip().split("\n")
            left_out = max(0, len(lines) - SHOWN_LOG_LINES)
            more = f", {left_out} earlier lines left out" if left_out else ""
            out.print(Text.assemble(("end of the training's log", "bold"), f" ({log.name}{more})"))
            out.print("\n".join(lines[left_out:]), markup=False)


@app.command()
def diff(wanted: ExperimentArgument, campaign: CampaignOption = None, lab_path: LabOption = None) -> None:
    """Print an experiment's patch, ready for `git apply`."""
    named, number = split_experiment(wanted)
    folder, _, experiments = read_campaign(name_once(named, campaign), lab_path)
    print_code(Lab.open(folder.lab).diff(pick_experiment(experiments, number)))


@app.command()
def best(named: CampaignArgument = None, campaign: CampaignOption = None, lab_path: LabOption = None) -> None:
    """Print the incumbent's code: the best that was kept."""
    folder, settings, _ = read_campaign(name_once(named, campaign), lab_path)
    lab = Lab.open(folder.lab)
    for path in settings.task.editable:
        print_code(lab.source(lab.incumbent(settings.tag), path))


@app.command()
def tell(wanted: WordsArgument, campaign: CampaignOption = None, lab_path: LabOption = None) -> None:
    """Tell the agent something, while the campaign runs or before it goes on: its next proposals follow it."""
    named, words = split_words(wanted)
    folder, settings, _ = read_campaign(name_once(named, campaign), lab_path)
    lab = Lab.open(folder.lab)
    lab.leave_remark(settings.tag, words, at=time.time())
    if settings.agent.kind in WORDLESS:
        out.print(f"kept for later: the agent {settings.agent.kind} reads no words", markup=False)
    elif read_activity(folder, settings.tag).alive:
        out.print("told: the next proposals follow it", markup=False)
    else:
        out.print(f"told: read when the campaign goes on, with {folder.run_command}", markup=False)


@app.command()
def report(
    named: CampaignArgument = None,
    campaign: CampaignOption = None,
    lab_path: LabOption = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder to write to; empty: the campaign folder.")] = None,
) -> None:
    """Write report.html (the chart) and report.md (to paste into a discussion)."""
    folder, settings, experiments = read_campaign(name_once(named, campaign), lab_path)
    from controller.reports.report import write_reports

    lab = Lab.open(folder.lab)
    dollars = sum_call_dollars(folder, settings.tag)
    written = write_reports(
        experiments,
        settings,
        diff=lab.diff,
        folder=to or folder.path,
        dollars=dollars,
        activity=read_activity(folder, settings.tag),
        remarks=lab.remarks(settings.tag),
        studies=lab.studies(settings.tag),
    )
    for path in written:
        out.print(str(path), markup=False)


@app.command()
def export(
    named: CampaignArgument = None,
    campaign: CampaignOption = None,
    lab_path: LabOption = None,
    wide: Annotated[bool, typer.Option("--wide", help="More columns: strategy, hours, dollars, ...")] = False,
) -> None:
    """Print results.tsv in upstream's five columns; with --wide, columns of our own behind them."""
    _, settings, experiments = read_campaign(name_once(named, campaign), lab_path)
    metric, prices = settings.task.metric, SlotPrices.of(settings)
    table = wide_tsv(experiments, metric=metric, prices=prices) if wide else results_tsv(experiments, metric=metric)
    typer.echo(table, nl=False)


app.command()(mcp)
app.command()(simulate)
app.command()(new)
app.command()(doctor)

study_commands.register(app)

if __name__ == "__main__":
    main()
