"""The three seams of the loop: who proposes, who runs, and what an agent may read.

Only signatures live here, so that agents, executors and the lab never need to know each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Protocol

from controller.domain import Cost, Experiment, Progress, Proposal, TryEnded, TryId, TryRequest


class Notebook(Protocol):
    """Read-only access to what the lab remembers; safe to use from an agent's own thread."""

    def source(self, commit: str, path: str) -> str:
        """Text of `path` at `commit`. Raises LabError when there is none."""

    def diff(self, experiment: Experiment) -> str:
        """Unified diff of an experiment against its base."""

    def log_tail(self, experiment: Experiment) -> str:
        """End of the training log of its last attempt: untrusted text, to be fenced before a model sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRequest:
    """What an agent is told: the brief, the incumbent with its files, and every experiment so far.

    number: place of the request in the campaign, so that an agent that draws at random draws anew.
    fingerprints: normalised programs that were tried already (`novelty.fingerprint`).
    pending: titles of proposals that wait or run and have no verdict yet.
    dollars_limit: what the campaign's model calls may cost in all, those of the past included; asked before each
    call, from any thread, since it falls while runs are launched.
    sigma: standard deviation of one run, None before the baseline is measured.
    """

    tag: str
    number: int
    brief: str
    base: str
    files: Mapping[str, str]
    readable: Mapping[str, str]
    experiments: Sequence[Experiment]
    fingerprints: frozenset[str]
    notebook: Notebook
    metric: str
    minimize: bool
    sigma: float | None = None
    incumbent_level: float | None = None
    refused: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    dollars_limit: Callable[[], float] = lambda: inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """The agent gave no proposal this time; what it cost is still charged.

    exhausted: nothing is left to propose (a replay at its end), so the campaign may finish.
    retry_after: seconds to wait before asking again.
    """

    reason: str
    cost: Cost = field(default_factory=Cost)
    exhausted: bool = False
    retry_after: float = 0.0
    transcript: str = ""


class WaitReason(StrEnum):
    """Why a proposal does not come; few values, as each is a series of a metric."""

    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    UNREACHABLE = "unreachable"
    BROKEN_STREAM = "broken_stream"
    ERROR = "error"
    REST = "rest"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What one proposal waits for; `text` is a sentence for people."""

    reason: WaitReason
    text: str


class Agent(Protocol):
    """Proposes one edit at a time; called from several threads at once where that keeps the slots busy."""

    name: str

    def check(self) -> list[str]:
        """Before the first proposal: warnings for the operator. Raises AgentError when it cannot work at all."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """One proposal. Raises AgentError when only a human can help (key, billing, model)."""

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What proposals wait for right now; empty where none waits. Safe from another thread."""

    def stop(self) -> None:
        """Give up waiting: a `propose` under way returns Abandoned soon."""


class Executor(Protocol):
    """Runs tries; every method returns at once, ends arrive through the callback given at `start`."""

    def start(self, ended: Callable[[TryEnded], None]) -> None:
        """Check that tries can run here, and begin reporting. Raises SandboxError or ClusterError."""

    def launch(self, request: TryRequest) -> None:
        """Start a try, or adopt the one that already carries this name."""

    def adopt(self, requests: Sequence[TryRequest]) -> None:
        """After a restart: take over tries that were launched before; each is reported ended in the end."""

    def progress(self) -> Sequence[Progress]:
        """Where each running try is now."""

    def trouble(self) -> str:
        """What only an operator can mend, such as an image that cannot be pulled; empty when there is nothing."""

    def ready(self) -> bool:
        """Whether it sees what runs: watches are synced, sandboxes were tested."""

    def watch_ages(self) -> Mapping[str, float]:
        """Seconds since each watch last heard from the cluster; empty where nothing is watched."""

    def recorded(self, id: TryId) -> None:
        """The lab holds this try's result: what it left behind may be cleaned up."""

    def stop(self) -> None:
        """Leave nothing behind that this executor cannot find again (local tries are killed)."""
