"""The campaign state: everything that the lab says about a campaign, added up once and kept current. No I/O.

It can be rebuilt from the lab's experiments at any time, and is then the same.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from controller.costs.slots import SlotPrices, slot_dollars
from controller.domain import BASELINE, Experiment, Judgement, Outcome, Verdict
from controller.judge import Judge, State, make_candidate
from controller.planning.actions import Spent
from controller.planning.pacing import NEWEST
from controller.studies.bill import charge
from controller.studies.study import StudyRecord

CRASHES_OF_A_MERGE = 3
"""Crashes on a merged incumbent, with no score on it, after which the merge counts as broken. A tenth of all edits
crashes by itself, so that three in a row blame a sound merge once in a thousand."""


class CampaignState:
    """The campaign as the loop sees it."""

    def __init__(
        self,
        judge: Judge,
        experiments: Sequence[Experiment],
        prices: SlotPrices,
        *,
        studies: Sequence[StudyRecord] = (),
    ) -> None:
        self._judge = judge
        self._prices = prices
        self.experiments: dict[int, Experiment] = {e.number: e for e in experiments}
        # Experiments without a verdict.
        self.open: dict[int, Experiment] = {e.number: e for e in experiments if e.judgement is None}
        self.fingerprints: set[str] = {e.fingerprint for e in experiments}
        # The judge's state; None until the baseline is judged.
        self.state: State | None = None
        # See View.kept.
        self.kept: list[Experiment] = []
        # Slices of the reserve after the newest launch; None for a task without a reserve.
        self.reserve_left: int | None = None
        self._newest_launch = 0.0
        # See View.gains.
        self.gains: dict[str, float] = {}
        # For each commit that was the incumbent, the one that it was made from and the experiment that made it.
        self._made_from: dict[str, tuple[str, int]] = {}
        # Crashed experiments by the commit that they were made on, and the commits on which something was scored.
        self._crashes_on: Counter[str] = Counter()
        self._scored_on: set[str] = set()
        # See View.doubtable: the edits left in the incumbent, without those that were doubted on this very commit.
        self.doubtable: frozenset[int] = frozenset()
        # Experiments that leave a kept edit out, which nobody proposed.
        self.doubts = 0
        # The same without those that try one again on a newer incumbent.
        self.doubts_begun = 0
        self._head = ""
        # See Pace.uses.
        self.uses: deque[float] = deque(maxlen=NEWEST)
        # Order of the latest judgement, 0 before the first.
        self.order = 0
        # See View.without_keep.
        self.without_keep = 0
        self._incumbent = BASELINE
        # See Spent.
        self.slot_seconds = 0.0
        self.slot_dollars = 0.0
        self.attempts = 0
        self._counted = 0
        for experiment in experiments:
            self._charge(experiment)
        # No study runs while the campaign does, as the lab has one writer: their cost stands still meanwhile.
        studied = charge(studies, prices)
        self.slot_seconds += studied.seconds
        self.slot_dollars += studied.dollars
        self.attempts += studied.attempts
        judged = [e for e in experiments if e.judgement is not None]
        for experiment in sorted(judged, key=_order):
            self._fold(experiment)

    @property
    def leaves_out(self) -> bool:
        """True if this campaign's judge leaves kept edits out to test them."""
        return self._judge.leaves_out

    @property
    def incumbent(self) -> Experiment:
        """The experiment whose code is at the head of the branch."""
        return self.experiments[self._incumbent]

    def steps_to(self, commit: str) -> list[tuple[Experiment, str, str]]:
        """The steps that led to a commit of the branch, the newest first: experiment, commit before, commit after.

        The two commits differ by the experiment's edit alone. An edit that was carried over has those of its own keep.
        """
        steps = []
        while commit in self._made_from:
            before, number = self._made_from[commit]
            experiment = self.experiments[number]
            carries = _carries(experiment)
            others = [self.experiments[carried] for carried in reversed(carries)]
            steps += [(other, *self._own_step(other)) for other in others]
            steps.append((experiment, before, experiment.commit if carries else commit))
            commit = before
        return steps

    def _own_step(self, experiment: Experiment) -> tuple[str, str]:
        """The commits before and after the move of the branch that one keep made, without what it carried over."""
        judgement = experiment.judgement
        if judgement is None or _carries(experiment):
            return experiment.base, experiment.commit
        return self._made_from[judgement.kept_as][0], judgement.kept_as

    def edits_in(self, commit: str) -> tuple[int, ...]:
        """Numbers of the kept experiments whose edits a commit of the branch contains, the newest first."""
        return tuple(experiment.number for experiment, _, _ in self.steps_to(commit))

    def edits_to_carry(self, base: str, head: str) -> list[Experiment]:
        """What was kept between two commits of the branch and is in the later one, the oldest first.

        An undoing of what the earlier one has belongs to it. Nothing where the gains of kept edits do not add up for
        this campaign's judge: it has no number for a program that they are put onto.
        """
        if not self._judge.keeps_merged:
            return []
        known, left = set(self.edits_in(base)), self.edits_left(head)
        found = []
        for number in reversed(self.edits_in(head)):
            step = self.experiments[number]
            if number not in known and (number in left or step.doubts in known or step.undoes in known):
                found.append(step)
        return found

    def find_replaced(self, base: str, head: str, *, carries: Iterable[int]) -> tuple[int, ...]:
        """Numbers of the edits that a program made on `base` takes out of `head` in whose place it is kept.

        carries: those that are put onto it.
        """
        return tuple(sorted(set(self.edits_in(head)) - set(self.edits_in(base)) - set(carries)))

    def find_credit(self, numbers: Iterable[int]) -> float:
        """Gain that these kept edits are credited with, each without what it replaced, in the metric's unit."""
        credit = 0.0
        for number in numbers:
            experiment = self.experiments[number]
            judgement = experiment.judgement
            if judgement is not None:
                before = experiment.base if judgement.replaces else judgement.onto or experiment.base
                credit += self.gains[judgement.kept_as] - self.gains[before] - self.find_credit(judgement.carries)
        return credit

    def edits_left(self, commit: str) -> frozenset[int]:
        """Numbers of the kept experiments whose edits a commit of the branch has and that were not taken out again."""
        left: set[int] = set()
        for number in reversed(self.edits_in(commit)):
            step = self.experiments[number]
            if step.doubts is not None:
                left.discard(step.doubts)
            elif step.undoes is None:
                left.add(number)
            elif (restored := self.experiments[step.undoes].doubts) is not None:
                left.add(restored)
            else:
                left.discard(step.undoes)
        return frozenset(left)

    def find_revivable(self) -> frozenset[str]:
        """Fingerprints of the programs that were the incumbent once, and have not been tried again since.

        What was kept after them may have been luck, so that the way back must be open, once.
        """
        newest = {e.fingerprint: e for e in self.experiments.values()}
        found = set()
        for program, experiment in newest.items():
            judgement = experiment.judgement
            # What was merged to be kept is another program than the experiment's own.
            own = judgement is not None and (not judgement.onto or _stands_as_it_ran(judgement))
            kept = own and (experiment.number == BASELINE or bool(judgement and judgement.kept_as))
            if kept and experiment.number != self._incumbent:
                found.add(program)
        return frozenset(found)

    def put(self, experiment: Experiment) -> None:
        """Take in one changed or new experiment, after the lab has it."""
        self._charge(experiment, before=self.experiments.get(experiment.number))
        self.experiments[experiment.number] = experiment
        self.fingerprints.add(experiment.fingerprint)
        if experiment.judgement is None:
            self.open[experiment.number] = experiment
        else:
            self.open.pop(experiment.number, None)
            self._fold(experiment)

    def spent(self, *, elapsed_seconds: float = 0.0, dollars: float = 0.0) -> Spent:
        """The used part of the budget; the caller knows the clock and the dollars of model calls."""
        return Spent(
            experiments=self._counted,
            slot_seconds=self.slot_seconds,
            slot_dollars=self.slot_dollars,
            attempts=self.attempts,
            dollars=dollars,
            elapsed_seconds=elapsed_seconds,
        )

    def _charge(self, experiment: Experiment, *, before: Experiment | None = None) -> None:
        """Add an experiment to what is spent; `before` is its former record, which was added already."""
        self.slot_seconds += _slot_seconds(experiment) - _slot_seconds(before)
        self.slot_dollars += self._slot_dollars(experiment) - self._slot_dollars(before)
        self.attempts += _count_ended(experiment) - _count_ended(before)
        self._note_reserve(experiment)
        if before is None and experiment.doubts is not None:
            self.doubts += 1
            self.doubts_begun += experiment.retry_of is None
        if experiment.scores and experiment.doubts is None:
            self._scored_on.add(experiment.base)
        if _is_counted(experiment):
            self._counted += 1
        if before is not None and _is_counted(before):
            self._counted -= 1

    def _note_reserve(self, experiment: Experiment) -> None:
        for attempt in experiment.attempts:
            for each in attempt.tries:
                if each.launched_at >= self._newest_launch:
                    self._newest_launch, self.reserve_left = each.launched_at, each.reserve_left

    def _slot_dollars(self, experiment: Experiment | None) -> float:
        return 0.0 if experiment is None else slot_dollars(experiment, self._prices)

    def _fold(self, experiment: Experiment) -> None:
        """Take in a verdict; the baseline's begins the judge's state."""
        judgement = experiment.judgement
        if judgement is None:
            return
        self.order = max(self.order, judgement.order)
        if experiment.number != BASELINE and experiment.doubts is None:
            self.without_keep = 0 if judgement.kept_as else self.without_keep + bool(experiment.attempts)
        if experiment.number == BASELINE:
            self.state = self._judge.begin(experiment.scores)
            self.kept.append(experiment)
            self.gains[experiment.commit] = self.state.gain
            self._head = experiment.commit
        elif self.state is not None:
            if experiment.undoes is None:
                self._judge_experiment(experiment, self.state, judgement.verdict)
            elif judgement.kept_as:
                undone = self.experiments[experiment.undoes].judgement
                before, after = (undone.onto, undone.kept_as) if undone else ("", "")
                gain = self.gains.get(after, 0.0) - self.gains.get(before, 0.0)
                self.state = self._judge.take_back(self.state, gain)
                # The head is the program before the merge once more, and all that was seen of that program holds again.
                self._crashes_on[judgement.kept_as] += self._crashes_on[before]
                if before in self._scored_on:
                    self._scored_on.add(judgement.kept_as)
            if judgement.kept_as:
                if experiment.doubts is not None:
                    self._correct_credit(experiment.doubts, judgement.expected_gain, self.state)
                before = experiment.base if judgement.replaces else judgement.onto or experiment.base
                if experiment.undoes is not None:
                    before = self._find_restored(experiment.undoes, before)
                self._made_from[judgement.kept_as] = (before, experiment.number)
                self._incumbent = experiment.number
                self.kept.append(experiment)
                self.gains[judgement.kept_as] = self.state.gain
                self._head = judgement.kept_as
                self.doubtable = self.edits_left(self._head)
            elif experiment.doubts is not None and experiment.base == self._head:
                self.doubtable -= {experiment.doubts}

    def _correct_credit(self, undone: int, gain_without: float | None, state: State) -> None:
        """Count an undone edit as what it turned out to be worth, in every commit of the branch that has it.

        Edits that still run on those commits are compared with the new incumbent by that, and not by the luck with
        which the edit was kept. gain_without: what leaving it out gains, in sigma.
        """
        if gain_without is None:
            return
        # The judge has taken back what the edit was credited with. Afterwards the commit before the undoing must lie
        # below the new one by what leaving the edit out gains.
        change = state.gain - gain_without * state.sigma - self.gains[self._head]
        commit = self._head
        while undone in self.edits_in(commit):
            self.gains[commit] += change
            commit = self._made_from[commit][0]

    def _find_restored(self, undone: int, commit: str) -> str:
        """The commit of which a taken back keep leaves the edits, if that keep had replaced others; else `commit`."""
        judgement = self.experiments[undone].judgement
        return judgement.onto if judgement is not None and judgement.replaces else commit

    def _judge_experiment(self, experiment: Experiment, state: State, verdict: Verdict) -> None:
        if experiment.doubts is None:
            self._note_use(experiment)
        if verdict is Verdict.CRASH and experiment.doubts is None:
            self._crashes_on[experiment.base] += 1
        carried = self.find_credit(_carries(experiment))
        candidate = make_candidate(experiment, state, gains=self.gains, carried=carried)
        self.state = self._judge.conclude(state, candidate, verdict)

    def find_broken_merge(self, head: str) -> Experiment | None:
        """The merged keep at the head of the branch if all edits on it crash; None if there is none.

        What is kept by merging has not run as a whole, so the first edits on it tell whether it runs.
        """
        if self._crashes_on[head] < CRASHES_OF_A_MERGE or head in self._scored_on:
            return None
        while head in self._made_from:
            experiment = self.experiments[self._made_from[head][1]]
            judgement = experiment.judgement
            if experiment.undoes is None:
                merged = judgement is not None and judgement.onto and not _stands_as_it_ran(judgement)
                return experiment if merged else None
            undone = self.experiments[experiment.undoes].judgement
            head = undone.onto if undone else ""
        return None

    def _note_use(self, experiment: Experiment) -> None:
        """Remember the slot seconds of a proposal; an edit that is tried again adds to those of its first time."""
        seconds = _slot_seconds(experiment)
        if experiment.retry_of is not None and self.uses:
            self.uses[-1] += seconds
        else:
            self.uses.append(seconds)


