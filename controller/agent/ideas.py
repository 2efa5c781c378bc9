"""What `perturb` may propose, in the order in which it would: random, but spread, and led by what was kept.

Pure. Reads the past from titles such as `EMBEDDING_LR 0.2 → 0.4`, which is all that the agent remembers.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from controller.agent.constants import Constant, read_number
from controller.domain import Experiment, Verdict

CONTINUE = 0.35
"""How often a kept step is followed by another one the same way, where there is one to follow."""

AGAINST_KEPT = 0.1
"""Weight of a step back from what was kept, against 1 for any other."""

AGAINST_DISCARDED = 0.5
"""Weight of a step that way for each time that such a step from the same value was not kept."""

_STEP = re.compile(r"(?P<label>\S+) (?P<old>\S+) → (?P<new>\S+?)(?=, |$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One constant and the literal that would replace its own."""

    constant: Constant
    text: str

    @property
    def told(self) -> PastStep:
        """The step as a title tells it."""
        return PastStep(label=self.constant.label, old=_bare(self.constant.text), new=_bare(self.text))

    def __str__(self) -> str:
        return f"{self.told.label} {self.told.old} → {self.told.new}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStep:
    """A step as a title tells it; the verdict is None while it waits or runs."""

    label: str
    old: str
    new: str
    verdict: Verdict | None = None

    @property
    def direction(self) -> int:
        """1 up, -1 down, 0 where there is no up and down."""
        old, new = read_number(self.old), read_number(self.new)
        return 0 if old is None or new is None else (new > old) - (new < old)

    def undoes(self, earlier: PastStep) -> bool:
        """Whether this step goes back where `earlier` came from, or at least that way."""
        return self.new == earlier.old or self.direction * earlier.direction < 0

    def repeats(self, earlier: PastStep) -> bool:
        """Whether this step leaves the same value the same way."""
        return (self.old, self.direction) == (earlier.old, earlier.direction) and self.direction != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """Steps to take together; strategy: where the idea comes from; hypothesis: why, in a sentence or two."""

    steps: tuple[Step, ...]
    strategy: str
    hypothesis: str

    @property
    def title(self) -> str:
        return ", ".join(map(str, self.steps))


@dataclass(frozen=True)
class Past:
    """What the titles of a campaign tell; `titles` of everything proposed, `steps` oldest first."""

    titles: frozenset[str]
    steps: tuple[PastStep, ...]

    @cached_property
    def tries(self) -> Counter[str]:
        """How often each constant had its turn."""
        return Counter(step.label for step in self.steps)

    @cached_property
    def kept(self) -> dict[str, PastStep]:
        """The last kept step of each constant."""
        return {step.label: step for step in self.steps if step.verdict is Verdict.KEEP}

    @cached_property
    def broken(self) -> frozenset[str]:
        """Titles of single steps that crashed or were rejected."""
        bad = (step for step in self.steps if step.verdict in (Verdict.CRASH, Verdict.REJECT))
        return frozenset(f"{step.label} {step.old} → {step.new}" for step in bad) & self.titles

    def follows(self, step: Step) -> bool:
        """Whether `step` goes on from where the constant was kept, the same way."""
        kept, told = self.kept.get(step.constant.label), step.told
        return kept is not None and kept.new == told.old and kept.direction * told.direction > 0

    def weight(self, step: Step) -> float:
        """Chance of `step` against other steps of the same constant."""
        told, kept = step.told, self.kept.get(step.constant.label)
        failures = sum(
            earlier.label == told.label and earlier.verdict not in (None, Verdict.KEEP) and told.repeats(earlier)
            for earlier in self.steps
        )
        return (AGAINST_KEPT if kept and told.undoes(kept) else 1.0) * AGAINST_DISCARDED**failures


def read_past(experiments: Sequence[Experiment], pending: Sequence[str]) -> Past:
    """Every step that a title tells, whoever proposed it; `pending` may name experiments once more."""
    told = [(e.title, e.judgement.verdict if e.judgement else None) for e in experiments]
    titles = frozenset(title for title, _ in told)
    told += [(title, None) for title in pending if title not in titles]
    steps = (
        PastStep(**found.groupdict(), verdict=verdict) for title, verdict in told for found in _STEP.finditer(title)
    )
    return Past(titles | {*pending}, tuple(steps))


def order_ideas(steps: Sequence[Step], past: Past, draw: random.Random) -> Iterator[Idea]:
    """All ideas, best first: go on from what was kept (sometimes), new single steps, pairs, second chances.

    Single steps take the constants in order of how rarely they had a turn, at random among equals.
    """
    fresh = [step for step in steps if str(step) not in past.titles]
    following = [step for step in fresh if past.follows(step)]
    if draw.random() < CONTINUE:
        yield from (_continued(step, past) for step in draw.sample(following, len(following)))
    yield from map(_single, _spread(fresh, past, draw))
    yield from (pair for pair in _pairs(steps, past, draw) if pair.title not in past.titles)
    yield from map(_second_chance, draw.sample(steps, len(steps)))


def _spread(steps: Sequence[Step], past: Past, draw: random.Random) -> list[Step]:
    turns = {label: (past.tries[label], draw.random()) for label in dict.fromkeys(s.constant.label for s in steps)}
    # A draw to the power 1 / weight sorts like drawing by weight without putting back (Efraimidis and Spirakis 2006).
    lots = {step: draw.random() ** (1 / past.weight(step)) for step in steps}
    return sorted(steps, key=lambda step: (turns[step.constant.label], -lots[step]))


def _pairs(steps: Sequence[Step], past: Past, draw: random.Random) -> Iterator[Idea]:
    sound = [step for step in steps if str(step) not in past.broken]
    pairs = [(first, second) for first, second in combinations(sound, 2) if first.constant != second.constant]
    draw.shuffle(pairs)
    for pair in pairs:
        yield Idea(
            steps=pair,
            strategy="pair",
            hypothesis="Two changes that may only help together. Drawn at random, now that single steps are used up.",
        )


def _single(step: Step) -> Idea:
    told = step.told
    better = {1: f"higher than {told.old}", -1: f"lower than {told.old}", 0: f"as {told.new} than as {told.old}"}
    return Idea(
        steps=(step,),
        strategy="single",
        hypothesis=f"{told.label} may do better {better[told.direction]}. Drawn at random among the constants "
        "that had the fewest turns; no theory stands behind it.",
    )


def _continued(step: Step, past: Past) -> Idea:
    kept = past.kept[step.constant.label]
    return Idea(
        steps=(step,),
        strategy="continue",
        hypothesis=f"{kept.label} {kept.old} → {kept.new} was kept, so a further step the same way may help again.",
    )


def _second_chance(step: Step) -> Idea:
    return Idea(
        steps=(step,),
        strategy="second-chance",
        hypothesis=f"{step} was tried on an earlier incumbent; what did not help there may help on this one.",
    )


def _bare(literal: str) -> str:
    return literal.strip("\"'").replace(" ", "")
