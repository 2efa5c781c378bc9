"""While the first agent cannot propose the second does; cost and troubles stay with whom they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from controller.agent.fallback import FallbackAgent
from controller.domain import Cost, Proposal
from controller.errors import AgentError
from controller.ports import Abandoned, ProposalRequest, WaitReason
from tests.support.requests import proposal_request
from tests.support.scripted import TRAIN, NumberAgent

REQUEST = proposal_request({"train.py": TRAIN})


class Overloaded(NumberAgent):
    """Asks to be left alone for a minute, once; the call cost a dollar."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if len(self.asked) == 1:
            return Abandoned(reason="overloaded", cost=Cost(dollars=1.0), retry_after=60)
        return answer


@dataclass
class Unpaid(NumberAgent):
    """Cannot work until somebody pays."""

    paid: list[bool] = field(default_factory=list)

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if not self.paid:
            raise AgentError("the key was refused")
        return answer


def proposer(answer: Proposal | Abandoned) -> str:
    return answer.agent if isinstance(answer, Proposal) else answer.reason


def test_second_proposes_while_the_first_rests_and_the_first_comes_back() -> None:
    now = [0.0]
    first, second = Overloaded(name="first"), NumberAgent(name="second")
    agent = FallbackAgent(first, second, clock=lambda: now[0], wall=lambda: 1000.0 + now[0])

    during = [agent.propose(REQUEST), agent.propose(REQUEST)]
    said = [(waiting.text, waiting.until) for waiting in agent.waiting]
    now[0] = 61.0
    after = agent.propose(REQUEST)

    assert [proposer(p) for p in during] == ["second", "second"]
    assert during[0].cost.dollars == 1.0
    assert said == [("overloaded; second stands in for first", 1060.0)]
    assert agent.waiting == ()
    assert proposer(after) == "first"


def test_while_only_a_human_can_help_the_second_proposes_and_the_reason_is_told() -> None:
    now, first = [0.0], Unpaid(name="first")
    agent = FallbackAgent(first, NumberAgent(name="second"), clock=lambda: now[0])

    during = [proposer(agent.propose(REQUEST)) for _ in range(3)]
    told = [(w.reason, w.text) for w in agent.waiting]

    assert during == ["second"] * 3
    assert len(first.asked) == 1, "one question finds out; the others go to the stand-in at once"
    assert told == [(WaitReason.OPERATOR, "the key was refused; second stands in for first")]


def test_first_is_asked_again_ever_more_rarely_and_comes_back_when_it_can() -> None:
    now, first = [0.0], Unpaid(name="first")
    agent = FallbackAgent(first, NumberAgent(name="second"), clock=lambda: now[0])
    for _ in range(3600):
        agent.propose(REQUEST)
        now[0] += 1.0
    asked_in_an_hour = len(first.asked)

    first.paid.append(True)
    now[0] += 301.0
    back = agent.propose(REQUEST)

    assert 10 < asked_in_an_hour < 20
    assert proposer(back) == "first"
    assert agent.waiting == ()


def test_stand_in_without_ideas_does_not_end_a_campaign_whose_first_agent_will_be_back() -> None:
    agent = FallbackAgent(Unpaid(), NumberAgent(proposals=0), clock=lambda: 0.0)

    answer = agent.propose(REQUEST)

    assert isinstance(answer, Abandoned)
    assert not answer.exhausted
    assert answer.retry_after > 0


class Faulty(NumberAgent):
    """Has a fault that nobody expects."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        super().propose(request)
        raise KeyError("usage")


def test_second_proposes_while_the_first_has_a_fault_of_its_program(caplog: pytest.LogCaptureFixture) -> None:
    agent = FallbackAgent(Faulty(name="first"), NumberAgent(name="second"), clock=lambda: 0.0)

    answers = [proposer(agent.propose(REQUEST)) for _ in range(2)]

    assert answers == ["second", "second"]
    assert [w.reason for w in agent.waiting] == [WaitReason.OPERATOR]
    assert "KeyError" in agent.waiting[0].text
    assert "Traceback" in caplog.text


class Spent(NumberAgent):
    """Has used up dollars of its own."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        super().propose(request)
        return Abandoned(reason="the 5 dollars are used up", exhausted=True)


def test_second_goes_on_when_the_first_has_used_up_its_own_dollars() -> None:
    first = Spent(name="first")
    agent = FallbackAgent(first, NumberAgent(name="second", proposals=3), clock=lambda: 0.0)

    answers = [agent.propose(REQUEST) for _ in range(3)]
    told = [(w.reason, w.text) for w in agent.waiting]
    end = agent.propose(REQUEST)

    assert [proposer(a) for a in answers] == ["second"] * 3
    assert told == [(WaitReason.MONEY, "the 5 dollars are used up; second stands in for first")]
    assert len(first.asked) == 1
    assert isinstance(end, Abandoned)
    assert end.exhausted, "neither has anything left"
