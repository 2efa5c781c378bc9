"""Orders the changes that perturb may propose: at random, spread over the constants, led by what was kept. Pure.

The past is read from titles such as `EMBEDDING_LR 0.2 → 0.4`. They are all that a lab stores of a change, and so the
titles of other agents count as well.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from controller.agent.perturb.constants import Constant, read_number
from controller.domain import Experiment, Verdict, find_undone

CONTINUE = 0.35
"""Share of proposals that take a kept change one step further in the same direction, if there is one."""

AGAINST_KEPT = 0.1
"""Weight of a change back from a kept one; any other has the weight 1."""

AGAINST_FAILED = 0.5
"""Factor on the weight for each time that a change the same way from the same value was not kept."""

_CHANGE = re.compile(r"(?P<label>\S+) (?P<old>\S+) → (?P<new>\S+?)(?=, |$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One constant and the literal that would replace its own."""

    constant: Constant
    text: str

    @property
    def told(self) -> PastChange:
        """The change as a title tells it."""
        return PastChange(
            label=self.constant.label,
            old=_strip_literal(self.constant.text),
            new=_strip_literal(self.text),
        )

    def __str__(self) -> str:
        return str(self.told)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastChange:
    """A change as a title tells it."""

    label: str
    old: str
    new: str

    verdict: Verdict | None = None
    """None while its experiment waits or runs."""

    @property
    def direction(self) -> int:
        """1 for up, -1 for down, 0 if the values have no order."""
        old, new = read_number(self.old), read_number(self.new)
        if old is None or new is None or new == old:
            return 0
        return 1 if new > old else -1

    def undoes(self, earlier: PastChange) -> bool:
        """True if this change goes back to the value that `earlier` left, or at least that way."""
        return self.new == earlier.old or self.direction * earlier.direction < 0

    def repeats(self, earlier: PastChange) -> bool:
        """True if this change leaves the same value the same way."""
        return self.direction != 0 and self.old == earlier.old and self.direction == earlier.direction

    def __str__(self) -> str:
        return f"{self.label} {self.old} → {self.new}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """Changes to make together."""

    changes: tuple[Change, ...]

    strategy: str
    """Origin of the idea: single, pair, continue or second-chance."""

    hypothesis: str
    """The reason for it, in a sentence or two."""

    @property
    def title(self) -> str:
        """The title of its experiment, from which `read_past` reads the changes again."""
        return ", ".join(map(str, self.changes))


@dataclass(frozen=True)
class Past:
    """The changes that the titles of a campaign tell."""

    titles: frozenset[str]
    """Titles of everything proposed."""

    changes: tuple[PastChange, ...]
    """The oldest first."""

    @cached_property
    def turns(self) -> Counter[str]:
        """Number of changes of each constant."""
        return Counter(change.label for change in self.changes)

    @cached_property
    def kept(self) -> dict[str, PastChange]:
        """The last kept change of each constant."""
        return {change.label: change for change in self.changes if change.verdict is Verdict.KEEP}

    @cached_property
    def broken(self) -> frozenset[str]:
        """Titles of single changes that crashed or were rejected."""
        titles = set()
        for change in self.changes:
            if change.verdict in (Verdict.CRASH, Verdict.REJECT):
                titles.add(str(change))
        # A change within a pair has no title of its own, and the other change may have caused the crash.
        return frozenset(titles & self.titles)

    def is_followed_by(self, change: Change) -> bool:
        """True if `change` goes on from the value at which its constant was kept, the same way."""
        kept = self.kept.get(change.constant.label)
        if kept is None:
            return False
        return kept.new == change.told.old and kept.direction * change.told.direction > 0

    def weigh(self, change: Change) -> float:
        """Chance of `change` against other changes of the same constant."""
        told = change.told
        failures = 0
        for earlier in self.changes:
            failed = earlier.verdict not in (None, Verdict.KEEP)
            if failed and earlier.label == told.label and told.repeats(earlier):
                failures += 1
        kept = self.kept.get(told.label)
        weight = AGAINST_KEPT if kept and told.undoes(kept) else 1.0
        return weight * AGAINST_FAILED**failures


def read_past(experiments: Sequence[Experiment], pending: Sequence[str]) -> Past:
    """Read the changes from every title, whoever proposed it; `pending` may name experiments once more."""
    undone = find_undone(experiments)
    verdicts: list[tuple[str, Verdict | None]] = []
    for experiment in experiments:
        # A program that leaves a kept edit out is no change of ours: the edit is no longer kept if it was undone.
        if experiment.leaves_out is None:
            verdict = experiment.judgement.verdict if experiment.judgement else None
            verdicts.append((experiment.title, Verdict.DISCARD if experiment.number in undone else verdict))
    titles = frozenset(experiment.title for experiment in experiments)
    verdicts += [(title, None) for title in pending if title not in titles]
    changes: list[PastChange] = []
    for title, verdict in verdicts:
        changes += [PastChange(**found.groupdict(), verdict=verdict) for found in _CHANGE.finditer(title)]
    return Past(titles | {*pending}, tuple(changes))


def order_ideas(changes: Sequence[Change], past: Past, draw: random.Random) -> Iterator[Idea]:
    """All ideas, the best first: continue what was kept (sometimes), new single changes, pairs, second chances.

    Single changes take the constants in order of how rarely they had a turn, at random among equals.
    """
    new = [change for change in changes if str(change) not in past.titles]
    following = [change for change in new if past.is_followed_by(change)]
    if draw.random() < CONTINUE:
        for change in draw.sample(following, len(following)):
            yield _continue_change(change, past)
    for change in _spread_over_constants(new, past, draw):
        yield _make_single(change)
    for pair in _make_pairs(changes, past, draw):
        if pair.title not in past.titles:
            yield pair
    for change in draw.sample(changes, len(changes)):
        yield _give_second_chance(change)


def _spread_over_constants(changes: Sequence[Change], past: Past, draw: random.Random) -> list[Change]:
    """Order changes by how rarely their constant had a turn; then at random, by weight within a constant."""
    constants = {}
    for change in changes:
        label = change.constant.label
        if label not in constants:
            constants[label] = (past.turns[label], draw.random())
    # A draw to the power 1 / weight sorts like drawing by weight without putting back (Efraimidis and Spirakis 2006).
    lots = {change: draw.random() ** (1 / past.weigh(change)) for change in changes}
    return sorted(changes, key=lambda change: (constants[change.constant.label], -lots[change]))


def _make_pairs(changes: Sequence[Change], past: Past, draw: random.Random) -> Iterator[Idea]:
    sound = [change for change in changes if str(change) not in past.broken]
    pairs = [(first, second) for first, second in combinations(sound, 2) if first.constant != second.constant]
    draw.shuffle(pairs)
    for pair in pairs:
        yield Idea(
            changes=pair,
            strategy="pair",
            hypothesis="Two changes that may only help together. Drawn at random, now that single steps are used up.",
        )


def _make_single(change: Change) -> Idea:
    told = change.told
    if told.direction > 0:
        better = f"higher than {told.old}"
    elif told.direction < 0:
        better = f"lower than {told.old}"
    else:
        better = f"as {told.new} than as {told.old}"
    return Idea(
        changes=(change,),
        strategy="single",
        hypothesis=f"{told.label} may do better {better}. Drawn at random among the constants "
        "that had the fewest turns; no theory stands behind it.",
    )


def _continue_change(change: Change, past: Past) -> Idea:
    kept = past.kept[change.constant.label]
    return Idea(
        changes=(change,),
        strategy="continue",
        hypothesis=f"{kept} was kept, so a further step the same way may help again.",
    )


def _give_second_chance(change: Change) -> Idea:
    return Idea(
        changes=(change,),
        strategy="second-chance",
        hypothesis=f"{change} was tried on an earlier incumbent; what did not help there may help on this one.",
    )


def _strip_literal(literal: str) -> str:
    """A literal as one word for a title: without quotes and blanks."""
    return literal.strip("\"'").replace(" ", "")
