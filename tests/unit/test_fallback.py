"""While the first agent rests the second proposes; cost and troubles stay with whom they belong to."""

from __future__ import annotations

import pytest

from controller.agent.fallback import FallbackAgent
from controller.domain import Cost, Proposal
from controller.errors import AgentError
from controller.ports import Abandoned, ProposalRequest, WaitReason
from tests.scripted import TRAIN, NumberAgent

REQUEST = ProposalRequest(
    tag="t",
    number=1,
    brief="",
    base="c0",
    files={"train.py": TRAIN},
    readable={},
    experiments=(),
    fingerprints=frozenset(),
    notebook=None,  # type: ignore[arg-type]  # neither agent reads
    metric="val_bpb",
    minimize=True,
)


class Overloaded(NumberAgent):
    """Asks to be left alone for a minute, once; the call cost a dollar."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if len(self.asked) == 1:
            return Abandoned(reason="overloaded", cost=Cost(dollars=1.0), retry_after=60)
        return answer


def test_second_proposes_while_the_first_rests_and_the_first_comes_back() -> None:
    now = [0.0]
    agent = FallbackAgent(Overloaded(name="first"), NumberAgent(name="second"), clock=lambda: now[0])

    during = [agent.propose(REQUEST), agent.propose(REQUEST)]
    resting = agent.waiting
    now[0] = 61.0
    after = agent.propose(REQUEST)

    assert [w.reason for w in resting] == [WaitReason.REST]
    assert resting[0].text == "overloaded; second stands in for first, asking again in 60 s"
    assert agent.waiting == ()
    assert [p.agent for p in during if isinstance(p, Proposal)] == ["second", "second"]
    assert during[0].cost.dollars == 1.0
    assert isinstance(after, Proposal)
    assert after.agent == "first"


def test_what_only_a_human_can_mend_is_not_covered_up() -> None:
    class Unpaid(NumberAgent):
        def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
            raise AgentError("the key was refused")

    with pytest.raises(AgentError, match="refused"):
        FallbackAgent(Unpaid(), NumberAgent()).propose(REQUEST)
