"""A campaign in memory: admits proposals, judges them by a pretend score, and asks for the next one.

It stands for the campaign where only the agent is under test. A program is admitted once; a second time is an
error of the agent, and raises.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from random import Random

from controller.domain import Attempt, Experiment, Judgement, Outcome, Proposal, Provenance, Result, Score, Verdict
from controller.edits import novelty
from controller.lab.merging import merge_texts
from controller.ports import ProposalRequest

SIGMA = 0.01


@dataclass(slots=True)
class Clock:
    """Time that passes only when told, or when someone waits."""

    now: float = 1_800_000_000.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        """A wait that takes no time, and never stops."""
        self.waits.append(seconds)
        self.now += seconds
        return False


def commit_of(files: Mapping[str, str]) -> str:
    """A name for a set of files."""
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


class CampaignInMemory:
    """Experiments, files by commit, and the incumbent. Also the notebook that an agent may read."""

    def __init__(self, files: Mapping[str, str], *, brief: str = "# Brief\nMake val_bpb lower.", seed: int = 0) -> None:
        self.base = commit_of(files)
        self.commits = {self.base: dict(files)}
        self.incumbent = self.base
        self.experiments: list[Experiment] = [Experiment(number=0, commit=self.base, base=self.base, title="baseline")]
        self.fingerprints = {novelty.fingerprint(files)}
        self.logs: dict[str, str] = {}
        self.brief = brief
        self.requests = 0
        self._random = Random(seed)
        self._judged = 0

    # -- the notebook -----------------------------------------------------------------------------------------------

    def source(self, commit: str, path: str) -> str:
        """Text of a file at a commit."""
        return self.commits[commit][path]

    def diff(self, experiment: Experiment) -> str:
        """Unified diff against the base."""
        old, new = self.commits[experiment.base], self.commits[experiment.commit]
        lines = (
            difflib.unified_diff(old[p].splitlines(True), new[p].splitlines(True), f"a/{p}", f"b/{p}") for p in old
        )
        return "".join(line for diff in lines for line in diff)

    def merge(self, experiment: Experiment, path: str, text: str) -> str | None:
        """A text with the edit of an experiment; None where they conflict."""
        return merge_texts(self.commits[experiment.base][path], text, self.commits[experiment.commit][path])

    def merge_texts(self, base: str, ours: str, theirs: str) -> str | None:
        """Two edits of one text in one; None where they conflict."""
        return merge_texts(base, ours, theirs)

    def log_tail(self, experiment: Experiment) -> str:
        """End of its training's log."""
        return self.logs.get(experiment.commit, "")

    # -- the campaign -----------------------------------------------------------------------------------------------

    def request(self, *, dollars_limit: float = inf, pending: tuple[str, ...] = ()) -> ProposalRequest:
        """The next request for a proposal. dollars_limit: what all calls together may cost."""
        self.requests += 1
        return ProposalRequest(
            tag="test",
            number=self.requests,
            brief=self.brief,
            base=self.incumbent,
            files=self.commits[self.incumbent],
            readable={"prepare.py": "SEQUENCES = 512\n"},
            experiments=tuple(self.experiments),
            fingerprints=frozenset(self.fingerprints),
            notebook=self,
            metric="val_bpb",
            minimize=True,
            sigma=SIGMA,
            incumbent_level=1.8,
            pending=pending,
            dollars_limit=lambda: dollars_limit,
        )

    def admit(self, proposal: Proposal, *, at: float) -> Experiment:
        """Commit a proposal. Raises AssertionError where the very program was tried before."""
        files = {**self.commits[proposal.base], **proposal.files}
        program = novelty.fingerprint(files)
        assert program not in self.fingerprints, f"{proposal.title} was tried before"
        self.fingerprints.add(program)
        number = len(self.experiments)
        commit = commit_of({**files, "": str(number)})
        self.commits[commit] = files
        experiment = Experiment(
            number=number,
            commit=commit,
            base=proposal.base,
            title=proposal.title,
            hypothesis=proposal.hypothesis,
            agent=proposal.agent,
            strategy=proposal.strategy,
            expected_effect=proposal.expected_effect,
            cost=proposal.cost,
            proposed_at=at,
            ticket=proposal.ticket,
        )
        self.experiments.append(experiment)
        return experiment

    def judge(self, experiment: Experiment, *, keep: bool, log: str = "") -> None:
        """Give a verdict; with a `log` the training crashed, having printed it."""
        self._judged += 1
        value = 1.8 + self._random.gauss(0.0, SIGMA)
        scored = Result(outcome=Outcome.SCORED, score=Score(value=value, provenance=Provenance.SEALED))
        crashed = Result(outcome=Outcome.CRASHED, reason="training crashed with exit code 1")
        self.logs[experiment.commit] = log
        verdict = Verdict.CRASH if log else Verdict.KEEP if keep else Verdict.DISCARD
        judgement = Judgement(
            verdict=verdict,
            reason="its run left no artifact"
            if log
            else "expected gain is above zero"
            if keep
            else "expected gain is not",
            order=self._judged,
            expected_gain=None if log else self._random.uniform(0.1, 2.0) if keep else -self._random.uniform(0.0, 3.0),
        )
        attempt = Attempt(number=1, seed=experiment.number, result=crashed if log else scored)
        self.experiments[experiment.number] = replace(experiment, attempts=(attempt,), judgement=judgement)
        if verdict is Verdict.KEEP:
            self.incumbent = experiment.commit


