"""Conversations that submit several edits: each is an experiment of its own, and what they cost adds up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from controller.agent.claude import ClaudeAgent
from controller.campaign import Campaign
from controller.costs.model_calls import CallRecord, price_call, read_usage, sum_calls
from controller.domain import Experiment, Proposal, Result, TryRequest
from controller.judge import make_judge
from controller.lab import Lab
from controller.lab.attachments import transcript_path
from controller.lab.booked_calls import BookedCalls, read_calls
from controller.lab.writer import LabWriter
from controller.notices import Admitted, Notice
from controller.ports import Abandoned, ProposalRequest
from controller.settings import ClaudeSettings
from tests.standin import StandIn, Turn, call, say
from tests.support.campaign_in_memory import TASK, CampaignInMemory, Clock, run
from tests.support.claude import STANDIN_KEY, claude_agent
from tests.support.scripted import TRAIN, InstantExecutor, scored, settings
from tests.support.waiting import PATIENCE_S

Script = Callable[[Mapping[str, Any]], Turn]


def edit_of(number: int) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Calls that set one constant after another, each to a value of its own, and submit that."""
    old = {"path": "train.py", "old": f"K{number} = 0\n", "new": f"K{number} = {number + 1}\n"}
    told = {"category": "data", "title": f"set K{number}", "hypothesis": f"why {number}", "expected_effect": "+"}
    return ("replace", old), ("submit", told)


def edits_without_end() -> Script:
    """A model that submits another edit with each reply, whoever asks."""
    numbers = count()
    return lambda _: call(*edit_of(next(numbers)))


def third_edit_helps(request: TryRequest) -> Result:
    """The constant K2 makes the score better by far; noise is small."""
    noise = Random(str(request.id)).gauss(0.0, 0.01)
    return scored((1.0 if re.search("^K2 = [1-9]", request.files["train.py"], re.MULTILINE) else 2.0) + noise)


class Died(BaseException):
    """The end of the process, as far as a campaign can tell."""


def play(
    folder: Path, standin: StandIn, *overrides: str, observe: Callable[[Notice], None] = lambda _: None
) -> list[Experiment]:
    """A campaign of four slots with a model before the stand-in, on the lab in the folder; its experiments."""
    chosen = settings("agent.kind=claude", "executor.slots=4", "budget.experiments=4", *overrides)
    lab, clock = LabWriter.open(folder / "lab.git", create=True), Clock()
    booked = BookedCalls(folder / "lab.git", "t")
    agent = ClaudeAgent(
        ClaudeSettings(base_url=standin.url, submissions=chosen.agent.claude.submissions),
        key=STANDIN_KEY,
        book=booked.book,
        needs_load_model=False,
        clock=clock,
        wait=clock.wait,
        silence_seconds=PATIENCE_S,
    )
    campaign = Campaign(
        settings=chosen,
        lab=lab,
        executor=InstantExecutor(third_edit_helps),
        agent=agent,
        judge=make_judge(chosen.judge, minimize=True),
        task_files={"train.py": TRAIN, "program.md": "Lower it.\n"},
        brief="Lower it.\n",
        clock=clock,
        observe=observe,
        dollars=lambda: booked.cost.dollars,
        wait_seconds=0.02,
    )
    with suppress(Died):
        campaign.run()
    return Lab.open(folder / "lab.git").experiments("t")[1:]


def billed(standin: StandIn) -> float:
    """Dollars by the stand-in's own journal."""
    return sum(price_call(read_usage(e.usage), model=e.request["model"], overrides={}) for e in standin.answered)


