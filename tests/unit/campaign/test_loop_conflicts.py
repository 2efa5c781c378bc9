"""Two good edits of one line: the better program stands, and loses nothing else that was kept meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import pytest

from controller.costs.slots import SlotPrices
from controller.domain import Experiment, Outcome, Proposal, Result, TryRequest
from controller.judge import make_judge
from controller.lab import Lab
from controller.notices import Concluded, Notice
from controller.planning.campaign_state import CampaignState
from controller.ports import Abandoned, ProposalRequest
from tests.support.scripted import InstantExecutor, NumberAgent, campaign, kept, scored, settings
from tests.support.waiting import PATIENCE_S

TWO_LINES = ("K1", "K1", "K5")
"""The first two proposals set one constant, the third another one."""

OTHERS = {"K1 → 1", "K5 → 3"}
"""Titles of the two edits beside the second one of K1."""


@dataclass
class Together(NumberAgent):
    """Proposals that are thought of together: each sets the constant that has its place here, to its own number."""

    constants: tuple[str, ...] = ("K1", "K1")

    def __post_init__(self) -> None:
        self.together = Barrier(len(self.constants))

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if request.number > len(self.constants):
            return Abandoned(reason="no more", exhausted=True)
        assert isinstance(answer, Proposal)
        name = self.constants[request.number - 1]
        text = request.files["train.py"].replace(f"{name} = 0", f"{name} = {request.number}")
        self.together.wait(timeout=PATIENCE_S)
        return replace(answer, files={"train.py": text}, title=f"{name} → {request.number}")


@pytest.mark.parametrize(("gains", "best"), [((0.1, 0.5), 2), ((0.5, 0.1), 1)])
def test_of_two_good_edits_of_one_line_the_better_program_stands(
    tmp_path: Path, gains: tuple[float, float], best: int
) -> None:
    def outcome(request: TryRequest) -> Result:
        told = re.search(r"^K1 = (\d)", request.files["train.py"], re.MULTILINE)
        assert told is not None
        gain = (0.0, *gains)[int(told[1])]
        return scored(2.0 - gain + (request.seed % 1000) / 1e5)

    campaign(
        tmp_path,
        InstantExecutor(outcome),
        agent=Together(),
        chosen=settings("executor.slots=2", "budget.experiments=2"),
    ).run()

    lab = Lab.open(tmp_path / "lab.git")
    experiments = lab.experiments("t")
    assert f"K1 = {best}" in lab.source(lab.incumbent("t"), "train.py")
    assert all(e.judgement for e in experiments)
    winners = kept(experiments)
    for replaced, winner in pairwise(winners):
        assert winner.judgement is not None
        assert winner.judgement.replaces == (replaced.number,)
        assert f"Replaces: {replaced.number}" in lab.message(winner.judgement.kept_as)


class Waits(InstantExecutor):
    """Ends the tries of the second edit of K1 once the two others are judged: on a busy machine it might end first."""

    def __init__(self, outcome: Callable[[TryRequest], Result]) -> None:
        super().__init__(outcome)
        self.judged: set[str] = set()
        self._held: list[TryRequest] = []

    def launch(self, request: TryRequest) -> None:
        if "K1 = 2" in request.files["train.py"] and not self.judged >= OTHERS:
            self._held.append(request)
        else:
            super().launch(request)

    def note(self, notice: Notice) -> None:
        if isinstance(notice, Concluded):
            self.judged.add(notice.experiment.title)
            while self.judged >= OTHERS and self._held:
                super().launch(self._held.pop())


def settle_beside_a_third(folder: Path, gains: Mapping[str, float]) -> Lab:
    """The lab after 2, which changes the line of 1, has ended; 3 was kept meanwhile and changes another line."""

    def outcome(request: TryRequest) -> Result:
        text = request.files["train.py"]
        gain = sum(worth for edit, worth in gains.items() if edit in text)
        return scored(2.0 - gain + (request.seed % 1000) / 1e5)

    executor = Waits(outcome)
    chosen = settings("executor.slots=3", "agent.max_in_flight=3", "budget.experiments=3")
    campaign(folder, executor, agent=Together(constants=TWO_LINES), chosen=chosen, observe=executor.note).run()
    return Lab.open(folder / "lab.git")


def experiment_titled(lab: Lab, title: str) -> Experiment:
    """The first experiment with this title: numbers are given in the order of the answers."""
    return next(e for e in lab.experiments("t") if e.title == title)


def test_program_that_wins_a_conflict_keeps_what_was_kept_meanwhile_on_other_lines(tmp_path: Path) -> None:
    lab = settle_beside_a_third(tmp_path, {"K1 = 1": 0.1, "K1 = 2": 0.5, "K5 = 3": 0.2})

    program = lab.source(lab.incumbent("t"), "train.py")
    assert "K1 = 2" in program
    assert "K5 = 3" in program
    replaced, winner, other = (experiment_titled(lab, title) for title in ("K1 → 1", "K1 → 2", "K5 → 3"))
    assert winner.judgement is not None
    message = lab.message(winner.judgement.kept_as)
    assert f"Replaces: {replaced.number}" in message
    assert f"Carries over: {other.number}" in message


def test_edit_is_not_replaced_because_a_third_was_kept_meanwhile(tmp_path: Path) -> None:
    """Its own program, without the third edit, is worse than the incumbent; with it, it is better."""
    lab = settle_beside_a_third(tmp_path, {"K1 = 1": 0.1, "K1 = 2": 0.3, "K5 = 3": 0.6})

    program = lab.source(lab.incumbent("t"), "train.py")
    assert "K1 = 2" in program
    assert "K5 = 3" in program
    assert not [e for e in lab.experiments("t") if e.retry_of], "settled without another experiment"


def test_edit_that_was_carried_over_can_be_left_out_by_itself(tmp_path: Path) -> None:
    lab = settle_beside_a_third(tmp_path, {"K1 = 1": 0.1, "K1 = 2": 0.5, "K5 = 3": 0.2})
    chosen = settings()

    state = CampaignState(make_judge(chosen.judge, minimize=True), lab.experiments("t"), SlotPrices.of(chosen))

    winner, other = (experiment_titled(lab, title) for title in ("K1 → 2", "K5 → 3"))
    assert state.edits_left(lab.incumbent("t")) == {winner.number, other.number}
    step, before, after = state.steps_to(lab.incumbent("t"))[0]
    assert step.number == other.number
    assert "K5 = 0" in lab.source(before, "train.py")
    assert "K5 = 3" in lab.source(after, "train.py")


@dataclass
class GoesOn(Together):
    """After the three proposals that are thought of together, it sets other constants, one at a time."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        if request.number <= 3:
            return super().propose(request)
        return NumberAgent.propose(self, replace(request, number=request.number + 4))


