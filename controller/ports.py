"""The interfaces between the loop and its agent, its executor, and the part of the lab that an agent may read.

They are signatures only, so agents, executors and the lab need not import each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from math import inf
from typing import Protocol, runtime_checkable

from controller.domain import Cost, Experiment, Progress, Proposal, Remark, TryEnded, TryId, TryRequest

NOTES_CHARACTERS = 4_000
"""Most characters of the notes that an agent leaves for later proposals: every later request holds them."""


class Notebook(Protocol):
    """Read-only access to the lab, safe to use from an agent's own thread."""

    def source(self, commit: str, path: str) -> str:
        """Text of `path` at `commit`. Raises LabError if there is no such file."""

    def diff(self, experiment: Experiment) -> str:
        """Unified diff of an experiment against its base."""

    def merge(self, experiment: Experiment, path: str, text: str) -> str | None:
        """`text` of the file with the experiment's edit of it; None if the edit conflicts with how `text` differs."""

    def merge_texts(self, base: str, ours: str, theirs: str) -> str | None:
        """Two edits of one text in one; None if they conflict."""

    def log_tail(self, experiment: Experiment) -> str:
        """End of the training log of its last try. Untrusted text: it must be fenced before a model sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeCrash:
    """The end of a program that crashed in its smoke test: one step on the CPU, save and load."""

    reason: str
    """One sentence."""

    log: str
    """End of what it printed. Untrusted text, as of a training's log."""


class Untested(Enum):
    """No smoke test was held, which says nothing about the program."""

    UNTESTED = auto()


SmokeTest = Callable[[Mapping[str, str]], SmokeCrash | Untested | None]
"""Runs the smoke test of the editable files, by path, and waits for it; None if they did not crash."""

FindCrash = Callable[[Mapping[str, str]], SmokeCrash | None]
"""Says how the editable files, by path, crash in their smoke test; None if they do not, or were not tested."""


@runtime_checkable
class SmokeTester(Protocol):
    """An executor that can run smoke tests."""

    def smoke(self, files: Mapping[str, str]) -> SmokeCrash | Untested | None:
        """Run the smoke test of the editable files, by path, and wait for it, in any thread; None if none crashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The head of the campaign's branch at one moment."""

    commit: str

    files: Mapping[str, str]
    """Text of the editable files, by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRequest:
    """One question to an agent: the brief, the incumbent with its files, and every experiment so far."""

    tag: str
    """The campaign's."""

    number: int
    """Rises with each request of the campaign. An agent that draws at random seeds its draw with it."""

    brief: str
    """Text of the research brief."""

    base: str
    """The incumbent: the commit that the proposal must change."""

    files: Mapping[str, str]
    """Text of the files that the agent may change, by path, at `base`."""

    readable: Mapping[str, str]
    """Text of the files that the agent may only read, by path, at `base`."""

    experiments: Sequence[Experiment]
    """All experiments so far by number, the baseline first."""

    fingerprints: frozenset[str]
    """Fingerprints of the programs that were tried already (`novelty.fingerprint`)."""

    revivable: frozenset[str] = frozenset()
    """Those of them that may be proposed once more: programs that were the incumbent, and lost that place to a keep."""

    newest: Callable[[], Incumbent | None] = lambda: None
    """The incumbent as of now, which may have moved since the question; None if nobody knows. From any thread."""

    newest_experiments: Callable[[], Sequence[Experiment] | None] = lambda: None
    """The experiments as of now, as `experiments`; None if nobody knows. From any thread."""

    refusal_of: Callable[[str], str | None] = lambda _: None
    """The reason why the proposal with this ticket was sent back; None if it was not, as far as is known. From any
    thread."""

    notebook: Notebook
    """Reads diffs and logs on demand."""

    metric: str
    """Name of the score, such as `val_bpb`."""

    facts: tuple[str, ...] = ()
    """What each training gets, in sentences: seconds, device, memory, versions. The same for the whole campaign."""

    minimize: bool
    """True if a lower score is better."""

    sigma: float | None = None
    """Standard deviation of one attempt's score, in the metric's unit; None before the baseline is measured."""

    incumbent_level: float | None = None
    """The judge's estimate of the incumbent's true score; None before the baseline is measured."""

    notes: str = ""
    """What earlier proposals wanted later ones to know; the agent's own words, and so untrusted."""

    importable: frozenset[str] | None = None
    """Top-level names of the modules that a training can import; None if they are not known."""

    max_lines: int | None = None
    """Most lines that an edited file may have; None for no limit."""

    remarks: tuple[Remark, ...] = ()
    """What the operator told while the campaign ran, oldest first. An agent that reads words follows them, the newest
    before all others."""

    refused: tuple[str, ...] = ()
    """Reasons for which the last proposals in a row were sent back; empty after an admitted one."""

    pending: tuple[str, ...] = ()
    """Titles of the proposals that have no verdict yet."""

    smoke: FindCrash = lambda _: None
    """Tries one step of the editable files, all of them by path, if this edit is to be tried. An agent may ask before
    it proposes, from its own thread, and mend what crashes; a crash that it leaves is a verdict."""

    count: int = 1
    """Proposals that may come of this question. An agent that can makes so many, offers all but the last one, and
    returns that; an agent that cannot returns one."""

    offer: Callable[[Proposal], None] = lambda _: None
    """Takes a proposal while the agent goes on to the next one. It is admitted or sent back at once, whatever becomes
    of the rest. From the agent's thread."""

    surplus: Callable[[], int] = lambda: 0
    """Number of proposals that are under way and wanted no more; an agent asks before it goes on to a further one. From
    any thread."""

    doubt: Callable[[int, str], None] | None = None
    """Asks the judge to leave a kept edit out of the incumbent: the number of its experiment, and why. From any thread.
    None where the judge leaves nothing out."""

    dollars_limit: Callable[[], float] = lambda: inf
    """Dollars that all model calls of the campaign may cost, the past ones included. Ask before each call, from any
    thread: the limit falls when attempts are launched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """The agent gave no proposal this time."""

    reason: str
    """One sentence."""

    cost: Cost = field(default_factory=Cost)
    """Cost of its model calls, which is charged all the same."""

    exhausted: bool = False
    """True if nothing is left to propose (a replay at its end), so the campaign may finish."""

    short_of_money: bool = False
    """True if `dollars_limit` has no room for the agent's first call. The limit may rise again, and then the agent can
    be asked again."""

    retry_after: float = 0.0
    """Seconds to wait before asking again; 0 if there is no need to wait."""

    brought: int = 0
    """Proposals that it has offered before; the question was fruitful then."""

    transcript: str = ""
    """The agent's conversation as JSON lines; empty for an agent that has none."""

    notes: str | None = None
    """What the agent wants later proposals to know, in place of what it wanted before; None if that stays."""


