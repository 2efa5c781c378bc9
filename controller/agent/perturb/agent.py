"""The perturb agent: it changes one constant by one sensible step, drawn at random.

It is the control group that a clever agent must beat. It needs no key, knows nothing of machine learning, and gives the
same proposal for the same settings, request and history.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from controller.agent.perturb.constants import Constant, find_constants, replace_literals
from controller.agent.perturb.foreign_constants import find_foreign_constants
from controller.agent.perturb.ideas import Change, Idea, order_ideas, read_past
from controller.agent.perturb.steps import find_alternatives
from controller.domain import Proposal
from controller.edits.novelty import find_refusal
from controller.errors import AgentError
from controller.ports import Abandoned, ProposalRequest, Waiting
from controller.settings import AgentSettings

RETRY_SECONDS = 5.0
"""Seconds to the next request if new ideas depend on a verdict: short against a training, which must end first."""


class PerturbAgent:
    """Proposes single changes while there are new ones, then pairs, then second chances on a newer incumbent."""

    name = "perturb"

    def __init__(self, settings: AgentSettings, *, accelerator: bool) -> None:
        """accelerator: true if trainings run on a GPU, which decides the branches of a program that are live."""
        self._seed = settings.seed
        self._accelerator = accelerator

    def check(self) -> list[str]:
        """No warnings: the agent needs nothing that could be missing."""
        return []

    def require_constants(self, files: Mapping[str, str]) -> None:
        """Raise AgentError if these editable files hold no constant that it could change."""
        if not _find_changes(files, accelerator=self._accelerator):
            raise AgentError(
                f"agent perturb finds nothing to change in {', '.join(sorted(files))}: give it constants in capitals, "
                "such as DEPTH = 4 at the top of a Python file, or choose another agent"
            )

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Always empty: a proposal takes a moment."""
        return ()

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """Return the first idea that is worth a training; after a refusal the ideas come in another order."""
        draw = random.Random(f"{self._seed} {request.number} {len(request.refused)}")
        changes = _find_changes(request.files, accelerator=self._accelerator)
        past = read_past(request.experiments, request.pending)
        for idea in order_ideas(changes, past, draw):
            proposal = self._make_proposal(request, idea)
            if _is_novel(request, proposal):
                return proposal
        return _abandon(request, changes)

    def stop(self) -> None:
        """No effect: a proposal takes a moment."""

    def _make_proposal(self, request: ProposalRequest, idea: Idea) -> Proposal:
        return Proposal(
            base=request.base,
            files=_apply_changes(request.files, idea.changes),
            title=idea.title,
            hypothesis=idea.hypothesis,
            agent=self.name,
            strategy=f"{self.name}:{idea.strategy}",
        )


def _find_changes(files: Mapping[str, str], *, accelerator: bool) -> tuple[Change, ...]:
    """Every single change of every constant, in the order of the files and their text."""
    changes: list[Change] = []
    for path, text in sorted(files.items()):
        if path.endswith(".py"):
            found = find_constants(path, text, accelerator=accelerator)
        else:
            found = find_foreign_constants(path, text)
        for constant in found:
            changes += [Change(constant=constant, text=alternative) for alternative in find_alternatives(constant)]
    return tuple(changes)


def _apply_changes(files: Mapping[str, str], changes: Sequence[Change]) -> dict[str, str]:
    """Whole new text of each file that changes."""
    texts_by_path: dict[str, dict[Constant, str]] = {}
    for change in changes:
        texts_by_path.setdefault(change.constant.path, {})[change.constant] = change.text
    return {path: replace_literals(files[path], texts) for path, texts in texts_by_path.items()}


def _is_novel(request: ProposalRequest, proposal: Proposal) -> bool:
    """True if no check refuses the program. load_model stays as it is in the incumbent, so it is not looked for."""
    tried = request.fingerprints
    return find_refusal(base=request.files, proposed=proposal.files, tried=tried, needs_load_model=False) is None


def _abandon(request: ProposalRequest, changes: Sequence[Change]) -> Abandoned:
    if request.pending:
        return Abandoned(reason="nothing new is left until a verdict moves the incumbent", retry_after=RETRY_SECONDS)
    if not changes:
        where = ", ".join(sorted(request.files))
        return Abandoned(reason=f"{where}: no upper-case constant that perturb knows how to change", exhausted=True)
    return Abandoned(reason="every step, and every pair of steps, was tried", exhausted=True)
