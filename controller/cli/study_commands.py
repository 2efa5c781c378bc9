"""The commands that run studies: flags in, a plan to `controller.run.study`, the answer out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.cli.reading import split_experiment
from controller.cli.shared import CampaignArgument, ExperimentArgument, err, out, print_json
from controller.cli.study_flags import StudyFlags, with_study_flags
from controller.costs.slots import SlotPrices
from controller.domain import BASELINE
from controller.errors import SettingsError
from controller.folder import CampaignFolder
from controller.lab import Lab
from controller.settings import Settings
from controller.studies.study import StudyRecord

ValidationOption = Annotated[
    bool, typer.Option("--validation", help="Compare by the campaign's own score instead of the holdout.")
]
SidesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CAMPAIGN] [A B]",
        help="Campaign folder; two programs: head, baseline, an experiment's number, or a commit.",
    ),
]


def _seeds(default: str) -> Any:
    """The flag `--seeds` of a study that runs each program so often by default."""
    return typer.Option("--seeds", min=1, help=f"Runs of each program, each with a seed of its own; empty: {default}.")


def claim(
    flags: StudyFlags,
    wanted: SidesArgument = None,
    seeds: Annotated[int | None, _seeds("13, which find a gain of 2 sigma in 9 of 10 claims")] = None,
    validation: ValidationOption = False,
) -> None:
    """Say if one program is better than another, by runs of its own on the holdout; the head against the baseline."""
    from controller.cli.studies import FIRST, HEAD, claim_planner
    from controller.run.study import run_study
    from controller.studies.wording import claim_plan_lines

    named, sides = _split_sides(wanted or [])
    folder, settings = flags.open(named)
    if not sides and _is_unchanged(folder, settings):
        out.print("nothing was kept, so there is nothing to claim: the head is the unchanged code", markup=False)
        return
    one, other = sides or (HEAD, FIRST)
    make_plan = claim_planner(one, other, seeds=seeds, validation=validation)
    record = run_study(folder, settings, make_plan, claim_plan_lines, again=flags.again, err=err)
    _print_claim(folder, record, settings, as_json=flags.as_json)


def _is_unchanged(folder: CampaignFolder, settings: Settings) -> bool:
    """True for an ended campaign that has found nothing, which is no mistake of the person who asks."""
    lab = Lab.open(folder.lab)
    experiments = lab.experiments(settings.tag)
    return bool(experiments) and lab.incumbent(settings.tag) == experiments[BASELINE].commit


def rerun(
    flags: StudyFlags,
    wanted: ExperimentArgument,
    seeds: Annotated[int | None, _seeds("3")] = None,
) -> None:
    """Run an experiment again with fresh seeds, and tell what it scores beside what it scored."""
    from controller.cli.studies import rerun_planner
    from controller.run.study import run_study
    from controller.studies.facts import study_facts
    from controller.studies.study_tables import plan_lines, rerun_lines

    named, number = split_experiment(wanted)
    folder, settings = flags.open(named)
    record = run_study(folder, settings, rerun_planner(number, seeds=seeds), plan_lines, again=flags.again, err=err)
    known = next((e for e in Lab.open(folder.lab).experiments(settings.tag) if e.number == number), None)
    task, prices = settings.task, SlotPrices.of(settings)
    _print_answer(
        record,
        lines=lambda: rerun_lines(record, task, prices, known),
        facts=lambda: study_facts(record, task, prices),
        as_json=flags.as_json,
    )


def aa(
    flags: StudyFlags,
    named: CampaignArgument = None,
    seeds: Annotated[int | None, _seeds("15, and at least twice judge.baseline_runs")] = None,
) -> None:
    """Run the unchanged code against itself: what this campaign's judge keeps where there is nothing to find."""
    from controller.cli.studies import aa_planner
    from controller.judge import make_judge
    from controller.run.study import run_study
    from controller.studies.facts import study_facts
    from controller.studies.study_tables import aa_lines, plan_lines

    folder, settings = flags.open(named)
    record = run_study(folder, settings, aa_planner(seeds=seeds), plan_lines, again=flags.again, err=err)
    judge = make_judge(settings.judge, minimize=settings.task.direction == "minimize")
    experiments = Lab.open(folder.lab).experiments(settings.tag)
    task, prices = settings.task, SlotPrices.of(settings)
    _print_answer(
        record,
        lines=lambda: aa_lines(record, task, prices, experiments, judge=judge, judging=settings.judge),
        facts=lambda: study_facts(record, task, prices),
        as_json=flags.as_json,
    )