def test_one_conversation_brings_three_edits_all_are_run_and_the_bookings_add_up(tmp_path: Path) -> None:
    with StandIn(edits_without_end()) as standin:
        experiments = play(tmp_path, standin)

    calls = [each for each in read_calls(Lab.open(tmp_path / "lab.git"), "t") if each.outcome != "begun"]
    conversations = Counter(each.proposal for each in calls)
    proposed = [each for each in experiments if each.retry_of is None and each.leaves_out is None]
    assert sorted(conversations.values()) == [1, 3], "the fourth slot's edit is thought of at the same time"
    assert len({each.title for each in proposed}) == 4
    assert all(each.attempts and each.judgement for each in proposed)
    assert {each.hypothesis for each in proposed} == {f"why {number}" for number in range(4)}
    assert any(each.judgement and each.judgement.kept_as for each in experiments), "so the others' incumbent moved"
    assert all(each.cost.dollars > 0 for each in proposed)
    assert sum(each.cost.calls for each in experiments) == len(standin.journal)
    assert sum(each.cost.dollars for each in experiments) == pytest.approx(billed(standin))
    assert sum_calls(read_calls(Lab.open(tmp_path / "lab.git"), "t")).dollars == pytest.approx(billed(standin))


def test_each_of_them_has_its_own_diff_and_the_conversation_up_to_it(tmp_path: Path) -> None:
    with StandIn(edits_without_end()) as standin:
        proposed = [each for each in play(tmp_path, standin) if each.retry_of is None]

    lab = Lab.open(tmp_path / "lab.git")
    for each in proposed:
        number = each.title.removeprefix("data: set K")
        changed = [line for line in lab.diff(each).splitlines() if re.match("[-+]K", line)]
        assert changed == [f"-K{number} = 0", f"+K{number} = {int(number) + 1}"]
        transcript = (lab.attachment("t", transcript_path(each.number)) or b"").decode()
        assert transcript.count('"event": "opening"') == 1
        assert transcript.splitlines()[-1].startswith('{"event": "submitted"')
        assert each.hypothesis in transcript


@pytest.mark.parametrize("slots", [1, 2])
def test_no_conversation_brings_more_than_there_are_slots(tmp_path: Path, slots: int) -> None:
    with StandIn(edits_without_end()) as standin:
        play(tmp_path, standin, f"executor.slots={slots}", "agent.max_in_flight=1", "budget.experiments=6")

    conversations = Counter(
        each.proposal for each in read_calls(Lab.open(tmp_path / "lab.git"), "t") if each.usage.output
    )
    assert max(conversations.values()) == slots


@pytest.mark.parametrize("place", [1, 2])
def test_a_crash_between_two_submissions_loses_no_experiment_and_repeats_none(tmp_path: Path, place: int) -> None:
    admitted = list[str]()

    def die(notice: Notice) -> None:
        if isinstance(notice, Admitted):
            admitted.append(notice.experiment.title)
            if len(admitted) == place:
                raise Died

    with StandIn(edits_without_end()) as standin:
        before = play(tmp_path, standin, observe=die)
        after = play(tmp_path, standin)
        paid = billed(standin)

    proposed = [each for each in after if each.retry_of is None]
    assert [each.title for each in before] == admitted
    assert [each.title for each in proposed][:place] == admitted
    assert len({each.fingerprint for each in proposed}) == len(proposed) == 4
    assert all(each.attempts and each.judgement for each in proposed)
    assert sum_calls(read_calls(Lab.open(tmp_path / "lab.git"), "t")).dollars >= paid - 1e-9
    assert sum(each.cost.dollars for each in after) <= paid + 1e-9


class Asked:
    """One question to an agent before the stand-in, and what it brings."""

    def __init__(self, script: Script, *, count: int, surplus: Callable[[], int] = lambda: 0, **chosen: Any) -> None:
        self.offered: list[Proposal] = []
        self.booked: list[CallRecord] = []
        campaign, clock = CampaignInMemory({"train.py": TRAIN + "def load_model(_):\n    pass\n"}), Clock()
        with StandIn(script, clock=clock) as standin:
            agent = claude_agent(standin, clock, self.booked.append, silence_seconds=PATIENCE_S, **chosen)
            request: ProposalRequest = replace(
                campaign.request(), count=count, offer=self.offered.append, surplus=surplus
            )
            self.answer: Proposal | Abandoned = agent.propose(request)
            self.billed = billed(standin)
            self.told = [str(exchange.request["messages"]) for exchange in standin.journal]

    @property
    def titles(self) -> list[str]:
        return [each.title for each in (*self.offered, self.answer) if isinstance(each, Proposal)]

    @property
    def cost(self) -> float:
        """Dollars that the proposals and the end of the conversation carry."""
        return sum(each.cost.dollars for each in (*self.offered, self.answer))