def run(
    agent: object,
    campaign: CampaignInMemory,
    *,
    proposals: int,
    clock: Clock,
    gap: float = 100.0,
    keeps: Callable[[int], bool] = lambda n: n % 9 == 4,
    count: int = 1,
) -> list[object]:
    """A sequential campaign of so many requests; `gap` seconds pass between them.

    count: proposals that each request may bring; they are judged when it has ended.
    """
    ended: list[object] = []
    for _ in range(proposals):
        answers: list[object] = []
        request = replace(campaign.request(), count=count, offer=answers.append)
        answers.append(agent.propose(request))  # type: ignore[attr-defined]
        ended += answers
        clock.now += gap
        admitted = [campaign.admit(each, at=clock.now) for each in answers if isinstance(each, Proposal)]
        for experiment in admitted:
            campaign.judge(experiment, keep=keeps(experiment.number))
    return ended


TASK = '''"""A task file of the real one's length, with little in it that parses slowly."""

# Hyper-parameters
DEPTH = 3  # layers, 1 to 6
WIDTH = 128  # channels, 64 to 384
MLP_RATIO = 4.0  # hidden channels per channel, 1 to 8
TOTAL_BATCH_SIZE = 4096  # tokens per optimiser step, 2048 to 16384
MATRIX_LR = 0.04  # Muon, per step, 0.01 to 0.1
EMBEDDING_LR = 0.3  # AdamW, 0.03 to 1
UNEMBEDDING_LR = 0.01  # AdamW, 0.001 to 0.03
SCALAR_LR = 0.05  # AdamW, residual weights, 0.01 to 1
MUON_MOMENTUM = 0.9  # 0.8 to 0.98
NEWTON_SCHULZ_STEPS = 5  # iterations, 3 to 7
ADAM_BETA1 = 0.8  # 0.7 to 0.95
ADAM_BETA2 = 0.95  # 0.9 to 0.999
WARMUP_RATIO = 0.02  # 0 to 0.1
WARMDOWN_RATIO = 0.6  # 0.2 to 0.9
ROPE_BASE = 10000.0  # 100 to 1000000


def load_model(artifact_dir):
    return None


def main():
    pass
''' + "".join(
    f"# {number:3d} a line of prose as long as a line of the real task file is long\n" for number in range(260)
)
