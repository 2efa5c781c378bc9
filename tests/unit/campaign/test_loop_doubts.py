"""Kept edits in doubt, on a real lab: what is left out, what is undone, and what a reader finds of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controller.campaign.recorder import Recorder
from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Experiment, Outcome, Proposal, Result, TryRequest, Verdict, find_undone
from controller.judge import make_judge
from controller.lab import Lab
from controller.lab.records import experiment_from_json, experiment_to_json
from controller.lab.writer import LabWriter
from controller.notices import Inseparable, Notice
from controller.ports import Abandoned, ProposalRequest
from controller.reports.terminal import experiment_blocks, row
from tests.support.histories import every_view
from tests.support.scripted import TRAIN, InstantExecutor, NumberAgent, campaign, kept, scored, settings

SIGMA = 0.1


def lucky_first(request: TryRequest) -> Result:
    """Every edit harms, the first one most. That one is lucky in its own runs and by nothing else. Nothing is drawn."""
    if request.id.experiment == BASELINE:
        return scored(2.0 + SIGMA * (request.id.attempt - 2))
    if request.id.experiment == 1:
        return scored(1.85 + SIGMA / 5 * request.id.attempt)
    worse = sum(0.12 if name == "K1" else 0.02 for name in changed(request.files["train.py"]))
    return scored(2.0 + worse + SIGMA / 5 * request.id.attempt)


def changed(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.startswith("K") and not line.endswith("= 0")]


def is_left_out(request: TryRequest) -> bool:
    """True for the program of the baseline as an experiment: the only keep was left out."""
    return request.id.experiment > 1 and not changed(request.files["train.py"])


class Twice(NumberAgent):
    """Changes one line in both of its proposals."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        number = request.number
        text = re.sub(r"^K1 = .*$", f"K1 = {number}", request.files["train.py"], flags=re.MULTILINE)
        return Proposal(base=request.base, files={"train.py": text}, title=f"K1 → {number}", hypothesis="", agent="t")


def play(
    folder: Path,
    outcome: Callable[[TryRequest], Result] = lucky_first,
    *overrides: str,
    observe: Callable[[Notice], None] = lambda _: None,
    agent: NumberAgent | None = None,
) -> InstantExecutor:
    executor = InstantExecutor(outcome)
    chosen = settings("budget.experiments=14", "agent.max_in_flight=1", *overrides)
    campaign(folder, executor, agent=agent or NumberAgent(), chosen=chosen, observe=observe).run()
    return executor


def left_out(folder: Path) -> list[Experiment]:
    return [e for e in Lab.open(folder / "lab.git").experiments("t") if e.doubts is not None]


def test_a_keep_that_was_luck_is_left_out_and_undone_by_a_commit_that_says_so(tmp_path: Path) -> None:
    play(tmp_path)

    lab = Lab.open(tmp_path / "lab.git")
    experiments = lab.experiments("t")
    undone = next(e for e in left_out(tmp_path) if e.judgement and e.judgement.kept_as)
    assert undone.doubts == 1
    assert undone.agent == "judge"
    assert undone.scores, "it was run"
    assert undone.judgement is not None
    message = lab.message(undone.judgement.kept_as)
    assert message.startswith("leave out 1: K1 → 1\n")
    assert f"Undoes: t-1 ({undone.judgement.reason})" in message
    assert "val_bpb" in message
    assert changed(lab.source(lab.incumbent("t"), "train.py")) == []
    assert lab.diff(undone).count("\n-K1 = 1\n") == 1
    assert [e.number for e in kept(experiments)] == [1, undone.number]


def test_log_and_show_tell_in_plain_words_what_was_undone(tmp_path: Path) -> None:
    play(tmp_path)

    undone = next(e for e in left_out(tmp_path) if e.judgement and e.judgement.kept_as)
    assert undone.words == "1 undone"
    assert "1 undone" in row(undone, SIGMA, {}).plain
    assert "leave out 1: K1 → 1" in row(undone, SIGMA, {}).plain
    prices = SlotPrices.of(settings())
    shown = "\n".join(block.plain for block in experiment_blocks(undone, {}, metric="val_bpb", prices=prices))
    assert "1 undone: without 1 the expected gain is +" in shown


def test_every_view_of_a_kept_edit_that_was_undone_says_by_which_experiment(tmp_path: Path) -> None:
    play(tmp_path)

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    by = next(e.number for e in left_out(tmp_path) if e.words == "1 undone")
    assert find_undone(experiments) == {1: by}
    said, views = f"undone by {by}", every_view(experiments, settings())
    rows = {name: lines_with(views[name], "K1 → 1") for name in ("log", "report.md", "export", "export --wide")}
    assert all(said in found[0] and said not in "".join(found[1:]) for found in rows.values()), rows
    assert f"keep, {said}: expected gain" in views["show 1"]
    assert f"<p>keep, {said}: expected gain" in views["/experiments/1"]
    for page in (views["page"], views["report.html"]):
        assert f'<span class="verdict">{said}</span>' in page
        assert f"1 keep, {said}: K1" in page
    told = {facts["number"]: facts["undone_by"] for facts in json.loads(views["log --json"])}
    assert told == {each.number: by if each.number == 1 else None for each in experiments}
    columns = dict(zip(*(line.split("\t") for line in views["export --wide"].splitlines()[::2][:2]), strict=True))
    assert (columns["number"], columns["verdict"], columns["undone_by"]) == ("1", "keep", str(by))