class WaitReason(StrEnum):
    """The reason why a proposal does not come. A closed set, because each value is a series of a metric."""

    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    UNREACHABLE = "unreachable"
    BROKEN_STREAM = "broken_stream"
    ERROR = "error"
    REST = "rest"
    MONEY = "money"
    OPERATOR = "operator"


RESTS = (WaitReason.REST, WaitReason.MONEY)
"""Reasons of an agent that is not asked at all; the others are those of a proposal under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The wait of one proposal."""

    reason: WaitReason

    text: str
    """One sentence for people."""

    until: float | None = None
    """Unix time at which the agent goes on; None if that is not known."""


class Agent(Protocol):
    """Proposes one edit per call. Several threads may call it at once, so that proposals keep all slots busy."""

    name: str
    """Short name for people and metrics, such as `perturb`."""

    def check(self) -> list[str]:
        """Called before the first proposal; returns warnings for the operator. Raises AgentError if it cannot work."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """Make one proposal. Raises AgentError if only a human can help (key, billing, model)."""

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Waits of the proposals under way; empty if none waits. Safe to read from another thread."""

    def stop(self) -> None:
        """Give up waiting, so that a `propose` under way returns Abandoned soon."""


class Executor(Protocol):
    """Runs tries. Every method returns at once; the end of a try arrives through the callback given to `start`."""

    def start(self, ended: Callable[[TryEnded], None]) -> None:
        """Check that tries can run here, and begin to report. Raises SettingsError, SandboxError or ClusterError.

        ended: called once for each try that ended, on a thread of the executor.
        """

    def launch(self, request: TryRequest) -> None:
        """Start a try, or adopt the one that already has this name."""

    def adopt(self, requests: Sequence[TryRequest]) -> None:
        """Take over tries that an earlier controller launched. The end of each is reported, even if it is gone."""

    def progress(self) -> Sequence[Progress]:
        """The place of each running try."""

    def trouble(self) -> str:
        """One sentence on what only an operator can mend, such as an image that cannot be pulled; empty if nothing."""

    def ready(self) -> bool:
        """True if it sees what runs: watches are synced, or sandboxes were tested."""

    def watch_ages(self) -> Mapping[str, float]:
        """Seconds since each watch last heard from the cluster; empty for an executor without watches."""

    def recorded(self, id: TryId) -> None:
        """Clean up after a try. Called when the lab holds its result."""

    def stop(self) -> None:
        """End. Local tries are killed; Jobs in a cluster go on, because the next controller can adopt them."""
