"""The command `simulate`: measures judging policies in simulated campaigns, and prints the table."""

from __future__ import annotations

from typing import Annotated

import typer

from controller.cli.shared import JsonOption, print_json


def simulate(
    worlds: Annotated[list[str] | None, typer.Option("--world", help="World, may be repeated.")] = None,
    policies: Annotated[list[str] | None, typer.Option("--policy", help="Policy, may be repeated.")] = None,
    slots: Annotated[list[int] | None, typer.Option("--slots", min=1, help="Slots, may be repeated.")] = None,
    runs: Annotated[
        list[int] | None, typer.Option("--runs", min=1, help="Runs of a campaign, may be repeated.")
    ] = None,
    campaigns: Annotated[int, typer.Option("--campaigns", min=2, help="Campaigns for each line.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another one draws other worlds.")] = 0,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the judge, judge.KEY=VALUE.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate campaigns with the real planner and judge, and tell what each policy truly gains."""
    from controller.simulation.study import Reading, choose_cases
    from controller.simulation.study import simulate as simulate_case
    from controller.simulation.table import header, record, row

    cases = choose_cases(
        worlds=worlds or ["early", "plateau"],
        policies=policies or ["greedy", "ledger"],
        slots=slots or [1],
        runs=runs or [300],
        overrides=overrides or [],
    )
    if not as_json:
        typer.echo(header())
    records, firsts = [], dict[tuple[str, int], list[list[Reading]]]()
    for case in cases:
        measured = simulate_case(case, campaigns=campaigns, seed=seed)
        before = firsts.setdefault((case.world, case.slots), measured)
        for place, (length, readings) in enumerate(zip(case.runs, measured, strict=True)):
            first = None if before is measured else before[place]
            if as_json:
                records.append(record(case, length, readings, first))
            else:
                typer.echo(row(case, length, readings, first))
    if as_json:
        print_json(records)