def test_before_it_was_undone_and_after_that_was_taken_back_it_is_a_keep_as_any_other(tmp_path: Path) -> None:
    play(tmp_path)

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    by = experiments[find_undone(experiments)[1]]
    assert find_undone(experiments[: by.number]) == {}
    assert "undone by" not in "".join(every_view(experiments[: by.number], settings()).values())
    restored = replace(by, number=len(experiments), doubts=None, undoes=by.number)
    assert find_undone([*experiments, restored]) == {}


def lines_with(text: str, words: str) -> list[str]:
    return [line for line in text.splitlines() if words in line]


def test_the_setting_and_the_other_policies_leave_nothing_out(tmp_path: Path) -> None:
    for number, override in enumerate(("judge.doubt=never", "judge.policy=confirm", "judge.policy=greedy")):
        folder = tmp_path / str(number)
        folder.mkdir()
        play(folder, lucky_first, override)
        assert left_out(folder) == []


def test_a_controller_that_dies_while_it_doubts_goes_on_with_the_same_experiment(tmp_path: Path) -> None:
    def deadly(request: TryRequest) -> Result:
        if is_left_out(request):
            raise KeyboardInterrupt
        return lucky_first(request)

    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, deadly)
    open_doubts = [e for e in left_out(tmp_path) if e.judgement is None]
    assert len(open_doubts) == 1

    executor = play(tmp_path)

    doubts = left_out(tmp_path)
    again = next(e for e in doubts if e.number == open_doubts[0].number)
    assert again.commit == open_doubts[0].commit
    assert again.judgement is not None
    assert [t.lost != "" for t in again.attempts[0].tries] == [True, False]
    assert executor.adopted[0].experiment == again.number
    assert len({(e.doubts, e.base) for e in doubts}) == len(doubts), "no program is doubted twice"


def test_an_edit_that_a_later_keep_builds_on_is_named_and_never_left_out(tmp_path: Path) -> None:
    def better(request: TryRequest) -> Result:
        return scored(2.0 - request.id.experiment)

    chosen = settings("budget.experiments=2", "judge.policy=greedy", "agent.max_in_flight=1")
    campaign(tmp_path, InstantExecutor(better), agent=Twice(), chosen=chosen).run()
    told: list[Notice] = []
    recorder = Recorder(
        LabWriter.open(tmp_path / "lab.git"),
        chosen,
        judge=make_judge(chosen.judge, minimize=True),
        task_files={"train.py": TRAIN, "program.md": ""},
        clock=lambda: 0.0,
        observe=told.append,
    )
    first, second = kept(list(recorder.campaign_state.experiments.values()))

    recorder.doubt(first.number)
    recorder.doubt(first.number)

    assert told == [Inseparable(first.number, first.title)], "once, however often it is in doubt"
    assert recorder.inseparable == {first.number}
    assert left_out(tmp_path) == []

    recorder.doubt(second.number)

    (without,) = left_out(tmp_path)
    assert without.doubts == second.number
    assert recorder.editable_files(without.commit) == recorder.editable_files(first.commit)


def test_doubts_cost_runs_and_no_experiments_of_the_budget(tmp_path: Path) -> None:
    play(tmp_path)

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    counted = [e for e in experiments if e.number != BASELINE and e.doubts is None and e.attempts]
    assert len(counted) == 14
    assert len(experiments) == 1 + 14 + len(left_out(tmp_path))


def test_a_record_without_the_field_doubts_nothing_and_one_with_it_survives() -> None:
    old = b'{"number": 7, "commit": "c7", "base": "c3", "title": "deeper"}'
    new = replace(experiment_from_json(old), doubts=3)

    assert experiment_from_json(old).doubts is None
    assert experiment_from_json(experiment_to_json(new)) == new


def test_a_crash_without_the_edit_lets_it_stay(tmp_path: Path) -> None:
    def needed(request: TryRequest) -> Result:
        if is_left_out(request):
            return Result(outcome=Outcome.CRASHED, reason="NameError: K1")
        return lucky_first(request)

    play(tmp_path, needed)

    lab = Lab.open(tmp_path / "lab.git")
    doubts = left_out(tmp_path)
    assert [e.judgement.verdict for e in doubts if e.judgement] == [Verdict.CRASH]
    assert "K1" in changed(lab.source(lab.incumbent("t"), "train.py"))


def test_what_an_agent_wants_left_out_is_run_once_with_its_reason(tmp_path: Path) -> None:
    class Doubter(NumberAgent):
        def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
            for experiment in request.experiments[1:]:
                if (
                    request.doubt
                    and experiment.doubts is None
                    and experiment.judgement
                    and experiment.judgement.kept_as
                ):
                    request.doubt(experiment.number, "it looks\nlucky")
            return super().propose(request)

    def gains(request: TryRequest) -> Result:
        noise = SIGMA * (request.id.attempt - 2) if request.id.experiment == BASELINE else 0.0
        return scored(2.0 - ("K1 = 1\n" in request.files["train.py"]) + noise)

    play(tmp_path, gains, "budget.experiments=8", agent=Doubter())

    (doubt,) = left_out(tmp_path)
    assert doubt.doubts == 1
    assert doubt.hypothesis == "The agent asks what 1 is worth by now: it looks lucky"
    assert doubt.words == "1 stays"


def test_no_agent_can_have_anything_left_out_where_the_judge_does_not_doubt(tmp_path: Path) -> None:
    for number, override in enumerate(("judge.doubt=never", "judge.policy=greedy")):
        agent = NumberAgent()
        (tmp_path / str(number)).mkdir()
        play(tmp_path / str(number), lucky_first, override, "budget.experiments=1", agent=agent)
        assert agent.asked[0].doubt is None
