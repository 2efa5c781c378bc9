"""The words of the project as frozen values: experiments, attempts, tries, outcomes, scores, verdicts.

No I/O, no clock, no libraries. All other modules import these words; this one imports none of them. Records in the lab
have these field names, so a field is never renamed, and a new one has a default with which old records are right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean

BASELINE = 0
"""Number of the experiment that changes nothing. The spread of its attempts' scores is sigma."""

LARGEST_SCORE = 1e100
"""A larger number does not count as a score: its square is too large for a double, and judges square scores."""


class Outcome(StrEnum):
    """The end of one attempt."""

    SCORED = "scored"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"
    LOST = "lost"


class Verdict(StrEnum):
    """The end of one experiment."""

    KEEP = "keep"
    DISCARD = "discard"
    CRASH = "crash"
    REJECT = "reject"


class Provenance(StrEnum):
    """The source of a score, and so how far it can be trusted."""

    SEALED = "sealed"
    """Measured by the exam, with the candidate in a sandbox."""

    UNSEALED = "unsealed"
    """Measured by the exam without a sandbox around the candidate."""

    LOG = "log"
    """Printed by the training itself, and not verified."""


class LostTo(StrEnum):
    """The cause of a lost try. A closed set, because each value is a series of a metric."""

    STOPPED = "stopped"
    """The controller stopped."""

    PREEMPTED = "preempted"
    """The scheduler gave the place to work of higher priority."""

    EVICTED = "evicted"
    """The kubelet ended the pod, for example because its node ran out of memory or disk."""

    DRAINED = "drained"
    """An operator or an autoscaler emptied the node (eviction API)."""

    NODE_LOST = "node_lost"
    """The node stopped answering, or the machine went down."""

    ADMISSION = "admission"
    """The kubelet refused the pod when it arrived at the node."""

    UNSCHEDULABLE = "unschedulable"
    """No node took the pod in time."""

    IMAGE = "image"
    """The image could not be pulled."""

    QUOTA = "quota"
    """The namespace's quota left no room."""

    CONFIG = "config"
    """The container could not be created or started as configured."""

    DELETED = "deleted"
    """Somebody deleted the Job or the pod."""

    EXAMINER = "examiner"
    """The examiner itself failed."""

    DISTURBED = "disturbed"
    """Other programs took CPUs that the training would have had, so its score would have told of them."""

    UNKNOWN = "unknown"
    """The cause could not be told, or a version recorded the loss that kept no cause."""


INTERRUPTIONS = frozenset({LostTo.STOPPED, LostTo.PREEMPTED})
"""Tries that were taken away on purpose. Nothing is broken, so they do not count against `executor.max_tries`."""

