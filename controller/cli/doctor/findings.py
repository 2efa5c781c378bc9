"""Findings about a campaign, as values and as a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The weight of a finding: may the campaign start in spite of it?"""

    GOOD = "ok"
    DOUBTFUL = "look"
    """It can start; somebody should know this."""
    BAD = "BAD"
    """It could not get anywhere."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    subject: str
    state: State
    seen: str
    """A phrase that tells what was seen, and what to do about it where something is to be done."""


def is_fit(findings: Sequence[Finding]) -> bool:
    """True if nothing keeps the campaign from running."""
    return all(finding.state is not State.BAD for finding in findings)


def table(findings: Sequence[Finding]) -> list[str]:
    """The findings as lines of text, their columns one below the other."""
    width = max((len(finding.subject) for finding in findings), default=0)
    return [f"  {finding.state.value:<4}  {finding.subject:<{width}}  {finding.seen}" for finding in findings]
