"""Holds what the tools of one proposal may read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.agent.desk.history import Tried
from controller.agent.desk.submissions import Submissions
from controller.ports import ProposalRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything that the tools may read."""

    request: ProposalRequest

    tried: Sequence[Tried]
    """The experiments of the request, each with its diff."""

    needs_load_model: bool
    """True if a draft must define `load_model`, which the exam of a language model calls."""

    submissions: Submissions
    """Submissions of the proposals under way, which may come after the history was told."""
