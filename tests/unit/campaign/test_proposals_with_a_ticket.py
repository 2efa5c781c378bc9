"""Whoever holds the ticket of a proposal learns what became of it: from the loop at any moment, and from the lab."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from controller.domain import Proposal
from controller.lab import Lab
from controller.ports import Abandoned, ProposalRequest
from tests.support.scripted import InstantExecutor, NumberAgent, campaign, scored, settings


@dataclass
class TicketAgent(NumberAgent):
    """Proposes the first program under ticket a and again under ticket b; later ones under numbers."""

    first: Proposal | None = None
    last: list[ProposalRequest] = field(default_factory=list)

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """A number; the second time the same one as before."""
        self.last = [request]
        answer = super().propose(request)
        assert isinstance(answer, Proposal)
        if self.first is None:
            self.first = replace(answer, ticket="a")
            return self.first
        if len(self.asked) == 2:
            return replace(self.first, ticket="b")
        return replace(answer, ticket=str(request.number))


def test_loop_tells_of_a_refusal_and_of_an_experiment_and_the_lab_remembers(tmp_path: Path) -> None:
    agent = TicketAgent()
    chosen = settings("budget.experiments=4", "agent.max_in_flight=1")

    campaign(tmp_path, InstantExecutor(lambda _: scored(2.0)), agent=agent, chosen=chosen).run()

    [request] = agent.last
    assert request.refusal_of("a") is None
    assert "already tried" in (request.refusal_of("b") or "")
    newest = request.newest_experiments() or ()
    assert [e.ticket for e in newest][:2] == ["", "a"]
    assert "b" not in [e.ticket for e in newest]
    held = Lab.open(tmp_path / "lab.git").experiments("t")
    assert [e.ticket for e in held][:2] == ["", "a"]
    assert newest[1].judgement is not None, "it is the experiment of now, not of when the agent was asked"