def test_settlement_on_which_every_edit_crashes_is_taken_back_with_what_it_had_replaced(tmp_path: Path) -> None:
    """What wins the conflict runs, and so does what was kept meanwhile, but both together do not."""

    def outcome(request: TryRequest) -> Result:
        text = request.files["train.py"]
        if "K1 = 2" in text and "K5 = 3" in text:
            return Result(outcome=Outcome.CRASHED, reason="NameError: K")
        gain = sum(worth for edit, worth in {"K1 = 1": 0.1, "K1 = 2": 0.5, "K5 = 3": 0.2}.items() if edit in text)
        return scored(2.0 - gain + (request.seed % 1000) / 1e5)

    executor = Waits(outcome)
    chosen = settings("executor.slots=3", "agent.max_in_flight=3", "budget.experiments=12")
    campaign(tmp_path, executor, agent=GoesOn(constants=TWO_LINES), chosen=chosen, observe=executor.note).run()

    lab = Lab.open(tmp_path / "lab.git")
    program = lab.source(lab.incumbent("t"), "train.py")
    assert "K1 = 1" in program
    assert "K5 = 3" in program
    winner = experiment_titled(lab, "K1 → 2")
    assert [e.undoes for e in lab.experiments("t") if e.undoes is not None] == [winner.number]
    state = CampaignState(make_judge(chosen.judge, minimize=True), lab.experiments("t"), SlotPrices.of(chosen))
    back = {experiment_titled(lab, title).number for title in OTHERS}
    assert back <= state.edits_left(lab.incumbent("t"))
    assert winner.number not in state.edits_left(lab.incumbent("t"))
