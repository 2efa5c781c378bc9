"""Every view of a campaign at every moment of its history: none raises, none shows what is no number."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from controller.cli.commands import app
from controller.domain import BASELINE, Experiment, Outcome, Result, TryRequest, Verdict
from controller.executor.log_score import ScoreRule, read_log_score, read_summary
from controller.settings.file import dump_settings
from tests.support.histories import as_recorded, check, every_view, experiment, failed, histories, prefixes, result
from tests.support.scripted import InstantExecutor, campaign, scored
from tests.support.scripted import settings as campaign_settings

CHOSEN = {
    policy: campaign_settings(f"judge.policy={policy}", f"task.direction={direction}")
    for policy, direction in (("ledger", "minimize"), ("confirm", "maximize"), ("greedy", "minimize"))
}


@settings(max_examples=25, deadline=None)
@given(histories(), st.sampled_from(sorted(CHOSEN)))
def test_every_view_at_every_moment_of_any_history(history: list[Experiment], chosen: str) -> None:
    for known in prefixes(history):
        check(every_view(known, CHOSEN[chosen]))


def baseline(*scores: float) -> Experiment:
    return experiment(BASELINE, [result(score) for score in scores], Verdict.KEEP, None)


def discarded(number: int, *scores: float) -> Experiment:
    return experiment(number, [result(score) for score in scores], Verdict.DISCARD, -1.0)


CRASHED = [experiment(n, [failed(Outcome.CRASHED)], Verdict.CRASH, None) for n in range(1, 6)]
REJECTED = [experiment(n, [failed(Outcome.REJECTED)], Verdict.REJECT, None) for n in range(1, 6)]


@pytest.mark.parametrize("chosen", sorted(CHOSEN))
@pytest.mark.parametrize(
    "history",
    [
        pytest.param([baseline(1.9, 1.9, 1.9), *CRASHED], id="all crashed"),
        pytest.param([baseline(1.9, 1.8, 1.9), *REJECTED], id="only rejected"),
        pytest.param([baseline(2.0, 1.0, 1.5)], id="two far apart"),
        pytest.param([baseline(0.0, 0.0, 0.0), discarded(1, 1e-12), discarded(2, 0.0)], id="zero baseline"),
        pytest.param([baseline(0.0, 1e-12, -1e-12), discarded(1, 1e-10)], id="tiny around zero"),
        pytest.param([baseline(1e-12, 1.1e-12, 1.2e-12), discarded(1, 5e-12)], id="tiny"),
        pytest.param([baseline(5e-324, 1e-323, 5e-324), discarded(1, 1.0)], id="smallest double"),
        pytest.param([baseline(1e100, -1e100, 1e100), discarded(1, 1.0)], id="largest"),
        pytest.param([baseline(2.1, 2.0, 1.9), discarded(1, -1e300, -1e299)], id="recorded by an earlier version"),
        pytest.param([baseline(2.1, 2.0, 1.9), discarded(1, 1e9)], id="one disaster"),
        pytest.param([baseline(-273.0, -273.0, -273.0), discarded(1, -268.6)], id="negative and exact"),
        pytest.param([baseline(147734, 147834, 147634), discarded(1, 98583)], id="whole numbers"),
    ],
)
def test_histories_that_have_gone_wrong_before(history: list[Experiment], chosen: str) -> None:
    for known in prefixes(as_recorded(history)):
        check(every_view(known, CHOSEN[chosen]))


PRINTED = {
    1: "val_bpb: nan",
    2: "val_bpb: 1e400",
    3: "val_bpb: -1e300",
    4: "val_bpb: 1.5",
    5: "Traceback (most recent call last)\nMemoryError",
    6: "val_bpb: 1e-12",
    7: "val_bpb: 1e9",
}
"""The last words of experiments of a recorded campaign; all others improve a little."""


def trained(request: TryRequest) -> Result:
    """The outcome of a log-scored task, read as the executors read it."""
    number = request.id.experiment
    log = "---\n" + PRINTED.get(number, f"val_bpb: {2 - number / 100 + request.seed % 100 / 1e4}")
    score = read_log_score(log, ScoreRule(metric="val_bpb")).value
    if score is None:
        # The reason that the executors give quotes the program, which may well have printed "nan".
        return Result(outcome=Outcome.CRASHED, reason="printed no score", seconds=4.0, log_tail="")
    return scored(score, summary=read_summary(log), log_tail=log)


COMMANDS = (
    *(["status"], ["status", "--json"], ["log"], ["log", "--wide"], ["log", "--json"], ["export"]),
    *(["export", "--wide"], ["show", "LAST"], ["show", "LAST", "--json"], ["report"], ["best"], ["diff", "LAST"]),
)


@pytest.mark.parametrize("policy", sorted(CHOSEN))
def test_every_command_at_every_turn_of_a_recorded_campaign(tmp_path: Path, policy: str) -> None:
    chosen = campaign_settings(f"judge.policy={policy}", "budget.experiments=9")
    (tmp_path / "campaign.yaml").write_text(dump_settings(chosen))
    recorded: list[tuple[Experiment, ...]] = []
    shown: dict[str, str] = {}

    def turned() -> None:
        known = tuple(ran.campaign_state.experiments.values())
        if recorded and recorded[-1] == known:
            return
        recorded.append(known)
        # Two of the commands at each turn, in turn: all of them would take a minute.
        for words in (COMMANDS[len(recorded) % len(COMMANDS)], COMMANDS[(len(recorded) + 5) % len(COMMANDS)]):
            command = [word.replace("LAST", str(known[-1].number)) for word in words]
            done = CliRunner().invoke(app, [*command, "-C", str(tmp_path)], catch_exceptions=False)
            assert done.exit_code == 0, done.output
            shown[f"{' '.join(command)}, turn {len(recorded)}"] = done.output

    ran = campaign(tmp_path, InstantExecutor(trained), chosen=chosen, turned=turned)
    ran.run()

    assert len(recorded) > 30
    check(shown)
    for known in recorded:
        check(every_view(known, chosen))


@pytest.mark.slow
def test_ten_thousand_experiments() -> None:
    runs = [baseline(2.01, 2.0, 1.99)]
    for number in range(1, 10_001):
        kept = number % 50 == 0
        value = 2.0 - number / 1e4 + (0 if kept else 0.01)
        runs.append(experiment(number, [result(value)], Verdict.KEEP if kept else Verdict.DISCARD, 1.0 if kept else -1))

    for moment in (1, 301, 10_001):
        views = every_view(runs[:moment], CHOSEN["ledger"])
        check(views)
        assert len(views["log"].splitlines()) == moment + 1