AGAIN = "again:"
"""Begins the strategy of an experiment that repeats an edit on a newer incumbent; the first one's number follows.
It is a name for people; the program reads `Experiment.retry_of`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamReport:
    """Measurements of the examiner. A field is None if the exam ended before it was measured.

    nll is the negative log-likelihood of the right token, in nats.
    """

    raw: float | None = None
    """Score before the correction for what the tests leave open, in the metric's unit."""

    holdout: float | None = None
    """Score on the holdout, in the metric's unit; None unless a claim asked it. The agent never sees it."""

    inflation: float | None = None
    """Mean over the probes of nll with the label withheld minus nll in the exam, in nats; about 0 if honest."""

    inflation_error: float | None = None
    """Standard error of `inflation`, in nats."""

    hits: int | None = None
    """Number of probes whose two nll differ by more than 0.5 nats."""

    spread: float | None = None
    """Mean size of the same differences without their signs, in nats."""

    restart: float | None = None
    """Mean of nll in the short round, by a process of its own, minus nll in the exam, in nats."""

    restart_error: float | None = None
    """Standard error of `restart`, in nats."""

    freshness: float | None = None
    """Advantage over the reference model on text that every exam asks, less that on text that no exam had asked
    before, in nats; about 0 if honest. None if no such text was asked. See `questions` for other tasks."""

    asked_error: float | None = None
    """Standard error of the first of the two, in nats: all attempts share this text."""

    freshness_error: float | None = None
    """Standard error of the second, in nats."""

    probes: int | None = None
    """Number of probes that were compared."""

    tokens: int | None = None
    """Number of scored tokens of the validation set."""

    questions: int | None = None
    """Number of marked items of validation, in an exam of a task's own examiner. In such an exam freshness and its
    errors are in standard deviations of one item's mark, and not in nats."""

    score_error: float | None = None
    """Standard error of the score over these items, in the metric's unit."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    """What such an exam measured beside the metric: latency, memory, and the numbers of the examiner's author."""

    seconds_per_answer: float | None = None
    """Mean wall seconds of one answer, by the examiner's clock; for a language model, of one token's logits."""

    answer_memory_gb: float | None = None
    """Most memory that the processes of one candidate held together, in GiB, by its supervisor; None if nobody told."""

    data: str | None = None
    """Fingerprint of the data folder."""

    test: str | None = None
    """Name of the test that the attempt failed; None if it failed none."""

    flag: str | None = None
    """A remark that does not reject, such as an examiner's log that could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The campaign's metric, measured once."""

    value: float
    """In the metric's own unit."""

    provenance: Provenance

    unit: str = ""
    """What a log prints behind the number, where it is a unit that programs scale, such as `ms`; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Measurements of the machine while an attempt trained, taken from outside of it by trusted code.

    Each is a share from 0 to 1; None if this machine does not tell. A try is run again for two of them together:
    `waited` and `taken`.
    """

    waited: float | None = None
    """Of the time in which the training's threads were able to run, the part in which they waited for a CPU."""

    throttled: float | None = None
    """Of the periods of its CPU quota (100 ms each), those in which it used the quota up and had to pause."""

    contended: float | None = None
    """Of the seconds, those in which some program of the machine waited for a CPU."""

    starved: float | None = None
    """Of the seconds, those in which some program waited for memory: of the machine, or, in a pod whose kernel tells
    it, of the training's container."""

    stolen: float | None = None
    """Of the CPUs' time, what the hypervisor gave to other machines."""

    taken: float | None = None
    """Of the CPUs' time, what programs outside of this campaign computed, and what the hypervisor gave away. In a pod
    the first is the least that it can have been, as others of the campaign's pods may be on the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The end of an attempt, as its executor reports it."""

    outcome: Outcome

    reason: str = ""
    """One sentence; empty if the attempt was scored."""

    interrupted: bool = False
    """True if it was lost on purpose (INTERRUPTIONS)."""

    lost_to: LostTo | None = None
    """Cause of the loss; None if it was not lost."""

    score: Score | None = None
    """None unless `outcome` is SCORED."""

    exam: ExamReport | None = None
    """None if no exam ran."""

    seconds: float = 0.0
    """Wall seconds by the executor's clock."""

    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds of each phase."""

    node: str = ""
    """Name of the node or machine; empty if the try never reached one."""

    accelerator: str = "cpu"
    """Kind of accelerator. Scores of different kinds are never ranked together."""

    witness: Witness | None = None
    """None if nothing was measured."""

    disturbed: str = ""
    """Why its score may tell of a busy machine, as a sentence; empty if nothing was seen."""

    summary: Mapping[str, float] = field(default_factory=dict)
    """Numbers that the training printed, for display only: the agent's program wrote them."""

    log_tail: str = ""
    """End of the training's log. Untrusted text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One launch of an attempt. A failure of the infrastructure ends it, and the attempt goes on with the next try."""

    number: int
    """From 1 in its attempt."""

    probe_set: int
    """The probe set that its exam draws from."""

    launched_at: float
    """Unix time in seconds."""

    seconds: float = 0.0
    """Wall seconds; 0 until it ended."""

    dollars_per_hour: float | None = None
    """Price of its slot when it ended; None before that, and if no price was booked."""

    lost: str = ""
    """Why it was lost, as a sentence; empty if it was not."""

    interrupted: bool = False
    """True if it was lost on purpose (INTERRUPTIONS)."""

    lost_to: LostTo | None = None
    """Cause of the loss; None if it was not lost, or if a version recorded it that kept no cause."""

    reserve: int | None = None
    """The slice of the reserve that its exam may ask, used up by this try; None if it was given none."""

    reserve_left: int | None = None
    """Slices that were left for later tries when it was launched; None for a task without a reserve."""

    deaths: int = 0
    """Times that the controller died while it was in flight."""

    @property
    def cause(self) -> LostTo:
        """Cause of the loss of a lost try, also if its record has none."""
        if self.lost_to is not None:
            return self.lost_to
        return LostTo.STOPPED if self.interrupted else LostTo.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One training of one commit with one seed."""

    number: int
    """From 1 in its experiment."""

    seed: int
    """Given to the training as AUTORESEARCH_SEED."""

    tries: tuple[Try, ...] = ()
    """All tries, the newest last."""

    result: Result | None = None
    """None until the attempt ended."""

    @property
    def seconds(self) -> float:
        """Wall seconds of all its tries, including lost ones. The budget is charged with them."""
        return sum(t.seconds for t in self.tries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of the model calls for one or more proposals."""

    dollars: float = 0.0

    tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens by kind: input, output, cache_write, cache_read."""

    calls: int = 0
    """Number of model calls."""

    declared_dollars: float = 0.0
    """Dollars that a client from outside says its proposal has cost it. Nobody metered them, and no budget counts them.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What an operator tells the agent while the campaign runs (`autoresearch tell`)."""

    at: float
    """Unix time at which it was said, in seconds."""

    text: str
    """Safe text, of one line or several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An edit that an agent wants tried."""

    base: str
    """Commit that the edit changes."""

    files: Mapping[str, str]
    """Whole new text of each changed file, by its path."""

    title: str
    """One line."""

    hypothesis: str
    """Why the edit should help."""

    agent: str
    """Name of the agent, such as `perturb` or `claude/MODEL`."""

    strategy: str = ""
    """The agent's name for its kind of idea; empty if it gives none."""

    expected_effect: str = ""
    """The effect that the agent expects, in words; empty if it says nothing."""

    retry_of: int | None = None
    """Number of the experiment whose edit this repeats on a newer incumbent; None for a new edit."""

    undoes: int | None = None
    """Number of the kept experiment that this takes back; None for an edit."""

    doubts: int | None = None
    """Number of the kept experiment that this leaves out, to learn what it is worth by now; None for an edit."""

    cost: Cost = field(default_factory=Cost)
    """Cost of the model calls that led to it; of a conversation that brings several, of those since the one before."""

    transcript: str = ""
    """The agent's conversation as JSON lines; empty for an agent that has none."""

    notes: str | None = None
    """What the agent wants later proposals to know, in place of what it wanted before; None if that stays."""

    ticket: str = ""
    """The name by which whoever submitted it asks what became of it; empty if nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict with its reason. Gain, spread and price are in sigma, the standard deviation of one attempt's score."""

    verdict: Verdict

    reason: str
    """One sentence."""

    order: int
    """Place among the campaign's judgements, from 1. A replay of the judge takes them in this order."""

    expected_gain: float | None = None
    """Expected gain over the incumbent; None if no score was judged."""

    spread: float | None = None
    """Standard deviation of the expected gain; None if no score was judged."""

    price: float | None = None
    """Gain that one more attempt would have had to promise; None if no score was judged."""

    level: float | None = None
    """The judge's estimate of the experiment's true score, in the metric's unit; None if no score was judged."""

    kept_as: str = ""
    """For `keep`, the commit that the branch moved to; empty otherwise."""

    onto: str = ""
    """For `keep`, the incumbent that it followed, if the branch had moved on from the experiment's base meanwhile."""

    replaces: tuple[int, ...] = ()
    """For `keep`, the kept experiments whose edits its program does not contain: it conflicts with them."""

    carries: tuple[int, ...] = ()
    """For `keep` that replaces others, the kept experiments since its base that were merged onto its program."""

    retried_as: int | None = None
    """Number of the experiment that tries the same edit on a newer incumbent; None if none does."""

    at: float = 0.0
    """Unix time in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One proposal as one commit, with its attempts and, at the end, its judgement."""

    number: int
    """From 1; the baseline is 0."""

    commit: str

    base: str
    """Commit that the edit was made on."""

    title: str
    hypothesis: str = ""
    agent: str = ""
    strategy: str = ""
    expected_effect: str = ""

    retry_of: int | None = None
    """Number of the experiment whose edit this repeats on a newer incumbent; None for a new edit."""

    undoes: int | None = None
    """Number of the kept experiment that this takes back; None for an edit."""

    doubts: int | None = None
    """Number of the kept experiment that this leaves out, to learn what it is worth by now; None for an edit."""

    line_change: int = 0
    """Lines added minus lines removed against `base`; negative is simpler."""

    fingerprint: str = ""
    """Fingerprint of the whole edited program, normalised (`novelty.fingerprint`)."""

    cost: Cost = field(default_factory=Cost)

    proposed_at: float = 0.0
    """Unix time in seconds."""

    ticket: str = ""
    """See Proposal."""

    attempts: tuple[Attempt, ...] = ()
    """In the order of their numbers."""

    judgement: Judgement | None = None
    """None until the experiment ended."""

    @property
    def leaves_out(self) -> int | None:
        """Number of the kept experiment whose edit this program lacks; None for an edit that somebody proposed."""
        return self.doubts if self.undoes is None else self.undoes

    @property
    def words(self) -> str:
        """The verdict as people read it; empty before there is one. An edit tried again was not found wanting."""
        judgement = self.judgement
        if judgement is None:
            return ""
        if judgement.retried_as is not None:
            return f"retried as {judgement.retried_as}"
        if self.doubts is not None and judgement.verdict is Verdict.KEEP:
            return f"{self.doubts} undone"
        if self.doubts is not None and judgement.verdict is Verdict.DISCARD:
            return f"{self.doubts} stays"
        return judgement.verdict.value

    @property
    def scores(self) -> tuple[float, ...]:
        """Values of its scored attempts, in order."""
        results = (a.result for a in self.attempts)
        return tuple(r.score.value for r in results if r and r.outcome is Outcome.SCORED and r.score)

    @property
    def mean_score(self) -> float | None:
        """Mean of its scores; None if it has none."""
        return fmean(self.scores) if self.scores else None

    @property
    def peak_memory_gb(self) -> float:
        """Largest peak_vram_mb that its scored trainings reported, in GB. For display only: the training says so."""
        peak = 0.0
        for attempt in self.attempts:
            if attempt.result and attempt.result.outcome is Outcome.SCORED:
                peak = max(peak, attempt.result.summary.get("peak_vram_mb", 0.0))
        return peak / 1024

    @property
    def exams(self) -> tuple[ExamReport, ...]:
        """Reports of its exams, in the order of the attempts; an attempt without an exam has none."""
        return tuple(a.result.exam for a in self.attempts if a.result and a.result.exam)

    @property
    def hits(self) -> int:
        """Number of probes beyond 0.5 nats over all its exams; two of them reject."""
        return sum(exam.hits or 0 for exam in self.exams)

    @property
    def open_attempt(self) -> Attempt | None:
        """The attempt that has not ended; None if all have."""
        return next((a for a in self.attempts if a.result is None), None)