def test_where_fewer_are_wanted_meanwhile_the_conversation_ends_with_what_it_has() -> None:
    asked = Asked(edits_without_end(), count=3, surplus=lambda: 2)

    assert asked.titles == ["data: set K0"]
    assert isinstance(asked.answer, Proposal)
    assert asked.cost == pytest.approx(asked.billed)


def test_a_model_without_a_further_idea_ends_the_conversation_and_need_not_rest() -> None:
    turns = iter([call(*edit_of(0)), call(*edit_of(1))])
    asked = Asked(lambda _: next(turns, say("Nothing else is worth a run.")), count=3)

    assert asked.titles == ["data: set K0", "data: set K1"]
    assert isinstance(asked.answer, Abandoned)
    assert asked.answer.brought == 2
    assert asked.answer.retry_after == 0
    assert "no further proposal after 2" in asked.answer.reason
    assert asked.answer.cost.dollars > 0
    assert asked.cost == pytest.approx(asked.billed)


def test_several_edits_fit_into_one_reply() -> None:
    asked = Asked(lambda _: call(*edit_of(0), *edit_of(1), *edit_of(2)), count=3)

    assert asked.titles == ["data: set K0", "data: set K1", "data: set K2"]
    assert "up to 2 more are wanted now" not in asked.told[0]
    assert [len(each.files) for each in asked.offered] == [1, 1]
    assert "K0 = 1" not in asked.offered[1].files["train.py"]
    assert asked.cost == pytest.approx(asked.billed)


def test_an_edit_after_a_submission_that_was_turned_down_does_not_slip_into_its_draft() -> None:
    untitled = {"category": "data", "title": " ", "hypothesis": "h", "expected_effect": "+"}
    replies = iter([call(edit_of(0)[0], ("submit", untitled), *edit_of(1)), call(edit_of(0)[1])])
    asked = Asked(lambda _: next(replies, say("No more.")), count=2)

    assert asked.titles == ["data: set K0"]
    assert "K1 = 2" not in asked.offered[0].files["train.py"]
    assert "not carried out: the submission before it in this reply was not accepted" in asked.told[1]


def test_the_same_edit_twice_in_one_conversation_is_turned_down() -> None:
    asked = Asked(lambda _: call(*edit_of(0)), count=2)

    assert asked.titles == ["data: set K0"]
    assert isinstance(asked.answer, Abandoned)
    assert any("this very edit was submitted meanwhile" in told for told in asked.told)


def test_each_submission_has_the_replies_of_a_proposal_to_itself() -> None:
    numbers = count()

    def slowly(request: Mapping[str, Any]) -> Turn:
        looks = str(request["messages"][-1]).count("tool_result") and "wanted now" not in str(request["messages"][-1])
        return call(*edit_of(next(numbers))) if looks else call(("check", {}))

    asked = Asked(slowly, count=3, calls_per_proposal=2)

    assert asked.titles == ["data: set K0", "data: set K1", "data: set K2"]


def test_what_three_edits_cost_in_one_conversation_against_three_conversations() -> None:
    dollars = dict[int, float]()
    for most in (1, 3):
        clock, booked = Clock(), list[CallRecord]()
        campaign = CampaignInMemory({"train.py": TASK}, brief="A line of the brief, as it stands there.\n" * 120)
        with StandIn(clock=clock) as standin:
            agent = claude_agent(standin, clock, booked.append, silence_seconds=PATIENCE_S)
            answers = run(agent, campaign, proposals=36 // most, clock=clock, count=most)
        assert len([each for each in answers if isinstance(each, Proposal)]) == 36
        dollars[most] = sum_calls(booked).dollars / 36

    print(f"a proposal costs {dollars[3] / dollars[1]:.2f} of what it costs alone (${dollars[1]:.4f})")
    assert dollars[3] < 0.85 * dollars[1]
