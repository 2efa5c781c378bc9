"""The agent without ideas of its own: one constant, one sensible step, drawn at random.

The control group that a clever agent must beat. Needs no key, knows nothing of machine learning, and proposes
the same for the same settings, request and history.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import chain

from controller.agent.constants import find_constants, replace_literals
from controller.agent.ideas import Idea, Step, order_ideas, read_past
from controller.agent.steps import alternatives
from controller.domain import Proposal
from controller.novelty import refusal
from controller.ports import Abandoned, ProposalRequest, Waiting
from controller.settings import AgentSettings


class PerturbAgent:
    """Proposes single steps while there are new ones, then pairs, then second chances on a newer incumbent.

    accelerator: whether trainings run on a GPU, which tells live constants from dead ones.
    """

    name = "perturb"

    def __init__(self, settings: AgentSettings, *, accelerator: bool) -> None:
        self._seed = settings.seed
        self._accelerator = accelerator

    def check(self) -> list[str]:
        """Nothing to warn of."""
        return []

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Nothing is ever waited for."""
        return ()

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The first idea that is worth a training. A refusal of the last one makes it draw anew."""
        draw = random.Random(f"{self._seed} {request.number} {len(request.refused)}")
        steps = _steps(request.files, accelerator=self._accelerator)
        past = read_past(request.experiments, request.pending)
        proposals = (self._proposal(request, idea) for idea in order_ideas(steps, past, draw))
        return next((p for p in proposals if _is_novel(request, p)), None) or _nothing_left(request, steps)

    def stop(self) -> None:
        """Nothing to give up: a proposal takes a moment."""

    def _proposal(self, request: ProposalRequest, idea: Idea) -> Proposal:
        return Proposal(
            base=request.base,
            files=_edited(request.files, idea.steps),
            title=idea.title,
            hypothesis=idea.hypothesis,
            agent=self.name,
            strategy=f"{self.name}:{idea.strategy}",
        )


def _steps(files: Mapping[str, str], *, accelerator: bool) -> tuple[Step, ...]:
    python = ((path, text) for path, text in sorted(files.items()) if path.endswith(".py"))
    constants = chain.from_iterable(find_constants(path, text, accelerator=accelerator) for path, text in python)
    return tuple(Step(constant=constant, text=text) for constant in constants for text in alternatives(constant))


def _edited(files: Mapping[str, str], steps: Sequence[Step]) -> dict[str, str]:
    paths = {step.constant.path for step in steps}
    return {
        path: replace_literals(files[path], {s.constant: s.text for s in steps if s.constant.path == path})
        for path in paths
    }


def _is_novel(request: ProposalRequest, proposal: Proposal) -> bool:
    # load_model stays as it is in the incumbent, so it need not be looked for.
    tried = request.fingerprints
    return refusal(base=request.files, proposed=proposal.files, tried=tried, needs_load_model=False) is None


def _nothing_left(request: ProposalRequest, steps: Sequence[Step]) -> Abandoned:
    if request.pending:
        return Abandoned(reason="nothing new is left until a verdict moves the incumbent", retry_after=5.0)
    if not steps:
        where = ", ".join(sorted(request.files))
        return Abandoned(reason=f"{where}: no upper-case constant that perturb knows how to change", exhausted=True)
    return Abandoned(reason="every step, and every pair of steps, was tried", exhausted=True)