def _carries(experiment: Experiment) -> tuple[int, ...]:
    return experiment.judgement.carries if experiment.judgement else ()


def _stands_as_it_ran(judgement: Judgement) -> bool:
    """True for a keep whose own program took the place of an incumbent with which it could not be merged."""
    return bool(judgement.replaces) and not judgement.carries


def _is_counted(experiment: Experiment) -> bool:
    """True if the budget counts it: not the baseline, no edit tried again or left out, no edit that never ran.

    A crash without an attempt ran: its smoke test ended it.
    """
    if experiment.number == BASELINE or experiment.retry_of is not None or experiment.doubts is not None:
        return False
    judgement = experiment.judgement
    return judgement is None or bool(experiment.attempts) or judgement.verdict is Verdict.CRASH


def _slot_seconds(experiment: Experiment | None) -> float:
    """Wall seconds of all its tries, lost ones included."""
    return sum(attempt.seconds for attempt in experiment.attempts) if experiment else 0.0


def _count_ended(experiment: Experiment | None) -> int:
    """Number of its attempts that ended otherwise than lost."""
    ended = 0
    for attempt in experiment.attempts if experiment else ():
        if attempt.result is not None and attempt.result.outcome is not Outcome.LOST:
            ended += 1
    return ended


def _order(experiment: Experiment) -> int:
    return experiment.judgement.order if experiment.judgement else -1