def find_undone(experiments: Iterable[Experiment]) -> dict[int, int]:
    """Number of each kept experiment whose edit was taken out of the branch again, with that of the one that did it.

    It was in doubt, or a broken merge. A removal that was itself taken back counts as none.
    """
    removals = {e.number: e.leaves_out for e in experiments if e.judgement and e.judgement.kept_as}
    gone = {number: left for number, left in removals.items() if left is not None}
    return {left: number for number, left in gone.items() if left not in gone and number not in gone.values()}


@dataclass(frozen=True, slots=True, order=True)
class TryId:
    """The name of one try. It follows from the plan alone, so a new controller finds the same try again."""

    tag: str
    """The campaign's."""

    experiment: int
    attempt: int

    number: int
    """Number of the try in its attempt."""

    study: str = ""
    """Name of the study that it belongs to, whose arm stands in place of the experiment; empty for a campaign's."""

    def __str__(self) -> str:
        # No campaign's try is called like a study's, whatever its tag: the one has an e where the other has an arm.
        what = f"{self.study}-arm{self.experiment}" if self.study else f"e{self.experiment:04d}"
        return f"{self.tag}-{what}-a{self.attempt}-t{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineNoise:
    """The largest that the exams of a campaign's baseline have measured, in nats; 0 where none measured it."""

    spread: float = 0.0
    inflation_error: float = 0.0
    restart_error: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """The machine as the baseline found it, which is normal here. Both are the largest of the baseline's attempts."""

    waited: float
    """See `Witness.waited`."""

    taken: float
    """See `Witness.taken`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRequest:
    """Everything that an executor needs to run one try."""

    id: TryId
    commit: str

    files: Mapping[str, str]
    """Text of the editable files at `commit`, by path."""

    seed: int
    probe_set: int

    reserve: int | None = None
    """Slice of the reserve that the exam asks; None for none."""

    holdout: bool = False
    """True if the exam asks the holdout as well. Campaigns never do: it is for claims alone."""

    baseline: BaselineNoise | None = None
    """Noise of the baseline's exams, which the examiner allows for; None before the first one."""

    calm: Calm | None = None
    """The machine as the baseline found it; None if that is not known, or nothing is to be done about a busier one."""

    counts: bool = True
    """False if a training on a machine that is busier than `calm` is lost before its exam."""

    late_counts: bool = True
    """The same of a training that missed its time: the baseline is scored however busy the machine is, and not lost for
    a machine that was too busy to train at all."""

    patience_s: float = 0.0
    """Longest wait for a machine as calm as `calm` before the training begins, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryEnded:
    """An executor's report that a try ended. The outcome LOST means that the infrastructure took it away."""

    id: TryId
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The place of a running try, for people to watch. Nothing is judged by it."""

    id: TryId

    phase: str
    """The running phase, or what it waits for."""

    started_at: float
    """Unix time of the launch, in seconds."""

    phase_seconds: float
    """Seconds since this phase began."""

    line: str = ""
    """The last line of its log, or more about the wait; empty if there is none."""
