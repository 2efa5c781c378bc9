"""Does the gain of the head over the baseline hold elsewhere: on other node pools, presets, or limits? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from controller.errors import SettingsError
from controller.studies.claim import TAIL, answer_claim
from controller.studies.comparison import Comparison, Word
from controller.studies.study import Arm, Study, StudyKind, StudyRecord


class Held(StrEnum):
    """The fate of a gain at another place."""

    HOLDS = "holds"
    """The head is better here too."""

    VANISHES = "vanishes"
    """Nothing is shown here, and the interval ends below the gain at the first place."""

    REVERSES = "reverses"
    """The head is worse here."""

    OPEN = "not shown"
    """Nothing is shown here, and the interval would allow the same gain: it takes more seeds."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place to run at: a name, and the settings that differ there."""

    name: str
    overrides: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}:{';'.join(self.overrides)}" if self.overrides else self.name


def read_place(text: str) -> Place:
    """The place of an arm: `NAME`, or `NAME:KEY=VALUE;KEY=VALUE`. Raises SettingsError."""
    name, _, settings = text.partition(":")
    overrides = tuple(filter(None, settings.split(";")))
    if not name or any("=" not in override for override in overrides):
        raise SettingsError(
            f"{text!r} names no place: it looks like small:executor.limits.cpus=1;budget.train_seconds=10"
        )
    return Place(name, overrides)


def plan_portability(
    head: Arm, baseline: Arm, places: Sequence[Place], *, holdout: bool, number: int, at: float
) -> Study:
    """Both programs at every place."""
    arms = []
    for place in places:
        arms += [replace(head, place=str(place)), replace(baseline, place=str(place))]
    where = ", ".join(map(str, places))
    measured = "the holdout" if holdout else "the campaign's own score"
    question = f"portability {head.commit} {baseline.commit} {head.seeds} seeds on {measured} at {where}"
    return Study(
        kind=StudyKind.PORTABILITY, number=number, question=question, arms=tuple(arms), holdout=holdout, began_at=at
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The finding at one place."""

    place: Place
    held: Held

    comparison: Comparison | None
    """None if a side has no score."""


def compare_places(record: StudyRecord, *, sign: float) -> list[Found]:
    """Compare head and baseline at each place, in the plan's order. sign: -1 if a lower score is better, else 1."""
    found: list[Found] = []
    for number in range(1, len(record.study.arms) + 1, 2):
        answer = answer_claim(record, sign=sign, one=number, other=number + 1)
        first = found[0].comparison if found else None
        held = _judge_place(answer.word, answer.comparison, first)
        place = read_place(record.study.arms[number - 1].place)
        found.append(Found(place=place, held=held, comparison=answer.comparison))
    return found


def _judge_place(word: Word, here: Comparison | None, first: Comparison | None) -> Held:
    match word:
        case Word.BETTER:
            return Held.HOLDS
        case Word.WORSE:
            return Held.REVERSES
        case Word.NOT_SHOWN:
            if here is None or first is None or first.word is not Word.BETTER:
                return Held.OPEN
            return Held.VANISHES if here.high < first.effect else Held.OPEN


def wrong_in(places: int) -> float:
    """The highest probability that any place gets a wrong word where the programs are equal at all of them."""
    return 2 * TAIL * places