def ablate(
    flags: StudyFlags,
    named: CampaignArgument = None,
    seeds: Annotated[int | None, _seeds("3, and the head more often")] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Propose a head without what is worth nothing, on a branch, and claim it.")
    ] = False,
    claim_seeds: Annotated[
        int | None,
        typer.Option("--claim-seeds", min=1, help="The same for the claim of --prune; empty: 13."),
    ] = None,
    validation: ValidationOption = False,
) -> None:
    """Leave each kept edit out of the head, and tell what each is still worth."""
    from controller.cli.studies import ablation_planner, is_pruning_open, prune_planner
    from controller.run.study import run_study
    from controller.studies.ablation import choose_pruned, weigh_edits
    from controller.studies.facts import ablation_facts
    from controller.studies.study_tables import ablation_lines, plan_lines
    from controller.studies.wording import claim_plan_lines, sign_of

    folder, settings = flags.open(named)
    again = flags.again
    if prune and again:
        again = not is_pruning_open(folder, settings, seeds=seeds, claim_seeds=claim_seeds, validation=validation)
    record = run_study(folder, settings, ablation_planner(seeds=seeds), plan_lines, again=again, err=err)
    experiments = Lab.open(folder.lab).experiments(settings.tag)
    task, prices = settings.task, SlotPrices.of(settings)
    _print_answer(
        record,
        lines=lambda: ablation_lines(record, task, prices, experiments),
        facts=lambda: ablation_facts(record, task, prices),
        as_json=flags.as_json,
    )
    leaves = choose_pruned(weigh_edits(record, sign=sign_of(task)))
    if prune and not leaves:
        err.print("  nothing to prune: the head stays as it is", markup=False)
    elif prune:
        make_plan = prune_planner(record, seeds=claim_seeds, validation=validation)
        claimed = run_study(folder, settings, make_plan, claim_plan_lines, again=False, err=err)
        _print_claim(folder, claimed, settings, as_json=flags.as_json)


def portability(
    flags: StudyFlags,
    named: CampaignArgument = None,
    places: Annotated[
        list[str] | None,
        typer.Option("--place", help="A place, NAME:KEY=VALUE;KEY=VALUE with the settings that differ there."),
    ] = None,
    pools: Annotated[list[str] | None, typer.Option("--pool", help="A node pool, by --pool-label.")] = None,
    pool_label: Annotated[
        str, typer.Option("--pool-label", help="Label of nodes that tells their pool.")
    ] = "cloud.google.com/gke-nodepool",
    presets: Annotated[
        list[str] | None, typer.Option("--preset", help="A preset of the task, with its data in the folder data-NAME.")
    ] = None,
    seeds: Annotated[int | None, _seeds("13 at each place")] = None,
    validation: ValidationOption = False,
) -> None:
    """Compare head and baseline on each node pool, preset or other place: does the gain hold there?"""
    from controller.cli.studies import (
        place_of_pool,
        place_of_preset,
        portability_planner,
        require_different_places,
        require_places,
    )
    from controller.run.study import run_study
    from controller.studies.facts import portability_facts
    from controller.studies.portability import read_place
    from controller.studies.study_tables import plan_lines, portability_lines

    named_places = [read_place(place) for place in places or []]
    names = [*(place.name for place in named_places), *(pools or []), *(presets or [])]
    if len(set(names)) < max(2, len(names)):
        raise SettingsError(
            "portability compares at least two places, each with a name of its own: give --pool, --preset or --place "
            "twice"
        )
    folder, settings = flags.open(named)
    named_places += [place_of_pool(pool, settings, label=pool_label) for pool in pools or []]
    named_places += [place_of_preset(preset, settings) for preset in presets or []]
    require_places(folder, settings, pools or [], presets or [])
    require_different_places(folder, named_places)

    def at_place(text: str) -> tuple[CampaignFolder, Settings]:
        place = read_place(text)
        own = folder.path / f"data-{place.name}"
        there = replace(folder, data_override=own) if own.exists() else folder
        return there, flags.settings_of(folder, place.overrides)

    make_plan = portability_planner(named_places, seeds=seeds, validation=validation)
    record = run_study(folder, settings, make_plan, plan_lines, again=flags.again, err=err, at_place=at_place)
    task, prices = settings.task, SlotPrices.of(settings)
    _print_answer(
        record,
        lines=lambda: portability_lines(record, task, prices),
        facts=lambda: portability_facts(record, task, prices),
        as_json=flags.as_json,
    )


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (claim, ablate, rerun, aa, portability):
        app.command()(with_study_flags(command))


def _print_claim(folder: CampaignFolder, record: StudyRecord, settings: Settings, *, as_json: bool) -> None:
    """Print the answer of a claim, and how many there were."""
    from controller.studies.facts import claim_facts
    from controller.studies.wording import claim_lines

    studies = Lab.open(folder.lab).studies(settings.tag)
    task, prices = settings.task, SlotPrices.of(settings)
    _print_answer(
        record,
        lines=lambda: claim_lines(record, task, prices, studies),
        facts=lambda: claim_facts(record, task, prices, studies),
        as_json=as_json,
    )


def _print_answer(
    record: StudyRecord, *, lines: Callable[[], Sequence[str]], facts: Callable[[], object], as_json: bool
) -> None:
    """Print the answer of a study that has ended; one that has not has none yet."""
    if record.study.ended_at is None:
        raise typer.Exit(3)
    if as_json:
        print_json(facts())
        return
    for line in lines():
        out.print(line, markup=False)


def _split_sides(wanted: list[str]) -> tuple[Path | None, tuple[str, str] | None]:
    """Campaign folder and the two programs, of which both may be left out."""
    match wanted:
        case []:
            return None, None
        case [folder]:
            return Path(folder), None
        case [one, _] if Path(one).is_dir():
            raise SettingsError(
                f"{one} and one program are named: a claim compares two, as in `autoresearch claim DIR 7 3`"
            )
        case [one, other]:
            return None, (one, other)
        case [folder, one, other]:
            return Path(folder), (one, other)
    raise SettingsError(f"{' '.join(wanted)!r} names no claim: give the campaign, and two programs or none")
